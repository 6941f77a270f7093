"""What every object store promises: one suite over memory, a directory, and a real S3 server."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xstilts.core.errors import UserError
from xstilts.store import NotFound, ObjectStore, PreconditionFailed
from xstilts.store.preflight import preflight

LARGE = bytes(range(256)) * (20 << 12)  # 20 MiB: several parts of an S3 transfer


def test_an_object_reads_as_it_was_written(store: ObjectStore) -> None:
    store.put("a/b.json", b"one")
    assert store.read("a/b.json") == b"one"


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert store.read("empty") == b""
    assert store.head("empty") is not None


def test_a_write_replaces_what_was_there(store: ObjectStore) -> None:
    store.put("a", b"one")
    store.put("a", b"two")
    assert store.read("a") == b"two"


def test_a_missing_object_is_not_found(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no object 'a/b'"):
        store.read("a/b")
    with pytest.raises(NotFound):
        store.read_versioned("a/b")
    with pytest.raises(NotFound):
        store.download("a/b", tmp_path / "file")
    assert store.head("a/b") is None
    assert not (tmp_path / "file").exists()


def test_head_tells_size_and_age(store: ObjectStore) -> None:
    store.put("a", b"12345")
    info = store.head("a")
    assert info is not None
    assert (info.key, info.size) == ("a", 5)
    assert info.modified > 1_700_000_000


def test_a_listing_is_sorted_and_begins_with_the_prefix(store: ObjectStore) -> None:
    for key in ("b/z", "a/2", "a/10", "a-b/1", "a/deep/er", "ab"):
        store.put(key, key.encode())
    assert [info.key for info in store.list("a/")] == ["a/10", "a/2", "a/deep/er"]
    assert [info.key for info in store.list("a")] == ["a-b/1", "a/10", "a/2", "a/deep/er", "ab"]
    assert [info.size for info in store.list("ab")] == [2]
    assert list(store.list("nothing/here")) == []
    assert len(list(store.list(""))) == 6


def test_deleting_is_idempotent(store: ObjectStore) -> None:
    store.put("a/b", b"one")
    store.delete("a/b")
    store.delete("a/b")
    assert store.head("a/b") is None
    assert list(store.list("")) == []


def test_if_absent_writes_once(store: ObjectStore) -> None:
    store.put("a/b", b"one", if_absent=True)
    with pytest.raises(PreconditionFailed):
        store.put("a/b", b"two", if_absent=True)
    assert store.read("a/b") == b"one"


def test_if_match_writes_only_over_the_version_that_was_read(store: ObjectStore) -> None:
    first = store.put("a", b"one")
    assert store.read_versioned("a") == (b"one", first)
    second = store.put("a", b"two", if_match=first)
    with pytest.raises(PreconditionFailed):
        store.put("a", b"three", if_match=first)
    assert store.read_versioned("a") == (b"two", second)


def test_if_match_fails_where_the_object_is_gone(store: ObjectStore) -> None:
    etag = store.put("a", b"one")
    store.delete("a")
    with pytest.raises(PreconditionFailed):
        store.put("a", b"two", if_match=etag)
    assert store.head("a") is None


def test_of_many_writers_of_an_absent_object_one_wins(store: ObjectStore) -> None:
    def write(number: int) -> bool:
        try:
            store.put("a/contested", f"writer {number}".encode(), if_absent=True)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(write, range(32)))
    assert won.count(True) == 1
    assert store.read("a/contested") == f"writer {won.index(True)}".encode()


def test_of_many_writers_over_one_version_one_wins_each_round(store: ObjectStore) -> None:
    """Counting up by compare and swap from several threads loses no step."""
    store.put("counter", b"0")

    def count_one(_: int) -> None:
        for _attempt in itertools.count():
            data, etag = store.read_versioned("counter")
            try:
                store.put("counter", str(int(data) + 1).encode(), if_match=etag)
                return
            except PreconditionFailed:
                continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_one, range(20)))
    assert store.read("counter") == b"20"


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "in several parts"])
def test_a_file_comes_back_as_it_went(store: ObjectStore, tmp_path: Path, content: bytes) -> None:
    source, target = tmp_path / "source", tmp_path / "new folder" / "target"
    source.write_bytes(content)
    store.upload("files/one", source)
    store.download("files/one", target)
    assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_download_replaces_an_older_file(store: ObjectStore, tmp_path: Path) -> None:
    store.put("a", b"new")
    (tmp_path / "file").write_bytes(b"older and longer")
    store.download("a", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_key_that_is_no_place_below_the_root_is_refused(store: ObjectStore) -> None:
    for key in ("", "/a", "a/", "a//b", "../a", "a/../../b", "a/./b", ".xstilts/lock", "a\nb", "a\\b", "a\0b"):
        with pytest.raises(UserError, match="is no key"):
            store.put(key, b"one")
        with pytest.raises(UserError, match="is no key"):
            store.read(key)


def test_keys_may_hold_spaces_and_any_script(store: ObjectStore) -> None:
    keys = ["data/ไทย train.tsv", "data/a+b&c=d?e#f%20.txt"]
    for key in keys:
        store.put(key, key.encode())
    assert sorted(info.key for info in store.list("data/")) == sorted(keys)
    assert [store.read(key).decode() for key in keys] == keys


def test_every_store_passes_the_preflight_and_is_left_empty(store: ObjectStore) -> None:
    preflight(store)
    assert list(store.list("")) == []
