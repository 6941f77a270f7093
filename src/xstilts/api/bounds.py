"""Statuses within the bounds of their schema: the API server refuses a longer one however often it is written."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, TypeVar, get_args, get_origin

from annotated_types import MaxLen
from pydantic import StringConstraints

from xstilts.api.base import Model

M = TypeVar("M", bound=Model)
ELLIPSIS = "…"


def within_bounds(document: M) -> tuple[M, dict[str, int]]:
    """The document with lists, maps and texts cut to the lengths that its fields allow.

    With it, how many entries each list or map lost, by the path of the field: `{"plan.notApplicable": 3}`. A text that
    was cut ends in an ellipsis. A document that fits is returned as it is.
    """
    omitted: dict[str, int] = {}
    return _cut_fields(document, "", omitted), omitted


def _cut_fields(document: M, path: str, omitted: dict[str, int]) -> M:
    changes: dict[str, Any] = {}
    for name, field in type(document).model_fields.items():
        before = getattr(document, name)
        after = _cut(before, f"{path}{field.alias or name}", field.metadata, field.annotation, omitted)
        if after is not before:
            changes[name] = after
    return document.model_copy(update=changes) if changes else document


def _cut(value: Any, path: str, constraints: Iterable[Any], annotation: Any, omitted: dict[str, int]) -> Any:
    limit = min(_lengths(constraints), default=None)
    match value:
        case str() if limit is not None and len(value) > limit:
            return value[: limit - len(ELLIPSIS)] + ELLIPSIS
        case Model():
            return _cut_fields(value, f"{path}.", omitted)
        case tuple() | dict():
            entries = dict(enumerate(value)) if isinstance(value, tuple) else value
            inner = list(_of_entries(annotation))
            kept = {key: _cut(entries[key], path, inner, None, omitted) for key in list(entries)[:limit]}
            if len(kept) < len(entries):
                omitted[path] = len(entries) - len(kept)
            elif all(kept[key] is entries[key] for key in kept):
                return value
            return tuple(kept.values()) if isinstance(value, tuple) else kept
    return value


def _of_entries(annotation: Any) -> Iterator[Any]:
    """Constraints that an annotation such as `tuple[Annotated[str, …], ...]` puts on entries."""
    for argument in get_args(annotation):
        if get_origin(argument) is Annotated:
            yield from argument.__metadata__


def _lengths(constraints: Iterable[Any]) -> Iterator[int]:
    for constraint in constraints:
        match constraint:
            case MaxLen(max_length=length) | StringConstraints(max_length=int(length)):
                yield length
