"""Every error that xstilts raises on purpose, and the exit code that a stage ends with for each.

XstiltsError
├── UserError                  bad input: says which field, which value, and the way out
├── PermanentError             trying again cannot help
│   ├── IntegrityError         stored bytes differ from what their manifest says
│   ├── StorageError           wrong credentials, missing bucket, a store without conditional writes
│   ├── TrackingError          MLflow refuses
│   ├── CoverageError          a hand-over loaded other encoder weights than it should
│   ├── DivergenceError        the loss is no number any more
│   ├── OutOfMemoryError       the batch does not fit
│   └── ZeroShotError          a training stage asked for labels of a target language
└── TemporaryError(delay)      the same call may succeed later
    ├── StorageUnavailable     no network, time-outs, 5xx after the client's own retries
    ├── TrackingUnavailable    the same for MLflow
    │   └── NotPublished       a checkpoint that is scored is not on the server yet
    ├── LeaseHeld              another process works on the stage, or has taken it over
    └── Preempted              SIGTERM: progress is saved
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a stage's process ends; engines decide from it whether to try again (see `core.attempts`)."""

    SUCCEEDED = 0
    FAILED = 1  # an error nobody foresaw
    INVALID_INPUT = 2
    PERMANENT = 3
    DIVERGED = 4
    OUT_OF_MEMORY = 5
    LEASE_HELD = 10  # charged to no retry budget
    PREEMPTED = 11  # charged to the budget of preemptions
    UNAVAILABLE = 12  # charged to the budget of time for outages


class XstiltsError(Exception):
    """Root of all errors raised on purpose; shown to people without a traceback."""

    exit_code = ExitCode.FAILED


class UserError(XstiltsError, ValueError):
    """Bad input. The message names the field, the value and the way out."""

    exit_code = ExitCode.INVALID_INPUT


class PermanentError(XstiltsError):
    """Trying again cannot help."""

    exit_code = ExitCode.PERMANENT


class IntegrityError(PermanentError):
    """Stored bytes differ from what their manifest says."""


class StorageError(PermanentError):
    """The object store refuses: credentials, bucket, permissions, or no conditional writes."""


class TrackingError(PermanentError):
    """The MLflow server refuses."""


class CoverageError(PermanentError):
    """A hand-over would load fewer, more or other encoder weights than the encoder has."""


class DivergenceError(PermanentError):
    """The training loss is not a finite number any more."""

    exit_code = ExitCode.DIVERGED


class OutOfMemoryError(PermanentError):
    """The device has no memory for a batch."""

    exit_code = ExitCode.OUT_OF_MEMORY


class ZeroShotError(PermanentError):
    """A training stage asked for data that is not English."""


class TemporaryError(XstiltsError):
    """The same call may succeed after `delay` seconds."""

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, message: str, *, delay: float = 5.0) -> None:
        super().__init__(message)
        self.delay = delay


class StorageUnavailable(TemporaryError):
    """The object store does not answer."""


class TrackingUnavailable(TemporaryError):
    """The MLflow server does not answer."""


class NotPublished(TrackingUnavailable):
    """A checkpoint that a score belongs to is not on the server yet: the stage that made it publishes first."""


class LeaseHeld(TemporaryError):
    """Another process works on this stage, or has taken it over."""

    exit_code = ExitCode.LEASE_HELD


class Preempted(TemporaryError):
    """The process was asked to stop; progress is saved."""

    exit_code = ExitCode.PREEMPTED
