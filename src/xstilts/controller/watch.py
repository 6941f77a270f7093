"""The watch, by kopf: every event of what we watch is passed on, and nothing else is left to it.

kopf lists and watches, comes back after errors and cut connections, and skips what it has shown. No handler of it
keeps anything in annotations, sets finalizers or is tried again: deciding is the Controller's business.
"""

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from xstilts.cluster.connection import Connection
from xstilts.cluster.port import Object, Resource


@contextmanager
def _without(package: str) -> Iterator[None]:
    """As if it were not installed."""
    there = sys.modules.get(package)
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
        if there:
            sys.modules[package] = there


with _without("kubernetes"):  # kopf would load all its models, to recognise what nobody here gives it: 60 MB, seconds
    import kopf

PAGE = 200
"""Objects that are listed, and so in memory as they came, at a time."""
WATCH_SECONDS = 590
"""How long the API server keeps a watch open; kopf comes back at once."""

log = logging.getLogger(__name__)


class Sees(Protocol):
    """Takes news of an object."""

    def __call__(self, resource: Resource, obj: Object, *, deleted: bool) -> None: ...


class Watch:
    """kopf, in a thread of its own."""

    def __init__(
        self,
        watched: Mapping[Resource, Mapping[str, str]],
        see: Sees,
        connection: Connection,
        namespace: str | None,
        *,
        after: threading.Event,
    ) -> None:
        """Begins with the event `after`, and then with what is there, in no order."""
        self._registry = _registry(watched, see, connection)
        self._settings = _settings(watched)
        self._namespace = namespace
        self._after = after
        self._failure = ""
        self.ready = threading.Event()

    def problem(self) -> str:
        """Why it has ended, though nobody asked it to."""
        return self._failure

    def run(self, stop: threading.Event) -> None:
        while not self._after.wait(1.0):
            if stop.is_set():
                return
        try:
            asyncio.run(self._watch(stop))
        except Exception as error:
            log.exception("the watch has ended")
            self._failure = f"the watch has ended: {type(error).__name__}: {error}"
        else:
            if not stop.is_set():
                self._failure = "the watch has ended"

    async def _watch(self, stop: threading.Event) -> None:
        def tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            if not stop.is_set():  # at the end kopf's streams complain of being closed
                loop.default_exception_handler(context)

        asyncio.get_running_loop().set_exception_handler(tell)
        await kopf.operator(
            registry=self._registry,
            settings=self._settings,
            standalone=True,
            clusterwide=self._namespace is None,
            namespaces=[self._namespace] if self._namespace else [],
            stop_flag=stop,
            ready_flag=self.ready,
        )


def _registry(
    watched: Mapping[Resource, Mapping[str, str]], see: Sees, connection: Connection
) -> kopf.OperatorRegistry:
    """Handlers that pass on every event of these resources, and the credentials to watch with."""
    found = kopf.OperatorRegistry()

    @kopf.on.login(registry=found, id="login")
    def log_in(**_: Any) -> kopf.ConnectionInfo:
        configuration = connection.configuration
        scheme, _space, token = connection.authorization().get("authorization", "").partition(" ")
        return kopf.ConnectionInfo(
            server=connection.server,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            default_namespace=connection.namespace,
        )

    for resource in watched:
        _pass_on(found, resource, see)
    return found


def _pass_on(found: kopf.OperatorRegistry, resource: Resource, see: Sees) -> None:
    @kopf.on.event(resource.group, resource.version, resource.plural, registry=found, id=f"see-{resource.plural}")
    async def handle(event: Any, **_: Any) -> None:
        see(resource, dict(event["object"]), deleted=event["type"] == "DELETED")


class _NoDiffs(kopf.DiffBaseStorage):
    """Nobody here asks kopf what has changed; to find out it copies each object, a third of all that it does."""

    def build(self, *, body: Any, extra_fields: Any = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        pass


def _settings(watched: Mapping[Resource, Mapping[str, str]]) -> kopf.OperatorSettings:
    """Without discovery of anything that our Role does not allow, without events of kopf's own."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.peering.standalone = True
    found.scanning.disabled = True
    found.watching.chunk_size = PAGE
    found.watching.server_timeout = WATCH_SECONDS
    found.watching.client_timeout = WATCH_SECONDS + 10
    found.watching.connect_timeout = 10
    found.networking.request_timeout = 60
    found.networking.error_backoffs = (0.1, 0.5, 1, 2, 5, 10)
    found.queueing.idle_timeout = 1.0
    found.persistence.diffbase_storage = _NoDiffs()
    for resource, labels in watched.items():
        if labels:
            selector = ",".join(f"{name}={value}" for name, value in labels.items())
            found.watching.label_selectors[resource.plural] = selector
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    return found
