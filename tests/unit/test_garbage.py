"""What `xstilts gc` finds in a store and removes, and what it leaves alone."""

import itertools
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from made import accepted, make, observed, small_plan, trained, weights_there
from watched_stores import WatchedStore, interrupted
from xstilts.api.study import CheckpointRetention as Keep
from xstilts.core.errors import IntegrityError
from xstilts.core.garbage import Garbage, Kind
from xstilts.core.manifests import ArtifactManifest
from xstilts.store import ObjectStore, artifacts, evictions, leases, open_store, studies
from xstilts.store.garbage import Sweep
from xstilts.store.retention import retain
from xstilts.tracking import MemoryTracker

DAY = 24 * 3600.0
STAGE = "stages/target-training/f00"
RESUME = f"{STAGE}/resume/000001/000000003/manifest.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> ObjectStore:
    return open_store(str(root))


@pytest.fixture
def age(root: Path) -> Callable[..., None]:
    """Makes all objects that are there now two days old."""

    def make_old(*, below: str = "") -> None:
        for path in (root / below).rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file():
                    os.utime(path, times=(path.stat().st_mtime - 2 * DAY,) * 2)

    return make_old


def found(store: ObjectStore) -> list[tuple[str, str]]:
    return [(thing.kind, thing.place) for thing in Sweep(store, DAY).find()]


def removed(store: ObjectStore) -> list[Garbage]:
    sweep = Sweep(store, DAY)
    return list(sweep.remove(sweep.find()))


def keys(store: ObjectStore) -> set[str]:
    return {info.key for info in store.list("")} - {"deletion/lease.json"}


# ---- a store in which all is well


def test_nothing_of_a_study_is_garbage_however_old(
    store: ObjectStore, age: Callable[..., None], tmp_path: Path
) -> None:
    planned = accepted(store, small_plan())
    make(store, planned, tmp_path / "made")
    store.put("models/m/manifest.json", store.read(artifacts.manifest_key(trained(planned)[0])))
    age()
    before = keys(store)
    assert found(store) == []
    assert removed(store) == []
    assert keys(store) == before


def test_what_a_plan_names_stays_although_it_never_ran(store: ObjectStore, age: Callable[..., None]) -> None:
    planned = accepted(store, small_plan())
    studies.mark_finished(store, planned, checkpoints=Keep.NONE)
    address = trained(planned)[0]
    store.put(f"{address}/outcome.json", b"{}")
    store.put(f"{address}/resume/000001/000000003/manifest.json", b"{}")
    age()
    assert found(store) == []


def test_a_document_that_cannot_be_read_stops_everything(store: ObjectStore, age: Callable[..., None]) -> None:
    store.put("blobs/sha256/aa/aa1", b"nobody names it, as far as one can tell")
    store.put("models/m/manifest.json", b'{"format": 2}')
    age()
    with pytest.raises(IntegrityError, match=r"models/m/manifest\.json"):
        Sweep(store, DAY).find()


# ---- what goes


def test_blobs_that_nobody_names_go_when_they_are_old(store: ObjectStore, age: Callable[..., None]) -> None:
    store.put("blobs/sha256/aa/aa1", b"old")
    age()
    store.put("blobs/sha256/bb/bb1", b"young")
    assert found(store) == [("blob", "blobs/sha256/aa/aa1")]
    (thing,) = removed(store)
    assert (thing.kind, thing.size) == (Kind.BLOB, 3)
    assert keys(store) == {"blobs/sha256/bb/bb1"}


def test_looking_changes_nothing(store: ObjectStore, age: Callable[..., None]) -> None:
    for key in ("blobs/sha256/aa/aa1", RESUME, f"{STAGE}/outcome.json", "preflight/1"):
        store.put(key, b"{}")
    age()
    calls: list[str] = []
    assert len(Sweep(WatchedStore(store, calls.append), DAY).find()) == 3  # type: ignore[arg-type]
    assert not {"put", "upload", "delete", "abort"} & set(calls)


def test_training_checkpoints_of_a_published_stage_go(
    store: ObjectStore, age: Callable[..., None], tmp_path: Path
) -> None:
    """Although a plan names the stage: nobody resumes it any more."""
    planned = accepted(store, small_plan())
    make(store, planned, tmp_path / "made")
    address = trained(planned)[0]
    store.put(f"{address}/resume/000001/000000003/manifest.json", b"{}")
    before = keys(store)
    assert found(store) == [], "the process that published may be about to remove them"
    age()
    (thing,) = removed(store)
    assert (thing.kind, thing.place) == (Kind.CHECKPOINT, f"{address}/resume/")
    assert before - keys(store) == {f"{address}/resume/000001/000000003/manifest.json"}
    assert keys(store) - before == {f"{address}/lease.json"}


@pytest.mark.parametrize("lost", ["evicted", "gone"])
def test_training_checkpoints_of_a_stage_that_is_being_made_again_stay(
    store: ObjectStore, age: Callable[..., None], tmp_path: Path, lost: str
) -> None:
    planned = accepted(store, small_plan())
    make(store, planned, tmp_path / "made")
    address = trained(planned)[0]
    if lost == "evicted":
        studies.mark_finished(store, planned, checkpoints=Keep.NONE)
        retain(store, MemoryTracker(), planned, observed(store, planned), checkpoints=Keep.NONE)
    else:
        manifest = observed(store, planned).manifests[address]
        store.delete(artifacts.blob_key(manifest.files[0].sha256))
    store.put(f"{address}/resume/000001/000000003/manifest.json", b"{}")
    age()
    assert found(store) == []


def test_what_a_stage_of_no_study_left_goes_but_for_its_lease(store: ObjectStore, age: Callable[..., None]) -> None:
    with leases.hold(store, STAGE, holder="somebody", ttl_seconds=30):
        pass
    for name in ("outcome.json", "log.txt", "resume/000001/000000003/manifest.json"):
        store.put(f"{STAGE}/{name}", b"{}")
    age()
    (thing,) = removed(store)
    assert (thing.kind, thing.place, thing.size) == (Kind.STAGE, f"{STAGE}/", 6)
    assert keys(store) == {f"{STAGE}/lease.json"}
    with leases.hold(store, STAGE, holder="another", ttl_seconds=30) as lease:
        assert lease.epoch == 3, "epochs never go back"
    age()
    assert found(store) == []


@pytest.mark.parametrize("sign", ["lease.json", "outcome.json", "resume/000002/000000001/blobs/x", "pin.json"])
def test_a_stage_with_any_sign_of_life_stays(store: ObjectStore, age: Callable[..., None], sign: str) -> None:
    store.put(RESUME, b"{}")
    age()
    store.put(f"{STAGE}/{sign}", b"{}")
    if sign == "pin.json":
        age()
    assert found(store) == []


def test_leftovers_of_a_crashed_eviction_go(store: ObjectStore, age: Callable[..., None], tmp_path: Path) -> None:
    planned = accepted(store, small_plan())
    make(store, planned, tmp_path / "made")
    address = trained(planned)[0]
    manifest = observed(store, planned).manifests[address]
    eviction = evictions.Eviction(manifest=manifest.digest, study="s", reason="r", evicted=0, files=manifest.files)
    announced = evictions.announce(store, address, eviction)
    age()
    assert found(store) == [], "others may still object"
    evictions.advance(store, address, announced, evictions.EvictionState.CONFIRMED)
    own = {artifacts.blob_key(file.sha256) for file in manifest.files if not file.path.endswith("tokenizer.json")}
    assert {place for _, place in found(store)} == own
    removed(store)
    assert observed(store, planned).settled(planned) == planned.stages.keys()


def test_unfinished_files_go_when_they_are_old(store: ObjectStore, root: Path, age: Callable[..., None]) -> None:
    store.put("a", b"one")
    (root / ".xstilts" / "new-0").write_bytes(b"half")
    assert found(store) == []
    age(below=".xstilts")
    assert [thing.place for thing in removed(store)] == ["new-0"]
    assert not list(root.glob(".xstilts/new-*"))


# ---- while others are at work


def test_a_writer_between_its_blobs_and_its_manifest_loses_nothing(
    store: ObjectStore, age: Callable[..., None], tmp_path: Path
) -> None:
    """A whole sweep happens at every call that a publication makes; part of its content is there and old."""
    (tmp_path / "out").mkdir()
    for name in ("old", "new"):
        (tmp_path / "out" / name).write_bytes(name.encode())
    for moment in itertools.count():
        artifacts.put_blob(store, tmp_path / "out" / "old")
        age()
        watched, happened = interrupted(store, at=moment, act=lambda: removed(store) and None)
        address = f"tokens/{moment}"
        made = ArtifactManifest(kind="tokens", key=str(moment))
        artifacts.publish(watched, address, tmp_path / "out", made)  # type: ignore[arg-type]
        manifest = artifacts.load_manifest(store, address)
        assert manifest
        assert artifacts.verify(store, manifest), f"at call {moment}"
        store.delete(artifacts.manifest_key(address))
        if not happened():
            assert moment >= 5
            return


def test_a_stage_that_is_taken_up_between_the_look_and_the_removal_stays(
    store: ObjectStore, age: Callable[..., None]
) -> None:
    store.put(RESUME, b"{}")
    age()
    sweep = Sweep(store, DAY)
    things = sweep.find()
    with leases.hold(store, STAGE, holder="trainer", ttl_seconds=1.0):
        assert list(sweep.remove(things)) == []
    store.put(f"{STAGE}/resume/000002/000000004/manifest.json", b"{}")
    assert list(sweep.remove(things)) == [], "it was resumed"
    assert RESUME in keys(store)


def test_a_stage_that_a_study_plans_between_the_look_and_the_removal_stays(
    store: ObjectStore, age: Callable[..., None]
) -> None:
    planned = small_plan()
    address = trained(planned)[0]
    store.put(f"{address}/outcome.json", b"{}")
    age()
    sweep = Sweep(store, DAY)
    things = sweep.find()
    assert [thing.kind for thing in things] == [Kind.STAGE]
    accepted(store, planned)
    assert list(sweep.remove(things)) == []
    assert f"{address}/outcome.json" in keys(store)


def test_sweeps_and_studies_at_once(store: ObjectStore, age: Callable[..., None], tmp_path: Path) -> None:
    """Studies that are accepted, made and evicted beside sweeps end as if there were none."""
    done = threading.Event()
    swept: list[Garbage] = []

    def sweep() -> None:
        while not done.is_set():
            swept.extend(removed(store))

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for number in range(3):
            planned = accepted(store, small_plan(f"s{number}", seeds=[number]))
            make(store, planned, tmp_path / f"made-{number}")
            assert weights_there(store, planned.stages) == planned.stages.keys()
            age()
            studies.mark_finished(store, planned, checkpoints=Keep.NONE)
            retain(store, MemoryTracker(), planned, observed(store, planned), checkpoints=Keep.NONE)
            assert observed(store, planned).settled(planned) == planned.stages.keys()
    finally:
        done.set()
        sweeper.join(120)
    assert not sweeper.is_alive()
