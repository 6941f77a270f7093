"""Carries out what `reconcile` asks for. Every action may be repeated: names are given, writes have conditions.

Requests to the cluster are made at once; what goes to the desk takes long and is done by other threads, while `Facts`
says that it is under way. What is learned goes into the State right away, before the watch tells of it.
"""

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError

from xstilts.api import load, names
from xstilts.api.base import Model
from xstilts.api.names import Reason, StudyCondition
from xstilts.api.study import API_VERSION, StageKind, StageResources, Study
from xstilts.api.trial import StageRef, TrialSpec
from xstilts.cluster.errors import AlreadyExists, ClusterError, ForeignObject, Invalid
from xstilts.cluster.port import EVENTS, JOBS, PODS, STUDIES, TRAIN_JOBS, TRIALS, Cluster, Object, Resource
from xstilts.controller import actions as asked
from xstilts.controller import metrics
from xstilts.controller.actions import Action
from xstilts.controller.clock import LONGEST_WAIT, seconds_of, timestamp
from xstilts.controller.credentials import SecretError
from xstilts.controller.desk import Desk
from xstilts.controller.events import Event
from xstilts.controller.objects import Key
from xstilts.controller.state import State
from xstilts.controller.views import (
    Accepted,
    Check,
    Claim,
    Diagnosis,
    Endings,
    Facts,
    JobEnd,
    Known,
    Observed,
    Refusal,
    Start,
    StudyView,
    TrialOutline,
    Trouble,
    outages,
)
from xstilts.core.attempts import Cause
from xstilts.core.errors import (
    PermanentError,
    StorageError,
    StorageUnavailable,
    TemporaryError,
    TrackingError,
    TrackingUnavailable,
    XstiltsError,
)
from xstilts.engines import jobs
from xstilts.engines.endings import FAILED_CREATE, JOB_LABEL, JOB_SET_LABEL, Obstacle, PodEnding, ending
from xstilts.engines.workloads import WorkloadState, differs_from_asked, workload

LOG_LINES = 1000
FIRST_RETRY_SECONDS = 2.0
WORDS = 1000
"""Characters of what a pod printed last, where it left no words of its own."""
PREFLIGHT = asked.Preflight.__name__
OURS = (names.MANAGED_BY, names.STAGE, names.STAGE_KEY, names.GENERATION)
"""Labels that any Study's Job for the same stage and attempt has."""
JOINED = {WorkloadState.ACTIVE, WorkloadState.SUSPENDED, WorkloadState.SUCCEEDED}
"""A Job that has failed already is not taken over: the next generation is ours."""

log = logging.getLogger(__name__)


class JobRefused(PermanentError):
    """The API server does not take the Job of a stage."""


class Told(PermanentError):
    """A call that found out why it can't succeed, and has noted it in the Facts."""


@dataclass
class Effects:
    """The operator's hands."""

    cluster: Cluster
    desk: Desk
    state: State
    image: str
    """Trainer image of Studies that name none."""
    clock: Callable[[], float] = time.time

    # ---- at once

    def request(self, key: Key, observed: Observed, action: Action) -> None:
        """An action that is one request to the cluster, or a few."""
        study = observed.study
        match action:
            case asked.AddFinalizer():
                self._finalizers(study, [*study.finalizers, names.FINALIZER])
            case asked.RemoveFinalizer():
                self._finalizers(study, [name for name in study.finalizers if name != names.FINALIZER])
            case asked.RecordPlan(digest):
                self._record_plan(study, digest)
            case asked.DeleteStudy():
                self.cluster.delete(STUDIES, study.namespace, study.name, uid=study.uid)
            case asked.CreateTrial(trial):
                self._create_trial(study, trial)
            case asked.DeleteTrial(name, uid):
                self.cluster.delete(TRIALS, study.namespace, name, uid=uid)
            case asked.OrphanTrial(name):
                self._leave(TRIALS, key, name, study.uid)
            case asked.Join(job, kind):
                self._join(_resource(kind), study, job)
            case asked.Leave(job, kind):
                self._leave(_resource(kind), key, job, study.uid)
            case asked.StopJob(job, kind, uid):
                self.cluster.delete(_resource(kind), study.namespace, job, uid=uid)
            case _:
                raise AssertionError(f"{action} takes long")

    def _finalizers(self, study: StudyView, wanted: list[str]) -> None:
        patch = {"metadata": {"finalizers": wanted, "resourceVersion": study.resource_version}}
        self._saw(STUDIES, self.cluster.patch(STUDIES, study.namespace, study.name, patch))

    def _record_plan(self, study: StudyView, digest: str) -> None:
        patch = {"metadata": {"annotations": {names.PLAN: f"{study.name}/{digest}"}}}
        self._saw(STUDIES, self.cluster.patch(STUDIES, study.namespace, study.name, patch))

    def _create_trial(self, study: StudyView, trial: TrialOutline) -> None:
        outline = self.state.facts[Key(study.namespace, study.name)].outline
        assert outline is not None
        spec = TrialSpec(
            study=study.name,
            plan=outline.digest,
            point=trial.point,
            stages=tuple(
                StageRef(name=name, kind=outline.stages[address].kind, key=address.rsplit("/", 1)[-1])
                for name, address in trial.stages
            ),
        )
        metadata = {
            "name": trial.name,
            "namespace": study.namespace,
            "labels": {names.MANAGED_BY: names.MANAGER, names.STUDY: study.name},
            "ownerReferences": [jobs.owner_reference(study.name, study.uid) | {"controller": True}],
        }
        document = {"apiVersion": API_VERSION, "kind": "Trial", "metadata": metadata}
        try:
            made = self.cluster.create(TRIALS, document | {"spec": spec.model_dump(mode="json", exclude_none=True)})
        except AlreadyExists:
            there = self.cluster.get(TRIALS, study.namespace, trial.name)
            if there is None:
                return
            if all(owner["uid"] != study.uid for owner in _owners(there)):
                if there["spec"]["study"] == study.name:
                    return  # of a deleted Study of this name: garbage collection removes it, then ours is created
                raise ForeignObject(
                    f"Trial {trial.name!r} exists and belongs to Study {there['spec']['study']!r}; rename this Study "
                    f"or its recipe {trial.point.recipe!r}, or delete that Trial"
                ) from None
            made = there
        self._saw(TRIALS, made)

    def _join(self, resource: Resource, study: StudyView, job: str) -> None:
        there = self.cluster.get(resource, study.namespace, job)
        if there is None or any(owner["uid"] == study.uid for owner in _owners(there)):
            return
        owners = [*_owners(there), jobs.owner_reference(study.name, study.uid)]
        self._own(resource, there, owners)
        self._compare(study, there)

    def _compare(self, study: StudyView, there: Object) -> None:
        """Whoever started a Job has decided on its resources."""
        assert study.study is not None
        found = workload(there)
        asked = study.study.spec.resources.get(cast(StageKind, found.stage_kind), StageResources())
        if found.state is WorkloadState.ACTIVE and (lines := differs_from_asked(there, asked)):
            message = f"Job {found.name} of study {found.study} is shared as it is: {'; '.join(lines)}"
            event = Event(Reason.RESOURCES_DIFFER, message)
            self.tell("Study", Key(study.namespace, study.name), study.uid, event)

    def _leave(self, resource: Resource, key: Key, name: str, uid: str) -> None:
        there = self.cluster.get(resource, key.namespace, name)
        if there:
            self._own(resource, there, [owner for owner in _owners(there) if owner["uid"] != uid])

    def _own(self, resource: Resource, there: Object, owners: list[Object]) -> None:
        metadata = there["metadata"]
        patch = {"metadata": {"ownerReferences": owners, "resourceVersion": metadata["resourceVersion"]}}
        self._saw(resource, self.cluster.patch(resource, metadata["namespace"], metadata["name"], patch))

    def _saw(self, resource: Resource, obj: Object) -> set[Key]:
        return self.state.see(resource, obj)

    def write_status(self, resource: Resource, namespace: str, name: str, version: str, status: Model) -> Object:
        """The whole status, over the version that it was decided on. Raises Conflict for another.

        Raises Invalid, without a request, for a status that its own schema does not allow.
        """
        document = status.model_dump(mode="json", exclude_none=True)
        try:
            type(status).model_validate(document)
        except ValidationError as error:
            raise Invalid(f"status of {resource.kind} {name}: {load.explain(error, under='status')}") from error
        unset = {field: None for field in status.model_dump(mode="json") if field not in document}
        patch = {"metadata": {"resourceVersion": version}, "status": document | unset}
        written = self.cluster.patch(resource, namespace, name, patch, subresource="status")
        if resource in {STUDIES, TRIALS}:
            self._saw(resource, written)
        return written

    def tell(self, kind: str, key: Key, uid: str, event: Event) -> None:
        """An Event, which people see with `kubectl describe`. Its loss is no harm."""
        now = timestamp(self.clock())
        about = {"apiVersion": API_VERSION, "kind": kind, "namespace": key.namespace, "name": key.name, "uid": uid}
        document = {
            "metadata": {"namespace": key.namespace, "name": f"{key.name}.{uuid.uuid4().hex[:16]}"},
            "involvedObject": about,
            "reason": event.reason,
            "message": event.message[:1000],
            "type": "Warning" if event.warning else "Normal",
            "source": {"component": names.FIELD_MANAGER},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self.cluster.create(EVENTS, document)
        except XstiltsError as error:
            log.warning("event %s: %s", event.reason, error)

    # ---- by the desk

    def call(self, key: Key, observed: Observed, action: Action) -> None:
        """An action that takes long. What it finds out goes into the Facts; it raises nothing."""
        name = asked.call_name(action)
        assert name is not None
        facts, study = observed.facts, observed.study.study
        assert study is not None
        try:
            self._call(key, observed, study, action)
        except Exception as error:
            self.failed(key, facts, name, error)
        else:
            self.succeeded(facts, name)
        finally:
            with self.state.lock:
                facts.under_way.discard(name)

    def succeeded(self, facts: Facts, name: str) -> None:
        with self.state.lock:
            facts.forgive(name)

    def failed(self, key: Key, facts: Facts, name: str, error: Exception) -> None:
        """Notes why an action failed, for conditions to tell, and when it may be taken again."""
        log.log(
            logging.WARNING if isinstance(error, XstiltsError) else logging.ERROR,
            "%s of study %s/%s: %s: %s",
            name,
            key.namespace,
            key.name,
            type(error).__name__,
            error,
            exc_info=not isinstance(error, XstiltsError),
        )
        with self.state.lock:
            failures = facts.failures[name] = facts.failures.get(name, 0) + 1
            delay = FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 10)
            if isinstance(error, TemporaryError):
                delay = max(delay, error.delay)
            facts.not_before[name] = self.clock() + min(delay, LONGEST_WAIT)
            self._note_trouble(facts, name, error)

    def _note_trouble(self, facts: Facts, name: str, error: Exception) -> None:
        """A store or a server that fails is tried by a preflight too, before anything new starts."""
        old = facts.troubles.pop(name, None)
        reason = error.reason if isinstance(error, SecretError) else type(error).__name__
        broken = Check(ready=False, reason=reason, message=f"{name}: {error}")
        about = StudyCondition.PROGRESSING
        match error:
            case Told():
                return
            case TrackingError() | TrackingUnavailable():
                about, facts.tracking = StudyCondition.TRACKING_READY, broken
            case StorageError() | StorageUnavailable():
                about, facts.storage = StudyCondition.STORAGE_READY, broken
            case _ if isinstance(error, SecretError) or name == PREFLIGHT:
                facts.storage = broken
                return  # the preflight finds out what it concerns
        since = old.since if old and old.about is about else self.clock()
        facts.troubles[name] = Trouble(reason, broken.message, since, about)

    def _call(self, key: Key, observed: Observed, study: Study, action: Action) -> None:
        facts, namespace = observed.facts, key.namespace
        match action:
            case asked.Preflight():
                facts.storage, facts.tracking = self.desk.preflight(namespace, study)
                facts.outages_checked = outages(observed)
                if not (facts.storage.ready and facts.tracking.ready):
                    raise Told(f"{facts.storage.message} {facts.tracking.message}".strip())
            case asked.Accept():
                plan = observed.study.status.plan
                previous = plan.digest if plan else observed.study.recorded_plan
                answer = self.desk.accept(namespace, study, previous or None)
                self._plan(key, observed, answer)
                metrics.stages_reused(facts.reused)
            case asked.Recall():
                assert observed.study.status.plan is not None
                self._plan(key, observed, self.desk.recall(namespace, study, observed.study.status.plan.digest))
            case asked.StartStage():
                self._start(key, observed, study, action)
            case asked.PublishStage(address):
                self._note(facts, address, self.desk.publish(namespace, study, _digest(facts), address))
            case asked.Diagnose():
                self._diagnose(key, observed, study, action)
            case asked.Inspect():
                self._inspect(key, observed, action)
            case asked.PublishTrial(trial):
                facts.scores[trial] = self.desk.publish_trial(namespace, study, _digest(facts), trial)
            case asked.Conclude(failures):
                about = _digest(facts), observed.study.status.retried
                facts.conclusion = self.desk.conclude(namespace, study, about[0], failures)
                facts.concluded = about
                facts.storage = facts.tracking = Check(ready=True, reason=Reason.READY)  # it used both
            case _:
                raise AssertionError(f"{action} is one request")

    def _plan(self, key: Key, observed: Observed, answer: Accepted | Refusal) -> None:
        facts = observed.facts
        with self.state.lock:
            if isinstance(answer, Refusal):
                facts.refusal = answer
                raise Told(answer.message)
            succeeded = {
                job.uid: job.stage_key for job in observed.owned if job.state is WorkloadState.SUCCEEDED
            }  # before the look at the store: later ones are no loss
            absent = {address.rsplit("/", 1)[-1] for address, known in answer.known.items() if known is Known.ABSENT}
            facts.lost |= {uid for uid, stage in succeeded.items() if stage in absent}
            facts.refusal, facts.outline = None, answer.outline
            facts.reused = sum(known is not Known.ABSENT for known in answer.known.values())
            facts.known = dict(answer.known)
            facts.accepted_spec = observed.study.spec_digest
            self.state.remember_plan(key)

    def _start(self, key: Key, observed: Observed, study: Study, action: asked.StartStage) -> None:
        facts, view = observed.facts, observed.study
        with self.state.lock:
            facts.starting[action.address] = action.trial
        try:
            start = Start(
                address=action.address,
                trial=action.trial,
                generation=action.generation,
                uid=view.uid,
                image=study.spec.pod_template.image or self.image,
            )
            answer = self.desk.prepare(key.namespace, study, _digest(facts), start)
            if isinstance(answer, dict):
                self._create_job(view, answer)
            else:
                self._note(facts, action.address, answer)
        finally:
            with self.state.lock:
                facts.starting.pop(action.address, None)

    def _create_job(self, study: StudyView, manifest: Object) -> None:
        resource = _resource(manifest["kind"])
        try:
            self._saw(resource, self.cluster.create(resource, manifest))
        except AlreadyExists:  # another Study was faster, or an answer was lost
            there = self.cluster.get(resource, study.namespace, manifest["metadata"]["name"])
            if there is None:
                return
            check_is_ours(there, manifest)
            self._saw(resource, there)
            if workload(there).state in JOINED:
                self._join(resource, study, manifest["metadata"]["name"])
        except ClusterError as error:
            raise JobRefused(str(error)) from error

    def _note(self, facts: Facts, address: str, answer: Known | Claim | Object) -> None:
        with self.state.lock:
            if isinstance(answer, Claim):
                facts.claims[address] = answer
            elif isinstance(answer, Known):
                facts.claims.pop(address, None)
                facts.known[address] = answer

    def _diagnose(self, key: Key, observed: Observed, study: Study, action: asked.Diagnose) -> None:
        endings = observed.endings.get(action.job, Endings())
        last = self._last_end(key.namespace, action) or endings.last
        end = job_end(action, last, endings.hopeless)
        printed = self._printed(key.namespace, last.pod) if last else None
        try:
            found = self.desk.diagnose(key.namespace, study, action.address, printed, end)
        except TemporaryError:
            raise
        except Exception as error:  # the store has no better words
            log.warning("outcome of %s: %s: %s", action.address, type(error).__name__, error)
            found = Diagnosis(end.reason, end.message)
        observed.facts.diagnoses[action.uid] = found

    def _inspect(self, key: Key, observed: Observed, action: asked.Inspect) -> None:
        """The Job controller says in Events alone why it can't make a pod."""
        last = observed.endings.get(action.job, Endings()).last
        since = (last.finished or 0) if last else 0
        fields = {"involvedObject.uid": action.uid, "reason": FAILED_CREATE}
        refusals = [
            (int(seconds_of(told)), event)
            for event in self.cluster.list(EVENTS, key.namespace, fields=fields)
            if (told := event.get("lastTimestamp") or event.get("eventTime")) and seconds_of(told) >= since
        ]
        found = None
        if refusals:
            job = next((job for job in observed.owned if job.uid == action.uid), None)
            at, event = max(refusals, key=lambda refusal: refusal[0])
            begun = max(since, job.started or 0) if job else at
            found = Obstacle(FAILED_CREATE, event.get("message", ""), begun, action.uid)
        observed.facts.uncreated[action.uid] = (self.clock(), found)

    def _last_end(self, namespace: str, action: asked.Diagnose) -> PodEnding | None:
        """Of the Job's pods as they are now: the watch may tell of a Job's end before that of its last pod."""
        try:
            job_pods = list(self.cluster.list(PODS, namespace, labels={JOB_LABEL: action.job}))
            node_pods = list(self.cluster.list(PODS, namespace, labels={JOB_SET_LABEL: action.job}))
        except ClusterError as error:
            log.info("pods of %s/%s: %s", namespace, action.job, error)
            return None
        ends = [end for pod in job_pods if (end := ending(pod)) and end.owner in {"", action.uid}]
        ends += [end for pod in node_pods if (end := ending(pod))]
        return max(ends, key=lambda end: end.finished or 0, default=None)

    def _printed(self, namespace: str, pod: str) -> bytes | None:
        """The log of a pod, if it can still be had."""
        try:
            return self.cluster.pod_log(namespace, pod, tail_lines=LOG_LINES)
        except XstiltsError as error:
            log.info("log of pod %s/%s: %s", namespace, pod, error)
            return None


def _resource(kind: str) -> Resource:
    return TRAIN_JOBS if kind == TRAIN_JOBS.kind else JOBS


def job_end(action: asked.Diagnose, last: PodEnding | None, hopeless: Diagnosis | None) -> JobEnd:
    """How a Job ended in the words of its last pod, which are nearer to the cause than its own."""
    reason, message = str(Reason.ENDED_FROM_OUTSIDE), action.message
    if hopeless:
        reason, message = hopeless.reason, hopeless.message
    elif last and last.cause is not Cause.SUCCEEDED:
        reason, message = last.reason, last.message[-WORDS:] or action.message
    return JobEnd(action.job, last.pod if last else "", reason, message)


def check_is_ours(there: Object, wanted: Object) -> None:
    """Raises ForeignObject unless an object of the wanted name does the same stage for some Study.

    Whoever started it is free to differ, and so are the Study and Trial that it was started for.
    """
    has, wants = (obj["metadata"].get("labels") or {} for obj in (there, wanted))
    missing = [f"{label}={wants[label]}" for label in OURS if has.get(label) != wants[label]]
    if missing:
        name = wanted["metadata"]["name"]
        raise ForeignObject(
            f"{wanted['kind']} {name!r} exists without the labels that make it ours ({', '.join(missing)}); "
            "delete it, or put the labels back if it is the operator's own"
        )


def _owners(obj: Object) -> list[Object]:
    return list(obj["metadata"].get("ownerReferences", ()))


def _digest(facts: Facts) -> str:
    assert facts.outline is not None
    return facts.outline.digest
