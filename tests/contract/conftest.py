"""Every contract is tested over all that keep it: stores, trackers."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.mlflow_server import serve
from cluster.tracked import MemoryView, Place, place
from xstilts.store import ObjectStore, open_store
from xstilts.tracking import MemoryTracker


@pytest.fixture(params=["memory", "directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    match request.param:
        case "memory":
            return open_store("memory:")
        case "directory":
            return open_store(f"file:{tmp_path}/store")
        case _:
            return request.getfixturevalue("s3_store")


@pytest.fixture(scope="session")
def mlflow_server() -> Iterator[str]:
    """Address of a real MLflow server."""
    with serve() as address:
        yield address


@pytest.fixture(scope="module")
def sqlite_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for the module: MLflow takes seconds to create its tables."""
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/mlflow.db"


@pytest.fixture(params=["sqlite", "server"])
def mlflow_place(request: pytest.FixtureRequest) -> Place:
    return place(request.getfixturevalue("sqlite_uri" if request.param == "sqlite" else "mlflow_server"))


@pytest.fixture(params=["memory", "sqlite", "server"])
def everywhere(request: pytest.FixtureRequest) -> Place:
    if request.param == "memory":
        tracker = MemoryTracker()
        return Place(tracker, MemoryView(tracker))
    return place(request.getfixturevalue("sqlite_uri" if request.param == "sqlite" else "mlflow_server"))


@pytest.fixture
def study() -> str:
    """A name of its own, because servers are shared by tests."""
    return f"study-{uuid4().hex[:8]}"
