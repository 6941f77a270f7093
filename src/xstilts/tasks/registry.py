"""Every task and data set by name: those of this package and those that other packages bring.

Another package adds its own by entry points of the groups `xstilts.tasks` and `xstilts.datasets`, each naming a
`Task` or a `Dataset`. Nothing here imports torch, so that a plan answers at once.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol, TypeVar

from xstilts.core.catalogue import Source
from xstilts.core.errors import UserError
from xstilts.tasks.definitions import Dataset, Task

FAMILIES = (
    "inference",
    "anli_plus",
    "paraphrase",
    "question_answering",
    "commonsense",
    "tagging",
    "parsing",
    "semantic_parsing",
    "retrieval",
    "text",
)
"""Modules of this folder with `TASKS` and `DATASETS`."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def get(name: str) -> Task:
    """The task of that name; a UserError that suggests names if there is none."""
    return _find(tasks(), name, "task")


def names() -> list[str]:
    """All task names, sorted."""
    return sorted(tasks())


def dataset(name: str) -> Dataset:
    """The data set of that name; a UserError that suggests names if there is none."""
    return _find(datasets(), name, "data set")


def published_rows(source: Source) -> int | None:
    """English rows of a split as the tasks that are made of it cite them; None where none does."""
    cited = (task.spec.published_rows.get(source) for task in tasks().values())
    return next((rows for rows in cited if rows), None)


@cache
def tasks() -> Mapping[str, Task]:
    own = (task for family in FAMILIES for task in import_module(f"xstilts.tasks.{family}").TASKS)
    return _collect(own, group="xstilts.tasks", form=Task)


@cache
def datasets() -> Mapping[str, Dataset]:
    own = (dataset for family in FAMILIES for dataset in import_module(f"xstilts.tasks.{family}").DATASETS)
    return _collect(own, group="xstilts.datasets", form=Dataset)


def _collect(own: Iterable[_T], *, group: str, form: type[_T]) -> dict[str, _T]:
    found = {item.name: item for item in own}
    for entry in entry_points(group=group):
        item = entry.load()
        if not isinstance(item, form):
            raise UserError(f"entry point {entry.value} of {group} is a {type(item).__name__}, not a {form.__name__}")
        if item.name in found:
            raise UserError(f"entry point {entry.value} of {group}: the name {item.name!r} is taken")
        found[item.name] = item
    return found


def _find(known: Mapping[str, _T], name: str, what: str) -> _T:
    if name in known:
        return known[name]
    close = get_close_matches(name, known)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    raise UserError(f"unknown {what} {name!r}{hint} Known: {', '.join(sorted(known))}")
