"""Fixtures of all tests. The folder itself is importable, so that tests can say `from cluster import s3`."""

import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

from cluster import helm, kubernetes, s3
from studies import TinyStudy, accept_in, make_inputs
from xstilts.store import ObjectStore, open_store

# A busy machine is no reason to fail, and a submission is judged on the same examples each time.
settings.register_profile(
    "xstilts",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("xstilts")


def pytest_collection_finish(session: pytest.Session) -> None:
    """What takes minutes to build is built before the first test, whose time is limited."""
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if "control_plane" in wanted and not session.config.option.collectonly:
        kubernetes.prepare()
    if "helm_is_built" in wanted and not session.config.option.collectonly:
        helm.prepare()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[s3.S3Server]:
    """A real S3 server: versitygw, or the one that XSTILTS_TEST_S3_ENDPOINT names."""
    with s3.serve() as server:
        yield server


@pytest.fixture
def s3_credentials(s3_server: s3.S3Server, monkeypatch: pytest.MonkeyPatch) -> s3.S3Server:
    """The server, with its credentials in the environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def s3_store(s3_credentials: s3.S3Server) -> Iterator[ObjectStore]:
    """An empty store below a prefix of its own, and emptied again: the server may be a lasting one."""
    uri = f"s3://{s3_credentials.bucket}/{uuid.uuid4().hex}"
    store = open_store(uri, endpoint=s3_credentials.endpoint, path_style=True)
    yield store
    for info in store.list(""):
        store.delete(info.key)


@pytest.fixture(scope="session")
def helm_is_built() -> None:
    """Asked for by tests that run helm."""
    helm.prepare()


@pytest.fixture(scope="session")
def control_plane() -> Iterator[kubernetes.ControlPlane]:
    """A real Kubernetes API with its controllers, or the cluster that XSTILTS_TEST_KUBECONFIG names."""
    with kubernetes.serve() as plane:
        yield plane


@pytest.fixture(scope="session")
def crds(control_plane: kubernetes.ControlPlane) -> kubernetes.ControlPlane:
    """The cluster, which knows our resources."""
    control_plane.define(Path(__file__).parent.parent / "k8s" / "crds")
    return control_plane


@pytest.fixture
def namespace(control_plane: kubernetes.ControlPlane) -> Iterator[str]:
    """A new namespace, with its default service account. Its deletion goes on after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", name)
    control_plane.kubectl("wait", "--for=create", "serviceaccount/default", "--namespace", name, "--timeout=60s")
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def tiny_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, encoder and store of the tiny study; to be copied, not changed."""
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def tiny_workdir(tiny_inputs: Path, tmp_path: Path) -> Path:
    """A folder of the test's own with the inputs of the tiny study."""
    return shutil.copytree(tiny_inputs, tmp_path / "work")


@pytest.fixture
def tiny_study(tiny_workdir: Path) -> TinyStudy:
    """The tiny study, accepted."""
    return accept_in(tiny_workdir)
