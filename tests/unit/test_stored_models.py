"""Encoders: by content, once, without what does not belong to them."""

import subprocess
import sys
from pathlib import Path

import pytest

from xstilts.core.errors import StorageUnavailable, UserError
from xstilts.store import ObjectStore, artifacts, models, open_store

ENCODER = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "sentencepiece.bpe.model": b"pieces",
    "tokenizer_config.json": b"{}",
}
LEFTOVERS = {
    "pytorch_model.bin": b"the same weights",
    "optimizer.pt": b"moments",
    "trainer_state.json": b"{}",
    "flax_model.msgpack": b"weights again",
    "onnx/model.onnx": b"and again",
    "README.md": b"a model",
}


@pytest.fixture
def store() -> ObjectStore:
    return open_store("memory:")


def make(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_an_encoder_is_stored_without_leftovers(store: ObjectStore, tmp_path: Path) -> None:
    model = models.put_model(store, make(tmp_path / "xlmr", ENCODER | LEFTOVERS))
    assert [file.path for file in model.files] == sorted(ENCODER)
    assert model.kind == "model"
    assert model.key == model.content_digest
    artifacts.fetch(store, f"models/{model.key}", tmp_path / "got")
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == sorted(ENCODER)


def test_the_same_encoder_is_stored_once(store: ObjectStore, tmp_path: Path) -> None:
    first = models.put_model(store, make(tmp_path / "here", ENCODER))
    before = list(store.list(""))
    assert models.put_model(store, make(tmp_path / "there", ENCODER | LEFTOVERS)) == first
    assert list(store.list("")) == before


@pytest.mark.parametrize("name", sorted(ENCODER))
def test_any_changed_file_makes_another_encoder(store: ObjectStore, tmp_path: Path, name: str) -> None:
    first = models.put_model(store, make(tmp_path / "here", ENCODER))
    other = models.put_model(store, make(tmp_path / "there", ENCODER | {name: b"changed"}))
    assert other.key != first.key


def test_pickled_weights_are_taken_where_there_are_no_others(store: ObjectStore, tmp_path: Path) -> None:
    files = {name: content for name, content in ENCODER.items() if name != "model.safetensors"}
    model = models.put_model(store, make(tmp_path, files | {"pytorch_model.bin": b"weights"}))
    assert "pytorch_model.bin" in [file.path for file in model.files]


def test_sharded_weights_come_with_their_index(store: ObjectStore, tmp_path: Path) -> None:
    shards = {"model-00001-of-00001.safetensors": b"w", "model.safetensors.index.json": b"{}"}
    files = {name: content for name, content in ENCODER.items() if name != "model.safetensors"}
    model = models.put_model(store, make(tmp_path, files | shards))
    assert shards.keys() <= {file.path for file in model.files}


@pytest.mark.parametrize(
    ("left_out", "complaint"),
    [
        ("config.json", r"has no config\.json; it holds model"),
        ("model.safetensors", "has no weights"),
        ("sentencepiece.bpe.model", "has no tokenizer"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused(
    store: ObjectStore, tmp_path: Path, left_out: str, complaint: str
) -> None:
    folder = make(tmp_path, {name: content for name, content in ENCODER.items() if name != left_out})
    with pytest.raises(UserError, match=complaint):
        models.put_model(store, folder)


def test_a_model_is_resolved_from_a_directory(store: ObjectStore, tmp_path: Path) -> None:
    folder = make(tmp_path / "xlmr", ENCODER)
    model = models.resolve_model(store, uri=str(folder))
    assert models.resolve_model(store, uri=f"file:{folder}") == model
    assert model.provenance == {"source": "xlmr"}


def test_a_model_is_resolved_from_another_store(store: ObjectStore) -> None:
    other = open_store("memory:")
    for name, content in (ENCODER | LEFTOVERS).items():
        other.put(name, content)
    model = models.resolve_model(store, uri="s3://elsewhere/xlmr", open_source=lambda _: other)
    assert [file.path for file in model.files] == sorted(ENCODER)
    assert model.provenance == {"source": "memory:"}


def test_a_directory_that_is_not_there_is_said_so(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it holds no files"):
        models.resolve_model(store, uri=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="is no directory"):
        models.put_model(store, tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("uri", "name"), [(None, None), ("s3://a/b", "xlm-roberta-base")], ids=["neither", "both"])
def test_a_model_is_named_in_exactly_one_way(uri: str | None, name: str | None) -> None:
    with pytest.raises(UserError, match="model: give"):
        models.resolve_model(open_store("memory:"), uri=uri, name=name)


def test_a_name_that_the_hub_cannot_have_is_refused() -> None:
    with pytest.raises(UserError, match="'a//b' is no name of a model on the hub"):
        models.resolve_model(open_store("memory:"), name="a//b")


RESOLVE = """
from xstilts.core.errors import XstiltsError
from xstilts.store import models, open_store
try:
    models.resolve_model(open_store("memory:"), name="xlm-roberta-base")
except XstiltsError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("environment", "kind"),
    [({"HF_HUB_OFFLINE": "1"}, UserError), ({"HF_ENDPOINT": "http://127.0.0.1:9"}, StorageUnavailable)],
    ids=["switched off", "without network"],
)
def test_without_the_hub_the_way_out_is_named(environment: dict[str, str], kind: type) -> None:
    """In a process of its own: the hub's client reads its environment when it is imported."""
    answer = subprocess.run(
        [sys.executable, "-c", RESOLVE], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert answer.startswith(kind.__name__)
    assert "pass a directory, or the s3:// URI of one" in answer


def test_a_model_that_was_pushed_into_the_store_is_taken_as_it_is(store: ObjectStore, tmp_path: Path) -> None:
    model = models.put_model(store, make(tmp_path, ENCODER))
    assert models.resolve_model(store, uri=f"{store.uri}/models/{model.key}") == model
    with pytest.raises(UserError, match="models/0123 is not in the store"):
        models.resolve_model(store, uri=f"{store.uri}/models/0123")
