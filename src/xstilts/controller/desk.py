"""Where calls to stores and tracking servers are made: in child processes, each for one set of credentials.

boto3 and MLflow take credentials from the environment, which is one for a whole process; Studies of several teams have
several. Children start when they are first needed and end when nobody has asked for a while, so that an idle operator
is small: MLflow alone takes more memory than ten thousand Trials. A child that dies takes one call with it.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from xstilts.api.names import Reason
from xstilts.api.study import Study
from xstilts.cluster.port import Object
from xstilts.controller.calls import Line
from xstilts.controller.credentials import Credentials, SecretError, Secrets
from xstilts.controller.lending import Lending
from xstilts.controller.silence import Silence
from xstilts.controller.views import Accepted, Check, Claim, Conclusion, Diagnosis, JobEnd, Known, Refusal, Start
from xstilts.core.errors import StorageUnavailable, TemporaryError, TrackingUnavailable

LIMITS: Mapping[str, float] = {
    "check_store": 90.0,
    "check_tracking": 90.0,
    "accept": 600.0,  # may bring a model into the store
    "changed": 600.0,
    "conclude": 600.0,  # reports of large studies take long
    "": 180.0,
}
"""Seconds after which a child that does not answer a call is ended; of calls that are not named, the last."""
PATIENCE: Mapping[str, str] = {
    "AWS_MAX_ATTEMPTS": "4",
    "XSTILTS_READ_SECONDS": "15",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
"""One request to a server that is silent takes a minute, less than any limit: so the message says which server it was.
Calls that failed are made again later. What the operator's own environment says wins."""
IDLE_SECONDS = 60.0
"""Time without a call after which a child ends."""
CHILDREN = 8
"""Children at most, unless more are at work; each takes some 200 MB."""

log = logging.getLogger(__name__)


class Desk(Protocol):
    """What the operator asks of the world outside of the cluster; see `Clerk` for what each call means.

    `namespace` is where the Study's Secrets are. All raise PermanentError or TemporaryError.
    """

    def preflight(self, namespace: str, study: Study) -> tuple[Check, Check]: ...
    def accept(self, namespace: str, study: Study, previous: str | None) -> Accepted | Refusal: ...
    def recall(self, namespace: str, study: Study, digest: str) -> Accepted | Refusal: ...
    def changed(self, namespace: str, study: Study) -> bool: ...
    def prepare(self, namespace: str, study: Study, digest: str, start: Start) -> Object | Known | Claim: ...
    def publish(self, namespace: str, study: Study, digest: str, address: str) -> Known | Claim: ...
    def diagnose(self, namespace: str, study: Study, address: str, printed: bytes | None, end: JobEnd) -> Diagnosis: ...
    def publish_trial(self, namespace: str, study: Study, digest: str, trial: str) -> dict[str, str]: ...
    def conclude(self, namespace: str, study: Study, digest: str, failures: Mapping[str, str]) -> Conclusion: ...


@dataclass
class ChildDesk:
    """The desk of an operator: reads Secrets, and passes calls on to children that have them in their environment."""

    secrets: Secrets
    silence: Silence = field(default_factory=Silence)
    limits: Mapping[str, float] = field(default_factory=lambda: LIMITS)
    _idle: list["_Child"] = field(default_factory=list)
    """Those that have been so for longest come first."""
    _busy: set["_Child"] = field(default_factory=set)
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def preflight(self, namespace: str, study: Study) -> tuple[Check, Check]:
        self.secrets.forget(namespace, study)
        try:
            credentials = self.secrets.credentials(namespace, study)
        except SecretError as error:
            refused = Check(ready=False, reason=error.reason, message=str(error))
            waiting = Check(ready=False, reason=Reason.PENDING, message="not tried: credentials are missing")
            return (waiting, refused) if error.service == "tracking" else (refused, waiting)
        storage = self._check(namespace, study, credentials, "check_store", StorageUnavailable)
        tracking = self._check(namespace, study, credentials, "check_tracking", TrackingUnavailable)
        if storage.ready:
            storage = replace(storage, message=self.secrets.unused(namespace, study))
        return storage, tracking

    def _check(
        self, namespace: str, study: Study, credentials: Credentials, call: str, unavailable: type[TemporaryError]
    ) -> Check:
        try:
            found: Check = self._call(namespace, study, credentials, call)
        except StorageUnavailable as error:
            return Check(ready=False, reason=unavailable.__name__, message=str(error))
        return found

    def accept(self, namespace: str, study: Study, previous: str | None) -> Accepted | Refusal:
        return self._ask(namespace, study, "accept", previous)  # type: ignore[no-any-return]

    def recall(self, namespace: str, study: Study, digest: str) -> Accepted | Refusal:
        return self._ask(namespace, study, "recall", digest)  # type: ignore[no-any-return]

    def changed(self, namespace: str, study: Study) -> bool:
        return self._ask(namespace, study, "changed")  # type: ignore[no-any-return]

    def prepare(self, namespace: str, study: Study, digest: str, start: Start) -> Object | Known | Claim:
        stage = (study.spec.store, start.address)
        known = replace(start, expired=self.silence.expired(stage))
        try:
            answer: Object | Known | Claim = self._ask(namespace, study, "prepare", digest, known)
        except StorageUnavailable:  # while the store is away no holder can renew: its silence counts from the return
            self.silence.forget(stage)
            raise
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

    # ---- calls

    def _ask(self, namespace: str, study: Study, call: str, *arguments: Any) -> Any:
        return self._call(namespace, study, self.secrets.credentials(namespace, study), call, *arguments)

    def _call(self, namespace: str, study: Study, credentials: Credentials, call: str, *arguments: Any) -> Any:
        child = self._take(_Known(Line.of(namespace, study), credentials))
        limit = self.limits.get(call, self.limits[""])
        answered = False
        try:
            answer = child.call(call, (study, *arguments), limit)
            answered = True
        except (EOFError, OSError) as error:
            raise StorageUnavailable(f"{call} was ended: {error or 'its process died'}") from error
        finally:
            with self._lock:
                self._busy.discard(child)
                if answered:
                    self._idle.append(child)
            if not answered:
                child.end()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _take(self, known: "_Known") -> "_Child":
        """A child that is idle, or a new one; then one that knows something else may have to go."""
        with self._lock:
            if self._closed:
                raise StorageUnavailable("the operator is being stopped")
            alive = [child for child in self._idle if child.process.is_alive()]
            gone = [child for child in self._idle if child not in alive]
            child = next((child for child in alive if child.known == known), None)
            if child:
                alive.remove(child)
            elif alive and len(alive) + len(self._busy) >= CHILDREN:
                gone.append(alive.pop(0))
            self._idle = alive
            if child:
                self._busy.add(child)
        for each in gone:
            each.end()
        if child is None:
            child = _Child.start(known, self.secrets.lending)
            with self._lock:
                self._busy.add(child)
                closed = self._closed
            if closed:
                child.process.kill()
        return child

    def close(self) -> None:
        """Ends all children, and so the calls that wait for them."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for child in self._busy:
                child.process.kill()
        for child in idle:
            child.end()


# ---- children


@dataclass(frozen=True)
class _Known:
    """What a child is for: nothing of one store or of one set of credentials serves another."""

    line: Line
    credentials: Credentials


@dataclass(eq=False)
class _Child:
    known: _Known
    process: BaseProcess
    channel: Connection

    @classmethod
    def start(cls, known: _Known, lending: Lending) -> "_Child":
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(theirs, known.credentials, lending), daemon=True, name=f"desk-{known.line.namespace}"
        )
        process.start()
        theirs.close()
        return cls(known, process, ours)

    def call(self, name: str, arguments: tuple[Any, ...], limit: float) -> Any:
        """Raises EOFError or OSError when the child is gone, or does not answer."""
        self.channel.send((name, arguments))
        if not self.channel.poll(limit):
            raise OSError(f"no answer within {limit:.0f} s; the store or the tracking server hangs, or is too slow")
        return self.channel.recv()

    def end(self) -> None:
        self.channel.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()


def serve(channel: Connection, credentials: Credentials, lending: Lending) -> None:
    """What a child does: answers calls until nobody asks any more."""
    from xstilts.controller.clerk import Clerk  # with all that plans and reports need, in no other process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the operator ends its children when it has ended its calls
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with tempfile.TemporaryDirectory(prefix="xstilts-desk-") as folder:
        environment = dict(PATIENCE) | credentials.environment(os.environ, Path(folder))
        os.environ.clear()
        os.environ.update(environment)
        is_lent = "store" in credentials.lent
        clerk = Clerk(takes_artifacts=lending.covers_bucket if is_lent else lambda uri: uri.startswith("s3://"))
        with contextlib.suppress(EOFError, OSError):
            while channel.poll(IDLE_SECONDS):
                name, arguments = channel.recv()
                channel.send(_answer(getattr(clerk, name), arguments))


def _answer(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return call(*arguments)
    except Exception as error:  # whatever it is, it concerns one call
        log.debug("%s", call, exc_info=True)
        return error
