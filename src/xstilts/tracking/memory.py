"""`Tracker` in memory, for tests and for runs that publish nowhere: the same contract, open to inspection."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from xstilts.core.errors import TrackingUnavailable
from xstilts.tracking.port import StagePublished
from xstilts.tracking.records import CheckpointRef, StageRecord, StudyRecord, TrialRecord


class MemoryTracker:
    """Keeps the records themselves, by key; the ids are made from the keys."""

    def __init__(self, identity: str = "memory://") -> None:
        self.identity = identity
        self.stages: dict[str, StageRecord] = {}
        """By stage key, as published first: a stage does not change."""
        self.trials: dict[tuple[str, str], TrialRecord] = {}
        """By study and trial key, as published last, with the params of the first time."""
        self.studies: dict[str, StudyRecord] = {}
        self.versions: dict[str, list[CheckpointRef]] = {}
        """Registered model to its versions, the first of which is number 1."""
        self.aliases: dict[tuple[str, str], int] = {}
        """By registered model and alias, the number of the version."""
        self.pinned: set[tuple[str, int]] = set()
        """Registered model and version."""
        self.evicted: set[tuple[str, int]] = set()
        """The same, of versions without weights."""

    def check(self) -> None:
        """Memory always answers."""

    def publish_stage(self, record: StageRecord) -> StagePublished:
        self._require({score.model for score in record.scores if score.model})
        self.stages.setdefault(record.key, record)
        refs = {checkpoint.name: CheckpointRef(record.key, checkpoint.name) for checkpoint in record.checkpoints}
        return StagePublished(
            run_id=f"stage-{record.key}",
            models={name: f"model-{ref}" for name, ref in refs.items()},
            versions={name: self._version(record.registered_model, ref) for name, ref in refs.items()},
        )

    def publish_trial(self, record: TrialRecord) -> str:
        self.studies.setdefault(record.study, StudyRecord(study=record.study, state="Running"))
        before = self.trials.get((record.study, record.key), record)
        self.trials[record.study, record.key] = replace(
            record, params={**record.params, **before.params}, scores={**before.scores, **record.scores}
        )
        return f"trial-{record.study}-{record.key}"

    def publish_study(self, record: StudyRecord) -> str:
        before = self.studies.get(record.study, record)
        self.studies[record.study] = replace(
            record,
            params={**record.params, **before.params},
            tags={**before.tags, **record.tags},
            metrics={**before.metrics, **record.metrics},
        )
        return f"study-{record.study}"

    def kept_stages(self) -> dict[str, str]:
        named = {(model, number): f"alias {alias} of {model}" for (model, alias), number in self.aliases.items()}
        named |= {place: f"pin of {place[0]}" for place in self.pinned}
        return {ref.stage_key: named[place] for place, ref in self._numbered() if place in named}

    def set_evicted(self, stage_keys: Collection[str], *, evicted: bool) -> None:
        places = {place for place, ref in self._numbered() if ref.stage_key in stage_keys}
        self.evicted = self.evicted | places if evicted else self.evicted - places

    def _numbered(self) -> Iterator[tuple[tuple[str, int], CheckpointRef]]:
        for model, versions in self.versions.items():
            yield from (((model, number), ref) for number, ref in enumerate(versions, 1))

    def _require(self, refs: set[CheckpointRef]) -> None:
        published = {CheckpointRef(s.key, c.name) for s in self.stages.values() for c in s.checkpoints}
        if missing := refs - published:
            raise TrackingUnavailable(f"checkpoint {', '.join(sorted(map(str, missing)))} is not published yet")

    def _version(self, registered_model: str, ref: CheckpointRef) -> int:
        versions = self.versions.setdefault(registered_model, [])
        if ref not in versions:
            versions.append(ref)
        return versions.index(ref) + 1
