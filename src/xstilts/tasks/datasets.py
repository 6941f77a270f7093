"""From upstream files to splits: finds them under a folder, proves that every row parses, and reads them again later.

`scan` is what an import into the store begins with; `read_split` is what training and evaluation read. A split whose
labels are blank or placeholders, as in the test files that XTREME prepares, never becomes one that can be scored.
"""

import hashlib
import json
import logging
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from xstilts.core.errors import UserError
from xstilts.core.handed_over import is_pointer, pointer_error, stays_inside
from xstilts.core.manifests import DatasetManifest, FileEntry, Split
from xstilts.tasks import registry
from xstilts.tasks.definitions import Dataset, Layout
from xstilts.tasks.examples import Example
from xstilts.tasks.gold import gold, is_labelled

log = logging.getLogger(__name__)

FEWEST_FOR_PLACEHOLDERS = 20
"""Rows from which on one and the same label throughout is taken for a placeholder."""


class Found(NamedTuple):
    """Files of one split in one language."""

    split: str
    language: str
    layout: Layout
    paths: tuple[Path, ...]
    """Of layouts with companion files: first file, its companion, next file, its companion, ..."""

    def __str__(self) -> str:
        return f"{self.split}:{self.language} ({self.layout.name})"


def scan(
    dataset_name: str, root: Path, files: Mapping[str, str | Path | Sequence[str | Path]] | None = None
) -> DatasetManifest:
    """All splits of a data set under `root`, each file hashed and each row parsed.

    `files` names files that upstream's patterns would not find, by `split:language` or `split:language:layout`, such
    as `{"train:en": "my-train.tsv"}`; the paths are relative to `root`. They replace what the patterns find for that
    split and language. Without a layout, the first one that parses the file is taken.

    Raises UserError for files that are missing, that do not parse, or whose labels are placeholders, and where files
    in different folders could be the split: naming both. Splits without usable labels that only the patterns found are
    left out with a warning.
    """
    dataset = registry.dataset(dataset_name)
    if not dataset.layouts:
        readable = sorted(name for name, other in registry.datasets().items() if other.layouts)
        raise UserError(f"data set {dataset.name!r} has no reader; readable ones are {', '.join(readable)}")
    named = [_named_split(dataset, root, key, value) for key, value in (files or {}).items()]
    taken = {(split.split, split.language) for split in named}
    discovered = _matches(dataset, root, taken).values() if named else discover(dataset, root)
    splits = named + [
        split
        for found in discovered
        if (found.split, found.language) not in taken and (split := _usable_split(dataset, root, found))
    ]
    if not splits:
        raise UserError(f"{root}: no split of {dataset.name!r} has usable labels; the log names the reasons")
    return DatasetManifest(
        name=dataset.name,
        splits=tuple(sorted(splits, key=lambda split: (split.split, split.language))),
        licence=dataset.licence,
    )


def read_split(split: Split, paths: Sequence[Path]) -> Iterator[Example]:
    """The examples of a split, in the order of its files.

    `paths` are local copies of `split.files`, in the same order and under any names. An id that occurred before in
    the split is dropped: the content identifies that example.
    """
    dataset = registry.dataset(split.dataset)
    layout = next((layout for layout in dataset.layouts if layout.name == split.layout), None)
    if layout is None:
        raise UserError(f"{split.dataset}: this version of xstilts has no layout {split.layout!r}; import it again")
    if len(paths) != len(split.files):
        raise UserError(f"{split.dataset}/{split.split}: {len(paths)} paths for {len(split.files)} files")
    return _unique_ids(_examples(layout, paths, split.language))


def discover(dataset: Dataset, root: Path) -> list[Found]:
    """What the patterns of the data set find under `root`: for each split and language the first layout that fits."""
    found = _matches(dataset, root)
    if not found:
        patterns = sorted({pattern for layout in dataset.layouts for pattern in layout.patterns})
        raise UserError(
            f"{root}: no files of {dataset.name!r}; expected names such as {', '.join(patterns)}."
            " Name other files explicitly as split:language, such as train:en"
        )
    return list(found.values())


def _matches(dataset: Dataset, root: Path, taken: Collection[tuple[str, str]] = ()) -> dict[tuple[str, str], Found]:
    """By split and language without those that are taken: the first layout that fits.

    Raises UserError where other files fit as well, in another folder or under another name of the split, unless they
    hold the same rows in another layout: a fixture, or a file of another data set, must neither be taken for the data
    nor be joined to them.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; expected the files of {dataset.name!r} as upstream publishes them")
    paths = sorted(path for path in root.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(root)))
    found: dict[tuple[str, str], Found] = {}
    places: dict[tuple[str, str], set[str]] = {}
    torn: dict[tuple[str, str], UserError] = {}
    for layout in dataset.layouts:
        for key, groups in _grouped(layout, paths).items():
            if key in taken:
                continue
            for pattern, group in zip(layout.patterns, groups, strict=True):
                if rivals := _rivals(layout, pattern, group):
                    raise _ambiguous(dataset, key, rivals)
            folders = {folder for group in groups for folder in group.values()}
            files = [list(group) for group in groups]
            if len({len(group) for group in files}) > 1:
                torn.setdefault(key, _companion_missing(layout, files))
                continue
            other = Found(*key, layout, tuple(_own(root, path) for path in _interleaved(files)))
            first = found.setdefault(key, other)
            if not folders <= places.setdefault(key, folders) and not _same_rows(first, other):
                raise _ambiguous(dataset, key, [first.paths[0], other.paths[0]])
    for key in sorted(torn.keys() - found.keys()):
        raise torn[key]
    return found


def _grouped(layout: Layout, paths: Sequence[Path]) -> dict[tuple[str, str], list[dict[Path, str]]]:
    """Files and the folders that their patterns begin in, by split and language, for each pattern of the layout."""
    groups: dict[tuple[str, str], list[dict[Path, str]]] = {}
    for path in paths:
        for position, pattern in enumerate(layout.patterns):
            if match := layout.match(path.absolute().as_posix(), pattern):
                group = groups.setdefault((match.split, match.language), [{} for _ in layout.patterns])
                group[position][path] = match.above
                break
    return groups


def _rivals(layout: Layout, pattern: str, group: Mapping[Path, str]) -> tuple[Path, ...]:
    """Two files under one pattern that do not make one split together; shards in one folder do."""
    if layout.scattered:
        by_name: dict[str, Path] = {}
        for path, folder in group.items():
            same = by_name.setdefault(path.absolute().as_posix().removeprefix(folder), path)
            if same is not path:
                return same, path
        return ()
    first, *others = group or (None,)
    alone = "*" not in pattern
    return next(((first, path) for path in others if first and (alone or group[path] != group[first])), ())


def _same_rows(first: Found, other: Found) -> bool:
    sides = [_examples(found.layout, found.paths, found.language) for found in (first, other)]
    try:
        return all(a and b and replace(a, id="") == replace(b, id="") for a, b in zip_longest(*sides))
    except UserError:  # of another data set
        return False


def _ambiguous(dataset: Dataset, key: tuple[str, str], paths: Sequence[Path]) -> UserError:
    split = ":".join(key)
    return UserError(
        f"{dataset.name} {split}: both {' and '.join(map(str, paths))} have a name of it, in different places; choose"
        f" the folder of one of them, or name the file as {split}"
    )


def _is_hidden(path: Path) -> bool:
    """Of version control, editors and archives, or set aside as in Hadoop and Spark: never upstream's."""
    return any(part.startswith((".", "_")) for part in path.parts)


def _companion_missing(layout: Layout, groups: Sequence[Sequence[Path]]) -> UserError:
    names = ", ".join(path.name for group in groups for path in group)
    return UserError(f"{names}: a companion file is missing; expected all of {', '.join(layout.patterns)}")


def _interleaved(groups: Sequence[Sequence[Path]]) -> tuple[Path, ...]:
    return tuple(path for companions in zip(*groups, strict=True) for path in companions)


def _named_split(dataset: Dataset, root: Path, key: str, value: str | Path | Sequence[str | Path]) -> Split:
    split, language, layout_name = (*key.split(":"), "", "")[:3]
    if not split or not language:
        raise UserError(f"files: {key!r} is not split:language, such as train:en")
    paths = tuple(_inside(root, path) for path in ([value] if isinstance(value, str | Path) else value))
    complaints = []
    for layout in _candidates(dataset, split, language, layout_name):
        try:
            return _checked_split(dataset, root, Found(split, language, layout, paths))
        except UserError as error:
            complaints.append(f"{layout.name}: {error}")
    raise UserError(f"files: no layout of {dataset.name!r} reads {key}:\n  " + "\n  ".join(complaints))


def _inside(root: Path, path: str | Path) -> Path:
    inside = root / path
    if not inside.is_file():
        raise UserError(f"files: {inside} does not exist; paths are relative to {root}")
    return _own(root, inside)


def _own(root: Path, path: Path) -> Path:
    """The path, if the file is below `root` (not by a link to elsewhere) and no pointer of git-lfs."""
    if not stays_inside(target := path.resolve(), root.resolve()):
        link = f", a link to {target}," if path.is_symlink() else ""
        raise UserError(f"{path}{link} lies outside of {root}; choose a folder that holds all files")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if is_pointer(start):
        raise pointer_error(str(path))
    return path


def _candidates(dataset: Dataset, split: str, language: str, layout_name: str) -> list[Layout]:
    if layout_name:
        named = [layout for layout in dataset.layouts if layout.name == layout_name]
        if not named:
            known = ", ".join(layout.name for layout in dataset.layouts)
            raise UserError(f"files: {dataset.name!r} has no layout {layout_name!r}; it has {known}")
        return named
    return [
        layout
        for layout in dataset.layouts
        if not layout.selective or (layout.language == language and layout.split in ("", split))
    ]


class _Empty(UserError):
    """A split without rows."""


class _Unlabelled(UserError):
    """The rows parse, but nothing can be learnt or scored from their labels."""


def _usable_split(dataset: Dataset, root: Path, found: Found) -> Split | None:
    try:
        return _checked_split(dataset, root, found)
    except _Empty:
        if found.layout.selective:  # a file of several languages need not have them all
            return None
        raise
    except _Unlabelled as error:
        log.warning("%s left out: %s", found, error)
        return None


def _checked_split(dataset: Dataset, root: Path, found: Found) -> Split:
    rows = _count_labelled(_examples(found.layout, found.paths, found.language), found)
    return Split(
        dataset=dataset.name,
        split=found.split,
        language=found.language,
        layout=found.layout.name,
        rows=rows,
        files=tuple(_entry(root, path) for path in found.paths),
    )


def _count_labelled(examples: Iterable[Example], found: Found) -> int:
    """Rows of a split; _Unlabelled if there are none, or if labels are all missing or all the same."""
    files = ", ".join(path.name for path in found.paths)
    rows, blank, kinds = 0, 0, set[str]()
    for rows, example in enumerate(examples, 1):
        if "\n" in example.id:
            raise UserError(f"{files}: row {rows} has the id {example.id[:80]!r}, which is not one line")
        if not is_labelled(example):
            blank = blank or rows
        elif len(kinds) < 2:
            kinds.add(json.dumps(gold(example)) if gold(example) is not None else f"row {rows}")
        if blank and kinds:
            raise UserError(
                f"{files}: row {blank} has a blank label, and other rows have one: add it, or remove the row"
            )
    if blank:
        raise _Unlabelled(f"{files}: row {blank} has a blank label, as rows of test files without gold labels have")
    if not rows:
        raise _Empty(f"{files}: no rows in {found.language}")
    if len(kinds) == 1 and rows >= FEWEST_FOR_PLACEHOLDERS:
        raise _Unlabelled(f"{files}: all {rows} rows have the label {kinds.pop()}, which looks like a placeholder")
    return rows


def _entry(root: Path, path: Path) -> FileEntry:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path=path.relative_to(root).as_posix(), sha256=sha256, size=path.stat().st_size)


def _examples(layout: Layout, paths: Sequence[Path], language: str) -> Iterator[Example]:
    step = len(layout.patterns)
    if len(paths) % step:
        raise UserError(f"layout {layout.name} reads {step} files together ({', '.join(layout.patterns)})")
    told = {"language": language} if layout.by_language else {}
    for first in range(0, len(paths), step):
        yield from layout.read(*paths[first : first + step], **told)


def _unique_ids(examples: Iterable[Example]) -> Iterator[Example]:
    seen = _Seen()
    for example in examples:
        repeated = bool(example.id) and not seen.add(example.id)
        yield replace(example, id="") if repeated else example


class _Seen:
    """A set of texts by their hashes of 63 bits, in 16 to 32 bytes each: an eighth of what Python's sets take."""

    def __init__(self) -> None:
        self._slots, self._size = array("Q", bytes(8 * 1024)), 0

    def add(self, text: str) -> bool:
        """Whether it was new."""
        key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") | 1  # 0 is an empty slot
        if not self._put(self._slots, key):
            return False
        self._size += 1
        if 2 * self._size > len(self._slots):
            larger = array("Q", bytes(16 * len(self._slots)))
            for slot in filter(None, self._slots):
                self._put(larger, slot)
            self._slots = larger
        return True

    @staticmethod
    def _put(slots: "array[int]", key: int) -> bool:
        """Open addressing with linear probing; the number of slots is a power of two."""
        place = key >> 1 & len(slots) - 1
        while slots[place] not in (0, key):
            place = place + 1 & len(slots) - 1
        fresh = slots[place] == 0
        slots[place] = key
        return fresh
