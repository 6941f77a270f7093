"""Where the cluster is found, and what is said where none is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from xstilts.cluster import connection
from xstilts.core.errors import UserError


def kubeconfig(folder: Path, *contexts: str, current: str = "", server: str = "https://one.example") -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [
            {"name": name, "context": {"cluster": "c", "user": "u", "namespace": f"of-{name}"}} for name in contexts
        ],
        "current-context": current,
    }
    file = folder / f"{'-'.join(contexts)}.kubeconfig"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster around, until a test names one."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_the_current_context_decides(tmp_path: Path) -> None:
    found = connection.find(kubeconfig=kubeconfig(tmp_path, "a", "b", current="b"))
    assert (found.server, found.namespace) == ("https://one.example", "of-b")
    assert found.authorization() == {"authorization": "Bearer secret"}


def test_another_context_may_be_named(tmp_path: Path) -> None:
    assert connection.find(kubeconfig=kubeconfig(tmp_path, "a", "b", current="b"), context="a").namespace == "of-a"


def test_files_that_kubeconfig_lists_are_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [kubeconfig(tmp_path, "a", current="a"), tmp_path / "absent", kubeconfig(tmp_path, "b", current="b")]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    assert connection.find(context="b").namespace == "of-b"


def test_the_file_in_the_home_directory_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "home" / ".kube").mkdir(parents=True)
    kubeconfig(tmp_path, "a", current="a").rename(tmp_path / "home" / ".kube" / "config")
    assert connection.find().namespace == "of-a"


def test_without_a_cluster_the_message_says_where_one_was_looked_for() -> None:
    with pytest.raises(UserError, match=r"no cluster is configured: ~/\.kube/config is not there"):
        connection.find()


@pytest.mark.parametrize(
    ("context", "current", "message"),
    [
        ("c", "a", "it has no context 'c', but a, b; choose by --context"),
        (None, "", "it has no context '', but a, b; choose by --context"),
    ],
    ids=["an unknown one is named", "none is current"],
)
def test_a_context_that_is_not_there_is_refused(
    tmp_path: Path, context: str | None, current: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        connection.find(kubeconfig=kubeconfig(tmp_path, "a", "b", current=current), context=context)


@pytest.mark.parametrize("text", ["", "a: [", "[]", "current-context: a"])
def test_a_broken_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"kubeconfig .*broken"):
        connection.find(kubeconfig=file)


def test_a_proxy_of_the_environment_is_used_unless_the_server_is_excepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = kubeconfig(tmp_path, "a", current="a")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert connection.find(kubeconfig=file).pool.proxy is not None
    monkeypatch.setenv("NO_PROXY", "one.example")
    assert connection.find(kubeconfig=file).pool.proxy is None
    monkeypatch.setenv("NO_PROXY", "other.example")
    here = kubeconfig(tmp_path, "b", current="b", server="https://127.0.0.1:6443")
    assert connection.find(kubeconfig=here).pool.proxy is None


def test_connecting_imports_no_model_and_leaves_the_official_package_whole(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from xstilts.cluster import connection

connection.find(kubeconfig=Path(sys.argv[1]))
assert not any(name.partition(".")[0] == "kubernetes" for name in sys.modules)
import kubernetes

assert kubernetes.client.V1Pod and kubernetes.config.load_kube_config
connection.find(kubeconfig=Path(sys.argv[1]))
"""
    file = kubeconfig(tmp_path, "a", current="a")
    subprocess.run([sys.executable, "-c", program, file], check=True)
