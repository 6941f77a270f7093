"""Where calls to stores and tracking servers are made: a child process for each set of credentials.

boto3 and MLflow take credentials from the environment, which is one for a whole process; Studies of several teams have
several. Children start when they are first needed and end when nobody has asked for a while, so that an idle operator
is small: MLflow alone takes more memory than ten thousand Trials. A child that dies takes one call with it.
"""

import base64
import contextlib
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from xstilts.api.access import SecretRef
from xstilts.api.names import Reason
from xstilts.api.study import Study
from xstilts.cluster.errors import ClusterError, Forbidden
from xstilts.cluster.port import SECRETS, Cluster, Object
from xstilts.controller.silence import Silence
from xstilts.controller.views import Accepted, Check, Claim, Conclusion, Diagnosis, JobEnd, Known, Refusal, Start
from xstilts.core.errors import PermanentError, StorageUnavailable

ANSWER_SECONDS = 600.0
"""Time after which a child that does not answer is ended; reports of large studies take long."""
IDLE_SECONDS = 60.0
"""Time without a call after which a child ends."""
SECRET_SECONDS = 300.0
"""Time for which a Secret is not read again."""
CHILDREN = 2
"""Children for the same credentials at most."""

log = logging.getLogger(__name__)


class SecretError(PermanentError):
    """A Secret that a Study names can't be used; `reason` says why."""

    def __init__(self, message: str, *, reason: str = Reason.MISSING) -> None:
        super().__init__(message)
        self.reason = reason


class Desk(Protocol):
    """What the operator asks of the world outside of the cluster; see `Clerk` for what each call means.

    `namespace` is where the Study's Secrets are. All raise PermanentError or TemporaryError.
    """

    def preflight(self, namespace: str, study: Study) -> tuple[Check, Check]: ...
    def accept(self, namespace: str, study: Study, previous: str | None) -> Accepted | Refusal: ...
    def recall(self, namespace: str, study: Study, digest: str) -> Accepted: ...
    def changed(self, namespace: str, study: Study) -> bool: ...
    def prepare(self, namespace: str, study: Study, digest: str, start: Start) -> Object | Known | Claim: ...
    def publish(self, namespace: str, study: Study, digest: str, address: str) -> Known | Claim: ...
    def diagnose(self, namespace: str, study: Study, address: str, printed: bytes | None, end: JobEnd) -> Diagnosis: ...
    def publish_trial(self, namespace: str, study: Study, digest: str, trial: str) -> dict[str, str]: ...
    def conclude(self, namespace: str, study: Study, digest: str, failures: Mapping[str, str]) -> Conclusion: ...


@dataclass
class ChildDesk:
    """The desk of an operator: reads Secrets, and passes calls on to children that have them in their environment."""

    cluster: Cluster
    silence: Silence = field(default_factory=Silence)
    _secrets: dict[tuple[str, str], tuple[float, Mapping[str, str]]] = field(default_factory=dict)
    _pools: dict[frozenset[tuple[str, str]], "_Pool"] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def preflight(self, namespace: str, study: Study) -> tuple[Check, Check]:
        self._forget(namespace, study)
        try:
            environment = self._environment(namespace, study)
        except SecretError as error:
            refused = Check(ready=False, reason=error.reason, message=str(error))
            store_too = study.spec.store.secret_ref is None and study.spec.store.ca_secret_ref is None
            waiting = Check(ready=False, reason=Reason.PENDING, message="not tried: a secret is missing")
            return (waiting, refused) if store_too else (refused, waiting)
        found: tuple[Check, Check] = self._call(environment, "preflight", study)
        return found

    def accept(self, namespace: str, study: Study, previous: str | None) -> Accepted | Refusal:
        return self._ask(namespace, study, "accept", previous)  # type: ignore[no-any-return]

    def recall(self, namespace: str, study: Study, digest: str) -> Accepted:
        return self._ask(namespace, study, "recall", digest)  # type: ignore[no-any-return]

    def changed(self, namespace: str, study: Study) -> bool:
        return self._ask(namespace, study, "changed")  # type: ignore[no-any-return]

    def prepare(self, namespace: str, study: Study, digest: str, start: Start) -> Object | Known | Claim:
        stage = (study.spec.store, start.address)
        known = replace(start, expired=self.silence.expired(stage))
        answer: Object | Known | Claim = self._ask(namespace, study, "prepare", digest, known)
        if isinstance(answer, Claim):
            return self.silence.noted(stage, answer)
        self.silence.forget(stage)
        return answer

    def publish(self, namespace: str, study: Study, digest: str, address: str) -> Known | Claim:
        return self._ask(namespace, study, "publish", digest, address)  # type: ignore[no-any-return]

    def diagnose(self, namespace: str, study: Study, address: str, printed: bytes | None, end: JobEnd) -> Diagnosis:
        return self._ask(namespace, study, "diagnose", address, printed, end)  # type: ignore[no-any-return]

    def publish_trial(self, namespace: str, study: Study, digest: str, trial: str) -> dict[str, str]:
        return self._ask(namespace, study, "publish_trial", digest, trial)  # type: ignore[no-any-return]

    def conclude(self, namespace: str, study: Study, digest: str, failures: Mapping[str, str]) -> Conclusion:
        return self._ask(namespace, study, "conclude", digest, failures)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends all children."""
        for pool in list(self._pools.values()):
            pool.close()

    # ---- calls

    def _ask(self, namespace: str, study: Study, call: str, *arguments: Any) -> Any:
        return self._call(self._environment(namespace, study), call, study, *arguments)

    def _call(self, environment: Mapping[str, str], call: str, *arguments: Any) -> Any:
        key = frozenset(environment.items())
        with self._lock:
            pool = self._pools.setdefault(key, _Pool(environment))
        return pool.call(call, arguments)

    # ---- secrets

    def _environment(self, namespace: str, study: Study) -> dict[str, str]:
        store, tracking = study.spec.store, study.spec.tracking
        environment: dict[str, str] = {}
        for field_name, ref in (("store.secretRef", store.secret_ref), ("tracking.secretRef", tracking.secret_ref)):
            if ref:
                environment |= self._secret(namespace, ref, field_name)
        if store.ca_secret_ref:
            found = self._secret(namespace, store.ca_secret_ref, "store.caSecretRef")
            if "ca.crt" not in found:
                name = store.ca_secret_ref.name
                raise SecretError(f"spec.store.caSecretRef: Secret {name!r} has no key ca.crt; add it")
            environment[CA_VARIABLE] = found["ca.crt"]
        return environment

    def _secret(self, namespace: str, ref: SecretRef, field_name: str) -> Mapping[str, str]:
        key = (namespace, ref.name)
        known = self._secrets.get(key)
        if known and time.monotonic() - known[0] < SECRET_SECONDS:
            return known[1]
        try:
            found = self.cluster.get(SECRETS, namespace, ref.name)
        except Forbidden as error:
            raise SecretError(
                f"spec.{field_name}: the operator may not read Secret {ref.name!r} in namespace {namespace!r}; add its "
                "name to allowedSecretNames of the installation",
                reason=Reason.FORBIDDEN,
            ) from error
        except ClusterError as error:
            raise SecretError(f"spec.{field_name}: {error}") from error
        if found is None:
            raise SecretError(
                f"spec.{field_name}: there is no Secret {ref.name!r} in namespace {namespace!r}; create it"
            )
        data = {name: base64.b64decode(value).decode() for name, value in (found.get("data") or {}).items()}
        self._secrets[key] = (time.monotonic(), data)
        return data

    def _forget(self, namespace: str, study: Study) -> None:
        """A preflight tries what is there now."""
        refs = (study.spec.store.secret_ref, study.spec.store.ca_secret_ref, study.spec.tracking.secret_ref)
        for ref in refs:
            if ref:
                self._secrets.pop((namespace, ref.name), None)


# ---- children

CA_VARIABLE = "XSTILTS_CA_CERTIFICATE"
"""PEM of the certificate authority, which a child writes to a file."""
IDENTITIES = (
    {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"},
    {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"},
)
"""Variables that belong together: a key of one identity is nothing beside a token of another."""


class _Pool:
    """Children with one environment; a call waits for one that is free."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._free: list[_Child] = []
        self._room = threading.BoundedSemaphore(CHILDREN)
        self._lock = threading.Lock()

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        with self._room:
            child = self._take()
            try:
                answer = child.call(name, arguments)
            except (EOFError, OSError) as error:
                child.end()
                raise StorageUnavailable(f"{name} was cut off: its process ended") from error
            with self._lock:
                self._free.append(child)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _take(self) -> "_Child":
        with self._lock:
            while self._free:
                child = self._free.pop()
                if child.process.is_alive():
                    return child
                child.end()
        return _Child.start(self._environment)

    def close(self) -> None:
        with self._lock:
            for child in self._free:
                child.end()
            self._free.clear()


@dataclass
class _Child:
    process: BaseProcess
    channel: Connection

    @classmethod
    def start(cls, environment: Mapping[str, str]) -> "_Child":
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, dict(environment)), daemon=True, name="desk")
        process.start()
        theirs.close()
        return cls(process, ours)

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Raises EOFError or OSError when the child is gone, or does not answer."""
        self.channel.send((name, arguments))
        if not self.channel.poll(ANSWER_SECONDS):
            raise OSError(f"no answer to {name}")
        return self.channel.recv()

    def end(self) -> None:
        self.channel.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()


def serve(channel: Connection, environment: Mapping[str, str]) -> None:
    """What a child does: answers calls until nobody asks any more."""
    from xstilts.controller.clerk import Clerk  # with all that plans and reports need, in no other process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the operator ends its children when it has ended its calls
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    own = own_environment(environment)
    os.environ.clear()
    os.environ.update(own)
    with tempfile.TemporaryDirectory(prefix="xstilts-desk-") as folder:
        if CA_VARIABLE in environment:
            bundle = Path(folder) / "ca.crt"
            bundle.write_text(environment[CA_VARIABLE])
            os.environ["AWS_CA_BUNDLE"] = str(bundle)
        clerk = Clerk()
        with contextlib.suppress(EOFError, OSError):
            while channel.poll(IDLE_SECONDS):
                name, arguments = channel.recv()
                channel.send(_answer(getattr(clerk, name), arguments))


def own_environment(secrets: Mapping[str, str]) -> dict[str, str]:
    """What a stage with these Secrets would have: nothing of the operator's own identity mixed into that of a Study."""
    foreign = {name for identity in IDENTITIES if identity & secrets.keys() for name in identity}
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    return kept | {name: value for name, value in secrets.items() if name != CA_VARIABLE}


def _answer(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return call(*arguments)
    except Exception as error:  # whatever it is, it concerns one call
        log.debug("%s", call, exc_info=True)
        return error
