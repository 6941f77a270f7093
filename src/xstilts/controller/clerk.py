"""What the operator does outside of the cluster: tries stores and servers, plans, publishes, reports.

One call each, on the documents of a Study; nothing is kept but what is slow to read. `desk` runs it in a process of its
own for each set of credentials, which are in that process's environment as they are in a stage's.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xstilts import acceptance, conclusion
from xstilts.acceptance import publication_of, store_of
from xstilts.api.access import StoreSpec
from xstilts.api.names import Reason
from xstilts.api.study import Study
from xstilts.cluster.port import Object
from xstilts.controller.clock import LONGEST_WAIT
from xstilts.controller.results import best_scores, curve_fits, trial_scores
from xstilts.controller.views import (
    Accepted,
    Check,
    Claim,
    Conclusion,
    Diagnosis,
    JobEnd,
    Known,
    Refusal,
    Start,
    object_name,
    outline,
)
from xstilts.core import planner
from xstilts.core.errors import ExitCode, LeaseHeld, UserError, XstiltsError
from xstilts.core.plan import Plan, PlannedStage
from xstilts.core.results import EvaluationFacts
from xstilts.engines import jobs
from xstilts.stages import VERSIONS
from xstilts.stages.publication import is_published, publish
from xstilts.stages.runner import load_outcome, seconds
from xstilts.store import artifacts, evictions, leases, studies
from xstilts.store.port import ObjectStore
from xstilts.store.preflight import preflight
from xstilts.tracking import Tracker, open_tracker

PLANS = 8
"""Plans that are kept as they were read."""
LOG_BYTES = 64 * 1024

log = logging.getLogger(__name__)


@dataclass
class Clerk:
    """Everything that the operator asks of a Study's store and tracking server."""

    takes_artifacts: Callable[[str], bool] | None = None
    """See `open_tracker`."""
    _stores: dict[StoreSpec, ObjectStore] = field(default_factory=dict)
    _plans: dict[tuple[str, str], Plan] = field(default_factory=dict)

    # ---- before anything runs

    def check_store(self, study: Study) -> Check:
        """Names the call that failed."""
        return _check(lambda: preflight(self._store(study)))

    def check_tracking(self, study: Study) -> Check:
        return _check(lambda: self._tracker(study).check())

    def accept(self, study: Study, previous: str | None = None) -> Accepted | Refusal:
        """Plans and freezes. `previous` is the digest of the plan whose resolved inputs still hold."""
        store = self._store(study)
        try:
            jobs.check(study)
            plan = acceptance.accept(study, store, previous=previous, open_at=self._open)
        except UserError as error:
            return Refusal(Reason.INVALID, str(error))
        return self._accepted(study, store, plan)

    def recall(self, study: Study, digest: str) -> Accepted | Refusal:
        """The plan that was frozen, and what is there of it now.

        Refuses what no image of this version can run: stages that are missing, and were planned in another version.
        """
        store, plan = self._store(study), self.plan(study, digest)
        studies.reopen(store, study.metadata.name)
        accepted = self._accepted(study, store, plan)
        missing = [plan.stages[address] for address, known in accepted.known.items() if known is Known.ABSENT]
        other = sorted({stage.kind for stage in missing if stage.version != VERSIONS[stage.kind]})
        if other and study.spec.pod_template.image is None:
            return Refusal(
                Reason.OTHER_VERSION,
                f"it was planned by another version of xstilts, whose stages differ ({', '.join(other)}); set "
                "spec.podTemplate.image to that version's trainer image to finish it, or apply it under another name",
            )
        return accepted

    def _accepted(self, study: Study, store: ObjectStore, plan: Plan) -> Accepted:
        self._keep(study, plan)
        tracker = self._tracker(study)
        done = acceptance.observe(plan, store, server=tracker.identity, known_runs=tracker.known_runs)
        known = dict.fromkeys(plan.stages, Known.UNPUBLISHED)
        known |= dict.fromkeys(done.settled(plan), Known.DONE) | dict.fromkeys(done.to_run(plan), Known.ABSENT)
        return Accepted(outline(plan, uri=f"{store.uri}/{studies.plan_key(plan.study, plan.digest)}"), known)

    def changed(self, study: Study) -> bool:
        """Whether a Study would have anything to run now: other data, model, settings or code than before."""
        store = self._store(study)
        plan = planner.plan(study, acceptance.resolve_world(study, store, open_at=self._open))
        tracker = self._tracker(study)
        done = acceptance.observe(plan, store, server=tracker.identity, known_runs=tracker.known_runs)
        return not done.settled(plan).issuperset(plan.stages)

    # ---- stages

    def prepare(self, study: Study, digest: str, start: Start) -> Object | Known | Claim:
        """The manifest of the stage's Job, unless there is nothing to run, or somebody else is at it."""
        store, plan = self._store(study), self.plan(study, digest)
        stage = plan.stages[start.address]
        studies.reopen(store, plan.study)
        manifest = artifacts.load_manifest(store, stage.address)
        if manifest and artifacts.verify(store, manifest) and not evictions.load(store, stage.address):
            return self._shown(study, store, plan, stage)
        if claim := self._claim(store, start):
            return claim
        return jobs.manifest(
            stage,
            study=study,
            uid=start.uid,
            trial=start.trial,
            publication=publication_of(plan, stage),
            generation=start.generation,
            image=start.image,
        )

    def publish(self, study: Study, digest: str, address: str) -> Known | Claim:
        """Shows a stage that is made, for this Study."""
        plan = self.plan(study, digest)
        return self._shown(study, self._store(study), plan, plan.stages[address])

    def _shown(self, study: Study, store: ObjectStore, plan: Plan, stage: PlannedStage) -> Known | Claim:
        tracker, publication = self._tracker(study), publication_of(plan, stage)
        manifest = artifacts.load_manifest(store, stage.address)
        if manifest is None:
            return Known.ABSENT
        if is_published(store, tracker, manifest, publication):
            return Known.DONE
        try:
            with leases.hold(store, stage.address, holder="xstilts operator", ttl_seconds=seconds("LEASE", 30.0)):
                publish(store, tracker, manifest, publication)
        except LeaseHeld as error:
            return Claim(str(error), time.time() + 5)
        return Known.DONE

    def _claim(self, store: ObjectStore, start: Start) -> Claim | None:
        """Whether somebody else is at work: a lease that stood still for its time to live holds nothing any more."""
        seen = leases.look(store, start.address)
        if seen is None or seen.document.holder is None or seen.etag is None:
            return None
        holder, ttl = seen.document.holder, seen.document.ttl_seconds
        if seen.etag == start.expired:
            try:
                leases.vacate(store, start.address, seen)  # else the stage would wait for as long once more
            except LeaseHeld as error:
                return Claim(str(error), time.time() + 5)
            return None
        return Claim(holder, time.time() + min(ttl / 2, LONGEST_WAIT), seen.etag, ttl)

    def diagnose(self, study: Study, address: str, printed: bytes | None, end: JobEnd) -> Diagnosis:
        """What ended a Job that failed: what its last pod left behind, else what the cluster says. Keeps what was
        printed.

        An outcome of another pod, of the same Job or not, is of another attempt.
        """
        store = self._store(study)
        outcome = load_outcome(store, address)
        ours = outcome is not None and _is_of(outcome.holder, end)
        if printed and not ours:  # killed before it could keep its own
            store.put(f"{address}/log.txt", printed[-LOG_BYTES:])
        if outcome and ours and outcome.exit_code != ExitCode.SUCCEEDED:
            return Diagnosis(outcome.reason, outcome.message)
        return Diagnosis(end.reason, end.message)

    # ---- results

    def publish_trial(self, study: Study, digest: str, trial: str) -> dict[str, str]:
        """Shows a trial whose stages are done; by target the mean of its headline scores over other languages."""
        store, plan = self._store(study), self.plan(study, digest)
        planned = next(each for each in plan.trials if object_name(plan.study, each.name) == trial)
        facts = {
            address: EvaluationFacts.model_validate(manifest.facts)
            for address in planned.evaluations.values()
            if (manifest := artifacts.load_manifest(store, address))
        }
        record = conclusion.trial_record(plan, planned, facts, "Succeeded")
        conclusion.publish_once(store, self._tracker(study), [record])
        return trial_scores(plan, planned, facts)

    def conclude(self, study: Study, digest: str, failures: Mapping[str, str]) -> Conclusion:
        """Report and tables into the store and to the tracking server; retention of checkpoints."""
        store, tracker, plan = self._store(study), self._tracker(study), self.plan(study, digest)
        done = acceptance.observe(plan, store, server=tracker.identity)
        by_point = {trial.name: object_name(plan.study, trial.name) for trial in plan.trials}
        reasons = {name: failures[shown] for name, shown in by_point.items() if shown in failures}
        experiment_url = tracker.experiment_url()
        with tempfile.TemporaryDirectory() as folder:
            finished = conclusion.write_results(
                study, plan, done, Path(folder), failures=reasons, experiment_url=experiment_url
            )
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    store.upload(f"studies/{plan.study}/report/{path.relative_to(folder)}", path)
            conclusion.publish_once(store, tracker, conclusion.records(plan, done, reasons, Path(folder)))
        conclusion.let_go(study, store, tracker, plan, done, failed=reasons)
        return Conclusion(
            best=tuple(best_scores(finished.results)),
            curves=tuple(curve_fits(finished.results)),
            report_url=f"{store.uri}/studies/{plan.study}/report/report.html",
            tracking_url=experiment_url,
        )

    # ---- stores and plans

    def _store(self, study: Study) -> ObjectStore:
        return self._open(study.spec.store)

    def _open(self, spec: StoreSpec) -> ObjectStore:
        """Opened once: a client of S3 takes longer to make than twenty requests."""
        if spec not in self._stores:
            self._stores[spec] = store_of(spec)
        return self._stores[spec]

    def _tracker(self, study: Study) -> Tracker:
        return open_tracker(
            study.spec.tracking.uri,
            experiment=study.experiment,
            store=self._store(study).uri,
            takes_artifacts=self.takes_artifacts,
        )

    def plan(self, study: Study, digest: str) -> Plan:
        """A frozen plan of the Study."""
        key = (study.spec.store.uri, digest)
        if key not in self._plans:
            self._keep(study, acceptance.load_frozen(self._store(study), study.metadata.name, digest))
        return self._plans[key]

    def _keep(self, study: Study, plan: Plan) -> None:
        self._plans.pop((study.spec.store.uri, plan.digest), None)
        while len(self._plans) >= PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[study.spec.store.uri, plan.digest] = plan


def _is_of(holder: str, end: JobEnd) -> bool:
    """Whether an attempt was the last of a Job. Names of its pods begin with its own."""
    pod = holder.partition("/")[0]
    return pod == end.pod if end.pod else pod.startswith(f"{end.job}-")


def _check(call: Callable[[], None]) -> Check:
    try:
        call()
    except XstiltsError as error:
        return Check(ready=False, reason=type(error).__name__, message=str(error))
    return Check(ready=True, reason=Reason.READY)
