"""A whole study on this machine: accept, run what is missing, publish, report. What `xstilts run` does."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from xstilts import acceptance
from xstilts.api.study import Study
from xstilts.conclusion import Finished, let_go, records, unpublished, write_results
from xstilts.core.errors import ExitCode, IntegrityError, PermanentError
from xstilts.core.keys import canonical_json
from xstilts.core.missing import Done
from xstilts.core.plan import Plan
from xstilts.engines.local import Listener, LocalEngine
from xstilts.engines.process import start_server
from xstilts.engines.schedule import Schedule, State
from xstilts.store.artifacts import load_manifest
from xstilts.store.port import ObjectStore
from xstilts.store.preflight import preflight
from xstilts.store.retention import Retained
from xstilts.tracking import StudyRecord, Tracker, TrialRecord, open_tracker


class StudyListener(Listener, Protocol):
    """Watches a study."""

    def planned(self, planned: Plan, done: Done) -> None: ...
    def ended(self) -> None: ...


def run_study(study: Study, folder: Path, *, listener: StudyListener) -> Finished:
    """Runs the stages that are missing or unpublished, publishes trials and study, writes the report to `folder`.

    Once all trials have ended, weights that the Study's retention does not keep are evicted.
    """
    store = acceptance.store_of(study.spec.store)
    tracker = open_tracker(study.spec.tracking.uri, experiment=study.experiment, store=store.uri)
    planned = acceptance.accept(study, store)
    done = acceptance.observe(planned, store, server=tracker.identity, known_runs=tracker.known_runs)
    schedule = Schedule(planned, study.spec.failure_policy, done=done.settled(planned))
    engine = LocalEngine(
        study=study,
        plan=planned,
        schedule=schedule,
        logs=log_folder(study.metadata.name),
        model_bytes=_weights(store, planned),
        publish_only=done.evicted - done.to_run(planned),
    )
    listener.planned(planned, done)
    if not schedule.is_finished:
        start_server()
        preflight(store)
        tracker.check()
        try:
            engine.run(listener)
        finally:
            listener.ended()
        done = acceptance.observe(planned, store, server=tracker.identity)
    failures = {trial.name: schedule.reason(trial) for trial in schedule.trials(State.FAILED)}
    finished = write_results(study, planned, done, folder, failures=failures)
    _publish(engine, store, tracker, records(planned, done, failures, folder))
    retained = let_go(study, store, tracker, planned, done, failed=failures)
    return replace(finished, closing_lines=[*finished.closing_lines, *_told(retained)])


def _told(retained: Retained) -> Iterator[str]:
    if retained.evicted:
        yield f"Evicted: the weights of {len(retained.evicted)} stages, {retained.freed / 1e6:,.1f} MB"
    reasons = Counter(retained.spared.values())
    yield from (f"Not evicted: the weights of {count} stages: {reason}" for reason, count in reasons.items())


def log_folder(study: str) -> Path:
    """Where stages of the Local engine print to."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "xstilts" / "logs" / study


# ---- publication of trials and study: done once for each content and server


def _publish(
    engine: LocalEngine, store: ObjectStore, tracker: Tracker, records: Sequence[TrialRecord | StudyRecord]
) -> None:
    missing = unpublished(store, tracker, records)
    for key, outcome in zip(missing, engine.publish(list(missing.values())), strict=True):
        if outcome.exit_code != ExitCode.SUCCEEDED:
            raise PermanentError(f"a result could not be published to {tracker.identity}: {outcome.told}; run again")
        store.put(key, canonical_json({"runId": outcome.message}).encode())


def _weights(store: ObjectStore, planned: Plan) -> int:
    manifest = load_manifest(store, planned.model)
    if manifest is None:
        raise IntegrityError(f"{planned.model} is gone from {store.uri}; run again")
    return sum(file.size for file in manifest.files if file.path.endswith((".safetensors", ".bin")))
