"""What the operator tells people beside the status."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Shown by `kubectl describe`; made once for each change of a status."""

    reason: str
    message: str
    warning: bool = False
