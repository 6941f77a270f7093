"""From what is done of a plan to its tables, its report, the runs of its trials and of the study in MLflow, and what is
kept of its checkpoints."""

import hashlib
import shlex
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from xstilts import acceptance, report
from xstilts.api.study import BASELINE, Study
from xstilts.core import zero_shot
from xstilts.core.conditions import budget_label
from xstilts.core.keys import canonical_json, digest
from xstilts.core.missing import Done
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import EvaluationFacts
from xstilts.stages.publication import is_published, publish, published_run, still_known
from xstilts.store import leases
from xstilts.store.port import ObjectStore
from xstilts.store.retention import Retained, retain
from xstilts.store.studies import mark_finished
from xstilts.tracking import StudyRecord, Tracker, TrialRecord, zero_shot_tags

LEASE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What is left to show of a study."""

    results: report.Results
    closing_lines: Sequence[str]
    """Where things are, and the command that opens the comparison."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Trial to reason."""


def write_results(
    study: Study,
    planned: Plan,
    done: Done,
    folder: Path,
    *,
    failures: Mapping[str, str] | None = None,
    experiment_url: str | None = None,
) -> Finished:
    """Tables and report.html of what is done; `failures` says by trial why results are missing.

    `experiment_url` is the study's experiment in MLflow's web interface, where it is known.
    """
    results = report.collect(
        planned,
        acceptance.evaluations(planned, done.manifests),
        states=failures,
        training=acceptance.trainings(planned, done.manifests),
    )
    commands = {"Compare checkpoints and trials in MLflow": experiment_url or comparison_command(study)}
    written = report.write_report(results, folder, commands=commands)
    lines = [f"Report: {written[0]}", *(f"{what}: {command}" for what, command in commands.items())]
    return Finished(results=results, closing_lines=lines, failures=failures or {})


def comparison_command(study: Study) -> str:
    """What a person types to open MLflow's comparison."""
    uri = study.spec.tracking.uri
    if uri.startswith("sqlite:"):
        return f"mlflow ui --backend-store-uri {shlex.quote(uri)}  (experiment {study.experiment!r})"
    return f"{uri} (experiment {study.experiment!r})"


def receipt(record: TrialRecord | StudyRecord, tracker: Tracker) -> str:
    content = asdict(record)
    if isinstance(record, StudyRecord):
        content["artifacts"] = [hashlib.sha256(path.read_bytes()).hexdigest() for path in record.artifacts]
    return f"studies/{record.study}/receipts/{digest([tracker.identity, content])}.json"


def records(planned: Plan, done: Done, failures: Mapping[str, str], folder: Path) -> list[TrialRecord | StudyRecord]:
    facts = acceptance.evaluations(planned, done.manifests)
    finished = [trial for trial in planned.trials if done.published.issuperset(trial.stages)]
    trials = [trial_record(planned, trial, facts, "Succeeded") for trial in finished]
    trials += [trial_record(planned, trial, facts, "Failed") for trial in planned.trials if trial.name in failures]
    whole = StudyRecord(
        study=planned.study,
        state="Succeeded" if len(finished) == len(planned.trials) else "Failed",
        params={"model": planned.model, "trials": str(len(planned.trials)), "stages": str(len(planned.stages))},
        tags={"xstilts.plan": planned.digest},
        metrics={"trials/succeeded": float(len(finished)), "trials/failed": float(len(failures))},
        artifacts=sorted(path for path in folder.iterdir() if path.is_file()),
    )
    return [*trials, whole]


def trial_record(planned: Plan, trial: Trial, facts: Mapping[str, EvaluationFacts], state: str) -> TrialRecord:
    point = trial.point
    scores = {
        f"{target}/{facts[address].metric}/{scope}": value
        for target, address in trial.evaluations.items()
        if address in facts
        for scope, value in facts[address].headline(planned.selected[target]).items()
    }
    params = {"recipe": point.recipe, "size": point.size, "rows": str(point.rows), "seed": str(point.seed)}
    if point.subset_seed is not None:
        params["subset_seed"] = str(point.subset_seed)
    if point.recipe != BASELINE:
        params["budget"] = budget_label(point.budget) or "published"
    return TrialRecord(
        study=planned.study,
        name=trial.name,
        key=digest([planned.study, trial.document()]),
        state="Succeeded" if state == "Succeeded" else "Failed",
        params=params,
        tags=zero_shot_tags(zero_shot.foreign_to(planned, trial)),
        stage_runs={address: planned.stages[address].kind for address in trial.stages},
        scores=scores,
    )


def unpublished(
    store: ObjectStore, tracker: Tracker, found: Iterable[TrialRecord | StudyRecord]
) -> dict[str, TrialRecord | StudyRecord]:
    """Those whose content the server does not show yet, or no longer, each by the key of its receipt."""
    by_key = {receipt(record, tracker): record for record in found}
    shown = {key: run for key in by_key if (run := published_run(store, key))}
    known = still_known(tracker.known_runs, shown.values())
    return {key: record for key, record in by_key.items() if shown.get(key) not in known}


def publish_once(store: ObjectStore, tracker: Tracker, found: Iterable[TrialRecord | StudyRecord]) -> None:
    """Shows trials and studies, each content once a server."""
    for key, record in unpublished(store, tracker, found).items():
        _show(store, tracker, key, record)


def _show(store: ObjectStore, tracker: Tracker, key: str, record: TrialRecord | StudyRecord) -> None:
    run = tracker.publish_trial(record) if isinstance(record, TrialRecord) else tracker.publish_study(record)
    store.put(key, canonical_json({"runId": run}).encode())


def publish_study(study: Study, store: ObjectStore, tracker: Tracker, planned: Plan, *, again: bool) -> Sequence[str]:
    """Shows what is done of a study: stages, trials and, where all trials are done, the study with its report.

    What the server has is left out unless `again`. Returns what was shown, stages by address and trials by name.
    """
    done = acceptance.observe(planned, store, server=tracker.identity)
    shown = []
    for address, stage in planned.stages.items():  # each comes after those whose checkpoints it scores
        manifest, publication = done.manifests.get(address), acceptance.publication_of(planned, stage)
        if manifest is None or (not again and is_published(store, tracker, manifest, publication)):
            continue
        with leases.hold(store, address, holder="xstilts publish", ttl_seconds=LEASE_SECONDS):
            publish(store, tracker, manifest, publication)
        shown.append(address)
    done = acceptance.observe(planned, store, server=tracker.identity)
    with tempfile.TemporaryDirectory() as folder:
        write_results(study, planned, done, Path(folder), experiment_url=tracker.experiment_url())
        *trials, whole = records(planned, done, {}, Path(folder))
        every = [*trials, whole] if len(trials) == len(planned.trials) else trials
        wanted = {receipt(record, tracker): record for record in every}
        for key, record in (wanted if again else unpublished(store, tracker, every)).items():
            _show(store, tracker, key, record)
            shown.append(record.name if isinstance(record, TrialRecord) else record.study)
    return shown


def let_go(
    study: Study, store: ObjectStore, tracker: Tracker, planned: Plan, done: Done, *, failed: Collection[str]
) -> Retained:
    """Once all trials have ended: the study protects no more than it keeps, and evicts what it does not keep.

    `failed` are names of trials. A study that was given up before its end needs its weights to go on.
    """
    ended = [trial for trial in planned.trials if trial.name in failed or done.published.issuperset(trial.stages)]
    if len(ended) < len(planned.trials):
        return Retained()
    checkpoints = study.spec.retention.checkpoints
    mark_finished(store, planned, checkpoints=checkpoints)
    return retain(store, tracker, planned, done, checkpoints=checkpoints)
