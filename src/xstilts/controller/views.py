"""What `reconcile` reads: a Study with its Trials and Jobs, and what is known of the store. Values, without I/O.

`State` makes them from events of the cluster, and `Facts` are filled by what the desk finds out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Literal

from xstilts.api.names import StudyCondition
from xstilts.api.status import BestScore, CurveFit, StudyStatus
from xstilts.api.study import StageKind, Study
from xstilts.api.trial import Point, TrialStatus
from xstilts.core.keys import digest
from xstilts.core.plan import Plan, Trial
from xstilts.core.zero_shot import foreign_to
from xstilts.engines.endings import Obstacle, PodEnding
from xstilts.engines.workloads import Workload

LABEL_LENGTH = 63
NO_STATUS = StudyStatus()

# ---- a plan, small enough to keep for every running Study


@dataclass(frozen=True, slots=True)
class StageOutline:
    """A stage without its config."""

    kind: StageKind
    dependencies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrialOutline:
    """A trial under the name of its object."""

    name: str
    point: Point
    stages: tuple[tuple[str, str], ...]
    """Name within the trial and address of each stage, in the order in which they run."""
    labelled_languages: tuple[str, ...] = ()
    """Languages other than English whose labels it trains on."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What the operator keeps of a frozen plan."""

    digest: str
    uri: str
    trials: tuple[TrialOutline, ...]
    stages: Mapping[str, StageOutline]
    """By address, each after those that it depends on."""
    not_applicable: tuple[str, ...] = ()


def outline(plan: Plan, *, uri: str) -> Outline:
    return Outline(
        digest=plan.digest,
        uri=uri,
        trials=tuple(
            TrialOutline(
                object_name(plan.study, trial.name), trial.point, tuple(_stages(trial)), foreign_to(plan, trial)
            )
            for trial in plan.trials
        ),
        stages={address: StageOutline(stage.kind, stage.dependencies) for address, stage in plan.stages.items()},
        not_applicable=tuple(
            f"recipe {left.recipe}, size {left.size}: it has {left.available} rows" for left in plan.not_applicable
        ),
    )


MUTABLE = {
    "parallelism",
    "suspend",
    "retention",
    "failurePolicy",
    "resources",
    "podTemplate",
    "deletionPolicy",
    "maxGPUHours",
    "ttlSecondsAfterFinished",
}
"""Fields of a Study's spec that change no plan."""


def plan_digest(study: Study) -> str:
    """Of the fields that a plan is made from: what is changed beside them needs no new plan."""
    return digest({name: value for name, value in study.spec.document().items() if name not in MUTABLE})


def _stages(trial: Trial) -> list[tuple[str, str]]:
    shared: list[tuple[str, str | None]] = [
        ("pretraining", trial.pretraining),
        ("data-scaling", trial.scaling),
        ("intermediate-training", trial.intermediate),
    ]
    trained = [(f"target-training/{target}", address) for target, address in trial.trainings.items()]
    evaluated = [(f"evaluation/{target}", address) for target, address in trial.evaluations.items()]
    return [(name, address) for name, address in [*shared, *trained, *evaluated] if address]


def object_name(study: str, trial: str) -> str:
    """Name of a Trial's object, which is also the value of a label: unique for its Study and point."""
    name = f"{study}-{trial}"
    return name if len(name) <= LABEL_LENGTH else f"{name[:52].rstrip('-')}-{digest(name)[:10]}"


# ---- what lies outside of the cluster


class Known(StrEnum):
    """What the store has of a stage."""

    DONE = "Done"  # made and published for this Study, or needed by nothing any more
    UNPUBLISHED = "Unpublished"  # made, but not shown for this Study
    ABSENT = "Absent"


@dataclass(frozen=True, slots=True)
class Check:
    """How a preflight went."""

    ready: bool
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a Study can't be accepted as things are."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A stage is at work somewhere else: another cluster, a person's machine."""

    holder: str
    until: float
    """Seconds since 1970 when it is worth looking again."""
    etag: str | None = None
    """Version of the lease that was seen."""
    ttl_seconds: float = 0.0
    """How long it must stand still before its holder counts as gone."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A plan, and what the store has of it."""

    outline: Outline
    known: Mapping[str, Known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """For whom a stage's Job is to be made."""

    address: str
    trial: str
    generation: int
    uid: str
    """Of the Study."""
    image: str
    expired: str | None = None
    """ETag of a foreign lease that has stood still for its time to live, as the operator saw it."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What ended a Job that failed."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class JobEnd:
    """What the cluster says of how a Job ended that failed."""

    job: str
    pod: str
    """Its last pod, which wrote the stage's outcome if anybody did; empty where no pod is known any more."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What is shown of a Study's results."""

    best: tuple[BestScore, ...] = ()
    curves: tuple[CurveFit, ...] = ()
    report_url: str | None = None
    tracking_url: str | None = None

    @property
    def shown(self) -> Mapping[str, object]:
        """By the fields of the status that show it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Trouble:
    """An action of the operator that fails, and is tried again after growing delays."""

    reason: str
    message: str
    since: float
    """When it failed first, seconds since 1970."""
    about: StudyCondition = StudyCondition.PROGRESSING
    """The condition that tells of it: StorageReady, TrackingReady, else Progressing."""


@dataclass(slots=True)
class Facts:
    """What was found out for a Study since the operator started: never stored, found out again after a restart."""

    storage: Check | None = None
    tracking: Check | None = None
    refusal: Refusal | None = None
    outline: Outline | None = None
    accepted_spec: str = ""
    """Digest of the fields of the spec that `outline` was made from."""
    reused: int = 0
    """Stages that were there when the plan was accepted."""
    known: dict[str, Known] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    starting: dict[str, str] = field(default_factory=dict)
    """Address of a stage to the trial that it is being started for."""
    lost: set[str] = field(default_factory=set)
    """Uids of Jobs that succeeded, but whose results are gone from the store."""
    diagnoses: dict[str, Diagnosis] = field(default_factory=dict)
    """By uid of the Job."""
    scores: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """Of trials that are published."""
    conclusion: Conclusion | None = None
    concluded: tuple[str, str] = ("", "")
    """What the conclusion is about: digest of the plan, and `retried` of the status."""
    outages_checked: frozenset[str] = frozenset()
    """Uids of pods that met an outage, before store and server were tried last."""
    uncreated: dict[str, tuple[float, Obstacle | None]] = field(default_factory=dict)
    """By uid of a Job without pods: when that was looked into, and why."""
    takes_room: bool = False
    """Whether stages were at work when it was looked at last."""
    room_taken: float = 0.0
    """When stages last took up room that others may have waited for, seconds since 1970."""
    under_way: set[str] = field(default_factory=set)
    """Names of calls that have not answered."""
    not_before: dict[str, float] = field(default_factory=dict)
    """When an action that failed may be taken again, seconds since 1970."""
    failures: dict[str, int] = field(default_factory=dict)
    """How often in a row an action has failed."""
    troubles: dict[str, Trouble] = field(default_factory=dict)
    """Why, by the name of the action; without those that a check or a refusal tells of."""

    @property
    def checks(self) -> tuple[tuple[StudyCondition, Check | None], ...]:
        """Of store and server, by the conditions that tell of them."""
        return (StudyCondition.STORAGE_READY, self.storage), (StudyCondition.TRACKING_READY, self.tracking)

    def conclusion_of(self, retried: str) -> Conclusion | None:
        """Of all that has run until now: a Study that has grown, and trials that started again, make another."""
        about = (self.outline.digest if self.outline else "", retried)
        return self.conclusion if self.concluded == about else None

    def note_room(self, owned: tuple[Workload, ...], now: float) -> None:
        """The look that finds nothing at work any more counts too: the room became free only just before it."""
        takes_room = any(job.ready and not job.is_finished for job in owned)
        if takes_room or self.takes_room:
            self.room_taken = now
        self.takes_room = takes_room

    def forgive(self, name: str | None = None) -> None:
        """Forgets failures of one action, which has succeeded, or of all, which may succeed now."""
        for known in (self.not_before, self.failures, self.troubles):
            if name is None:
                known.clear()
            else:
                known.pop(name, None)


# ---- the cluster


@dataclass(frozen=True, slots=True)
class StudyView:
    """A Study object."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int
    study: Study | None
    """None where this version can't read the spec."""
    error: str = ""
    """Why it can't."""
    spec_digest: str = ""
    """Of the fields of the spec that a plan is made from."""
    recorded_plan: str = ""
    """Digest of the plan that its annotation names."""
    retry: str = ""
    """Value of its annotation that asks for failed trials to start again."""
    status: StudyStatus = NO_STATUS
    finalizers: tuple[str, ...] = ()
    deleted_at: float | None = None
    """When it was asked to go, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class TrialView:
    """A Trial object; of one that has ended only what the Study still asks for."""

    name: str
    uid: str
    resource_version: str
    ended: Literal["Succeeded", "Failed"] | None
    reused: bool
    gpu_seconds: int
    owners: tuple[str, ...]
    """Uids."""
    status: TrialStatus | None
    """None once it has ended."""
    message: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class Endings:
    """How pods of a Job have ended so far."""

    failures: int = 0
    preemptions: int = 0
    hopeless: Diagnosis | None = None
    """An end after which another try makes no sense, and which the Job controller takes for a common failure."""
    blocked: Obstacle | None = None
    """Why a pod does not start, if something is wrong."""
    last: PodEnding | None = None
    """The end that came last."""
    outage_since: int | None = None
    """When the first of the latest pods ended that, one after the other, had no answer from store or server."""


@dataclass(frozen=True, slots=True)
class Observed:
    """All that one decision depends on, beside the time."""

    study: StudyView
    trials: Mapping[str, TrialView]
    workloads: Mapping[str, tuple[Workload, ...]]
    """Jobs of this Study's store by address of their stage, oldest generation first."""
    owned: tuple[Workload, ...]
    """Jobs that this Study owns, known to its plan or not."""
    endings: Mapping[str, Endings]
    """By name of the Job."""
    wanted_elsewhere: frozenset[str]
    """Uids of Jobs that another Study, which goes on, owns too."""
    facts: Facts
    allowance: int
    """Trials that may run at the same time, by the operator's limit."""
    is_excluded: bool = False
    """The operator runs nothing in its namespace."""


def outages(observed: Observed) -> frozenset[str]:
    """Uids of the pods that ended last, of Jobs whose pods meet an outage."""
    ends = observed.endings.values()
    return frozenset(end.last.uid for end in ends if end.outage_since is not None and end.last)
