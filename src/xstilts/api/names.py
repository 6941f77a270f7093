"""Names that people and other programs see on objects of the cluster: labels, finalizer, conditions, reasons."""

from enum import StrEnum

GROUP = "xstilts.dev"
VERSION = "v1alpha1"
FIELD_MANAGER = "xstilts-operator"
FINALIZER = f"{GROUP}/cleanup"

# ---- labels

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "xstilts"
"""Value of MANAGED_BY on everything that the operator makes."""
COMPONENT = "app.kubernetes.io/component"
STUDY = f"{GROUP}/study"
"""Name of the Study; on a Job that several share, of the one that started it."""
TRIAL = f"{GROUP}/trial"
"""Name of the Trial; on a Job, of the one that started it."""
STAGE = f"{GROUP}/stage"
"""Kind of the stage."""
STAGE_KEY = f"{GROUP}/stage-key"
GENERATION = f"{GROUP}/generation"
"""Which attempt at a stage, counted from 1, a Job is."""
SCHEDULE = f"{GROUP}/schedule"
"""Name of the StudySchedule that made a Study."""

# ---- annotations

STORE = f"{GROUP}/store"
"""Where the results of a Job lie."""
PLAN = f"{GROUP}/plan"
"""On a Study, `<its name>/<digest>` of the plan that was accepted last. Unlike the status it survives a backup and
restore, which leave the status out; a copy of the Study under another name has a plan of its own."""
RETRY = f"{GROUP}/retry"
"""On a Study, a token that was never there before makes its failed trials start again, once. Names of trials may follow
it, separated by spaces: then those alone do, and others that failed by the same stages."""
SLOT = f"{GROUP}/slot"
"""Time that a StudySchedule made a Study for."""


class StudyCondition(StrEnum):
    """Condition types of a Study. `Succeeded` sums up: it is Unknown until the Study ends."""

    ACCEPTED = "Accepted"
    STORAGE_READY = "StorageReady"
    TRACKING_READY = "TrackingReady"
    PODS_BLOCKED = "PodsBlocked"
    PROGRESSING = "Progressing"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"


class TrialCondition(StrEnum):
    """A Trial has one condition, whose reason says where it stands."""

    SUCCEEDED = "Succeeded"


class ScheduleCondition(StrEnum):
    """A StudySchedule has one condition: whether it is understood and goes on."""

    READY = "Ready"


class Reason(StrEnum):
    """Reasons of conditions and events, beside names of errors (see `xstilts.core.errors`)."""

    # of a Study
    PENDING = "Pending"  # not looked at yet
    ACCEPTED = "Accepted"
    INVALID = "InvalidStudy"
    NAMESPACE_EXCLUDED = "NamespaceExcluded"  # the operator runs nothing in this namespace; also of a StudySchedule
    OTHER_VERSION = "PlannedByAnotherVersion"  # what is missing needs an image of the version that planned it
    ENGINE_NOT_SUPPORTED = "EngineNotSupported"
    READY = "Ready"
    FORBIDDEN = "SecretForbidden"  # the operator may not read a Secret that the Study names
    MISSING = "SecretMissing"
    UNREADABLE = "SecretInvalid"
    NOT_LENT = "IdentityNotLent"  # a Study without a Secret names a store that the installation does not list
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    NOT_SUSPENDED = "NotSuspended"
    SUCCEEDED = "Succeeded"
    TOO_MANY_FAILED_TRIALS = "TooManyFailedTrials"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    GPU_HOURS_EXCEEDED = "GPUHoursExceeded"
    OUTAGE_SECONDS_EXCEEDED = "OutageSecondsExceeded"  # of a stage too
    NOT_BLOCKED = "NotBlocked"
    RETRYING = "Retrying"  # failed trials start again, as `xstilts retry` asks
    DELETING = "Deleting"

    # of a Trial
    QUEUED = "Queued"  # parallelism, of the Study or of the operator, is used up
    WAITING_FOR_STAGE = "WaitingForStage"  # another trial, Study or cluster is at work on a stage that it needs
    JOB_REFUSED = "JobRefused"  # the API server does not take the Job of a stage: a quota, a policy, a webhook
    STAGE_FAILED = "StageFailed"
    STOPPED = "Stopped"  # its Study ended before it

    # of a stage
    PREEMPTION_RETRIES_EXCEEDED = "PreemptionRetriesExceeded"
    RETRIES_EXCEEDED = "RetriesExceeded"
    ENDED_FROM_OUTSIDE = "EndedFromOutside"
    RESOURCES_DIFFER = "ResourcesDiffer"  # a shared Job keeps the resources of the Study that started it

    # of a StudySchedule
    SCHEDULED = "Scheduled"
    INVALID_SCHEDULE = "InvalidSchedule"
    WAITING_FOR_STUDY = "WaitingForStudy"  # a Study of an earlier time still runs, and the policy is Forbid
    REPLACING = "Replacing"  # a Study of an earlier time is being deleted
    COMPARING = "Comparing"  # is there anything to run?
    STUDY_CREATED = "StudyCreated"
    MISSED = "MissedSchedule"
    UNCHANGED = "Unchanged"
