"""Times as the cluster writes them, and as the operator counts them: seconds since 1970."""

from datetime import UTC, datetime

LONGEST_WAIT = 60.0
"""Seconds for which nothing is done after a call that failed, or about a stage that somebody else holds, at most."""


def is_to_come(moment: float, now: float) -> bool:
    """Whether a wait is not over. It is, too, where its end is further off than any wait: the clock was put back."""
    return now < moment <= now + LONGEST_WAIT


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, without fractions."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> float:
    """Raises ValueError for what is no RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()
