"""What a cluster may answer besides what was asked for.

XstiltsError
├── PermanentError
│   └── ClusterError             the API server refuses
│       ├── NotFound             there is no such object
│       ├── NotInstalled         the API server does not know the kind: its definition is missing
│       ├── AlreadyExists        an object has that name
│       ├── ForeignObject        an object has that name, and is not ours
│       ├── Unauthorized         it does not know who asks
│       ├── Forbidden            who asks may not, or a quota or a policy is in the way
│       └── Invalid              the object is not what it should be; one line a cause
└── TemporaryError(delay)
    ├── Conflict                 another was faster: read again, decide again
    └── ClusterUnavailable       no answer, time-outs, too many requests, 5xx: it may have been done
"""

from xstilts.core.errors import PermanentError, TemporaryError


class ClusterError(PermanentError):
    """The API server refuses."""


class NotFound(ClusterError):
    """There is no such object."""


class NotInstalled(ClusterError):
    """The API server does not know the kind."""


class AlreadyExists(ClusterError):
    """An object has that name, perhaps one that is being deleted."""


class ForeignObject(ClusterError):
    """An object has the name of one of ours and was not made for what ours does: it is neither used nor deleted."""


class Unauthorized(ClusterError):
    """The API server does not know who asks. A server that has just started may say so of anybody."""


class Forbidden(ClusterError):
    """Who asks may not, or a quota or a policy is in the way. A server that has just started may say so of anybody."""


class Invalid(ClusterError):
    """The object breaks its schema or a rule. The message has one line a cause: field and what is wrong."""


class Conflict(TemporaryError):
    """The object is not any more what the request supposes. The same request fails again: read, and decide again."""

    def __init__(self, message: str, *, delay: float = 0) -> None:
        super().__init__(message, delay=delay)


class ClusterUnavailable(TemporaryError):
    """No answer, or none to be used. A write may have been done all the same: look before doing it again."""
