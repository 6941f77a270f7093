"""Deleting files while others publish the same content, at every moment of both."""

import itertools
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from watched_stores import WatchedStore, interrupted
from xstilts.core.errors import LeaseHeld
from xstilts.core.manifests import ArtifactManifest
from xstilts.store import ObjectStore, artifacts, deletions, open_store
from xstilts.store.blobs import delete_unnamed, named_blobs

PATIENCE = 60.0
MANIFEST = ArtifactManifest(kind="tokens", key="t")


@pytest.fixture(autouse=True)
def quick_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletions, "TTL_SECONDS", 0.24)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "weights").write_bytes(b"the same content")
    return tmp_path / "made"


class Publisher:
    """Publishes the folder in a thread of its own, and rests before its call number `rest` until it may go on."""

    def __init__(self, store: ObjectStore, folder: Path, *, rest: int) -> None:
        self.resting, self.may_go_on = threading.Event(), threading.Event()
        self.calls = 0
        self._rest = rest
        watched = WatchedStore(store, self._before)
        self.thread = threading.Thread(target=artifacts.publish, args=(watched, "tokens/t", folder, MANIFEST))

    def start(self) -> None:
        """Returns when it rests, or has ended."""
        self.thread.start()
        while self.thread.is_alive() and not self.resting.wait(0.001):
            pass

    def end(self) -> None:
        self.may_go_on.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()

    def _before(self, _: str) -> None:
        self.calls += 1
        if self.calls == self._rest + 1:
            self.resting.set()
            assert self.may_go_on.wait(PATIENCE)


def test_no_publisher_ends_with_a_manifest_whose_files_are_gone(folder: Path) -> None:
    most_calls = 0
    for moment in itertools.count():
        for rest in range(12):
            store = open_store("memory:")
            entry = artifacts.put_blob(store, folder / "weights")
            publisher = Publisher(store, folder, rest=rest)
            watched, happened = interrupted(store, at=moment, act=publisher.start)
            with suppress(LeaseHeld):  # it was kept waiting for too long, and deletes nothing any more
                delete_unnamed(watched, [entry.sha256], holder="test")  # type: ignore[arg-type]
            if not happened():
                assert moment >= 8
                assert most_calls >= 8
                return
            publisher.end()
            most_calls = max(most_calls, publisher.calls)
            manifest = artifacts.load_manifest(store, "tokens/t")
            assert manifest
            assert artifacts.verify(store, manifest), f"deleter at call {moment}, publisher at call {rest}"


def test_a_publisher_that_meets_nobody_looks_twice_and_uploads_once(folder: Path) -> None:
    calls: list[str] = []
    artifacts.publish(WatchedStore(open_store("memory:"), calls.append), "tokens/t", folder, MANIFEST)  # type: ignore[arg-type]
    assert calls == ["read_versioned", "head", "upload", "put", "read_versioned"]


def test_what_is_young_or_named_stays(folder: Path, tmp_path: Path) -> None:
    store = open_store("memory:")
    artifacts.publish(store, "tokens/t", folder, MANIFEST)
    (tmp_path / "other").write_bytes(b"nobody names this")
    loose, (named,) = artifacts.put_blob(store, tmp_path / "other"), named_blobs(store)
    assert delete_unnamed(store, [loose.sha256, named], holder="test", condemned=lambda blob: blob.modified < 0) == []
    (deleted,) = delete_unnamed(store, [loose.sha256, named], holder="test")
    assert deleted.key == artifacts.blob_key(loose.sha256)
    assert artifacts.has_blob(store, artifacts.put_blob(store, folder / "weights"))


def test_deleters_take_turns(tmp_path: Path) -> None:
    store = open_store("memory:")
    with deletions.turn(store, holder="one") as lease:
        other = threading.Thread(target=lambda: deletions.turn(store, holder="two").__enter__())
        other.start()
        other.join(0.3)
        lease.check()
        assert other.is_alive(), "it waits for its turn"
    other.join(PATIENCE)
    assert not other.is_alive()
