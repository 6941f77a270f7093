"""What a task and a data set are made of. The files of this folder declare them; `registry` collects them.

A data set lists `Layout`s: the forms in which upstream publishes its files, each with the pattern of their paths and
the row function that reads them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from xstilts.core.catalogue import ENGLISH, TaskKind, TaskSpec
from xstilts.tasks.examples import Example

RowFunction = Callable[..., Iterator[Example]]
"""Reads one file, or one file of each pattern of its layout, in their order."""

SAME_NAMES = {"train": "train", "dev": "dev", "test": "test"}
HUB_NAMES = {"train": "train", "validation": "dev"}
"""What the hub calls the splits that are labelled everywhere; the test splits of many data sets have no labels."""

_CODES = (
    "af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy id is it"
    " ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my ne nl no om or pa pl ps pt ro ru sa sd si sk sl so"
    " sq sr su sv sw ta te th tl tr ug uk ur uz vi xh yi yo zh"
)
TRANSLATIONS = {code: code for code in _CODES.split()}
"""Languages of own translations: XLM-R's, and Yoruba of XTREME. A list, so that no other part of a name is one."""


class Match(NamedTuple):
    """What the path of a file says."""

    above: str
    """The folder that the pattern begins in."""
    split: str
    language: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """One upstream form of a data set."""

    name: str
    """Recorded in manifests: names the reader for good."""
    patterns: tuple[str, ...]
    """Ends of paths, with `{split}`, `{language}` and `*` (within a name). Several patterns are companion files that
    are read together, such as the two sides of a parallel text."""
    read: RowFunction
    splits: Mapping[str, str] = field(default_factory=lambda: SAME_NAMES)
    """Upstream's name of a split, as in `{split}`, to ours."""
    split: str = ""
    """The split, where the path does not tell it."""
    languages: Mapping[str, str] = field(default_factory=dict)
    """Upstream's name of a language, as in `{language}`, to ours; empty if upstream uses our codes."""
    language: str = ENGLISH
    """The language, where the path does not tell it."""
    selective: bool = False
    """Whether `read` picks the rows of `split` or `language` out of a file that holds several."""
    by_language: bool = False
    """Whether `read` takes the language of its files, as `language=`."""
    scattered: bool = False
    """Whether the files of one split may be in several folders, as treebanks are."""

    def match(self, path: str, pattern: str) -> "Match | None":
        """What a path stands for under one of `patterns`; None if it does not fit."""
        found = re.fullmatch(self._regex(pattern), path)
        if not found:
            return None
        groups = found.groupdict()
        split = self.splits[groups["split"]] if "split" in groups else self.split
        language = groups.get("language", self.language)
        return Match(groups["above"] or "", split, self.languages.get(language, language))

    def _regex(self, pattern: str) -> str:
        """The end of a path; a placeholder that comes again stands for the same text."""
        languages = "|".join(map(re.escape, self.languages)) or r"[a-z]{2,3}(?:-[A-Za-z]+)*"
        choices = {"split": "|".join(map(re.escape, self.splits)), "language": languages}
        regex, seen = "(?P<above>.*/)?", set[str]()
        for literal, placeholder in re.findall(r"([^{*]*)(\{\w+\}|\*|$)", pattern):
            name = placeholder.strip("{}")
            regex += re.escape(literal)
            if name == "*":
                regex += "[^/]*"
            elif name:
                regex += f"(?P={name})" if name in seen else f"(?P<{name}>{choices[name]})"
                seen.add(name)
        return regex


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """Files that upstream publishes under one name."""

    name: str
    licence: str
    layouts: tuple[Layout, ...] = ()
    """Preferred ones first; none if the data set is only planned with."""
    hub: tuple[str, ...] = ()
    """Repositories of the Hugging Face hub that hold it: those of their files are taken that `layouts` read."""

    def reads(self, path: str) -> bool:
        """Whether a file of that path belongs to a split of this data set."""
        return any(layout.match(path, pattern) for layout in self.layouts for pattern in layout.patterns)


def hub_layouts(
    repository: str,
    read: RowFunction,
    *,
    config: str = "",
    splits: Mapping[str, str] = HUB_NAMES,
    part: str = "",
    languages: Mapping[str, str] | None = None,
) -> tuple[Layout, Layout]:
    """Parquet files of a repository of the hub: as they stand on `main`, and in the conversion that the hub makes.

    `config` is the hub's subset of a data set, which may have `{language}`; without subsets, files stand in `data`
    and, converted, in `default`. `part` follows the split in the hub's name for it, as in `train_r1`.
    """
    folder = repository.rsplit("/", 1)[-1]
    main = f"{folder}/{config or 'data'}/{{split}}{part}-*.parquet"
    converted = f"{folder}/{config or 'default'}/{{split}}{part}/*.parquet"
    names = languages or {}
    return (
        Layout(name="parquet", patterns=(main,), splits=splits, languages=names, read=read),
        Layout(name="converted-parquet", patterns=(converted,), splits=splits, languages=names, read=read),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What is planned with (`spec`) and what stages need besides."""

    spec: TaskSpec
    stratum: Callable[[Any], str]
    """Stratum of an example: subsets keep the shares of strata. Few and stable."""
    rules: str = "squad"
    """Answer normalisation of span extraction, `squad`, `squad_v2` or `mlqa`, or the language of parses, `top` or
    `sparql` (see `xstilts.metrics`)."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def kind(self) -> TaskKind:
        return self.spec.kind
