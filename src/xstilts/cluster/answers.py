"""What an API server answers when it does not do what was asked, in our own words.

Each error names what was asked for, what the server said, and what a person can do about it.
"""

import json
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

import urllib3

from xstilts.cluster.errors import (
    AlreadyExists,
    ClusterError,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotInstalled,
    Unauthorized,
)
from xstilts.cluster.port import Resource
from xstilts.core.errors import XstiltsError

MESSAGE_LENGTH = 1000
"""Characters of a server's message that are kept: enough for what a person reads, not for a status of our own."""

_REFUSED_AS_500 = ("failed to create typed patch object", "resourceVersion should not be set on objects to be created")
"""Mistakes of who asks that the API server (1.36) calls errors of its own: applied fields of the wrong type or name."""


class Request(NamedTuple):
    """One call of the API, for messages, counts and permissions."""

    verb: str
    """As in RBAC: get, list, create, patch, update, delete; apply is a patch."""
    resource: Resource
    namespace: str | None
    name: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        subresource = f"/{self.subresource}" if self.subresource else ""
        place = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{subresource}{name}{place}"


class Refusal(NamedTuple):
    """An answer that is no success."""

    code: int
    reason: str
    message: str
    details: Mapping[str, Any]
    retry_after: float | None

    @classmethod
    def of(cls, code: int, headers: Mapping[str, str], body: bytes) -> "Refusal":
        """Read the `Status` object; proxies on the way answer with something else."""
        try:
            status = json.loads(body)
            status = status if isinstance(status, dict) and status.get("kind") == "Status" else None
        except ValueError:
            status = None
        if status is None:
            status = {"message": body[:MESSAGE_LENGTH].decode("utf-8", "replace").strip()}
        details = status.get("details") or {}
        after = str(headers.get("Retry-After") or details.get("retryAfterSeconds") or "")
        return cls(
            code=code,
            reason=status.get("reason") or "",
            message=str(status.get("message") or "")[:MESSAGE_LENGTH],
            details=details,
            retry_after=float(after) if after.isdecimal() else None,
        )

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Field and message of each thing that is wrong."""
        return [(cause.get("field", ""), cause.get("message", "")) for cause in self.details.get("causes") or ()]


def refused(request: Request, said: Refusal) -> XstiltsError:
    """For an answer of the server."""
    if said.code in {404, 401, 403}:
        return _turned_away(request, said)
    if said.code == 410:
        return ClusterUnavailable(f"{request}: the listing took too long; list again ({said.message})", delay=0)
    if said.code == 409 or _is_late(said):
        error = AlreadyExists if said.reason == "AlreadyExists" else Conflict
        return error(f"{request}: {said.message}")
    if said.code in {400, 413, 422} or said.message.startswith(_REFUSED_AS_500):
        return Invalid(_complaints(request, said))
    if said.code == 429 or said.code >= 500:
        delay = {} if said.retry_after is None else {"delay": said.retry_after}
        return ClusterUnavailable(f"{request}: the API server is not able to now ({_text(said)})", **delay)
    return ClusterError(f"{request}: {_text(said)}")


def unanswered(request: Request, server: str, error: Exception) -> XstiltsError:
    """For a request that was never sent, or had no whole answer."""
    causes = [error, error.__cause__, error.__context__, *error.args]
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return ClusterError(
            f"{request}: {server} shows a certificate that is not trusted; check certificate-authority and server in "
            f"the kubeconfig ({error})"
        )
    if isinstance(error, urllib3.exceptions.LocationValueError):
        return ClusterError(f"{request}: {server!r} is no address of an API server; check server in the kubeconfig")
    return ClusterUnavailable(f"{request}: no answer from {server} ({error})")


def _turned_away(request: Request, said: Refusal) -> ClusterError:
    if said.code == 401:
        return Unauthorized(
            f"{request}: the cluster does not accept the credentials; log in again, or correct the kubeconfig's "
            f"user ({said.message})"
        )
    return _forbidden(request, said) if said.code == 403 else _missing(request, said)


def _forbidden(request: Request, said: Refusal) -> Forbidden:
    """RBAC refuses in a form of its own; quotas, policies and ending namespaces have the same code."""
    if " cannot " not in said.message:
        return Forbidden(f"{request}: {said.message}")
    subresource = f"/{request.subresource}" if request.subresource else ""
    where = f"--namespace {request.namespace}" if request.namespace else "--all-namespaces"
    return Forbidden(
        f"{request}: not allowed; ask for a Role with verb {request.verb} on {request.resource}{subresource}, "
        f"check by: kubectl auth can-i {request.verb} {request.resource}{subresource} {where} ({said.message})"
    )


def _missing(request: Request, said: Refusal) -> ClusterError:
    """An object that is not there has a name in the answer; a kind that is not there has none."""
    if said.details.get("name"):
        return NotFound(f"{request}: {said.message}")
    return NotInstalled(
        f"{request}: the cluster does not know the kind {request.resource.kind} ({request.resource.api_version}); "
        "install its definition"
    )


def _is_late(said: Refusal) -> bool:
    """Whether the object is not what a patch supposes: no `test` of it may fail, and it has its uid."""
    if said.code != 422:
        return False
    return not said.causes or any(field == "metadata.uid" for field, _ in said.causes)


def _complaints(request: Request, said: Refusal) -> str:
    lines = dict.fromkeys(f"  {field}: {message}" if field else f"  {message}" for field, message in said.causes)
    return "\n".join([f"{request}: the API server refuses it", *(lines or [f"  {said.message}"])])


def _text(said: Refusal) -> str:
    return f"{said.code} {said.reason}: {said.message}".replace(" :", ":")
