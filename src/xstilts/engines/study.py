"""A whole study on this machine: accept, run what is missing, publish, report. What `xstilts run` does."""

import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from xstilts import acceptance, report
from xstilts.acceptance import Done
from xstilts.api.study import Study
from xstilts.core.errors import ExitCode, IntegrityError, PermanentError
from xstilts.core.keys import canonical_json, digest
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import EvaluationFacts
from xstilts.engines.local import Listener, LocalEngine
from xstilts.engines.schedule import Schedule, State
from xstilts.store.artifacts import load_manifest
from xstilts.store.port import ObjectStore
from xstilts.store.preflight import preflight
from xstilts.tracking import StudyRecord, Tracker, TrialRecord, open_tracker


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What is left to show of a study."""

    results: report.Results
    closing_lines: Sequence[str]
    """Where things are, and the command that opens the comparison."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Trial to reason."""


class StudyListener(Listener, Protocol):
    """Watches a study."""

    def planned(self, planned: Plan, done: Done) -> None: ...
    def ended(self) -> None: ...


def run_study(study: Study, folder: Path, *, listener: StudyListener) -> Finished:
    """Runs the stages that are missing or unpublished, publishes trials and study, writes the report to `folder`."""
    store = acceptance.store_of(study.spec.store)
    tracker = open_tracker(study.spec.tracking.uri, experiment=study.experiment)
    planned = acceptance.accept(study, store)
    done = acceptance.observe(planned, store, server=tracker.identity)
    schedule = Schedule(planned, study.spec.failure_policy, done=set(done.published))
    engine = LocalEngine(
        study=study,
        plan=planned,
        schedule=schedule,
        logs=log_folder(study.metadata.name),
        model_bytes=_weights(store, planned),
    )
    listener.planned(planned, done)
    if not schedule.is_finished:
        preflight(store)
        tracker.check()
        try:
            engine.run(listener)
        finally:
            listener.ended()
        done = acceptance.observe(planned, store, server=tracker.identity)
    failures = {trial.name: schedule.reason(trial) for trial in schedule.trials(State.FAILED)}
    finished = write_results(study, planned, done, folder, failures=failures)
    _publish(engine, store, tracker, _records(planned, done, failures, folder))
    return finished


def write_results(
    study: Study, planned: Plan, done: Done, folder: Path, *, failures: Mapping[str, str] | None = None
) -> Finished:
    """Tables and report.html of what is done; `failures` says by trial why results are missing."""
    results = report.collect(
        planned,
        acceptance.evaluations(planned, done.manifests),
        states=failures,
        training=acceptance.trainings(planned, done.manifests),
    )
    commands = {"Compare checkpoints and trials in MLflow": comparison_command(study)}
    written = report.write_report(results, folder, commands=commands)
    lines = [f"Report: {written[0]}", *(f"{what}: {command}" for what, command in commands.items())]
    return Finished(results=results, closing_lines=lines, failures=failures or {})


def comparison_command(study: Study) -> str:
    """What a person types to open MLflow's comparison."""
    uri = study.spec.tracking.uri
    if uri.startswith("sqlite:"):
        return f"mlflow ui --backend-store-uri {shlex.quote(uri)}  (experiment {study.experiment!r})"
    return f"{uri} (experiment {study.experiment!r})"


def log_folder(study: str) -> Path:
    """Where stages of the Local engine print to."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "xstilts" / "logs" / study


# ---- publication of trials and study: done once for each content and server


def _publish(
    engine: LocalEngine, store: ObjectStore, tracker: Tracker, records: Sequence[TrialRecord | StudyRecord]
) -> None:
    keys = {_receipt(record, tracker): record for record in records}
    missing = {key: record for key, record in keys.items() if not store.head(key)}
    for key, outcome in zip(missing, engine.publish(list(missing.values())), strict=True):
        if outcome is None or outcome.exit_code != ExitCode.SUCCEEDED:
            reason = f"{outcome.reason}: {outcome.message}" if outcome else f"the process died, see {engine.logs}"
            raise PermanentError(f"a result could not be published to {tracker.identity}: {reason}; run again")
        store.put(key, canonical_json({"runId": outcome.message}).encode())


def _receipt(record: TrialRecord | StudyRecord, tracker: Tracker) -> str:
    content = asdict(record)
    if isinstance(record, StudyRecord):
        content["artifacts"] = [hashlib.sha256(path.read_bytes()).hexdigest() for path in record.artifacts]
    return f"studies/{record.study}/receipts/{digest([tracker.identity, content])}.json"


def _records(planned: Plan, done: Done, failures: Mapping[str, str], folder: Path) -> list[TrialRecord | StudyRecord]:
    facts = acceptance.evaluations(planned, done.manifests)
    finished = [trial for trial in planned.trials if done.published.issuperset(trial.stages)]
    trials = [_trial_record(planned, trial, facts, "Succeeded") for trial in finished]
    trials += [_trial_record(planned, trial, facts, "Failed") for trial in planned.trials if trial.name in failures]
    whole = StudyRecord(
        study=planned.study,
        state="Succeeded" if len(finished) == len(planned.trials) else "Failed",
        params={"model": planned.model, "trials": str(len(planned.trials)), "stages": str(len(planned.stages))},
        tags={"xstilts.plan": planned.digest},
        metrics={"trials/succeeded": float(len(finished)), "trials/failed": float(len(failures))},
        artifacts=sorted(path for path in folder.iterdir() if path.is_file()),
    )
    return [*trials, whole]


def _trial_record(planned: Plan, trial: Trial, facts: Mapping[str, EvaluationFacts], state: str) -> TrialRecord:
    point = trial.point
    budget = point.budget
    scores: dict[str, float] = {}
    for target, address in trial.evaluations.items():
        found = facts.get(address)
        if found and (selected := found.of(planned.selected[target])):
            values = {entry.language: entry.metrics[found.metric] for entry in selected.languages}
            scores |= {f"{target}/{found.metric}/{language}": value for language, value in values.items()}
            scores[f"{target}/{found.metric}/mean"] = sum(values.values()) / len(values)
    return TrialRecord(
        study=planned.study,
        name=trial.name,
        key=digest([planned.study, trial.document()]),
        state="Succeeded" if state == "Succeeded" else "Failed",
        params={
            "recipe": point.recipe,
            "size": point.size,
            "rows": str(point.rows),
            "subset_seed": str(point.subset_seed),
            "seed": str(point.seed),
            "budget": "published" if budget is None else f"{budget.epochs or budget.steps}",
        },
        stage_runs={address: planned.stages[address].kind for address in trial.stages},
        scores=scores,
    )


def _weights(store: ObjectStore, planned: Plan) -> int:
    manifest = load_manifest(store, planned.model)
    if manifest is None:
        raise IntegrityError(f"{planned.model} is gone from {store.uri}; run again")
    return sum(file.size for file in manifest.files if file.path.endswith((".safetensors", ".bin")))
