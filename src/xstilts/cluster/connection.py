"""Where the cluster is and who we are there, found as kubectl finds it: by the official client's own loader.

The official package imports hundreds of models that nothing here uses: 82 MB and seconds. `_official` takes in only
what reads kubeconfigs (with its exec plugins and refreshed tokens) and opens TLS connections: 37 MB, a third of the
time.
"""

import importlib
import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.request import getproxies

from xstilts.core.errors import UserError

CONNECTIONS = 16
"""Kept open to the API server at most; threads beyond wait for no one, theirs are closed after use."""

_DEFAULT_KUBECONFIG = "~/.kube/config"
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class _Library(NamedTuple):
    """What is taken from the official client."""

    Configuration: Any
    rest: Any
    kube_config: Any
    incluster_config: Any


class Connection(NamedTuple):
    """An API server and the credentials for it."""

    configuration: Any
    """The official client's `Configuration`."""
    pool: Any
    """A urllib3 `PoolManager` that trusts the cluster's authority and shows the client certificate."""
    namespace: str
    source: str
    """Where it was found, for messages."""

    @property
    def server(self) -> str:
        return str(self.configuration.host).rstrip("/")

    def authorization(self) -> dict[str, str]:
        """The header that says who we are; tokens that expire are read again."""
        token = self.configuration.get_api_key_with_prefix("authorization")
        return {"authorization": token} if token else {}


def find(*, context: str | None = None, kubeconfig: Path | None = None) -> Connection:
    """The cluster of the kubeconfig (KUBECONFIG, ~/.kube/config), else the one that this process runs in.

    Raises UserError where there is none, or where the kubeconfig has no such context.
    """
    files = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or _DEFAULT_KUBECONFIG
    there = [path for path in files.split(os.pathsep) if path and Path(path).expanduser().is_file()]
    if there:
        return _of_kubeconfig(os.pathsep.join(there), context)
    if "KUBERNETES_SERVICE_HOST" in os.environ and not (context or kubeconfig):
        return _of_pod()
    raise UserError(
        f"no cluster is configured: {files} is not there; write a kubeconfig, name one in KUBECONFIG, or run in a pod"
    )


def _of_kubeconfig(files: str, context: str | None) -> Connection:
    library = _official()
    configuration = library.Configuration()
    try:
        contexts, current = _contexts(library, files)
        if (chosen := context or current) not in contexts:
            raise UserError(f"it has no context {chosen!r}, but {', '.join(contexts) or 'none'}; choose by --context")
        library.kube_config.load_kube_config(
            config_file=files, context=chosen, client_configuration=configuration, persist_config=False
        )
    except Exception as error:  # the loader lets through what YAML, files and plugins raise
        raise UserError(f"kubeconfig {files}: {error}") from error
    return _opened(library, configuration, contexts[chosen] or "default", files)


def _contexts(library: _Library, files: str) -> tuple[dict[str, str], str]:
    """Names of contexts with their namespaces, and the current one."""
    merged = library.kube_config.KubeConfigMerger(files).config
    config = merged.value if merged else {}
    entries = [getattr(entry, "value", entry) for entry in config.get("contexts") or ()]
    namespaces = {entry["name"]: entry["context"].get("namespace", "") for entry in entries}
    return namespaces, config.get("current-context", "")


def _of_pod() -> Connection:
    library = _official()
    configuration = library.Configuration()
    try:
        library.incluster_config.load_incluster_config(client_configuration=configuration)
        namespace = _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    except Exception as error:
        raise UserError(f"the pod's service account cannot be used: {error}") from error
    return _opened(library, configuration, namespace, "the pod's service account")


def _opened(library: _Library, configuration: Any, namespace: str, source: str) -> Connection:
    configuration.retries = False  # urllib3 would repeat reads, deletions and replacements in secret
    configuration.connection_pool_maxsize = CONNECTIONS
    proxies = getproxies()  # as kubectl does; the official client has no eyes for them
    configuration.proxy = proxies.get("https" if configuration.host.startswith("https") else "http")
    configuration.no_proxy = ",".join([*_LOOPBACK, proxies.get("no", "")])
    return Connection(configuration, library.rest.RESTClientObject(configuration).pool_manager, namespace, source)


@cache
def _official() -> _Library:
    """The parts of the official client that connect."""
    if sys.modules.get("kubernetes"):
        return _parts()
    found = importlib.util.find_spec("kubernetes")
    if found is None or found.submodule_search_locations is None:
        raise UserError("a cluster needs the package kubernetes: pip install 'xstilts[operator]'")
    root = Path(found.submodule_search_locations[0])
    # Packages that run no __init__ stand in while the parts are imported, and an empty one for the models.
    # Who imports kubernetes later gets the whole.
    _stand_in("kubernetes", root)
    client = _stand_in("kubernetes.client", root / "client")
    client.models = _stand_in("kubernetes.client.models", root / "nothing")  # type: ignore[attr-defined]
    try:
        client.Configuration = _part("client.configuration").Configuration  # type: ignore[attr-defined]
        client.ApiClient = _part("client.api_client").ApiClient  # type: ignore[attr-defined]
        return _parts()
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]:
            del sys.modules[name]


def _parts() -> _Library:
    return _Library(
        _part("client.configuration").Configuration,
        _part("client.rest"),
        _part("config.kube_config"),
        _part("config.incluster_config"),
    )


def _part(name: str) -> Any:
    return importlib.import_module(f"kubernetes.{name}")


def _stand_in(name: str, folder: Path) -> ModuleType:
    module = ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module
    return module
