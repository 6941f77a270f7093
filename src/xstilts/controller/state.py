"""What the operator knows of the cluster: fed by events, asked by `reconcile`. In memory alone, safe under threads.

Kept small, since ten thousand Trials are nothing unusual: objects are taken apart as they come in, and of a Trial that
has ended little is left. Older news never replace newer ones, so events and answers may come in any order.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

from xstilts.cluster.port import JOBS, PODS, STUDIES, TRAIN_JOBS, TRIALS, Object, Resource
from xstilts.controller.objects import Key, is_newer, job_of_pod, key_of, study_view, trial_view
from xstilts.controller.shares import fair_shares
from xstilts.controller.views import Diagnosis, Endings, Facts, Observed, StudyView, TrialView
from xstilts.core.attempts import HOPELESS, LONG_ATTEMPT_SECONDS, Cause
from xstilts.engines.endings import Obstacle, PodEnding, ending, obstacle
from xstilts.engines.jobs import job_name, store_identity
from xstilts.engines.workloads import Workload, WorkloadState, workload

K = TypeVar("K")
V = TypeVar("V")


class State:
    """Studies, Trials, Jobs and pods, and what was found out for each Study."""

    def __init__(self, *, max_running_trials: int, excluded_namespaces: Collection[str] = ()) -> None:
        self.lock = threading.RLock()
        self._excluded = frozenset(excluded_namespaces)
        self._limit = max_running_trials
        self.studies: dict[Key, StudyView] = {}
        self.facts: dict[Key, Facts] = {}
        self._trials: dict[Key, dict[str, TrialView]] = defaultdict(dict)
        self._jobs: dict[Key, Workload] = {}
        self._jobs_of_stage: dict[Key, set[Key]] = defaultdict(set)
        """Namespace and stage key to Jobs."""
        self._jobs_of_owner: dict[str, set[Key]] = defaultdict(set)
        self._wanting: dict[Key, set[Key]] = defaultdict(set)
        """Namespace and stage key to Studies whose plan has it."""
        self._indexed: dict[Key, tuple[Key, ...]] = {}
        """The other way round."""
        self._pods: dict[Key, dict[str, PodEnding | Obstacle]] = defaultdict(dict)
        """Job to the ends of its pods, or what keeps them from starting, by uid."""
        self._study_of_uid: dict[str, Key] = {}
        self._demand: dict[Key, int] = {}

    # ---- news

    def see(self, resource: Resource, obj: Object, *, deleted: bool = False) -> set[Key]:
        """Takes note of an object, and says which Studies it concerns."""
        with self.lock:
            match resource:
                case _ if resource == STUDIES:
                    return self._see_study(obj, deleted)
                case _ if resource == TRIALS:
                    return self._see_trial(obj, deleted)
                case _ if resource in {JOBS, TRAIN_JOBS}:
                    return self._see_job(obj, deleted)
                case _ if resource == PODS:
                    return self._see_pod(obj, deleted)
        raise AssertionError(f"{resource} is not watched")

    def _see_study(self, obj: Object, deleted: bool) -> set[Key]:
        key = key_of(obj)
        old = self.studies.get(key)
        if deleted:
            if old and old.uid == obj["metadata"]["uid"]:
                self._forget(key)
            return self._others_that_share(obj["metadata"]["uid"])
        if old and not is_newer(obj, old.uid, old.resource_version):
            return set()
        if old and old.uid != obj["metadata"]["uid"]:
            self._forget(key)
            old = None
        view = study_view(obj, old)
        self.studies[key] = view
        if old and (old.generation, old.retry) != (view.generation, view.retry) and (facts := self.facts.get(key)):
            facts.forgive()  # what was refused may be allowed now
        self._study_of_uid[view.uid] = key
        self.facts.setdefault(key, Facts())
        return {key} if old and old.status.completion_time else {key, *self._others_that_share(view.uid)}

    def _others_that_share(self, uid: str) -> set[Key]:
        """Studies beside this one that own its Jobs: whether they are wanted elsewhere may have changed."""
        jobs = [self._jobs[key] for key in self._jobs_of_owner.get(uid, ())]
        owners = {owner for job in jobs if len(job.owners) > 1 for owner in job.owners}
        return {self._study_of_uid[owner] for owner in owners - {uid} if owner in self._study_of_uid}

    def _forget(self, key: Key) -> None:
        view = self.studies.pop(key)
        self._study_of_uid.pop(view.uid, None)
        self._index_plan(key, ())
        self.facts.pop(key, None)
        self._demand.pop(key, None)

    def _see_trial(self, obj: Object, deleted: bool) -> set[Key]:
        key = key_of(obj)
        study = Key(key.namespace, str(obj["spec"]["study"]))
        old = self._trials[study].get(key.name)
        if deleted:
            if old and old.uid == obj["metadata"]["uid"]:
                del self._trials[study][key.name]
        elif not old or is_newer(obj, old.uid, old.resource_version):
            self._trials[study][key.name] = trial_view(obj)
        if not self._trials[study]:
            del self._trials[study]
        return {study}

    def _see_job(self, obj: Object, deleted: bool) -> set[Key]:
        key = key_of(obj)
        old = self._jobs.get(key)
        if deleted:
            if not old or old.uid != obj["metadata"]["uid"]:
                return set()
            job = old
            self._unlink_job(key, old)
            self._pods.pop(key, None)
            return self._concerned(job, job)
        job = workload(obj)
        if not old or is_newer(obj, old.uid, old.resource_version):
            if old:
                self._unlink_job(key, old)
            self._link_job(key, job)
            if job.active or job.state is WorkloadState.SUSPENDED:
                self._forget_uncreated(job)
        else:
            return set()
        return self._concerned(job, old or job)

    def _forget_uncreated(self, job: Workload) -> None:
        """What kept a Job from making pods is over, and says nothing of the next time that it has none."""
        for key in {self._study_of_uid[uid] for uid in job.owners if uid in self._study_of_uid}:
            self.facts[key].uncreated.pop(job.uid, None)

    def _concerned(self, job: Workload, old: Workload) -> set[Key]:
        owners = {self._study_of_uid[uid] for uid in {*job.owners, *old.owners} if uid in self._study_of_uid}
        return owners | self._wanting.get(Key(job.namespace, job.stage_key), set())

    def _link_job(self, key: Key, job: Workload) -> None:
        self._jobs[key] = job
        self._jobs_of_stage[Key(job.namespace, job.stage_key)].add(key)
        for uid in job.owners:
            self._jobs_of_owner[uid].add(key)

    def _unlink_job(self, key: Key, job: Workload) -> None:
        del self._jobs[key]
        _discard(self._jobs_of_stage, Key(job.namespace, job.stage_key), key)
        for uid in job.owners:
            _discard(self._jobs_of_owner, uid, key)

    def _see_pod(self, obj: Object, deleted: bool) -> set[Key]:
        name = job_of_pod(obj)
        job, uid = Key(key_of(obj).namespace, name), str(obj["metadata"]["uid"])
        ends = self._pods.get(job, {})
        new = ending(obj) or (None if deleted else obstacle(obj))
        if not name or isinstance(ends.get(uid), PodEnding) or ends.get(uid) == new:
            return set()
        if new is None:
            del self._pods[job][uid]
        else:
            self._pods[job][uid] = new
        found = self._jobs.get(job)
        return {self._study_of_uid[uid] for uid in found.owners if uid in self._study_of_uid} if found else set()

    # ---- answers

    def observed(self, key: Key) -> Observed | None:
        """All that is known of a Study, or None where there is no such Study."""
        with self.lock:
            study = self.studies.get(key)
            if study is None:
                return None
            facts = self.facts[key]
            owned = tuple(self._jobs[job] for job in sorted(self._jobs_of_owner.get(study.uid, ())))
            by_stage = self._by_stage(study, facts)
            jobs = {job for found in by_stage.values() for job in found}
            return Observed(
                study=study,
                trials=dict(self._trials.get(key, {})),
                workloads=by_stage,
                owned=owned,
                endings={job.name: self._endings(job) for job in jobs},
                wanted_elsewhere=frozenset(job.uid for job in owned if self._is_wanted_elsewhere(job, study.uid)),
                facts=facts,
                is_excluded=key.namespace in self._excluded,
                allowance=fair_shares(self._demand, self._limit).get(key, self._limit),
            )

    def _by_stage(self, study: StudyView, facts: Facts) -> dict[str, tuple[Workload, ...]]:
        if facts.outline is None or study.study is None:
            return {}
        store = store_identity(study.study.spec.store)
        found: dict[str, tuple[Workload, ...]] = {}
        for address in facts.outline.stages:
            if keys := self._jobs_of_stage.get(Key(study.namespace, address.rsplit("/", 1)[-1])):
                jobs = (self._jobs[key] for key in keys)
                found[address] = tuple(
                    sorted(
                        (job for job in jobs if job.name == job_name(job.stage_key, store, job.generation)),
                        key=lambda job: job.generation,
                    )
                )
        return found

    def _endings(self, job: Workload) -> Endings:
        found = self._pods.get(Key(job.namespace, job.name), {}).values()
        ends = [end for end in found if job.kind != JOBS.kind or end.owner in {"", job.uid}]
        over = sorted((end for end in ends if isinstance(end, PodEnding)), key=lambda end: end.finished or 0)
        unseen = (end for end in over if end.cause is Cause.HOPELESS and end.exit_code not in HOPELESS)
        hopeless = next(unseen, None)  # for the others the Job itself fails, and the stage has said why
        return Endings(
            failures=sum(end.cause is Cause.RETRYABLE for end in over),
            preemptions=sum(end.cause is Cause.PREEMPTED for end in over),
            hopeless=Diagnosis(hopeless.reason, hopeless.message) if hopeless else None,
            blocked=next((end for end in ends if isinstance(end, Obstacle)), None),
            last=over[-1] if over else None,
            outage_since=_outage_since(over),
        )

    def _is_wanted_elsewhere(self, job: Workload, uid: str) -> bool:
        keys = (self._study_of_uid.get(owner) for owner in job.owners if owner != uid)
        return any(_goes_on(self.studies[key]) for key in keys if key)

    def remember_plan(self, key: Key) -> None:
        """Lets the Study hear of Jobs of all stages in its outline."""
        with self.lock:
            facts = self.facts.get(key)
            self._index_plan(key, facts.outline.stages if facts and facts.outline else ())

    def release(self, key: Key, facts: Facts) -> None:
        """Forgets what was found out for a Study that has ended, unless something is still being found out."""
        with self.lock:
            study = self.studies.get(key)
            told = study is not None and study.status.completion_time is not None
            if told and self.facts.get(key) is facts and not facts.under_way and not facts.failures:
                self.facts[key] = Facts()
                self._index_plan(key, ())

    def _index_plan(self, key: Key, addresses: Iterable[str]) -> None:
        for stage in self._indexed.pop(key, ()):
            _discard(self._wanting, stage, key)
        stages = tuple(Key(key.namespace, address.rsplit("/", 1)[-1]) for address in addresses)
        for stage in stages:
            self._wanting[stage].add(key)
        if stages:
            self._indexed[key] = stages

    def demand(self, key: Key, trials: int) -> set[Key]:
        """Notes how many trials a Study would have running; other Studies whose share grows by it."""
        with self.lock:
            before = fair_shares(self._demand, self._limit)
            if trials:
                self._demand[key] = trials
            else:
                self._demand.pop(key, None)
            after = fair_shares(self._demand, self._limit)
            return {other for other, share in after.items() if other != key and share > before.get(other, 0)}

    # ---- views for metrics, and for the comparison with a listing

    def counts(self) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str, str]]]:
        """Trials by namespace and state, and Studies by namespace, condition and its status, as their statuses say."""
        trials: Counter[tuple[str, str]] = Counter()
        studies: Counter[tuple[str, str, str]] = Counter()
        with self.lock:
            for key, view in self.studies.items():
                for state, count in view.status.counts.model_dump(exclude={"trials", "reused"}).items():
                    trials[key.namespace, state] += count
                for condition in view.status.conditions:
                    studies[key.namespace, condition.type, condition.status] += 1
        return trials, studies

    def versions(self, resource: Resource) -> dict[Key, tuple[str, str]]:
        """Uid and resourceVersion of everything that is known."""
        with self.lock:
            return dict(self._versions(resource))

    def _versions(self, resource: Resource) -> Iterator[tuple[Key, tuple[str, str]]]:
        if resource == STUDIES:
            yield from ((key, (view.uid, view.resource_version)) for key, view in self.studies.items())
        elif resource == TRIALS:
            for study, trials in self._trials.items():
                for name, view in trials.items():
                    yield Key(study.namespace, name), (view.uid, view.resource_version)
        else:
            yield from (
                (key, (job.uid, job.resource_version)) for key, job in self._jobs.items() if job.kind == resource.kind
            )

    def remembered(self, resource: Resource, key: Key) -> Object | None:
        """Enough of a known object to say that it is gone."""
        with self.lock:
            if resource == STUDIES:
                study = self.studies.get(key)
                return _gone(key, study.uid) if study else None
            if resource == TRIALS:
                owner = self._study_of_trial(key)
                return (
                    _gone(key, self._trials[owner][key.name].uid) | {"spec": {"study": owner.name}} if owner else None
                )
            job = self._jobs.get(key)
            return _gone(key, job.uid) | {"kind": job.kind, "spec": {}} if job else None

    def _study_of_trial(self, key: Key) -> Key | None:
        return next(
            (
                study
                for study, trials in self._trials.items()
                if study.namespace == key.namespace and key.name in trials
            ),
            None,
        )

    def trial(self, study: Key, name: str) -> TrialView | None:
        with self.lock:
            return self._trials.get(study, {}).get(name)


def _goes_on(view: StudyView) -> bool:
    suspended = view.study is None or view.study.spec.suspend
    return view.deleted_at is None and view.status.completion_time is None and not suspended


def _outage_since(over: list[PodEnding]) -> int | None:
    """Of the ends of a Job's pods in order: neither a lease that is held nor a preemption ends an outage, but a pod
    that ran for long has outlived it, however that pod ended."""
    since = None
    for end in reversed(over):
        if end.cause is Cause.OUTAGE:
            since = end.finished
        elif end.cause not in {Cause.LEASE_HELD, Cause.PREEMPTED}:
            break
        if end.seconds > LONG_ATTEMPT_SECONDS:
            break
    return since


def _gone(key: Key, uid: str) -> Object:
    return {"metadata": {"namespace": key.namespace, "name": key.name, "uid": uid}}


def _discard(index: dict[K, set[V]], key: K, value: V) -> None:
    """Without leaving an empty set behind."""
    found = index.get(key)
    if found is not None:
        found.discard(value)
        if not found:
            del index[key]
