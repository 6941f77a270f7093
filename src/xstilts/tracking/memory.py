"""`Tracker` in memory, for tests and for runs that publish nowhere: the same contract, open to inspection."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from xstilts.core.errors import NotPublished
from xstilts.tracking.port import StagePublished
from xstilts.tracking.records import CheckpointRef, Leftover, Needed, StageRecord, StudyRecord, TrialRecord


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
        self.deleted: set[tuple[str, int]] = set()
        """The same, of versions that are gone: their numbers are not given again."""

    def check(self) -> None:
        """Memory always answers."""

    def experiment_url(self) -> None:
        """Memory has no web interface."""

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

    def known_runs(self, run_ids: Collection[str]) -> set[str]:
        trials = {f"trial-{study}-{key}" for study, key in self.trials}
        there = {f"stage-{key}" for key in self.stages} | trials | {f"study-{name}" for name in self.studies}
        return there & set(run_ids)

    def kept_stages(self) -> dict[str, str]:
        named = {(model, number): f"alias {alias} of {model}" for (model, alias), number in self.aliases.items()}
        named |= {place: f"pin of {place[0]}" for place in self.pinned}
        return {ref.stage_key: named[place] for place, ref in self.numbered() if place in named}

    def set_evicted(self, stage_keys: Collection[str], *, evicted: bool) -> None:
        places = {place for place, ref in self.numbered() if ref.stage_key in stage_keys}
        self.evicted = self.evicted | places if evicted else self.evicted - places

    def numbered(self) -> Iterator[tuple[tuple[str, int], CheckpointRef]]:
        """All versions, each with its registered model and number."""
        for model, versions in self.versions.items():
            for number, ref in enumerate(versions, 1):
                if (model, number) not in self.deleted:
                    yield (model, number), ref

    def leftovers(self, needed: Needed) -> list[Leftover]:
        """Nothing is ever cut off here, so only stages that are gone leave something: their models and versions."""
        kept = self.kept_stages()
        gone = {key for key in self.stages if key not in kept and self._is_gone(key, needed)}
        versions = [(f"{model}/{number}", ref) for (model, number), ref in self.numbered() if ref.stage_key in gone]
        models = [f"model-{CheckpointRef(key, made.name)}" for key in gone for made in self.stages[key].checkpoints]
        return [Leftover("version", name, "its stage is gone", 0.0) for name, _ in versions] + [
            Leftover("model", name, "its stage is gone", 0.0) for name in sorted(models)
        ]

    def remove_leftovers(self, needed: Needed) -> list[Leftover]:
        found = self.leftovers(needed)
        names = {leftover.name for leftover in found}
        self.deleted |= {place for place, _ in self.numbered() if f"{place[0]}/{place[1]}" in names}
        for key, record in list(self.stages.items()):
            left = [made for made in record.checkpoints if f"model-{CheckpointRef(key, made.name)}" not in names]
            self.stages[key] = replace(record, checkpoints=left)
        return found

    def _is_gone(self, key: str, needed: Needed) -> bool:
        checkpoints = self.stages[key].checkpoints
        of_this_store = all(checkpoint.uri.startswith(f"{needed.store}/stages/") for checkpoint in checkpoints)
        return key not in needed.stages and of_this_store

    def _require(self, refs: set[CheckpointRef]) -> None:
        published = {CheckpointRef(s.key, c.name) for s in self.stages.values() for c in s.checkpoints}
        if missing := refs - published:
            raise NotPublished(f"checkpoint {', '.join(sorted(map(str, missing)))} is not published yet")

    def _version(self, registered_model: str, ref: CheckpointRef) -> int:
        versions = self.versions.setdefault(registered_model, [])
        for (model, number), there in self.numbered():
            if model == registered_model and there == ref:
                return number
        versions.append(ref)
        return len(versions)
