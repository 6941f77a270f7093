"""What the tests of the trackers publish, and an independent look at what is found on the servers afterwards."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from xstilts.tracking import (
    Checkpoint,
    CheckpointRef,
    DatasetUse,
    MemoryTracker,
    Point,
    Score,
    StageRecord,
    StudyRecord,
    Tracker,
    TrialRecord,
    open_tracker,
)

LANGUAGES = ("de", "es", "fr", "hi", "th")
EXPERIMENT = "tests"
STORE = "s3://b"


# --- what is published ------------------------------------------------------------------------------------------------


def training(study: str, *, stage: str = "") -> StageRecord:
    key = (stage or uuid4().hex)[:32]
    return StageRecord(
        kind="target-training",
        key=key,
        address=f"stages/target-training/{key}",
        study=study,
        recipe="mnli",
        manifest_digest="0" * 32,
        started=1_700_000_000_000,
        finished=1_700_000_100_000,
        params={"task": "xnli", "batch": "32"},
        history=[Point("dev/xnli/accuracy", step, 50.0 + step) for step in range(1, 11)],
        datasets=[
            DatasetUse(name="xnli/train.en", digest="a" * 32, source=f"{STORE}/datasets/xnli", context="training")
        ],
        checkpoints=[
            Checkpoint(
                name="last",
                step=10,
                uri=f"{STORE}/stages/target-training/k/last",
                digest="1" * 32,
                metrics={"dev/xnli/accuracy": 60.0},
            ),
            Checkpoint(
                name="best",
                step=10,
                uri=f"{STORE}/stages/target-training/k/best",
                digest="2" * 32,
                metrics={"dev/xnli/accuracy": 60.0},
            ),
        ],
    )


def evaluation(trained: StageRecord) -> StageRecord:
    model = CheckpointRef(trained.key, "last")
    scores = [
        Score(
            metric=f"eval/accuracy/{language}",
            value=40.0 + rank,
            step=10,
            model=model,
            dataset=evaluation_split(language),
        )
        for rank, language in enumerate(LANGUAGES)
    ]
    mean = Score(metric="eval/accuracy/other-languages", value=42.0, step=10, model=model, dataset=None)
    key = uuid4().hex
    return replace(
        training(trained.study, stage=key),
        kind="evaluation",
        address=f"stages/evaluation/{key}",
        history=[],
        checkpoints=[],
        scores=[*scores, mean],
    )


def evaluation_split(language: str) -> DatasetUse:
    return DatasetUse(
        name=f"xnli/test.{language}", digest=language * 16, source=f"{STORE}/datasets/xnli", context="evaluation"
    )


def trial(*stages: StageRecord) -> TrialRecord:
    return TrialRecord(
        study=stages[0].study,
        name=f"{stages[0].study}-mnli-1000",
        key="trial-key",
        state="Succeeded",
        params={"recipe": "mnli", "size": "1000"},
        tags={"xstilts.zero_shot": "true"},
        stage_runs={stage.address: stage.kind for stage in stages},
        scores={"xnli/accuracy/de": 40.0, "xnli/accuracy/other-languages": 42.0},
    )


def publish_all(tracker: Tracker, trained: StageRecord, evaluated: StageRecord, *artifacts: Path) -> None:
    tracker.publish_stage(trained)
    tracker.publish_stage(evaluated)
    tracker.publish_trial(trial(trained, evaluated))
    tracker.publish_study(StudyRecord(study=trained.study, state="Succeeded", artifacts=artifacts))


# --- what is found ----------------------------------------------------------------------------------------------------


class View(Protocol):
    """What a person finds on a server, without the tracker's help."""

    def stages(self, study: str) -> list[str]: ...
    def models(self, stage: StageRecord) -> list[str]: ...
    def versions(self, registered_model: str) -> list[tuple[str, str]]: ...
    def scores(self, stage: StageRecord) -> list[tuple[str, str | None, float]]: ...
    def history(self, stage: StageRecord) -> list[tuple[int, float]]: ...
    def trials(self, study: str) -> list[tuple[dict[str, str], dict[str, float]]]: ...
    def studies(self, study: str) -> int: ...
    def evicted(self, registered_model: str) -> list[int]: ...

    # what a person does there

    def set_alias(self, registered_model: str, alias: str, version: int) -> None: ...
    def pin(self, registered_model: str, version: int) -> None: ...


@dataclass
class MemoryView:
    tracker: MemoryTracker

    def stages(self, study: str) -> list[str]:
        return sorted(stage.kind for stage in self.tracker.stages.values() if stage.study == study)

    def models(self, stage: StageRecord) -> list[str]:
        return sorted(checkpoint.name for checkpoint in self.tracker.stages[stage.key].checkpoints)

    def versions(self, registered_model: str) -> list[tuple[str, str]]:
        return [
            (ref.stage_key, ref.checkpoint) for (name, _), ref in self.tracker.numbered() if name == registered_model
        ]

    def scores(self, stage: StageRecord) -> list[tuple[str, str | None, float]]:
        return [
            (score.metric, score.dataset and score.dataset.name, score.value)
            for published in self.tracker.stages.values()
            for score in published.scores
            if score.model == CheckpointRef(stage.key, "last")
        ]

    def history(self, stage: StageRecord) -> list[tuple[int, float]]:
        return [(point.step, point.value) for point in self.tracker.stages[stage.key].history]

    def trials(self, study: str) -> list[tuple[dict[str, str], dict[str, float]]]:
        return [
            (dict(record.params), dict(record.scores))
            for (of_study, _), record in self.tracker.trials.items()
            if of_study == study
        ]

    def studies(self, study: str) -> int:
        return int(study in self.tracker.studies)

    def evicted(self, registered_model: str) -> list[int]:
        return sorted(version for model, version in self.tracker.evicted if model == registered_model)

    def set_alias(self, registered_model: str, alias: str, version: int) -> None:
        self.tracker.aliases[registered_model, alias] = version

    def pin(self, registered_model: str, version: int) -> None:
        self.tracker.pinned.add((registered_model, version))


class MlflowView:
    def __init__(self, uri: str) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    @property
    def experiments(self) -> list[str]:
        return [experiment.experiment_id for experiment in self.client.search_experiments()]

    def runs(self, **tags: str) -> list[Any]:
        condition = " and ".join(f"tags.`xstilts.{name}` = '{value}'" for name, value in tags.items())
        return list(self.client.search_runs(self.experiments, condition))

    def logged_models(self, stage: StageRecord, **kwargs: Any) -> list[Any]:
        condition = f"tags.`xstilts.stage_key` = '{stage.key}'"
        return list(self.client.search_logged_models(self.experiments, condition, **kwargs))

    def stages(self, study: str) -> list[str]:
        return sorted(run.data.tags["xstilts.stage_kind"] for run in self.runs(role="stage", study=study))

    def models(self, stage: StageRecord) -> list[str]:
        models = self.logged_models(stage)
        assert all(str(model.status) == "READY" for model in models)
        return sorted(model.tags["xstilts.checkpoint"] for model in models)

    def versions(self, registered_model: str) -> list[tuple[str, str]]:
        found = self.client.search_model_versions(f"name = '{registered_model}'")
        ordered = sorted(found, key=lambda version: int(version.version))
        return [(version.tags["xstilts.stage_key"], version.tags["xstilts.checkpoint"]) for version in ordered]

    def scores(self, stage: StageRecord) -> list[tuple[str, str | None, float]]:
        last = next(m for m in self.logged_models(stage) if m.tags["xstilts.checkpoint"] == "last")
        metrics = sorted(last.metrics, key=lambda metric: metric.timestamp)
        return [(m.key, m.dataset_name, m.value) for m in metrics if m.key.startswith("eval/")]

    def history(self, stage: StageRecord) -> list[tuple[int, float]]:
        (run,) = self.runs(role="stage", stage_key=stage.key)
        metrics = self.client.get_metric_history(run.info.run_id, "dev/xnli/accuracy")
        return sorted((metric.step, metric.value) for metric in metrics)

    def trials(self, study: str) -> list[tuple[dict[str, str], dict[str, float]]]:
        return [(run.data.params, run.data.metrics) for run in self.runs(role="trial", study=study)]

    def studies(self, study: str) -> int:
        return len(self.runs(role="study", study=study))

    def evicted(self, registered_model: str) -> list[int]:
        found = self.client.search_model_versions(f"name = '{registered_model}'")
        return sorted(int(version.version) for version in found if "evicted" in version.tags)

    def set_alias(self, registered_model: str, alias: str, version: int) -> None:
        self.client.set_registered_model_alias(registered_model, alias, str(version))

    def pin(self, registered_model: str, version: int) -> None:
        self.client.set_model_version_tag(registered_model, str(version), "pin", "for the paper")


def assert_one_of_everything(view: View, trained: StageRecord) -> None:
    assert view.stages(trained.study) == ["evaluation", "target-training"]
    assert view.models(trained) == ["best", "last"]
    assert sorted(view.versions(trained.registered_model)) == [(trained.key, "best"), (trained.key, "last")]
    assert view.history(trained) == [(step, 50.0 + step) for step in range(1, 11)]
    expected = [
        (f"eval/accuracy/{language}", f"xnli/test.{language}", 40.0 + rank) for rank, language in enumerate(LANGUAGES)
    ]
    assert view.scores(trained) == [*expected, ("eval/accuracy/other-languages", None, 42.0)]
    assert view.trials(trained.study) == [(trial(trained).params, trial(trained).scores)]
    assert view.studies(trained.study) == 1


# --- trackers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A tracker and an independent look at its server."""

    tracker: Tracker
    view: View
    uri: str = ""

    @property
    def mlflow(self) -> MlflowView:
        assert isinstance(self.view, MlflowView)
        return self.view


def place(uri: str, *, store: str = STORE) -> Place:
    tracker = open_tracker(uri, experiment=EXPERIMENT, store=store)
    tracker.check()
    return Place(tracker, MlflowView(uri), uri)
