"""Artifacts over every store: whole or absent, published once, verified on every read."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xstilts.core.errors import IntegrityError
from xstilts.core.manifests import ArtifactManifest, FileEntry
from xstilts.store import NotFound, ObjectStore, artifacts

ADDRESS = "stages/evaluation/abc"
MANIFEST = ArtifactManifest(kind="evaluation", key="abc")
FILES = {"metrics.json": b"{}", "encoder/config.json": b"{}", "encoder/weights": b"w" * 1000, "empty": b""}


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, files: dict[str, bytes] = FILES) -> Path:
        for path, content in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(content)
        return tmp_path / name

    return make


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_published_folder_comes_back(store: ObjectStore, folder_of: Callable[..., Path], tmp_path: Path) -> None:
    published = artifacts.publish(store, ADDRESS, folder_of("made"), MANIFEST)
    fetched = artifacts.fetch(store, ADDRESS, tmp_path / "got")
    assert fetched == published == artifacts.load_manifest(store, ADDRESS)
    assert content(tmp_path / "got") == FILES
    assert [file.path for file in published.files] == sorted(FILES)


def test_what_has_no_manifest_does_not_exist(store: ObjectStore, tmp_path: Path) -> None:
    assert artifacts.load_manifest(store, ADDRESS) is None
    with pytest.raises(NotFound, match="nothing is published under stages/evaluation/abc"):
        artifacts.fetch(store, ADDRESS, tmp_path)


def test_equal_files_are_stored_once(store: ObjectStore, folder_of: Callable[..., Path]) -> None:
    artifacts.publish(store, ADDRESS, folder_of("made"), MANIFEST)
    assert len(list(store.list("blobs/"))) == len(set(FILES.values()))


def test_only_a_part_is_fetched(store: ObjectStore, folder_of: Callable[..., Path], tmp_path: Path) -> None:
    artifacts.publish(store, ADDRESS, folder_of("made"), MANIFEST)
    artifacts.fetch(store, ADDRESS, tmp_path / "got", only="encoder/")
    assert sorted(content(tmp_path / "got")) == ["encoder/config.json", "encoder/weights"]


def test_the_second_publication_adopts_the_first(
    store: ObjectStore, folder_of: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    first = artifacts.publish(store, ADDRESS, folder_of("first"), MANIFEST)
    with caplog.at_level(logging.WARNING):
        second = artifacts.publish(store, ADDRESS, folder_of("second", {"metrics.json": b"other"}), MANIFEST)
    assert second == first
    assert "published by another writer with other files" in caplog.text


def test_publishing_the_same_again_is_silent(
    store: ObjectStore, folder_of: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_of("made")
    first = artifacts.publish(store, ADDRESS, folder, MANIFEST)
    with caplog.at_level(logging.WARNING):
        assert artifacts.publish(store, ADDRESS, folder, MANIFEST) == first
    assert caplog.text == ""


def test_of_many_publishers_all_agree_on_one(store: ObjectStore, folder_of: Callable[..., Path]) -> None:
    folders = [folder_of(f"made-{number}", {"n": b"%d" % number}) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        manifests = list(pool.map(lambda folder: artifacts.publish(store, ADDRESS, folder, MANIFEST), folders))
    assert len({manifest.content_digest for manifest in manifests}) == 1


def test_of_many_who_fetch_into_one_folder_all_find_it_whole(
    store: ObjectStore, folder_of: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = artifacts.publish(store, ADDRESS, folder_of("made"), MANIFEST)
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda _: artifacts.fetch(store, ADDRESS, tmp_path / "got"), range(6))) == [manifest] * 6
    assert content(tmp_path / "got") == FILES


def test_wrong_content_is_noticed_and_never_gets_the_final_name(
    store: ObjectStore, folder_of: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = artifacts.publish(store, ADDRESS, folder_of("made"), MANIFEST)
    broken = next(file for file in manifest.files if file.path == "encoder/weights")
    store.put(artifacts.blob_key(broken.sha256), b"v" * broken.size)
    with pytest.raises(IntegrityError, match=rf"encoder/weights: .* has sha256 \w+, .* {broken.sha256}"):
        artifacts.fetch(store, ADDRESS, tmp_path / "got")
    assert "weights" not in " ".join(content(tmp_path / "got"))


def test_a_file_that_is_there_is_kept_only_if_it_is_right(
    store: ObjectStore, folder_of: Callable[..., Path], tmp_path: Path
) -> None:
    artifacts.publish(store, ADDRESS, folder_of("made"), MANIFEST)
    folder_of("got", {"encoder/weights": b"v" * 1000, "metrics.json": b"{}"})
    artifacts.fetch(store, ADDRESS, tmp_path / "got")
    assert content(tmp_path / "got") == FILES


def test_a_missing_blob_is_noticed(store: ObjectStore, folder_of: Callable[..., Path], tmp_path: Path) -> None:
    manifest = artifacts.publish(store, ADDRESS, folder_of("made"), MANIFEST)
    assert artifacts.verify(store, manifest)
    store.delete(artifacts.blob_key(manifest.files[0].sha256))
    assert not artifacts.verify(store, manifest)
    with pytest.raises(NotFound):
        artifacts.fetch(store, manifest, tmp_path / "got")


def test_a_blob_of_the_wrong_size_is_stored_again(store: ObjectStore, folder_of: Callable[..., Path]) -> None:
    path = folder_of("made") / "encoder" / "weights"
    entry = artifacts.put_blob(store, path)
    store.put(artifacts.blob_key(entry.sha256), b"torn")
    assert not artifacts.has_blob(store, entry)
    artifacts.put_blob(store, path)
    assert artifacts.has_blob(store, entry)


def test_content_that_is_there_is_read_only_to_be_compared(store: ObjectStore, folder_of: Callable[..., Path]) -> None:
    path = folder_of("made") / "encoder" / "weights"
    key = artifacts.blob_key(artifacts.put_blob(store, path).sha256)
    damaged = bytes(len(path.read_bytes()))
    store.put(key, damaged)
    artifacts.put_blob(store, path)
    assert store.read(key) == damaged
    artifacts.put_blob(store, path, compare=True)
    assert store.read(key) == path.read_bytes()


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (b"", "the document: Invalid JSON"),
        (b'{"format": 2, "kind": "evaluation", "key": "abc"}', "format: Input should be 1"),
        (b'{"kind": "evaluation"}', "key: Field required"),
        (b'{"kind": "evaluation", "key": "abc", "new": 1}', "new: Extra inputs"),
    ],
    ids=["empty", "of another format", "without a key", "with an unknown field"],
)
def test_an_unreadable_manifest_is_named(store: ObjectStore, document: bytes, complaint: str) -> None:
    store.put(f"{ADDRESS}/manifest.json", document)
    with pytest.raises(IntegrityError, match=f"stages/evaluation/abc/manifest.json .* {complaint}"):
        artifacts.load_manifest(store, ADDRESS)


@pytest.mark.parametrize("path", ["../outside", "/etc/outside", "a/../../outside"])
def test_no_manifest_leads_out_of_the_folder(store: ObjectStore, tmp_path: Path, path: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    entry = artifacts.put_blob(store, source).model_copy(update={"path": path})
    with pytest.raises(IntegrityError, match="is no relative path"):
        artifacts.fetch_files(store, [entry], tmp_path / "deep" / "got")
    assert not (tmp_path / "outside").exists()


def test_fetching_no_files_is_no_error(store: ObjectStore, tmp_path: Path) -> None:
    assert artifacts.fetch_files(store, list[FileEntry](), tmp_path) == []
