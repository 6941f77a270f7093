"""What a stage works with: its folder, its inputs in the store, and a way to be watched, stopped and resumed."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from xstilts.core.catalogue import ENGLISH
from xstilts.core.configs import BASE_CHECKPOINT
from xstilts.core.errors import IntegrityError, ZeroShotError
from xstilts.core.manifests import ArtifactManifest, SplitRef
from xstilts.core.results import TrainingFacts
from xstilts.store import artifacts, datasets
from xstilts.store.leases import Lease
from xstilts.store.port import NotFound, ObjectStore
from xstilts.store.scoped import ScopedStore
from xstilts.tasks.datasets import read_split
from xstilts.tasks.examples import Example, Text

log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """How far a stage is, for people to watch."""

    done: int
    total: int
    note: str = ""


class Encoder(NamedTuple):
    """Weights to start from or to evaluate."""

    folder: Path
    step: int
    """Optimizer step of the stage that made them; 0 for a base model."""
    digest: str
    """Of all files: equal for equal weights."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Handed to a stage by its runner. `folder` becomes the artifact; `scratch` is thrown away."""

    store: ObjectStore
    address: str
    folder: Path
    scratch: Path
    lease: Lease | None
    """None for those who only take part in the training of the process that has it."""
    report: Callable[[Progress], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False
    checkpoint_seconds: float = 60.0
    """Time between training checkpoints, which a killed stage resumes from."""

    # ---- inputs

    def english(self, ref: SplitRef) -> Iterator[Example]:
        """Examples for training or selection. Raises ZeroShotError for any language but English."""
        if ref.language != ENGLISH:
            raise ZeroShotError(f"{self.address} asked to train on {ref}: only {ENGLISH!r} is allowed in training")
        return self.examples(ref)

    def translated(self, ref: SplitRef, *, english: SplitRef) -> Iterator[Example]:
        """Examples of the English split in translation. Raises ZeroShotError for any other split."""
        if (ref.dataset, ref.split) != (english.dataset, english.split):
            raise ZeroShotError(f"{self.address} asked to train on {ref}, which is no translation of {english}")
        return self.examples(ref)

    def text(self, ref: SplitRef) -> Iterator[Text]:
        """Lines of plain text in any language. Raises ZeroShotError for data of any other kind."""
        for example in self.examples(ref):
            if not isinstance(example, Text):
                raise ZeroShotError(f"{self.address} asked to pretrain on {ref}: only plain text is allowed there")
            yield example

    def examples(self, ref: SplitRef) -> Iterator[Example]:
        """The split's examples, streamed; files are fetched with the first of them, once, and verified."""
        split = datasets.load_split(self.store, ref)
        paths = datasets.fetch_split(self.store, split, self.scratch / "data" / ref.digest)
        yield from read_split(split, paths)

    def fetch(self, address: str) -> tuple[ArtifactManifest, Path]:
        """A whole input artifact."""
        folder = self.scratch / "inputs" / address
        return artifacts.fetch(self.store, address, folder), folder

    def fetch_encoder(self, address: str, checkpoint: str) -> Encoder:
        """The weights of a base model, or of one checkpoint of a training stage."""
        folder = self.scratch / "inputs" / address
        if checkpoint == BASE_CHECKPOINT:
            return Encoder(folder, 0, artifacts.fetch(self.store, address, folder).content_digest)
        manifest = artifacts.load_manifest(self.store, address)
        facts = TrainingFacts.model_validate(manifest.facts) if manifest else None
        found = next((c for c in facts.checkpoints if c.name == checkpoint), None) if facts else None
        if manifest is None or found is None:
            raise IntegrityError(
                f"{address} has no checkpoint {checkpoint!r} that {self.address} could start from; run that stage first"
            )
        try:
            artifacts.fetch(self.store, manifest, folder, only=f"{found.path}/")
        except NotFound as error:
            raise IntegrityError(f"the weights of {address} are gone, evicted or lost: run that stage first") from error
        return Encoder(folder / found.path, found.step, manifest.content_below(f"{found.path}/"))

    # ---- training checkpoints, each epoch of the lease in a store of its own: nothing that stays shares their blobs,
    # and a holder that slept through its takeover cannot touch its successor's

    def save_checkpoint(self, folder: Path, step: int) -> None:
        """Publishes a training checkpoint, then drops this process's earlier one and those of earlier holders."""
        assert self.lease
        self.lease.check()
        store = self._resume_store(self.lease.epoch)
        manifest = ArtifactManifest(kind="training-checkpoint", key=f"{step:09d}")
        published = artifacts.publish(store, manifest.key, folder, manifest)
        keep = {artifacts.manifest_key(manifest.key), *(artifacts.blob_key(file.sha256) for file in published.files)}
        for key in [entry.key for entry in store.list("") if entry.key not in keep]:
            store.delete(key)
        for epoch in self._resume_epochs():
            if epoch < self.lease.epoch:
                self._resume_store(epoch).clear()

    def resume_point(self) -> Path | None:
        """The newest whole training checkpoint of this stage; broken ones are passed over."""
        for epoch in sorted(self._resume_epochs(), reverse=True):
            store = self._resume_store(epoch)
            names = {
                key.split("/")[0] for key in (entry.key for entry in store.list("")) if key.endswith("manifest.json")
            }
            for name in sorted(names, reverse=True):
                try:
                    target = self.scratch / "resume" / f"{epoch}-{name}"
                    artifacts.fetch(store, name, target)
                except (IntegrityError, NotFound) as error:
                    log.warning("training checkpoint %s/%s is passed over: %s", store.uri, name, error)
                else:
                    return target
        return None

    def drop_checkpoints(self) -> None:
        """Once the result is published."""
        ScopedStore(self.store, f"{self.address}/resume").clear()

    def _resume_store(self, epoch: int) -> ScopedStore:
        return ScopedStore(self.store, f"{self.address}/resume/{epoch:06d}")

    def _resume_epochs(self) -> set[int]:
        prefix = f"{self.address}/resume/"
        return {int(entry.key.removeprefix(prefix).split("/")[0]) for entry in self.store.list(prefix)}
