"""Times as the cluster writes them, and as the operator counts them: seconds since 1970."""

from datetime import UTC, datetime


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, without fractions."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> float:
    """Raises ValueError for what is no RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()
