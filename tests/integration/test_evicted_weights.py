"""What a study is worth without its weights, and how they come back: real stages, on a directory and on S3."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from test_stages import first, request_of, run_all, runner_of

from studies import TinyStudy, accept_in
from xstilts import acceptance, report
from xstilts.api.study import CheckpointRetention as Keep
from xstilts.core.errors import IntegrityError
from xstilts.core.missing import Done
from xstilts.report.verification import verify
from xstilts.store import ObjectStore, artifacts, evictions, studies
from xstilts.store.retention import retain
from xstilts.tracking import MemoryTracker

RECIPES = [{"name": "mnli", "tasks": [{"name": "mnli"}]}]


@pytest.fixture(scope="module")
def made(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyStudy, MemoryTracker]:
    """A study that ran to its end; to be copied, not changed."""
    tiny = accept_in(shutil.copytree(tiny_inputs, tmp_path_factory.mktemp("made") / "work"), recipes=RECIPES)
    tracker = MemoryTracker()
    run_all(tiny, tracker)
    return tiny, tracker


@pytest.fixture
def evicted(made: tuple[TinyStudy, MemoryTracker], tmp_path: Path) -> tuple[TinyStudy, MemoryTracker]:
    """The same, without any weights."""
    tiny = replace(made[0], workdir=shutil.copytree(made[0].workdir, tmp_path / "work"))
    evict(tiny, made[1])
    return tiny, made[1]


def evict(tiny: TinyStudy, tracker: MemoryTracker, keep: Keep = Keep.NONE) -> None:
    studies.mark_finished(tiny.store, tiny.plan, checkpoints=keep)
    retain(tiny.store, tracker, tiny.plan, done_of(tiny), checkpoints=keep)


def done_of(tiny: TinyStudy, server: str = "memory://") -> Done:
    return acceptance.observe(tiny.plan, tiny.store, server=server)


def run_missing(tiny: TinyStudy, tracker: MemoryTracker) -> set[str]:
    """What an engine does; returns what had to be made."""
    done = done_of(tiny, tracker.identity)
    to_run, settled = done.to_run(tiny.plan), done.settled(tiny.plan)
    for address, stage in tiny.plan.stages.items():
        if address not in settled:
            request = replace(request_of(tiny, stage), rebuild=address in to_run)
            runner_of(tiny, tracker).run(request)
    return to_run


def test_report_and_verification_need_no_weights(evicted: tuple[TinyStudy, MemoryTracker]) -> None:
    tiny, _ = evicted
    done = done_of(tiny)
    trainings = {address for address, stage in tiny.plan.stages.items() if stage.kind.endswith("training")}
    assert done.evicted == trainings
    assert not any("checkpoints/" in str(path) for path in (tiny.workdir / "store" / "blobs").rglob("*.safetensors"))
    folder = tiny.workdir / "report"
    measured = acceptance.trainings(tiny.plan, done.manifests)
    results = report.collect(tiny.plan, acceptance.evaluations(tiny.plan, done.manifests), training=measured)
    report.write_report(results, folder)
    assert not results.missing
    found = verify(tiny.plan, done.manifests, tiny.store, report=folder, weights=True, evicted=done.evicted)
    assert not found.problems
    assert set(found.evicted) == trainings


def test_another_server_is_told_of_everything_without_making_weights_again(
    evicted: tuple[TinyStudy, MemoryTracker],
) -> None:
    tiny, tracker = evicted
    other = MemoryTracker("memory://other")
    assert run_missing(tiny, other) == set()
    assert done_of(tiny, "memory://other").published == tiny.plan.stages.keys()
    assert other.versions == tracker.versions
    assert other.evicted == {(model, n) for model, found in other.versions.items() for n in range(1, len(found) + 1)}


def test_a_new_target_makes_again_exactly_the_weights_that_it_starts_from(
    evicted: tuple[TinyStudy, MemoryTracker], made: tuple[TinyStudy, MemoryTracker]
) -> None:
    tiny, tracker = evicted
    targets = [*tiny.study.document()["spec"]["targets"], {"name": "tatoeba", "languages": ["hi"]}]
    grown = accept_in(tiny.workdir, recipes=RECIPES, targets=[targets[0], targets[2]])
    to_run = run_missing(grown, tracker)
    again = {address for address in to_run if address in tiny.plan.stages}
    assert {tiny.plan.stages[address].kind for address in again} == {"intermediate-training"}
    done = done_of(grown)
    assert done.published == grown.plan.stages.keys()
    assert not done.evicted & again
    assert not list(grown.store.list(f"{next(iter(again))}/resume/"))
    for address in again:
        assert evictions.load(grown.store, address) is None
        assert done.manifests[address].content_digest == done_of(made[0]).manifests[address].content_digest
        assert done.manifests[address].provenance["leaseEpoch"] == 2
    unmarked = {ref.stage_key for place, ref in tracker.numbered() if place not in tracker.evicted}
    assert unmarked == {address.rpartition("/")[2] for address in again}


def test_a_stage_that_starts_from_evicted_weights_says_so(evicted: tuple[TinyStudy, MemoryTracker]) -> None:
    tiny, tracker = evicted
    stage = first(tiny, "evaluation")
    tiny.store.delete(artifacts.manifest_key(stage.address))
    with pytest.raises(IntegrityError, match="evicted or lost: run that stage first"):
        runner_of(tiny, tracker).run(request_of(tiny, stage))


def test_weights_that_were_only_announced_to_go_are_taken_back_for_nothing(
    made: tuple[TinyStudy, MemoryTracker], tmp_path: Path
) -> None:
    tiny = replace(made[0], workdir=shutil.copytree(made[0].workdir, tmp_path / "work"))
    stage = first(tiny, "target-training")
    manifest = done_of(tiny).manifests[stage.address]
    eviction = evictions.Eviction(manifest=manifest.digest, study="s", reason="r", evicted=0, files=manifest.files)
    evictions.announce(tiny.store, stage.address, eviction)
    assert stage.address in done_of(tiny).evicted
    runner_of(tiny, made[1]).run(request_of(tiny, stage))
    assert done_of(tiny).manifests[stage.address] == manifest
    assert stage.address not in done_of(tiny).evicted


def copied(tiny: TinyStudy, store: ObjectStore) -> None:
    """All objects of the study's own store, into another one."""
    for info in tiny.store.list(""):
        store.put(info.key, tiny.store.read(info.key))


def test_eviction_on_s3(made: tuple[TinyStudy, MemoryTracker], s3_store: ObjectStore) -> None:
    tiny, tracker = made
    copied(tiny, s3_store)
    before = sum(info.size for info in s3_store.list("blobs/"))
    studies.mark_finished(s3_store, tiny.plan, checkpoints=Keep.BEST_PER_RECIPE)
    done = acceptance.observe(tiny.plan, s3_store, server=tracker.identity)
    for keep in (Keep.BEST_PER_RECIPE, Keep.NONE):
        retained = retain(s3_store, tracker, tiny.plan, done, checkpoints=keep)
        after = sum(info.size for info in s3_store.list("blobs/"))
        assert before - after == retained.freed
        before = after
    done = acceptance.observe(tiny.plan, s3_store, server=tracker.identity)
    assert len(done.evicted) == sum(stage.kind.endswith("training") for stage in tiny.plan.stages.values())
    assert done.settled(tiny.plan) == tiny.plan.stages.keys()
