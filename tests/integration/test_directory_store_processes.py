"""A directory store under several processes, and under SIGKILL: one winner, and no torn object, ever."""

import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xstilts.core.errors import StorageError
from xstilts.store import open_store
from xstilts.store.directory import ABANDONED_SECONDS

CONTENDER = """
import sys
from xstilts.store import PreconditionFailed, open_store
store, me = open_store(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for round in range(50):
    try:
        store.put(f"round/{round}", me.encode(), if_absent=True)
        print(round, flush=True)
    except PreconditionFailed:
        pass
"""

WRITER = """
import hashlib, itertools, pathlib, sys
from xstilts.store import open_store
store, source = open_store(sys.argv[1]), pathlib.Path(sys.argv[2])
print("ready", flush=True)
for number in itertools.count():
    body = hashlib.sha256(b"%d" % number).digest() * 20_000
    document = hashlib.sha256(body).hexdigest().encode() + body
    store.put("put", document)
    store.put(f"once/{number}", document, if_absent=True)
    source.write_bytes(document)
    store.upload("uploaded", source)
    etag = store.put("swapped", document)
    store.put("swapped", document, if_match=etag)
    print(number, flush=True)
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_of_many_processes_one_wins_each_round(tmp_path: Path) -> None:
    contenders = [start(CONTENDER, str(tmp_path), f"{number}") for number in range(4)]
    wins = [process.communicate("go\n")[0].split() for process in contenders]
    assert sorted(int(won) for each in wins for won in each) == list(range(50))
    store = open_store(str(tmp_path))
    for number, each in enumerate(wins):
        assert all(store.read(f"round/{won}") == b"%d" % number for won in each)


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_writer_leaves_only_whole_objects(tmp_path: Path, seed: int) -> None:
    """Killed after a random line of its output, so mostly in the middle of a write."""
    writer = start(WRITER, str(tmp_path / "store"), str(tmp_path / "source"))
    assert writer.stdout is not None
    for _ in range(random.Random(seed).randrange(1, 6)):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    store = open_store(str(tmp_path / "store"))
    objects = list(store.list(""))
    assert {"put", "swapped", "uploaded"} <= {info.key for info in objects}
    for info in objects:
        document = store.read(info.key)
        assert document[:64].decode() == hashlib.sha256(document[64:]).hexdigest(), info.key
    store.put("put", b"the lock died with its holder", if_match=store.read_versioned("put")[1])


def test_unfinished_files_of_the_dead_are_removed_in_time(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("a", b"1")
    old, new = tmp_path / ".xstilts" / "new-old", tmp_path / ".xstilts" / "new-new"
    for path in (old, new):
        path.write_bytes(b"torn")
    long_ago = new.stat().st_mtime - ABANDONED_SECONDS - 1
    os.utime(old, (long_ago, long_ago))
    open_store(str(tmp_path))
    assert not old.exists()
    assert new.exists(), "it may belong to a writer that is alive"
    assert [info.key for info in store.list("")] == ["a"]


def test_deleting_leaves_no_empty_folders(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put("a/b/c", b"1")
    store.put("a/d", b"1")
    store.delete("a/b/c")
    assert [path.name for path in (tmp_path / "store" / "a").iterdir()] == ["d"]


def test_a_key_below_an_object_is_refused_in_words(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("a", b"1")
    with pytest.raises(StorageError, match=f"cannot write 'a/b' in file:{tmp_path}: "):
        store.put("a/b", b"1")
    store.delete("a/b")
    store.put("c/d", b"1")
    store.delete("c")
    assert [info.key for info in store.list("")] == ["a", "c/d"]
    with pytest.raises(StorageError, match="cannot write 'c'"):
        store.put("c", b"1")
