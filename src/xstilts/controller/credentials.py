"""What a child process of the operator knows: what the Secrets of one Study say, and no more.

Whoever may write a Secret must not gain the operator's rights by it. Of a Secret only documented variables are passed
on: others make boto3, MLflow or the system run commands, or ask other servers. Of `ca.crt` only certificates are.
"""

import base64
import binascii
import os
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from xstilts.api.access import CA_KEY, HUB_KEYS, STORE_KEYS, TRACKING_KEYS, SecretRef
from xstilts.api.names import Reason
from xstilts.api.study import Study
from xstilts.cluster.errors import ClusterError, Forbidden
from xstilts.cluster.port import SECRETS, Cluster
from xstilts.controller.lending import Lending
from xstilts.core.errors import PermanentError

SECRET_SECONDS = 300.0
"""Time for which a Secret is not read again."""

Service = Literal["store", "tracking", "hub"]
IDENTITIES: Mapping[Service, frozenset[str]] = {
    "store": frozenset(
        {
            *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
            *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
            *("AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE", "BOTO_CONFIG"),
            *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
            *("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        }
    ),
    "tracking": frozenset(
        {
            *TRACKING_KEYS,
            *("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_TRACKING_CLIENT_CERT_PATH", "NETRC"),
        }
    ),
    "hub": frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"}),
}
"""Variables by which the operator itself is known. They belong together: a key of one is nothing beside a token of
another."""
FILES: Mapping[Service, Mapping[str, str]] = {
    "store": {
        "AWS_CONFIG_FILE": ".aws/config",
        "AWS_SHARED_CREDENTIALS_FILE": ".aws/credentials",
        "BOTO_CONFIG": ".boto",
    },
    "tracking": {"NETRC": ".netrc"},
    "hub": {"HF_TOKEN_PATH": ".cache/huggingface/token"},
}
"""Variables that name files with credentials, and where libraries look below HOME without them."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


class SecretError(PermanentError):
    """Credentials of a Study can't be used; `reason` says why, and `service` what they are for."""

    def __init__(self, message: str, *, service: Service, reason: str = Reason.MISSING) -> None:
        super().__init__(message)
        self.reason, self.service = reason, service


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of one Study."""

    variables: Mapping[str, str]
    """From its Secrets."""
    certificates: str | None
    """PEM of the authorities of its store."""
    lent: frozenset[Service]
    """What is asked as the operator itself."""

    def environment(self, own: Mapping[str, str], folder: Path) -> dict[str, str]:
        """Of a child whose files lie in `folder`: the operator's `own`, without an identity that is not lent."""
        kept = dict(own)
        for service, files in FILES.items():
            if service in self.lent:
                home = Path(own.get("HOME", folder))
                kept = {name: str(home / file) for name, file in files.items()} | kept
            else:
                kept = {name: value for name, value in kept.items() if name not in IDENTITIES[service]}
                kept |= dict.fromkeys(files, os.devnull)
        if "store" not in self.lent:
            kept["AWS_EC2_METADATA_DISABLED"] = "true"
        if "tracking" not in self.lent:
            kept["HOME"] = str(folder)  # MLflow has no variable for its file of credentials there
        if self.certificates is not None:
            bundle = folder / CA_KEY
            bundle.write_text(self.certificates)
            kept["AWS_CA_BUNDLE"] = str(bundle)
        return kept | dict(self.variables)


@dataclass
class Secrets:
    """Reads what Studies refer to. Raises SecretError."""

    cluster: Cluster
    lending: Lending
    _known: dict[tuple[str, str], tuple[float, Mapping[str, str]]] = field(default_factory=dict)

    def credentials(self, namespace: str, study: Study) -> Credentials:
        store, tracking, model = study.spec.store, study.spec.tracking, study.spec.model
        variables: dict[str, str] = {}
        lent: set[Service] = set()
        if store.secret_ref:
            variables |= self._read(namespace, store.secret_ref, "store.secretRef", STORE_KEYS, "store")
        else:
            self._check_lent(study)
            lent.add("store")
        if tracking.secret_ref:
            found = self._read(namespace, tracking.secret_ref, "tracking.secretRef", TRACKING_KEYS, "tracking")
            if not found:
                raise SecretError(
                    f"spec.tracking.secretRef: Secret {tracking.secret_ref.name!r} has none of "
                    f"{', '.join(TRACKING_KEYS)}; add the token, or user and password",
                    service="tracking",
                )
            variables |= found
        elif self.lending.covers_server(tracking.uri):
            lent.add("tracking")
        if model.token_secret_ref:
            variables |= self._read(namespace, model.token_secret_ref, "model.tokenSecretRef", HUB_KEYS, "hub")
        elif self.lending.covers_hub:
            lent.add("hub")
        return Credentials(variables, self._certificates(namespace, store.ca_secret_ref), frozenset(lent))

    def forget(self, namespace: str, study: Study) -> None:
        """The next look sees what is there now."""
        for name in _keys_by_secret(study):
            self._known.pop((namespace, name), None)

    def unused(self, namespace: str, study: Study) -> str:
        """Says which keys of the Secrets that were read no process gets."""
        read = ((name, keys, self._known.get((namespace, name))) for name, keys in _keys_by_secret(study).items())
        left = {name: sorted(known[1].keys() - keys) for name, keys, known in read if known}
        return "; ".join(f"Secret {name!r}: not used: {', '.join(keys)}" for name, keys in left.items() if keys)

    def _check_lent(self, study: Study) -> None:
        """Data, artifacts and a model in a bucket are asked for with the same identity."""
        store, model = study.spec.store, study.spec.model
        for field_name, uri in (("store.uri", store.uri), ("model.uri", model.uri)):
            if uri and not self.lending.covers_bucket(uri, endpoint=store.endpoint):
                at = f" at {store.endpoint}" if store.endpoint else ""
                raise SecretError(
                    f"spec.{field_name}: {uri}{at} is not among the addresses to which the operator lends its own "
                    "identity; name a Secret in spec.store.secretRef, or add the address to lendIdentityTo of the "
                    "installation",
                    service="store",
                    reason=Reason.NOT_LENT,
                )

    def _read(
        self, namespace: str, ref: SecretRef, field_name: str, keys: Mapping[str, bool], service: Service
    ) -> dict[str, str]:
        """Values of the keys that are there."""
        data = self._data(namespace, ref, field_name, service)
        if missing := [key for key, required in keys.items() if required and key not in data]:
            raise SecretError(
                f"spec.{field_name}: Secret {ref.name!r} has no key {', '.join(missing)}; add it", service=service
            )
        found = {}
        for key in keys.keys() & data.keys():
            where = f"spec.{field_name}: key {key} of Secret {ref.name!r}"
            found[key] = _text(data[key], where, service)
            if _CONTROL.search(found[key]):
                raise SecretError(
                    f"{where} has a line break or another control character; write the value alone",
                    service=service,
                    reason=Reason.UNREADABLE,
                )
        return found

    def _certificates(self, namespace: str, ref: SecretRef | None) -> str | None:
        if ref is None:
            return None
        data = self._data(namespace, ref, "store.caSecretRef", "store")
        where = f"spec.store.caSecretRef: key {CA_KEY} of Secret {ref.name!r}"
        if CA_KEY not in data:
            raise SecretError(
                f"spec.store.caSecretRef: Secret {ref.name!r} has no key {CA_KEY}; add it", service="store"
            )
        try:
            return certificates(_text(data[CA_KEY], where, "store"))
        except ValueError as error:
            raise SecretError(f"{where} {error}", service="store", reason=Reason.UNREADABLE) from error

    def _data(self, namespace: str, ref: SecretRef, field_name: str, service: Service) -> Mapping[str, str]:
        key = (namespace, ref.name)
        known = self._known.get(key)
        if known and time.monotonic() - known[0] < SECRET_SECONDS:
            return known[1]
        try:
            found = self.cluster.get(SECRETS, namespace, ref.name)
        except Forbidden as error:
            raise SecretError(
                f"spec.{field_name}: the operator may not read Secret {ref.name!r} in namespace {namespace!r}; add its "
                "name to allowedSecretNames of the installation",
                service=service,
                reason=Reason.FORBIDDEN,
            ) from error
        except ClusterError as error:
            raise SecretError(f"spec.{field_name}: {error}", service=service) from error
        if found is None:
            raise SecretError(
                f"spec.{field_name}: there is no Secret {ref.name!r} in namespace {namespace!r}; create it",
                service=service,
            )
        data: Mapping[str, str] = found.get("data") or {}
        self._known[key] = (time.monotonic(), data)
        return data


def _keys_by_secret(study: Study) -> Mapping[str, set[str]]:
    """Keys that are read, by the Secret's name: one Secret may be there for several purposes."""
    store, tracking, model = study.spec.store, study.spec.tracking, study.spec.model
    found: dict[str, set[str]] = {}
    for ref, keys in (
        (store.secret_ref, STORE_KEYS),
        (store.ca_secret_ref, (CA_KEY,)),
        (tracking.secret_ref, TRACKING_KEYS),
        (model.token_secret_ref, HUB_KEYS),
    ):
        if ref:
            found.setdefault(ref.name, set()).update(keys)
    return found


def _text(encoded: str, where: str, service: Service) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise SecretError(
            f"{where} is not UTF-8; write it as text", service=service, reason=Reason.UNREADABLE
        ) from error


def certificates(text: str) -> str:
    """The certificates of a PEM file, and nothing that stands beside them. Raises ValueError."""
    found = []
    for number, block in enumerate(_CERTIFICATE.findall(text), start=1):
        try:
            encoded = ssl.PEM_cert_to_DER_cert(block)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=encoded)
        except (ValueError, ssl.SSLError) as error:
            raise ValueError(f"has no valid certificate at place {number}: {error}") from error
        found.append(ssl.DER_cert_to_PEM_cert(encoded))
    if not found:
        raise ValueError("has no certificate; write PEM, from -----BEGIN CERTIFICATE----- on")
    return "".join(found)
