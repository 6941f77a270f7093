"""The documents that make things exist: what has no manifest does not exist.

A manifest is written last, on condition that there is none, and lists files by content (path, sha256, size). Files
themselves lie under `blobs/sha256/<aa>/<sha256>`, so equal content is stored once and a torn write is never named.
"""

from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from xstilts.api.base import Model
from xstilts.core.keys import digest


class FileEntry(Model):
    """One file of an artifact."""

    path: str
    """Relative to the artifact's root, with forward slashes."""
    sha256: str
    size: int
    """Bytes."""


class Split(Model):
    """One split of a data set in one language, as upstream files: the unit that stages depend on."""

    dataset: str
    split: str
    language: str
    layout: str
    """Name of the reader, in `xstilts.tasks`, that understands the files."""
    rows: int
    files: tuple[FileEntry, ...]

    @cached_property
    def digest(self) -> str:
        """Changes with any byte of the files, or with the reader."""
        return digest([self.split, self.language, self.layout, [(file.path, file.sha256) for file in self.files]])

    @cached_property
    def ref(self) -> "SplitRef":
        """How a stage's config names it."""
        return SplitRef(dataset=self.dataset, split=self.split, language=self.language, digest=self.digest)


class SplitRef(Model):
    """How a stage's config names a split: enough to find it and to notice any change."""

    dataset: str
    split: str
    language: str
    digest: str

    @property
    def address(self) -> str:
        """Where the split's document lies in the store."""
        return f"datasets/{self.dataset}/splits/{self.digest}"

    def __str__(self) -> str:
        return f"{self.dataset}/{self.split}.{self.language}@{self.digest[:12]}"


class DatasetManifest(Model):
    """A data set as it was imported: all its splits and languages."""

    format: Literal[1] = 1
    name: str
    splits: tuple[Split, ...]
    licence: str = ""
    source: str = ""
    """Where the files came from, such as `nyu-mll/glue@<commit>`; empty for a folder. Not part of the digest."""

    @property
    def digest(self) -> str:
        return digest([split.digest for split in self.splits])

    def find(self, split: str, language: str) -> Split | None:
        """The split in that language, or None."""
        return next((s for s in self.splits if s.split == split and s.language == language), None)


class ArtifactManifest(Model):
    """Files that belong together, and what is known of them: a stage's result, a base model, a training checkpoint."""

    format: Literal[1] = 1
    kind: str
    key: str
    version: int = 1
    config: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    """Role to address of the artifacts that this one was made from."""
    files: tuple[FileEntry, ...] = ()
    facts: dict[str, Any] = Field(default_factory=dict)
    """Results in numbers; the form depends on the kind (see `xstilts.core.results`)."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Code version, image, machine, times: recorded, never part of a key."""

    @property
    def digest(self) -> str:
        """Of the whole document: differs with each making, by its provenance."""
        return digest(self.document())

    @property
    def content_digest(self) -> str:
        """Of the files alone: equal for two runs that produced the same bytes."""
        return self.content_below("")

    def content_below(self, folder: str) -> str:
        """The same of the files whose paths begin with `folder`, which is no part of it."""
        return digest([(file.path.removeprefix(folder), file.sha256) for file in self.below(folder)])

    def below(self, folder: str) -> tuple[FileEntry, ...]:
        """The files whose paths begin with `folder`."""
        return tuple(file for file in self.files if file.path.startswith(folder))


class EvictionState(StrEnum):
    """How far an eviction is; each is written before the next step begins."""

    ANNOUNCED = "Announced"  # plans made from now on reckon without the weights
    CONFIRMED = "Confirmed"  # nobody objected: the files are given up
    DELETED = "Deleted"  # those that nobody else names are gone


class Eviction(Model):
    """Why a stage has a manifest and no weights: lies beside the manifest."""

    manifest: str
    """Digest of the manifest that it is about."""
    study: str
    """Whose retention it was."""
    reason: str
    """The retention that did not keep it."""
    evicted: int
    """Milliseconds since 1970."""
    files: tuple[FileEntry, ...]
    state: EvictionState = EvictionState.ANNOUNCED

    def concerns(self, manifest: ArtifactManifest) -> bool:
        return self.manifest == manifest.digest

    @property
    def is_confirmed(self) -> bool:
        return self.state is not EvictionState.ANNOUNCED
