"""A Study that was asked to go: what runs for it is stopped, or left, and then it is let go. Pure.

Nothing outside of the cluster is asked, so it works when the store or MLflow are gone. Finished Jobs and Trials are
removed by the cluster's garbage collector, by their owner references.
"""

from xstilts.api.names import FINALIZER, Reason
from xstilts.api.study import DeletionPolicy
from xstilts.controller.actions import Action, Decision, Leave, OrphanTrial, RemoveFinalizer, StopJob
from xstilts.controller.events import Event
from xstilts.controller.views import Observed
from xstilts.engines.workloads import WorkloadState

LIMIT_SECONDS = 300.0
"""Time after which a Study goes though something of it still runs."""


def reconcile_deletion(observed: Observed, now: float) -> Decision:
    """Ends with RemoveFinalizer; without our finalizer there is nothing to do."""
    study = observed.study
    if FINALIZER not in study.finalizers or study.deleted_at is None:
        return Decision(study.status, {})
    orphan = study.study is not None and study.study.spec.deletion_policy is DeletionPolicy.ORPHAN
    actions = _orphan(observed) if orphan else _stop(observed)
    if not actions and (orphan or not _ending(observed)):
        return Decision(study.status, {}, (RemoveFinalizer(),))
    expires = study.deleted_at + LIMIT_SECONDS
    if now >= expires:
        message = f"deleted though not everything of it has ended after {LIMIT_SECONDS:g} s"
        return Decision(study.status, {}, (RemoveFinalizer(),), (Event(Reason.DELETING, message, warning=True),))
    return Decision(study.status, {}, tuple(actions), wake_at=expires)


def _orphan(observed: Observed) -> list[Action]:
    jobs: list[Action] = [Leave(job.name, job.kind) for job in observed.owned]
    return jobs + [OrphanTrial(trial.name) for trial in observed.trials.values() if observed.study.uid in trial.owners]


def _stop(observed: Observed) -> list[Action]:
    return [
        Leave(job.name, job.kind) if job.uid in observed.wanted_elsewhere else StopJob(job.name, job.kind, job.uid)
        for job in observed.owned
        if job.state in {WorkloadState.ACTIVE, WorkloadState.SUSPENDED}
    ]


def _ending(observed: Observed) -> bool:
    return any(job.state is WorkloadState.TERMINATING for job in observed.owned)
