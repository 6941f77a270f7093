"""Whom the operator asks as itself: addresses to which the installation lends the operator's own identity.

Whoever may make Studies chooses their addresses, so an identity that went to any of them would belong to everybody.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from xstilts.api.addresses import checked, normalized
from xstilts.core.errors import UserError

HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class _Bucket:
    name: str
    prefix: tuple[str, ...]
    endpoint: str | None

    def covers(self, other: "_Bucket") -> bool:
        """Whole parts of the prefix are compared; what a server might read as another path is in no other."""
        return (
            (self.name, self.endpoint) == (other.name, other.endpoint)
            and self.prefix == other.prefix[: len(self.prefix)]
            and not {"", ".", ".."} & set(other.prefix)
        )


@dataclass(frozen=True, slots=True)
class Lending:
    """Buckets and servers that are asked as the operator where a Study brings no credentials of its own."""

    buckets: tuple[_Bucket, ...] = ()
    servers: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, addresses: Iterable[str]) -> "Lending":
        """`s3://bucket/prefix` (AWS), `s3://bucket/prefix?endpoint=https://host:port` (others), `https://host/path`
        (MLflow, or the hub). Raises UserError for any other.
        """
        buckets, servers = [], set()
        for address in addresses:
            try:
                if address.startswith("s3://"):
                    uri, _, query = address.partition("?")
                    options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
                    endpoint = options.pop("endpoint", None)
                    if options:
                        raise ValueError(f"{', '.join(options)}: endpoint is the only option")
                    buckets.append(_bucket(checked(uri), endpoint and normalized(checked(endpoint))))
                else:
                    servers.add(normalized(checked(address)))
            except ValueError as error:
                raise UserError(
                    f"--lend-identity-to {address!r}: {error}; write s3://bucket/prefix, "
                    "s3://bucket/prefix?endpoint=https://host:port, or https://host:port"
                ) from error
        return cls(tuple(buckets), frozenset(servers))

    def covers_bucket(self, uri: str, *, endpoint: str | None = None) -> bool:
        if not uri.startswith("s3://"):
            return False
        asked = _bucket(uri, normalized(endpoint) if endpoint else None)
        return any(bucket.covers(asked) for bucket in self.buckets)

    def covers_server(self, address: str) -> bool:
        return normalized(address) in self.servers

    @property
    def covers_hub(self) -> bool:
        return self.covers_server(os.environ.get("HF_ENDPOINT") or HUB)


def _bucket(uri: str, endpoint: str | None) -> _Bucket:
    parts = urlsplit(uri)
    path = parts.path.strip("/")
    return _Bucket(parts.netloc, tuple(path.split("/")) if path else (), endpoint)
