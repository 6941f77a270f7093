"""What the end of an attempt at a stage means for the next one: the same for every engine."""

from enum import StrEnum

from xstilts.core.errors import ExitCode


class Cause(StrEnum):
    """Why an attempt ended, by what it is charged to."""

    SUCCEEDED = "Succeeded"
    RETRYABLE = "Retryable"  # may pass: failurePolicy.retries
    PREEMPTED = "Preempted"  # ended from outside: failurePolicy.preemptionRetries
    LEASE_HELD = "LeaseHeld"  # somebody else is at it: nothing
    OUTAGE = "Outage"  # store or tracking server did not answer: failurePolicy.outageSeconds
    HOPELESS = "Hopeless"  # the next attempt would end the same way: there is none


HOPELESS = (ExitCode.INVALID_INPUT, ExitCode.PERMANENT, ExitCode.DIVERGED, ExitCode.OUT_OF_MEMORY)
UNCHARGED = (ExitCode.LEASE_HELD, ExitCode.PREEMPTED, ExitCode.UNAVAILABLE)
"""Codes that cost none of `failurePolicy.retries`."""

LONG_ATTEMPT_SECONDS = 900.0
"""An attempt that ran for longer before it met an outage has used store and server meanwhile: that is another outage.
More than a stage itself waits for them."""

_CAUSES = {
    ExitCode.SUCCEEDED: Cause.SUCCEEDED,
    ExitCode.LEASE_HELD: Cause.LEASE_HELD,
    ExitCode.PREEMPTED: Cause.PREEMPTED,
    ExitCode.UNAVAILABLE: Cause.OUTAGE,
    **dict.fromkeys(HOPELESS, Cause.HOPELESS),
}


def cause_of(exit_code: int) -> Cause:
    return next((cause for code, cause in _CAUSES.items() if code == exit_code), Cause.RETRYABLE)
