"""Encoders: by content, once, without what does not belong to them."""

import os
import re
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest

from encoders import BARE, BROKEN, ENCODER, SHAPES, SHARDED, archive, config, legacy, safetensors, tokenizer, write
from xstilts.core.errors import StorageUnavailable, UserError
from xstilts.store import ObjectStore, artifacts, models, open_store
from xstilts.store.port import ObjectInfo

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


def test_an_encoder_is_stored_without_leftovers(store: ObjectStore, tmp_path: Path) -> None:
    model = models.put_model(store, write(tmp_path / "xlmr", ENCODER | LEFTOVERS))
    assert [file.path for file in model.files] == sorted(ENCODER)
    assert model.kind == "model"
    assert model.key == model.content_digest
    artifacts.fetch(store, f"models/{model.key}", tmp_path / "got")
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == sorted(ENCODER)


def test_the_same_encoder_is_stored_once(store: ObjectStore, tmp_path: Path) -> None:
    first = models.put_model(store, write(tmp_path / "here", ENCODER))
    before = list(store.list(""))
    assert models.put_model(store, write(tmp_path / "there", ENCODER | LEFTOVERS)) == first
    assert list(store.list("")) == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", config(layer_norm_eps=1e-5)),
        ("model.safetensors", safetensors()[:-1] + b"1"),
        ("tokenizer.json", tokenizer(byte_fallback=False)),
        ("sentencepiece.bpe.model", b"others"),
        ("tokenizer_config.json", b'{"model_max_length": 512}'),
    ],
)
def test_any_changed_file_makes_another_encoder(store: ObjectStore, tmp_path: Path, name: str, content: bytes) -> None:
    first = models.put_model(store, write(tmp_path / "here", ENCODER))
    other = models.put_model(store, write(tmp_path / "there", ENCODER | {name: content}))
    assert other.key != first.key


@pytest.mark.parametrize(
    "content",
    [archive({"w": 1}), legacy(0x1950A86A20F9469CFC6C, 1001, {}, OrderedDict(w=1), []) + bytes(99)],
    ids=["archive", "legacy"],
)
def test_pickled_weights_are_taken_where_there_are_no_others(
    store: ObjectStore, tmp_path: Path, content: bytes
) -> None:
    model = models.put_model(store, write(tmp_path, BARE | {"pytorch_model.bin": content}))
    assert "pytorch_model.bin" in [file.path for file in model.files]


def test_sharded_weights_come_with_their_index(store: ObjectStore, tmp_path: Path) -> None:
    model = models.put_model(store, write(tmp_path, SHARDED | {"model.fp16.safetensors": b"in another precision"}))
    assert [file.path for file in model.files] == sorted(SHARDED)


def test_weights_of_a_model_with_a_head_are_taken(store: ObjectStore, tmp_path: Path) -> None:
    shapes = {f"roberta.{name}": shape for name, shape in SHAPES.items()} | {"lm_head.bias": (6,)}
    assert models.put_model(store, write(tmp_path, ENCODER | {"model.safetensors": safetensors(shapes)}))


def test_a_published_tokenizer_without_the_name_of_its_kind_is_taken(store: ObjectStore, tmp_path: Path) -> None:
    assert models.put_model(store, write(tmp_path, ENCODER | {"tokenizer.json": tokenizer(type=None)}))


@pytest.mark.parametrize("kind", BROKEN)
def test_what_no_stage_could_load_is_refused_by_the_name_that_was_written(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    files, complaint = BROKEN[kind]
    write(tmp_path / "xlmr", files)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"^model\.uri 'xlmr': .*{complaint}"):
        models.resolve_model(store, uri="xlmr")
    assert not list(store.list(""))


@pytest.mark.parametrize("kind", BROKEN)
def test_the_same_is_refused_from_another_store(store: ObjectStore, kind: str) -> None:
    other = open_store("memory:")
    files, complaint = BROKEN[kind]
    for name, content in files.items():
        other.put(name, content)
    with pytest.raises(UserError, match=rf"^model\.uri 's3://elsewhere/xlmr': .*{complaint}"):
        models.resolve_model(store, uri="s3://elsewhere/xlmr", open_source=lambda _: other)
    assert not list(store.list(""))


def test_weights_are_not_fetched_where_the_config_is_refused(store: ObjectStore) -> None:
    other = open_store("memory:")
    for name, content in (ENCODER | {"config.json": config(model_type="bert")}).items():
        if name != "model.safetensors":
            other.put(name, content)

    class Listed:
        """A store whose weights can't be read."""

        uri = "s3://elsewhere"
        download = other.download

        def list(self, prefix: str):
            return iter([*other.list(prefix), ObjectInfo("model.safetensors", 1 << 40, 0.0)])

    with pytest.raises(UserError, match="'bert' is not supported"):
        models.resolve_model(store, uri="s3://elsewhere", open_source=lambda _: Listed())


class TestLinks:
    @pytest.mark.parametrize("name", [*ENCODER, "special_tokens_map.json"])
    def test_links_to_elsewhere_are_not_followed(self, store: ObjectStore, tmp_path: Path, name: str) -> None:
        folder, secret = write(tmp_path / "xlmr", ENCODER), tmp_path / "secret"
        secret.write_bytes(ENCODER.get(name, b"{}"))
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(secret)
        with pytest.raises(UserError, match=rf"{re.escape(name)} is a link to {secret}, outside of the folder"):
            models.put_model(store, folder)
        assert not list(store.list(""))

    @pytest.mark.parametrize(("uri", "more"), [("file://xlmr", ()), ("xlmr", ("manifest.json",)), ("file:xlmr", ())])
    def test_no_spelling_of_a_folder_and_no_file_in_it_passes_by_the_check(
        self, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, more: tuple[str, ...]
    ) -> None:
        folder = write(tmp_path / "xlmr", ENCODER | dict.fromkeys(more, b"{}"))
        (tmp_path / "credentials").write_bytes(b"secret")
        (folder / "special_tokens_map.json").symlink_to("../credentials")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match="outside of the folder"):
            models.resolve_model(store, uri=uri, name=None, revision="main", open_source=open_store)
        assert not list(store.list(""))

    def test_links_by_way_of_the_folder_are_not_followed(self, store: ObjectStore, tmp_path: Path) -> None:
        folder = write(tmp_path / "xlmr", ENCODER)
        (tmp_path / "secret").write_bytes(b"{}")
        (folder / "step").symlink_to("../secret")
        (folder / "special_tokens_map.json").symlink_to("step")
        with pytest.raises(UserError, match="outside of the folder"):
            models.put_model(store, folder)

    def test_links_in_a_circle_and_to_nothing_are_named(self, store: ObjectStore, tmp_path: Path) -> None:
        folder = write(tmp_path / "xlmr", ENCODER)
        (folder / "added_tokens.json").symlink_to("added_tokens.json")
        with pytest.raises(UserError, match=r"added_tokens\.json cannot be read: Symlink loop"):
            models.put_model(store, folder)
        (folder / "added_tokens.json").unlink()
        (folder / "added_tokens.json").symlink_to("gone.json")
        with pytest.raises(UserError, match=r"added_tokens\.json is a link to nothing"):
            models.put_model(store, folder)

    def test_pipes_are_not_read(self, store: ObjectStore, tmp_path: Path) -> None:
        folder = write(tmp_path / "xlmr", ENCODER)
        os.mkfifo(folder / "special_tokens_map.json")
        with pytest.raises(UserError, match=r"special_tokens_map\.json is no regular file"):
            models.put_model(store, folder)

    def test_the_folder_itself_and_files_within_it_may_be_links(self, store: ObjectStore, tmp_path: Path) -> None:
        whole = models.put_model(store, write(tmp_path / "whole", ENCODER))
        linked = write(tmp_path / "linked", BARE | {"step-9.safetensors": ENCODER["model.safetensors"]})
        (linked / "model.safetensors").symlink_to("step-9.safetensors")
        (tmp_path / "latest").symlink_to("linked")
        assert models.put_model(store, tmp_path / "latest").key == whole.key

    def cached(self, folder: Path, files: dict[str, bytes]) -> Path:
        """A snapshot as the hub's client keeps it."""
        snapshot = folder / "models--some--encoder" / "snapshots" / ("c" * 40)
        snapshot.mkdir(parents=True)
        for name, content in files.items():
            write(folder / "models--some--encoder" / "blobs", {f"of-{name}": content})
            (snapshot / name).symlink_to(f"../../blobs/of-{name}")
        return snapshot

    def test_a_snapshot_of_the_hubs_cache_is_taken(self, store: ObjectStore, tmp_path: Path) -> None:
        whole = models.put_model(store, write(tmp_path / "whole", ENCODER))
        assert models.put_model(store, self.cached(tmp_path, ENCODER)).key == whole.key

    def test_a_snapshot_leads_into_its_own_cache_alone(self, store: ObjectStore, tmp_path: Path) -> None:
        snapshot = self.cached(tmp_path, ENCODER)
        blobs = snapshot.parent.parent / "blobs"
        blobs.rename(tmp_path / "elsewhere")
        blobs.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(UserError, match="outside of the folder"):
            models.put_model(store, snapshot)


def test_a_model_is_resolved_from_a_directory(store: ObjectStore, tmp_path: Path) -> None:
    folder = write(tmp_path / "xlmr", ENCODER)
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
    with pytest.raises(UserError, match="is not a directory"):
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
    model = models.put_model(store, write(tmp_path, ENCODER))
    assert models.resolve_model(store, uri=f"{store.uri}/models/{model.key}") == model
    with pytest.raises(UserError, match="models/0123 is not in the store"):
        models.resolve_model(store, uri=f"{store.uri}/models/0123")
