"""What a stage of a Study prints: from its pod while there is one, else the last lines, which the store keeps."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click
from pydantic import ValidationError

from xstilts.api import names
from xstilts.api.trial import StageRef, StageState, StageStatus
from xstilts.cli.cluster_views import ClusterStudy, ClusterTrial, read_trials
from xstilts.cluster.errors import ClusterUnavailable, NotFound
from xstilts.cluster.port import PODS, Cluster, Object
from xstilts.core.errors import ExitCode, UserError
from xstilts.core.keys import stage_address
from xstilts.core.results import Outcome
from xstilts.store.port import ObjectStore

POLL_SECONDS = 1.0

_RANK = "batch.kubernetes.io/job-completion-index"
_OWNERS = ("jobset.sigs.k8s.io/jobset-name", "batch.kubernetes.io/job-name")
"""Labels of a pod that name its TrainJob or Job."""
_INTEREST = (StageState.RUNNING, StageState.FAILED, StageState.ELSEWHERE, StageState.SUCCEEDED)
"""Which stage to show where none is named: one in an earlier of these states first, the latest of those."""


class Chosen(NamedTuple):
    """A stage of a trial whose log is wanted."""

    trial: ClusterTrial
    ref: StageRef
    status: StageStatus
    others: int
    """How many others are at work."""

    @property
    def title(self) -> str:
        return f"{self.ref.name} of trial {self.trial.name}"

    @property
    def address(self) -> str:
        return stage_address(self.ref.kind, self.ref.key)


def show(
    cluster: Cluster,
    study: ClusterStudy,
    *,
    trial: str,
    stage: str,
    follow: bool,
    pause: Callable[[float], None],
    open_store: Callable[[], ObjectStore],
) -> None:
    """Print the log to standard output, and which it is to standard error. `open_store` opens the Study's store.

    Raises UserError where nothing fits, has started, or has left a log.
    """
    chosen = choose(study, read_trials(cluster, study), trial=trial, stage=stage)
    if chosen.others:
        _note(f"{chosen.others} other stages are at work; choose by --trial and --stage")
    if follow and _followed(cluster, study, chosen, pause):
        return
    pod = newest_pod(cluster, study.namespace, chosen)
    if pod and (printed := _printed(cluster, pod)):
        _note(f"{chosen.title}: pod {pod['metadata']['name']}")
        click.echo(printed, nl=False)
    else:
        _stored(open_store(), chosen)


# ---- which stage


def choose(study: ClusterStudy, trials: Sequence[ClusterTrial], *, trial: str, stage: str) -> Chosen:
    """The stage that is asked for, or the most interesting one of those that fit and have started."""
    if not trials:
        raise UserError(f"{study.title} has no trials yet; see xstilts status")
    fitting = [each for each in trials if not trial or trial in {each.name, each.spec.point.name}]
    if not fitting:
        raise UserError(f"--trial {trial}: {study.title} has {_some((each.name for each in trials), trial)}")
    stages = [(each, ref, status) for each in fitting for ref, status in each.stages()]
    asked = [entry for entry in stages if not stage or stage in {entry[1].name, entry[1].kind}]
    if not asked:
        raise UserError(f"--stage {stage}: there is {_some((ref.name for _, ref, _ in stages), stage)}")
    started = [entry for entry in asked if entry[2].state in _INTEREST]
    if not started:
        waits = next((f": {status.message}" for _, _, status in asked if status.message), "")
        raise UserError(f"{study.title}: no stage that is asked for has started yet{waits}; see xstilts status")
    best = max(started, key=lambda entry: _interest(entry[2]))
    others = sum(entry[2].state is StageState.RUNNING for entry in started if entry[1].key != best[1].key)
    return Chosen(*best, others)


def _interest(status: StageStatus) -> tuple[int, bool, str]:
    return -_INTEREST.index(status.state), not status.reused, status.completion_time or status.start_time or ""


def _some(candidates: Iterator[str], wanted: str) -> str:
    known = list(dict.fromkeys(candidates))
    shown = difflib.get_close_matches(wanted, known, n=5, cutoff=0.3) or known[:5]
    return f"{', '.join(shown)}{' and others' if len(shown) < len(known) else ''}"


# ---- pods


def newest_pod(cluster: Cluster, namespace: str, chosen: Chosen) -> Object | None:
    """The pod of the latest attempt; of several nodes, the first's."""
    labels = {names.MANAGED_BY: names.MANAGER, names.STAGE_KEY: chosen.ref.key}
    pods = list(cluster.list(PODS, namespace, labels=labels))
    if chosen.status.job:  # the same stage may be made for another store, too
        pods = [pod for pod in pods if chosen.status.job in {_labels(pod).get(label) for label in _OWNERS}]
    first = [pod for pod in pods if _labels(pod).get(_RANK, "0") == "0"]
    return max(first or pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), default=None)


def _labels(pod: Object) -> Mapping[str, Any]:
    return pod["metadata"].get("labels") or {}


def _printed(cluster: Cluster, pod: Object) -> bytes:
    """Empty where the pod has not started, or its node is out of reach."""
    try:
        return cluster.pod_log(pod["metadata"]["namespace"], pod["metadata"]["name"])
    except (ClusterUnavailable, NotFound) as error:
        _note(str(error))
        return b""


def _followed(cluster: Cluster, study: ClusterStudy, chosen: Chosen, pause: Callable[[float], None]) -> bool:
    """Print what pods of the stage print until it ends, attempt after attempt; whether there was any."""
    printed: dict[str, int] = {}
    ended: set[str] = set()
    said = ""
    while True:
        pod = newest_pod(cluster, study.namespace, chosen)
        state = _phase(pod)
        uid = pod["metadata"]["uid"] if pod else ""
        if pod and uid not in ended and state != "Pending":
            if uid not in printed:
                _note(f"{chosen.title}: pod {pod['metadata']['name']}")
            printed[uid] = _streamed(cluster, pod, printed.get(uid, 0))
            if state != "Running":
                ended.add(uid)
                continue
        elif not _goes_on(cluster, study, chosen):
            return bool(printed)
        elif (waits := f"{chosen.title}: waits for a pod{_why(pod)}") != said:
            _note(said := waits)
        pause(POLL_SECONDS)


def _phase(pod: Object | None) -> str:
    return str((pod or {}).get("status", {}).get("phase", "Pending"))


def _streamed(cluster: Cluster, pod: Object, skip: int) -> int:
    """Print the pod's log beyond what was printed before the connection was cut; returns how much there is now."""
    seen = 0
    try:
        for chunk in cluster.follow_pod_log(pod["metadata"]["namespace"], pod["metadata"]["name"]):
            if new := chunk[max(0, skip - seen) :]:
                click.echo(new, nl=False)
            seen += len(chunk)
    except ClusterUnavailable as error:
        _note(f"{error}; trying again")
    except NotFound:
        _note(f"pod {pod['metadata']['name']} has gone")
    return max(skip, seen)


def _goes_on(cluster: Cluster, study: ClusterStudy, chosen: Chosen) -> bool:
    """Whether the stage may have another pod."""
    for trial in read_trials(cluster, study):
        if trial.name == chosen.trial.name:
            stages = {ref.name: status for ref, status in trial.stages()}
            return stages[chosen.ref.name].state in {StageState.RUNNING, StageState.ELSEWHERE}
    return False


def _why(pod: Object | None) -> str:
    from xstilts.engines.endings import obstacle

    return f" ({why})" if pod and (why := obstacle(pod)) else ""


# ---- the store


def _stored(store: ObjectStore, chosen: Chosen) -> None:
    """What the stage has left behind."""
    found = {name: store.head(f"{chosen.address}/{name}") for name in ("log.txt", "outcome.json")}
    if not any(found.values()):
        raise UserError(f"{chosen.title}: no pod is left, and {store.uri}/{chosen.address} holds no log")
    if found["log.txt"]:
        _note(f"{chosen.title}: no pod is left; the last lines, from {store.uri}/{chosen.address}/log.txt")
        click.echo(store.read(f"{chosen.address}/log.txt"), nl=False)
    if found["outcome.json"]:
        _note(_told(chosen, store.read(f"{chosen.address}/outcome.json")))


def _told(chosen: Chosen, document: bytes) -> str:
    try:
        outcome = Outcome.model_validate_json(document)
    except ValidationError:
        return f"{chosen.title}: its outcome.json is of another version of xstilts"
    code = "" if outcome.exit_code == ExitCode.SUCCEEDED else f" (exit code {outcome.exit_code})"
    return f"{chosen.title}: {outcome.reason}{code}{': ' if outcome.message else ''}{outcome.message}"


def _note(text: str) -> None:
    click.echo(text, err=True)
