"""One MLflow server or SQLite file: its address, its client, its errors, and passes that repeat until nothing changes.

`MlflowTracker` describes one pass (look, make what is missing); `Connection.converge` repeats it until a pass finds
everything in place. That one loop heals lost answers, other processes at work on the same keys, and crashes.

Only `MlflowClient` with explicit run ids is used: `mlflow.start_run` would obey MLFLOW_RUN_ID, which Kubeflow's MLflow
plugin sets to a run of its own. MLflow takes seconds to import, so nothing here is imported before it is needed.
"""

import contextlib
import fcntl
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from xstilts.api import addresses
from xstilts.api.addresses import NO_CREDENTIALS, checked, normalized
from xstilts.core.errors import TrackingError, TrackingUnavailable, UserError, XstiltsError

T = TypeVar("T")

PASSES = 6
"""The first makes, the second finds all in place; the others are for company."""
MESSAGE_LENGTH = 300

_SQLITE = "sqlite:///"
_REFUSALS = frozenset(
    {"UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"}
)
_LOGIN = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN), or tracking.secretRef"
_ADVICE = {
    401: f"the server asks for a login, or refuses the one it got: check {_LOGIN}",
    403: f"this user may not do that: grant it the permission, or name another user in {_LOGIN}",
    404: "there is no MLflow API at this address: check host, port and path (a server that was started with "
    "--static-prefix /mlflow has an address that ends with /mlflow)",
}
"""What to do about answers that are not about what was asked, by HTTP status."""
_STATUSES = {"UNAUTHENTICATED": 401, "CUSTOMER_UNAUTHORIZED": 401, "PERMISSION_DENIED": 403, "ENDPOINT_NOT_FOUND": 404}
"""The same statuses as MLflow's client names them."""
_TEMPORARY = frozenset(
    {"TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "DEADLINE_EXCEEDED", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"}
)
"""MLflow says `INTERNAL_ERROR` of connections that fail, too."""


def identity_of(uri: str) -> str:
    """The address in one spelling: `sqlite:////absolute/path` or `http(s)://host[:port][/path]`, without credentials.

    Directories of files are refused because MLflow has stopped developing that backend, and other databases
    because their passwords would travel with every stage: a server in front of them serves better.
    """
    if uri.startswith(_SQLITE) and len(uri) > len(_SQLITE):
        return _SQLITE + str(Path(unquote(uri.removeprefix(_SQLITE))).expanduser().resolve())
    try:
        return normalized(checked(uri))
    except ValueError as error:
        raise UserError(
            f"tracking.uri {redacted(uri)!r} is not supported: write sqlite:///path/to/mlflow.db for a file, "
            f"or http://host:port or https://host:port for an MLflow server, {NO_CREDENTIALS}"
        ) from error


def redacted(text: str) -> str:
    """The text without `user:password@` in its addresses, cut to a length that fits a status."""
    return addresses.redacted(text)[:MESSAGE_LENGTH]


class Calls:
    """An `MlflowClient` that knows its last call, for messages, and which calls may have changed something."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self.last = "connect"
        self.writes: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._connect(), name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.last = name
            if not name.startswith(("get_", "search_")):
                self.writes.append(name)
            return method(*args, **kwargs)

        return call


class Connection:
    """How to reach one server. Safe to share between threads."""

    def __init__(self, uri: str) -> None:
        self.identity = identity_of(uri)
        self.database = self._database()
        self._uri = self.identity if self.database else uri
        self._client: Any = None

    def converge(self, attempt: Callable[[Calls], T]) -> T:
        """Repeat `attempt` until it changes nothing, and return what that last pass found."""
        with self._exclusive():
            for number in range(PASSES):
                calls = Calls(self._connected)
                try:
                    result = attempt(calls)
                except XstiltsError:
                    raise
                except Exception as error:  # MLflow lets through what its SQL and HTTP libraries raise
                    if number == PASSES - 1 or not self._worth_another_pass(error):
                        raise self._translated(error, calls.last) from error
                    time.sleep(0.1 * 2**number)
                else:
                    if not calls.writes:
                        return result
        raise TrackingUnavailable(
            f"MLflow at {self.identity} does not come to rest: after {PASSES} passes there is still a need to "
            f"{', '.join(calls.writes)}; do other processes change the same runs?"
        )

    def server_version(self) -> str:
        """Version of MLflow at the other end. Raises TrackingError where it refuses, or what HTTP libraries do."""
        self._connected()
        if self.database:
            import mlflow

            return str(mlflow.__version__)
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        credentials = get_default_host_creds(self._uri)  # type: ignore[no-untyped-call]
        response = http_request(credentials, "/version", "GET")  # type: ignore[no-untyped-call]
        if response.ok:
            return str(response.text).strip()
        kind = TrackingUnavailable if response.status_code >= 500 or response.status_code == 429 else TrackingError
        raise kind(
            f"MLflow at {self.identity}: GET /version failed with HTTP {response.status_code}"
            f"{_advice(response.status_code)}"
        )

    def _database(self) -> Path | None:
        return Path(self.identity.removeprefix(_SQLITE)) if self.identity.startswith(_SQLITE) else None

    def _connected(self) -> Any:
        if self._client is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of MLflow's use of its own libraries
                self._client = self._new_client()
        return self._client

    def _new_client(self) -> Any:
        _prepare_mlflow()
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        if self.database:
            from sqlalchemy.orm import configure_mappers

            configure_mappers()  # else done, with its warnings, by the first query
        return client

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One process at a time on a SQLite file.

        MLflow creates and migrates the schema on first use without a lock, and a transaction that turns from reading
        to writing fails at once when another has written. Servers serialise for themselves.
        """
        if self.database is None:
            yield
            return
        try:
            self.database.parent.mkdir(parents=True, exist_ok=True)
            lock = self.database.with_name(f"{self.database.name}.lock").open("w")
        except OSError as error:
            raise TrackingError(f"tracking.uri: cannot write to {self.database.parent}: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _worth_another_pass(self, error: Exception) -> bool:
        """Conflicts with another process pass; MLflow has retried what a network loses by itself."""
        return not _is_refusal(error) and (self.database is not None or not _is_temporary(error))

    def _translated(self, error: Exception, call: str) -> XstiltsError:
        message = f"MLflow at {self.identity}: {call} failed: {redacted(str(error))}"
        if _is_temporary(error):
            return TrackingUnavailable(message)
        return TrackingError(f"{message}{_advice(_STATUSES.get(getattr(error, 'error_code', '')))}")


def _advice(status: int | None) -> str:
    return f"; {_ADVICE[status]}" if status in _ADVICE else ""


def _is_refusal(error: Exception) -> bool:
    return getattr(error, "error_code", "") in _REFUSALS


def _is_temporary(error: Exception) -> bool:
    return getattr(error, "error_code", "") in _TEMPORARY or isinstance(error, OSError)


def _prepare_mlflow() -> None:
    """Settings that MLflow only takes from the environment; what is set there already wins."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # 14 s; its default of 7 blocks for 4 minutes
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow  # noqa: F401 (its import configures the loggers below)

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # prints tracebacks of errors that it also raises
    logging.getLogger("alembic").setLevel(logging.WARNING)
