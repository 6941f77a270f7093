"""Encoders by name, from a hub on this machine."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.http_servers import serving
from cluster.hub import Hub, Repository
from encoders import ENCODER, config
from xstilts.store import artifacts, open_store

NAME = "some/encoder"
COMMIT = "c" * 40
FILES = {name: ENCODER[name] for name in ("config.json", "model.safetensors", "tokenizer.json")} | {
    "pytorch_model.bin": b"the same weights again",
    "onnx/model.onnx": b"and again",
}

RESOLVE = """
import sys
from xstilts.core.errors import XstiltsError
from xstilts.store import models, open_store
store, name, revision = sys.argv[1:]
try:
    print(models.resolve_model(open_store(store), name=name, revision=revision).key)
except XstiltsError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub(Repository("models", NAME, {COMMIT: FILES}, {"main": COMMIT}))) as hub:
        yield hub


def resolve(hub: Hub, folder: Path, name: str, *, revision: str = "main") -> str:
    """In a process of its own: the hub's client reads its environment when it is imported."""
    return subprocess.run(
        [sys.executable, "-c", RESOLVE, str(folder / "store"), name, revision],
        env=hub.environment(folder / "hub"),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


def test_an_encoder_comes_from_the_hub_by_commit_and_without_other_files(hub: Hub, tmp_path: Path) -> None:
    key = resolve(hub, tmp_path, NAME)
    store = open_store(str(tmp_path / "store"))
    model = artifacts.fetch(store, f"models/{key}", tmp_path / "got")
    assert model.provenance == {"source": f"{NAME}@{COMMIT}"}
    assert {path.name: path.read_bytes() for path in (tmp_path / "got").iterdir()} == {
        name: FILES[name] for name in ("config.json", "model.safetensors", "tokenizer.json")
    }
    assert hub.downloaded == {"config.json", "model.safetensors", "tokenizer.json"}


def test_an_encoder_of_another_architecture_is_refused_before_its_weights_are_fetched(tmp_path: Path) -> None:
    files = FILES | {"config.json": config(model_type="bert")}
    with serving(Hub(Repository("models", NAME, {COMMIT: files}, {"main": COMMIT}))) as hub:
        answer = resolve(hub, tmp_path, NAME)
        assert answer.startswith("UserError model.name 'some/encoder': config.json: model_type 'bert' is not supported")
        assert hub.downloaded == {"config.json"}


@pytest.mark.parametrize(
    ("name", "revision", "answer"),
    [
        ("some/other", "main", "UserError the hub has no model 'some/other', or it is private"),
        (NAME, "v9", "UserError model 'some/encoder' has no revision 'v9'"),
        ("gated/encoder", "main", "UserError model 'gated/encoder' is gated: accept its terms"),
        ("broken/encoder", "main", "StorageError the hub refuses model 'broken/encoder' with status 400"),
    ],
    ids=["unknown model", "unknown revision", "gated", "refused"],
)
def test_each_refusal_of_the_hub_is_told(hub: Hub, tmp_path: Path, name: str, revision: str, answer: str) -> None:
    assert resolve(hub, tmp_path, name, revision=revision).startswith(answer)
