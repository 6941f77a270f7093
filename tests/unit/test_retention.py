"""Eviction: what goes, what stays, and what is left when it is cut off or meets others at any moment."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from made import SHARED, accepted, make, observed, small_plan, trained, weights_there
from watched_stores import Killed, cloned, dying, interrupted
from xstilts.api.study import CheckpointRetention as Keep
from xstilts.core.errors import LeaseHeld
from xstilts.core.manifests import EvictionState
from xstilts.core.plan import Plan
from xstilts.store import ObjectStore, artifacts, deletions, evictions, open_store, studies
from xstilts.store.retention import Retained, retain
from xstilts.tracking import CheckpointRef, MemoryTracker


@pytest.fixture
def quick_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was killed while it deleted keeps the next one waiting for that long."""
    monkeypatch.setattr(deletions, "TTL_SECONDS", 0.3)


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store("memory:" if request.param == "memory" else f"file:{tmp_path}/store")


def registered(planned: Plan) -> MemoryTracker:
    """A tracker with a version for a checkpoint of each training stage."""
    tracker = MemoryTracker()
    for address in trained(planned):
        tracker.versions.setdefault(f"{planned.study}.r", []).append(CheckpointRef(key(address), "last"))
    return tracker


def key(address: str) -> str:
    return address.rpartition("/")[2]


def ended(store: ObjectStore, folder: Path, name: str = "s", *, retention: str = "All", finished: bool = True) -> Plan:
    """A study of which everything is made."""
    planned = accepted(store, small_plan(name))
    make(store, planned, folder)
    if finished:
        studies.mark_finished(store, planned, checkpoints=Keep(retention))
    return planned


def evict(store: ObjectStore, tracker: MemoryTracker, planned: Plan, keep: Keep = Keep.NONE) -> Retained:
    return retain(store, tracker, planned, observed(store, planned), checkpoints=keep)


# ---- what goes and what stays


def test_weights_go_and_everything_else_stays(store: ObjectStore, tmp_path: Path) -> None:
    planned = ended(store, tmp_path)
    tracker, before = registered(planned), observed(store, planned)

    retained = evict(store, tracker, planned)

    assert set(retained.evicted) == set(trained(planned))
    assert weights_there(store, planned.stages) == planned.stages.keys() - set(trained(planned))
    after = observed(store, planned)
    assert (after.manifests, after.published) == (before.manifests, before.published)
    assert after.evicted == set(trained(planned))
    assert not after.to_run(planned)
    assert {ref.stage_key for place, ref in tracker.numbered() if place in tracker.evicted} == set(
        map(key, trained(planned))
    )


def test_all_evicts_nothing_and_asks_nobody(store: ObjectStore, tmp_path: Path) -> None:
    planned = ended(store, tmp_path)
    assert retain(store, object(), planned, observed(store, planned), checkpoints=Keep.ALL) == Retained()  # type: ignore[arg-type]


def test_a_second_pass_finds_nothing_to_do(store: ObjectStore, tmp_path: Path) -> None:
    planned = ended(store, tmp_path)
    evict(store, registered(planned), planned)
    before = {info.key: info.modified for info in store.list("")}
    assert retain(store, object(), planned, observed(store, planned), checkpoints=Keep.NONE) == Retained()  # type: ignore[arg-type]
    assert {info.key: info.modified for info in store.list("")} == before


def test_the_best_keep_their_weights(store: ObjectStore, tmp_path: Path) -> None:
    planned = ended(store, tmp_path)
    evicted = evict(store, registered(planned), planned, Keep.BEST_PER_RECIPE).evicted
    assert weights_there(store, trained(planned)) == set(trained(planned)) - set(evicted)
    assert 0 < len(evicted) < len(trained(planned))


def test_content_that_another_manifest_names_stays(store: ObjectStore, tmp_path: Path) -> None:
    planned = ended(store, tmp_path)
    one = artifacts.load_manifest(store, trained(planned)[0])
    assert one
    (tmp_path / "model").mkdir()
    for number, content in enumerate((store.read(artifacts.blob_key(one.files[1].sha256)), SHARED)):
        (tmp_path / "model" / str(number)).write_bytes(content)
    model = artifacts.publish(store, "models/m", tmp_path / "model", one.model_copy(update={"kind": "model"}))

    evict(store, registered(planned), planned)

    assert artifacts.verify(store, model)


def test_what_is_shared_goes_with_the_last_that_names_it(store: ObjectStore, tmp_path: Path) -> None:
    planned = ended(store, tmp_path)
    evict(store, registered(planned), planned, Keep.BEST_PER_RECIPE)
    evict(store, registered(planned), planned)
    named = {
        file.sha256 for m in observed(store, planned).manifests.values() for file in m.files if file.path == "data"
    }
    assert {info.key.rpartition("/")[2] for info in store.list("blobs/")} == named


@pytest.mark.parametrize(
    ("protect", "reason"),
    [
        pytest.param("alias", "alias champion", id="an alias of the registry"),
        pytest.param("pin", "pin of s.r", id="a pin on the version"),
        pytest.param("file", "pin.json", id="a pin beside the manifest"),
        pytest.param("active", "study other has not finished", id="another study that has not finished"),
        pytest.param("again", "study other has not finished", id="another study that was accepted again"),
        pytest.param("kept", "study other keeps it: All", id="another study that keeps its checkpoints"),
        pytest.param("best", "study other keeps it: BestPerRecipe", id="another study's best"),
    ],
)
def test_what_others_want_stays(store: ObjectStore, tmp_path: Path, protect: str, reason: str) -> None:
    planned = ended(store, tmp_path)
    tracker, wanted = registered(planned), trained(planned)[0]
    match protect:
        case "alias":
            tracker.aliases["s.r", "champion"] = 1
        case "pin":
            tracker.pinned.add(("s.r", 1))
        case "file":
            store.put(f"{wanted}/pin.json", b"{}")
        case "active":
            ended(store, tmp_path, "other", retention="None", finished=False)
        case "again":
            accepted(store, ended(store, tmp_path, "other", retention="None"))
        case "kept":
            ended(store, tmp_path, "other")
        case "best":
            ended(store, tmp_path, "other", retention="BestPerRecipe")

    retained = evict(store, tracker, planned)

    assert reason in retained.spared[wanted]
    assert wanted not in retained.evicted
    assert set(retained.spared) <= weights_there(store, trained(planned))
    assert not observed(store, planned).evicted & retained.spared.keys()


def test_a_finished_study_that_keeps_nothing_protects_nothing(store: ObjectStore, tmp_path: Path) -> None:
    ended(store, tmp_path, "other", retention="None")
    planned = ended(store, tmp_path)
    assert set(evict(store, registered(planned), planned).evicted) == set(trained(planned))


def test_a_study_that_has_not_finished_evicts_nothing_of_its_own(store: ObjectStore, tmp_path: Path) -> None:
    planned = ended(store, tmp_path, finished=False)
    assert not evict(store, registered(planned), planned).evicted


# ---- weights that are wanted again


def test_a_stage_that_is_made_again_is_evicted_no_more(store: ObjectStore, tmp_path: Path) -> None:
    planned = ended(store, tmp_path)
    evict(store, registered(planned), planned)
    again = trained(planned)[0]
    make(store, planned, tmp_path, stages=[again], note="second time")
    done = observed(store, planned)
    assert again not in done.evicted
    assert again not in done.published, "MLflow still calls it evicted"
    evictions.forget(store, again)
    assert again in observed(store, planned).published


def test_an_eviction_is_lifted_where_nothing_was_deleted(store: ObjectStore, tmp_path: Path) -> None:
    planned = ended(store, tmp_path)
    address = trained(planned)[0]
    with pytest.raises(Killed):
        evict(dying(store, after_writes=1), registered(planned), planned)
    (announced,) = observed(store, planned).evicted
    manifest, eviction = artifacts.load_manifest(store, announced), evictions.load(store, announced)
    assert manifest
    assert eviction
    assert eviction.state is EvictionState.ANNOUNCED
    assert evictions.lift(store, announced, manifest, eviction)
    evictions.forget(store, announced)
    assert not observed(store, planned).evicted
    assert address in weights_there(store, [address])


def test_what_was_deleted_is_not_lifted(store: ObjectStore, tmp_path: Path) -> None:
    planned = ended(store, tmp_path)
    evict(store, registered(planned), planned)
    address = trained(planned)[0]
    manifest, eviction = artifacts.load_manifest(store, address), evictions.load(store, address)
    assert manifest
    assert eviction
    assert not evictions.lift(store, address, manifest, eviction)
    assert address in observed(store, planned).evicted


# ---- cut off


def consistent(store: ObjectStore, planned: Plan) -> None:
    """All results are there, and whatever has lost a file says so."""
    done = observed(store, planned)
    assert done.manifests.keys() == planned.stages.keys()
    assert not done.to_run(planned)
    assert trained(planned)
    assert planned.stages.keys() - done.evicted <= weights_there(store, planned.stages)


def stubbornly(act: Callable[[], Retained]) -> Retained:
    """On a busy machine a lease of a third of a second may be lost."""
    while True:
        try:
            return act()
        except LeaseHeld:
            continue


@pytest.mark.usefixtures("quick_leases")
@pytest.mark.parametrize("then_wanted", [False, True], ids=["and continued", "and wanted by another study"])
def test_eviction_may_be_cut_off_after_any_write(tmp_path: Path, then_wanted: bool) -> None:
    whole, other = open_store("memory:"), small_plan("other")
    planned = ended(whole, tmp_path)
    for writes in itertools.count():
        store, tracker = cloned(whole), registered(planned)
        try:
            evict(dying(store, after_writes=writes), tracker, planned)  # type: ignore[arg-type]
        except (Killed, LeaseHeld):
            cut_off = True
        else:
            cut_off = False
        consistent(store, planned)
        if then_wanted:
            accepted(store, other)
            kept = stubbornly(
                lambda store=store, planned=planned, tracker=tracker: evict(store, tracker, planned)
            ).spared
            assert set(kept) == weights_there(store, trained(other)) - observed(store, planned).evicted
        else:
            stubbornly(lambda store=store, planned=planned, tracker=tracker: evict(store, tracker, planned))
            assert observed(store, planned).evicted == set(trained(planned))
            assert len(tracker.evicted) == len(trained(planned))
            assert not weights_there(store, trained(planned))
        consistent(store, planned)
        if not cut_off:
            assert writes > 4 * len(trained(planned))
            return


# ---- meeting others


def test_a_study_that_is_accepted_at_any_moment_of_an_eviction_loses_no_weights_silently(tmp_path: Path) -> None:
    """What it reckons with is there; what is not, it knows that it has to make again."""
    whole, other = open_store("memory:"), small_plan("other", targets=[{"name": "xnli"}, {"name": "xsid"}])
    planned = ended(whole, tmp_path)
    for moment in itertools.count():
        store = cloned(whole)
        seen: list[set[str]] = []

        def accept(store: ObjectStore = store, seen: list[set[str]] = seen) -> None:
            accepted(store, other)
            seen.append(observed(store, other).to_run(other))

        watched, happened = interrupted(store, at=moment, act=accept)
        retain(watched, registered(planned), planned, observed(store, planned), checkpoints=Keep.NONE)  # type: ignore[arg-type]
        if not happened():
            assert moment > 50
            return
        (to_run,) = seen
        needed = {before for address in to_run for before in other.stages[address].dependencies} - to_run
        assert needed <= weights_there(store, other.stages), f"at call {moment}"


def test_a_person_who_pins_at_any_moment_keeps_what_is_not_yet_confirmed(tmp_path: Path) -> None:
    whole = open_store("memory:")
    planned = ended(whole, tmp_path)
    pinned = trained(planned)[0]
    for moment in itertools.count():
        store = cloned(whole)
        states: list[EvictionState | None] = []

        def pin(store: ObjectStore = store, states: list[EvictionState | None] = states) -> None:
            eviction = evictions.load(store, pinned)
            states.append(eviction.state if eviction else None)
            store.put(f"{pinned}/pin.json", b"{}")

        watched, happened = interrupted(store, at=moment, act=pin)
        retain(watched, registered(planned), planned, observed(store, planned), checkpoints=Keep.NONE)  # type: ignore[arg-type]
        if not happened():
            return
        done = observed(store, planned)
        if states == [None]:
            assert pinned in weights_there(store, [pinned]), f"at call {moment}"
        assert (pinned in done.evicted) == (pinned not in weights_there(store, [pinned]))
