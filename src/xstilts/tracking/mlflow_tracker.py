"""`Tracker` on MLflow: each method is one pass over what should be there, repeated until it changes nothing.

    study run ◀─ parent ─ trial run ─ tags with run ids ─▶ stage run ─▶ LoggedModels ─▶ registered versions
                                                            ▲ scores of evaluation are linked to the LoggedModels

A stage's run is looked for in all experiments that xstilts uses on the server, because stages are shared by studies;
a study's and its trials' runs in the tracker's own experiment. All belong to a store: where several stores publish to
one server, each has runs, LoggedModels and versions of its own, also of stages with the same key.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from xstilts.core.errors import TrackingError, TrackingUnavailable
from xstilts.tracking import leftovers, registry, runs
from xstilts.tracking.connection import Calls, Connection, redacted
from xstilts.tracking.port import StagePublished
from xstilts.tracking.records import (
    CheckpointRef,
    Leftover,
    Needed,
    StageRecord,
    StudyRecord,
    TrialRecord,
    TrialState,
)

OLDEST_MAJOR = 3
"""LoggedModels came with MLflow 3."""

_STATUS: Mapping[TrialState, str] = {
    "Running": "RUNNING",
    "Succeeded": "FINISHED",
    "Failed": "FAILED",
    "Cancelled": "KILLED",
}


_PROXIED = ("mlflow-artifacts:", "http:", "https:")


class MlflowTracker:
    """Publishes what one store holds to one experiment of an MLflow server, or of a SQLite file."""

    def __init__(
        self, uri: str, *, experiment: str, store: str, takes_artifacts: Callable[[str], bool] | None = None
    ) -> None:
        self._connection = Connection(uri)
        self._experiment_name = experiment
        self._store = store
        self._takes_artifacts = takes_artifacts

    @property
    def identity(self) -> str:
        return self._connection.identity

    def check(self) -> None:
        """Ask for the version, create the experiment and write into it."""
        since = _now()
        self._connection.converge(lambda calls: self._check_pass(calls, since))

    def experiment_url(self) -> str | None:
        """Asks for MLflow's view of model training: without it a browser shows the view of generative AI first."""
        if self._connection.database:
            return None
        experiment = self._connection.converge(self._experiment)
        return f"{self.identity}/#/experiments/{experiment}?workflowType=machine_learning"

    def publish_stage(self, record: StageRecord) -> StagePublished:
        return self._connection.converge(lambda calls: self._stage_pass(calls, record))

    def publish_trial(self, record: TrialRecord) -> str:
        return self._connection.converge(lambda calls: self._trial_pass(calls, record))

    def publish_study(self, record: StudyRecord) -> str:
        digest = _content_digest(record.artifacts)
        return self._connection.converge(lambda calls: self._study_pass(calls, record, digest))

    def kept_stages(self) -> dict[str, str]:
        return self._connection.converge(lambda calls: registry.kept_stages(calls, self._store))

    def set_evicted(self, stage_keys: Collection[str], *, evicted: bool) -> None:
        if stage_keys:
            self._connection.converge(
                lambda calls: registry.set_evicted(calls, stage_keys, self._store, evicted=evicted)
            )

    def known_runs(self, run_ids: Collection[str]) -> set[str]:
        database = self._connection.database
        if not run_ids or (database and not database.exists()):
            return set()
        return self._connection.converge(lambda calls: runs.known_runs(calls, run_ids, store=self._store))

    def leftovers(self, needed: Needed) -> list[Leftover]:
        return self._connection.converge(lambda calls: [found.leftover for found in leftovers.find(calls, needed)])

    def remove_leftovers(self, needed: Needed) -> list[Leftover]:
        removed: dict[Leftover, None] = {}

        def remove(calls: Calls) -> None:
            for found in leftovers.find(calls, needed):
                removed[found.leftover] = None
                found.remove()

        self._connection.converge(remove)
        return list(removed)

    def _check_pass(self, calls: Calls, since: int) -> None:
        calls.last = "GET /version"
        version = self._connection.server_version()
        major = version.partition(".")[0]
        if not major.isdecimal() or int(major) < OLDEST_MAJOR:
            raise TrackingError(
                f"MLflow at {self.identity}: GET /version answered {version[:40]!r}; "
                f"xstilts needs a server of version {OLDEST_MAJOR} or later"
            )
        runs.prove_write(calls, self._experiment(calls), since=since)

    def _stage_pass(self, calls: Calls, record: StageRecord) -> StagePublished:
        experiment = self._experiment(calls)
        experiments = runs.managed_experiments(calls)
        run = self._stage_run(calls, experiments, experiment, record)
        runs.log_params(calls, run, record.params)
        models = registry.ensure_models(calls, experiments, run, record, self._store)
        refs = {score.model for score in record.scores if score.model}
        scored = registry.find_models(calls, experiments, refs, self._store)
        metrics = [*_history(record, models), *_scores(record, scored)]
        runs.log_metrics(calls, run, metrics, [*models.values(), *scored.values()])
        scored_on = [score.dataset for score in record.scores if score.dataset]
        runs.link_inputs(calls, run, [*record.datasets, *scored_on], [model.model_id for model in scored.values()])
        runs.link_outputs(calls, run, {models[c.name].model_id: c.step for c in record.checkpoints})
        versions = registry.ensure_versions(calls, record, models, self._store)
        runs.set_status(calls, run, "FINISHED", end_time=record.finished)
        return StagePublished(run.info.run_id, {name: m.model_id for name, m in models.items()}, versions)

    def _trial_pass(self, calls: Calls, record: TrialRecord) -> str:
        experiment = self._experiment(calls)
        study = self._study_run(calls, experiment, record.study)
        identity = {"role": "trial", "study": record.study, "trial_key": record.key}
        new = runs.NewRun(experiment=experiment, name=record.name, started=_now())
        run = runs.ensure_run(calls, [experiment], identity, new, store=self._store)
        runs.log_params(calls, run, record.params)
        links = self._stage_links(calls, record)
        runs.set_tags(calls, run, {**record.tags, "mlflow.parentRunId": study.info.run_id, **links})
        runs.update_metrics(calls, run, record.scores)
        runs.set_status(calls, run, _STATUS[record.state])
        return str(run.info.run_id)

    def _study_pass(self, calls: Calls, record: StudyRecord, artifacts_digest: str) -> str:
        run = self._study_run(calls, self._experiment(calls), record.study)
        runs.log_params(calls, run, record.params)
        runs.update_metrics(calls, run, record.metrics)
        if run.data.tags.get("xstilts.artifacts", "") != artifacts_digest:
            self._check_place(run.info.artifact_uri)
            _upload(calls, run, record.artifacts)
        runs.set_tags(calls, run, {**record.tags, "xstilts.artifacts": artifacts_digest})
        runs.set_status(calls, run, _STATUS[record.state])
        return str(run.info.run_id)

    def _check_place(self, uri: str) -> None:
        """A server, and whoever makes experiments on it, would else have us write anywhere with our own identity."""
        proxied = uri.startswith(_PROXIED)
        if self._takes_artifacts and not proxied and not self._takes_artifacts(uri):
            raise TrackingError(
                f"MLflow at {self.identity} keeps artifacts of experiment {self._experiment_name!r} in "
                f"{redacted(uri)}, where this process may not write with its own identity; start the server with "
                "--serve-artifacts"
            )

    def _stage_run(self, calls: Calls, experiments: Sequence[str], experiment: str, record: StageRecord) -> Any:
        """The stage's run. Its tags never change, so that they are all set with its creation."""
        tags = {
            **record.tags,
            "xstilts.stage_kind": record.kind,
            "xstilts.address": record.address,
            "xstilts.manifest_digest": record.manifest_digest,
            "xstilts.study": record.study,
            "xstilts.recipe": record.recipe,
        }
        name = f"{record.kind}-{record.key[:12]}"
        new = runs.NewRun(experiment=experiment, name=name, started=record.started, tags=tags)
        identity = {"role": "stage", "stage_key": record.key}
        return runs.ensure_run(calls, experiments, identity, new, store=self._store)

    def _stage_links(self, calls: Calls, record: TrialRecord) -> dict[str, str]:
        """Address of each published stage of the trial to its run's id, as tags."""
        experiments = runs.managed_experiments(calls)
        links: dict[str, str] = {}
        for address in record.stage_runs:
            identity = {"role": "stage", "stage_key": address.rpartition("/")[2]}
            if stage := runs.find_run(calls, experiments, identity, store=self._store):
                links[address] = stage.info.run_id
        return links

    def _experiment(self, calls: Calls) -> str:
        database = self._connection.database
        # Beside a SQLite file, where MLflow would take the working directory; a server knows its own place.
        artifacts = database.with_name(f"{database.stem}-artifacts").as_uri() if database else None
        return runs.ensure_experiment(calls, self._experiment_name, artifacts=artifacts)

    def _study_run(self, calls: Calls, experiment: str, study: str) -> Any:
        new = runs.NewRun(experiment=experiment, name=study, started=_now())
        return runs.ensure_run(calls, [experiment], {"role": "study", "study": study}, new, store=self._store)


def _history(record: StageRecord, models: Mapping[str, Any]) -> list[Any]:
    """Dev scores over the steps; where a checkpoint was kept they are its LoggedModel's as well."""
    from mlflow.entities import Metric

    kept = [
        Metric(key, value, record.finished, checkpoint.step, model_id=models[checkpoint.name].model_id)
        for checkpoint in record.checkpoints
        for key, value in checkpoint.metrics.items()
    ]
    at_checkpoints = {(metric.key, metric.step) for metric in kept}
    points = [point for point in record.history if (point.metric, point.step) not in at_checkpoints]
    return [Metric(point.metric, point.value, record.finished, point.step) for point in points] + kept


def _scores(record: StageRecord, models: Mapping[CheckpointRef, Any]) -> list[Any]:
    """Scores, each a millisecond apart: MLflow takes two data sets at one step and time for the same point."""
    from mlflow.entities import Metric

    return [
        Metric(
            score.metric,
            score.value,
            record.finished + number,
            score.step,
            model_id=models[score.model].model_id if score.model else None,
            dataset_name=score.dataset.name if score.dataset else None,
            dataset_digest=score.dataset.digest if score.dataset else None,
        )
        for number, score in enumerate(record.scores)
    ]


def _upload(calls: Calls, run: Any, artifacts: Sequence[Path]) -> None:
    for path in artifacts:
        try:
            calls.log_artifact(run.info.run_id, str(path))
        except Exception as error:  # any of MLflow's artifact stores, each with errors of its own
            raise TrackingUnavailable(
                f"MLflow does not take the artifact {path.name}: {type(error).__name__}"
            ) from error


def _content_digest(artifacts: Sequence[Path]) -> str:
    """Changes with any name or byte; empty without artifacts."""
    digest = hashlib.sha256()
    for path in artifacts:
        digest.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest() if artifacts else ""


def _now() -> int:
    return int(time.time() * 1000)
