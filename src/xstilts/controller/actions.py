"""What `reconcile` may ask for, and `effects` carries out. Each may be repeated; none relies on another's success."""

from collections.abc import Mapping
from dataclasses import dataclass

from xstilts.api.status import StudyStatus
from xstilts.api.trial import TrialStatus
from xstilts.controller.events import Event
from xstilts.controller.views import TrialOutline


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Before anything is made that would have to be cleaned up."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Lets a Study that was deleted go."""


@dataclass(frozen=True, slots=True)
class DeleteStudy:
    """Its time to live after its end is over."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """Find out whether store and tracking server can be used."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Resolve, plan, freeze the plan in the store, and look what is there of it."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Read the frozen plan again, and look what is there of it."""


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """Name the accepted plan in the Study's metadata, where it outlasts the status."""

    digest: str


@dataclass(frozen=True, slots=True)
class CreateTrial:
    trial: TrialOutline


@dataclass(frozen=True, slots=True)
class DeleteTrial:
    """It is not in the plan any more."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class OrphanTrial:
    """Take the Study off its owners."""

    name: str


@dataclass(frozen=True, slots=True)
class StartStage:
    """Look into the store once more, then make the stage's Job."""

    address: str
    trial: str
    generation: int


@dataclass(frozen=True, slots=True)
class PublishStage:
    """Show a stage that another Study made."""

    address: str


@dataclass(frozen=True, slots=True)
class Join:
    """Become an owner of a Job that another Study started."""

    job: str
    kind: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Be an owner no more: another Study wants it."""

    job: str
    kind: str


@dataclass(frozen=True, slots=True)
class StopJob:
    """Delete it; its stage saves its progress."""

    job: str
    kind: str
    uid: str


@dataclass(frozen=True, slots=True)
class Diagnose:
    """Find out what ended a Job, and keep its log."""

    address: str
    job: str
    uid: str
    message: str
    """What the Job itself says."""


@dataclass(frozen=True, slots=True)
class Inspect:
    """Find out why a Job has no pod."""

    job: str
    uid: str


@dataclass(frozen=True, slots=True)
class PublishTrial:
    """Show the trial with its scores."""

    trial: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """Write the report, show the study, and let go of checkpoints that nobody keeps."""

    failures: Mapping[str, str]


Action = (
    AddFinalizer
    | RecordPlan
    | RemoveFinalizer
    | DeleteStudy
    | Preflight
    | Accept
    | Recall
    | CreateTrial
    | DeleteTrial
    | OrphanTrial
    | StartStage
    | PublishStage
    | Join
    | Leave
    | StopJob
    | Diagnose
    | Inspect
    | PublishTrial
    | Conclude
)


def stage_action(address: str) -> str:
    """Name of the call that starts a stage, or publishes one that is there."""
    return f"stage {address}"


def call_name(action: Action) -> str | None:
    """Under which name `Facts` keeps an action that takes long; None for those that end with their request."""
    match action:
        case Preflight() | Accept() | Recall() | Conclude():
            return type(action).__name__
        case StartStage() | PublishStage():
            return stage_action(action.address)
        case Diagnose():
            return f"diagnose {action.uid}"
        case Inspect():
            return f"inspect {action.uid}"
        case PublishTrial():
            return f"trial {action.trial}"
        case _:
            return None


WRITE_TRIAL = "write status of Trial "
"""Begin of the name under which a status that can't be written is kept."""


def action_name(action: Action) -> str:
    """Under which name `Facts` keeps how an action went: unique within a Study."""
    match action:
        case CreateTrial(trial):
            return f"CreateTrial {trial.name}"
        case DeleteTrial(name=name) | OrphanTrial(name=name):
            return f"{type(action).__name__} {name}"
        case Join(job, _) | Leave(job, _) | StopJob(job, _, _):
            return f"{type(action).__name__} {job}"
        case _:
            return call_name(action) or type(action).__name__


@dataclass(frozen=True, slots=True)
class Decision:
    """Status to write, then what to do; empty where all is as it should be."""

    status: StudyStatus
    trials: Mapping[str, TrialStatus]
    """Trials whose status changes."""
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    wake_at: float | None = None
    """When to decide again though nothing happens, seconds since 1970."""
