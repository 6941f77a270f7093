"""A request to the Kubernetes API in the words that people use for it: verb, resource, namespace, name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

_RESOURCE = re.compile(
    r"/(?:api|apis/[^/]+)/[^/]+(?:/namespaces/(?P<namespace>[^/]+)(?=/(?!status$|finalize$)))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>.+))?)?"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    user_agent: str = ""
    status: int = 0
    """What the client was answered; 0 if it was left without an answer."""
    fault: str = ""
    """The one that was injected."""

    @classmethod
    def to(cls, method: str, address: str, user_agent: str) -> "Request":
        parts = urlsplit(address)
        return cls(method, parts.path, dict(parse_qsl(parts.query)), user_agent)

    @property
    def verb(self) -> str:
        """As RBAC names it."""
        if self.method in _VERBS:
            return _VERBS[self.method]
        if self.method == "DELETE":
            return "delete" if self.name else "deletecollection"
        if self.query.get("watch") in {"1", "true"}:
            return "watch"
        return "get" if self.name or not self.resource else "list"

    @property
    def namespace(self) -> str:
        return self._part("namespace")

    @property
    def name(self) -> str:
        return self._part("name")

    @property
    def resource(self) -> str:
        """With its subresource, as in `pods/log`; empty for paths such as /version."""
        subresource = self._part("subresource")
        return self._part("resource") + (f"/{subresource}" if subresource else "")

    def _part(self, name: str) -> str:
        found = _RESOURCE.fullmatch(self.path)
        return (found[name] or "") if found else ""
