"""Stages as their runner runs them: done once, published everywhere, resumed, and never trained on another language."""

import json
import logging
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from encoders import BROKEN, ENCODER, write
from studies import TinyStudy, accept_in, start_stage
from watched_stores import WatchedStore
from xstilts import acceptance, conclusion
from xstilts.core.catalogue import ENGLISH
from xstilts.core.configs import CONFIGS
from xstilts.core.errors import (
    ExitCode,
    IntegrityError,
    LeaseHeld,
    Preempted,
    StorageUnavailable,
    TrackingUnavailable,
    ZeroShotError,
)
from xstilts.core.manifests import ArtifactManifest, DatasetManifest
from xstilts.core.plan import PlannedStage
from xstilts.core.results import EvaluationFacts, ScalingFacts, TrainingFacts
from xstilts.stages.__main__ import main
from xstilts.stages.bench import Progress
from xstilts.stages.runner import KERNELS, StageRequest, StageRunner
from xstilts.store import artifacts, leases
from xstilts.store.datasets import load_dataset
from xstilts.store.port import NotFound, ObjectStore
from xstilts.tracking import MemoryTracker, StagePublished, StageRecord


def request_of(tiny: TinyStudy, stage: PlannedStage) -> StageRequest:
    return StageRequest(
        kind=stage.kind,
        config=CONFIGS[stage.kind].model_validate(stage.config),
        inputs=stage.inputs,
        publication=acceptance.publication_of(tiny.plan, stage),
    )


def runner_of(tiny: TinyStudy, tracker: MemoryTracker, **options: Any) -> StageRunner:
    return StageRunner(store=tiny.store, tracker=tracker, scratch=tiny.workdir / "scratch", **options)


def run_all(tiny: TinyStudy, tracker: MemoryTracker, **options: Any) -> None:
    runner = runner_of(tiny, tracker, **options)
    for stage in tiny.plan.stages.values():
        runner.run(request_of(tiny, stage))


def first(tiny: TinyStudy, kind: str) -> PlannedStage:
    return next(stage for stage in tiny.plan.stages.values() if stage.kind == kind)


def run_until(tiny: TinyStudy, tracker: MemoryTracker, stage: PlannedStage) -> None:
    """Everything that the stage needs, and nothing else."""
    for address in stage.dependencies:
        run_until(tiny, tracker, tiny.plan.stages[address])
        runner_of(tiny, tracker).run(request_of(tiny, tiny.plan.stages[address]))


def contents(tiny: TinyStudy) -> dict[str, str]:
    """What every stage made, by address."""
    done = acceptance.observe(tiny.plan, tiny.store, server="any")
    return {address: manifest.content_digest for address, manifest in done.manifests.items()}


def test_a_whole_plan_runs_and_a_second_pass_does_nothing(tiny_study: TinyStudy) -> None:
    tracker = MemoryTracker()
    run_all(tiny_study, tracker)
    done = acceptance.observe(tiny_study.plan, tiny_study.store, server=tracker.identity)
    assert done.published == done.manifests.keys() == tiny_study.plan.stages.keys()
    scores = acceptance.evaluations(tiny_study.plan, done.manifests)
    assert all(
        0 <= value <= 100
        for facts in scores.values()
        for checkpoint in facts.checkpoints
        for found in checkpoint.languages
        for value in found.metrics.values()
    )
    assert tracker.versions.keys() == {"tiny.baseline", "tiny.mnli", "tiny.mix"}
    before = {entry.key: entry.modified for entry in tiny_study.store.list("")}
    run_all(tiny_study, tracker)
    assert {entry.key: entry.modified for entry in tiny_study.store.list("")} == before


def test_a_subset_is_what_its_manifest_says(tiny_study: TinyStudy) -> None:
    stage = next(s for s in tiny_study.plan.stages.values() if s.kind == "data-scaling" and s.recipe == "mix")
    runner_of(tiny_study, MemoryTracker()).run(request_of(tiny_study, stage))
    manifest = artifacts.fetch(tiny_study.store, stage.address, tiny_study.workdir / "subset")
    facts = ScalingFacts.model_validate(manifest.facts)
    assert facts.rows == 40
    assert [(subset.task, subset.rows) for subset in facts.subsets] == [("mnli", 30), ("hellaswag", 10)]
    for subset in facts.subsets:
        lines = (tiny_study.workdir / "subset" / subset.path).read_text().splitlines()
        assert len(lines) == len(set(lines)) == subset.rows == sum(subset.histogram.values())
    assert set(facts.subsets[0].histogram.values()) == {10}, "MNLI is balanced over its three labels"


def test_predictions_give_the_scores_again(tiny_study: TinyStudy) -> None:
    from xstilts import metrics
    from xstilts.tasks import registry

    tracker = MemoryTracker()
    stage = first(tiny_study, "evaluation")
    run_until(tiny_study, tracker, stage)
    runner_of(tiny_study, tracker).run(request_of(tiny_study, stage))
    manifest = artifacts.fetch(tiny_study.store, stage.address, tiny_study.workdir / "scores")
    facts = EvaluationFacts.model_validate(manifest.facts)
    assert [scores.checkpoint for scores in facts.checkpoints] == ["averaged", "best", "last"]
    languages = [found for scores in facts.checkpoints for found in scores.languages]
    assert [found.language for found in languages] == ["en", "de", "hi"] * 3
    for found in languages:
        lines = (tiny_study.workdir / "scores" / found.predictions).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        again = metrics.score(
            registry.get(facts.task).kind,
            [row["gold"] for row in rows],
            [row["prediction"] for row in rows],
            language=found.language,
        )
        assert again == found.metrics
        assert len(rows) == found.rows == 20


class Flaky(MemoryTracker):
    """A server whose answer is lost before or after it did its work."""

    def __init__(self, *, before: bool) -> None:
        super().__init__()
        self.before, self.calls = before, 0

    def publish_stage(self, record: StageRecord) -> StagePublished:
        self.calls += 1
        if self.before and self.calls == 1:
            raise TrackingUnavailable("no answer")
        published = super().publish_stage(record)
        if self.calls == 1:
            raise TrackingUnavailable("no answer")
        return published


@pytest.mark.parametrize("before", [True, False], ids=["before its work", "after its work"])
def test_a_server_lost_between_manifest_and_registration_costs_no_training(tiny_study: TinyStudy, before: bool) -> None:
    stage = first(tiny_study, "target-training")
    tracker = Flaky(before=before)
    steps: list[Progress] = []
    runner = runner_of(tiny_study, tracker, report=steps.append, outage_seconds=0.0)
    assert runner.attempt(request_of(tiny_study, stage)).exit_code == ExitCode.UNAVAILABLE
    trained = len(steps)
    assert trained
    assert runner.attempt(request_of(tiny_study, stage)).exit_code == ExitCode.SUCCEEDED
    assert len(steps) == trained
    assert [ref.checkpoint for ref in tracker.versions["tiny.baseline"]] == ["averaged", "best", "last"]


def test_an_attempt_outlasts_a_server_that_is_away_for_a_moment(tiny_study: TinyStudy) -> None:
    stage = first(tiny_study, "data-scaling")
    tracker = Flaky(before=True)
    outcome = runner_of(tiny_study, tracker, outage_seconds=60.0).attempt(request_of(tiny_study, stage))
    assert outcome.exit_code == ExitCode.SUCCEEDED
    assert tracker.stages.keys() == {stage.key}


def test_another_server_gets_everything_without_training_again(tiny_study: TinyStudy) -> None:
    first_server, second_server = MemoryTracker("memory://one"), MemoryTracker("memory://two")
    run_all(tiny_study, first_server)
    steps: list[Progress] = []
    run_all(tiny_study, second_server, report=steps.append)
    assert not steps
    assert second_server.stages == first_server.stages
    assert second_server.versions == first_server.versions


def test_a_server_that_lost_its_database_gets_everything_again(
    tiny_study: TinyStudy, caplog: pytest.LogCaptureFixture
) -> None:
    tracker, plan, store = MemoryTracker(), tiny_study.plan, tiny_study.store
    run_all(tiny_study, tracker)
    publish = partial(conclusion.publish_study, tiny_study.study, store, tracker, plan)
    assert {*publish(again=False)} == {plan.study, *(trial.name for trial in plan.trials)}
    full = tracker.stages, tracker.versions, tracker.trials.keys(), tracker.studies.keys()
    assert publish(again=False) == []

    tracker.__init__()  # type: ignore[misc]
    seen = acceptance.observe(plan, store, server=tracker.identity, known_runs=tracker.known_runs)
    assert (seen.manifests.keys(), seen.published) == (plan.stages.keys(), frozenset())
    assert "no longer has run" in caplog.text
    steps: list[Progress] = []
    run_all(tiny_study, tracker, report=steps.append)
    assert not steps, "nothing is computed again"
    assert {*publish(again=False)} == {plan.study, *(trial.name for trial in plan.trials)}
    assert (tracker.stages, tracker.versions, tracker.trials.keys(), tracker.studies.keys()) == full

    assert {*publish(again=True)} == {plan.study, *(trial.name for trial in plan.trials), *plan.stages}
    assert (tracker.stages, tracker.versions, tracker.trials.keys(), tracker.studies.keys()) == full


def test_a_server_that_does_not_answer_is_believed_to_have_what_receipts_name(tiny_study: TinyStudy) -> None:
    def no_answer(_: object) -> set[str]:
        raise TrackingUnavailable("no answer")

    tracker, stage = MemoryTracker(), first(tiny_study, "data-scaling")
    runner_of(tiny_study, tracker).run(request_of(tiny_study, stage))
    seen = acceptance.observe(tiny_study.plan, tiny_study.store, server=tracker.identity, known_runs=no_answer)
    assert seen.published == {stage.address}


def test_files_that_are_gone_are_made_again(tiny_study: TinyStudy) -> None:
    tracker = MemoryTracker()
    stage = first(tiny_study, "target-training")
    runner = runner_of(tiny_study, tracker)
    runner.run(request_of(tiny_study, stage))
    manifest = artifacts.load_manifest(tiny_study.store, stage.address)
    assert manifest
    tiny_study.store.delete(artifacts.blob_key(manifest.files[0].sha256))
    assert stage.address not in acceptance.observe(tiny_study.plan, tiny_study.store, server="any").manifests
    runner.run(request_of(tiny_study, stage))
    again = artifacts.load_manifest(tiny_study.store, stage.address)
    assert again
    assert again.content_digest == manifest.content_digest
    assert artifacts.verify(tiny_study.store, again)


def test_a_stage_stopped_at_any_step_resumes_to_the_same_bytes(tiny_study: TinyStudy) -> None:
    stage = next(s for s in tiny_study.plan.stages.values() if s.kind == "intermediate-training" and s.recipe == "mix")
    straight = replace(
        tiny_study, workdir=shutil.copytree(tiny_study.workdir, tiny_study.workdir.with_name("straight"))
    )
    run_until(straight, MemoryTracker(), stage)
    runner_of(straight, MemoryTracker()).run(request_of(straight, stage))

    run_until(tiny_study, MemoryTracker(), stage)
    stops = iter([False, True, True, False, True])
    interrupted = 0
    for _ in range(4):
        runner = runner_of(tiny_study, MemoryTracker(), should_stop=lambda: next(stops, False))
        try:
            runner.run(request_of(tiny_study, stage))
        except Preempted:
            interrupted += 1
    assert interrupted == 3
    assert contents(tiny_study)[stage.address] == contents(straight)[stage.address]
    assert not list(tiny_study.store.list(f"{stage.address}/resume/")), (
        "training checkpoints go when the result is there"
    )


class NoRenewals(WatchedStore):
    """A store that takes no lease while it is `away`, as one does that is slow; the second refusal is told."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner, lambda _: None)
        self.away, self.refused, self.refusals = False, threading.Event(), 0

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        if self.away and key.endswith("lease.json"):
            self.refusals += 1
            if self.refusals == 2:
                self.refused.set()
            raise StorageUnavailable("slow down")
        return super().put(key, data, if_absent=if_absent, if_match=if_match)


def test_a_store_that_is_slow_for_longer_than_a_lease_costs_no_stage(tiny_study: TinyStudy) -> None:
    """Nobody has taken the lease meanwhile: the holder finds that out, and goes on."""
    stage = first(tiny_study, "data-scaling")
    store = NoRenewals(tiny_study.store)

    def work_through_an_outage() -> None:
        store.away = True
        assert store.refused.wait(60)  # a second after the first, and the lease lasts for less
        store.away = False

    runner = StageRunner(
        store=store,
        tracker=MemoryTracker(),
        scratch=tiny_study.workdir / "scratch",
        lease_seconds=0.5,
        before_work=work_through_an_outage,
    )
    assert runner.attempt(request_of(tiny_study, stage)).exit_code == ExitCode.SUCCEEDED
    manifest = artifacts.load_manifest(tiny_study.store, stage.address)
    assert manifest
    assert manifest.provenance["leaseEpoch"] == 1


def test_a_stage_that_is_held_elsewhere_is_left_alone(tiny_study: TinyStudy) -> None:
    stage = first(tiny_study, "data-scaling")
    with leases.hold(tiny_study.store, stage.address, holder="somebody", ttl_seconds=1.0):
        runner = runner_of(tiny_study, MemoryTracker())
        with pytest.raises(LeaseHeld, match="somebody"):
            runner.run(request_of(tiny_study, stage))
        assert runner.attempt(request_of(tiny_study, stage)).exit_code == ExitCode.LEASE_HELD
    assert not tiny_study.store.head(f"{stage.address}/outcome.json"), "the outcome is the holder's to tell"
    assert not tiny_study.store.head(f"{stage.address}/log.txt")
    runner.run(request_of(tiny_study, stage))


def test_a_stage_that_is_told_to_wait_adopts_what_the_holder_makes(tiny_study: TinyStudy) -> None:
    """Nobody tries again in a Kubeflow run: the second of two that begin at once waits, and ends well."""
    stage = first(tiny_study, "data-scaling")
    request, tracker = request_of(tiny_study, stage), MemoryTracker()
    holding, waiting = threading.Event(), threading.Event()

    def at_work() -> None:
        holding.set()
        assert waiting.wait(60)

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "waiting for it" in record.getMessage():
                waiting.set()

    one = runner_of(tiny_study, tracker, before_work=at_work, lease_seconds=5.0)
    second_work: list[str] = []
    other = StageRunner(
        store=tiny_study.store,
        tracker=tracker,
        scratch=tiny_study.workdir / "other",
        wait_for_lease=120.0,
        before_work=lambda: second_work.append("work"),
    )
    listener, logger = Listener(), logging.getLogger("xstilts.stages.runner")
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    with ThreadPoolExecutor(2) as pool:
        first_outcome = pool.submit(one.attempt, request)
        assert holding.wait(60)
        second_outcome = pool.submit(other.attempt, request)
        assert (first_outcome.result().exit_code, second_outcome.result().exit_code) == (0, 0)
    logger.removeHandler(listener)
    assert not second_work
    manifest = artifacts.load_manifest(tiny_study.store, stage.address)
    assert manifest
    assert manifest.provenance["leaseEpoch"] == 1


def test_provenance_names_processor_and_chosen_kernels(tiny_study: TinyStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What equal numbers depend on beside data and config."""
    for name in KERNELS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    stage = first(tiny_study, "data-scaling")
    runner_of(tiny_study, MemoryTracker()).run(request_of(tiny_study, stage))
    manifest = artifacts.load_manifest(tiny_study.store, stage.address)
    assert manifest
    assert manifest.provenance["processor"]
    assert manifest.provenance["kernels"] == {"MKL_CBWR": "COMPATIBLE"}


def test_a_wait_for_a_lease_ends_when_it_is_told_to(tiny_study: TinyStudy) -> None:
    stage = first(tiny_study, "data-scaling")
    with leases.hold(tiny_study.store, stage.address, holder="somebody", ttl_seconds=0.5):
        runner = runner_of(tiny_study, MemoryTracker(), wait_for_lease=0.1)
        assert runner.attempt(request_of(tiny_study, stage)).exit_code == ExitCode.LEASE_HELD


def altered(tiny: TinyStudy, stage: PlannedStage, change: Callable[[dict[str, Any]], None]) -> StageRequest:
    document = json.loads(json.dumps(stage.config))
    change(document)
    request = request_of(tiny, stage)
    return replace(request, config=CONFIGS[stage.kind].model_validate(document))


@pytest.mark.parametrize("role", ["train", "dev"])
def test_no_stage_trains_or_selects_on_another_language(tiny_study: TinyStudy, role: str) -> None:
    stage, scores = first(tiny_study, "target-training"), first(tiny_study, "evaluation")
    german: Any = next(ref for ref in scores.config["data"] if ref["language"] == "de")  # type: ignore[attr-defined]
    request = altered(tiny_study, stage, lambda config: config["tasks"][0].update({role: german}))
    with pytest.raises(ZeroShotError, match=r"xsid/test\.de"):
        runner_of(tiny_study, MemoryTracker()).run(request)


def test_a_missing_input_is_told_by_name(tiny_study: TinyStudy) -> None:
    stage = first(tiny_study, "evaluation")
    with pytest.raises(IntegrityError, match="stages/target-training/"):
        runner_of(tiny_study, MemoryTracker()).run(request_of(tiny_study, stage))


@pytest.mark.parametrize("role", ["evaluation", "target-training"])
@pytest.mark.parametrize(
    "kind",
    [
        "weights are a git-lfs pointer",
        "a pickle with foreign objects",
        "pickled weights are empty",
        "a tokenizer that is not JSON",
        "another architecture",
        "pieces alone as tokenizer",
        "a shard that is missing",
        "safetensors that are cut off",
    ],
)
def test_an_encoder_that_cannot_be_loaded_is_told_as_wrong_input(tiny_study: TinyStudy, kind: str, role: str) -> None:
    """One that an earlier version stored without a look at it: trying again would not help."""
    broken, _ = BROKEN[kind]
    whole = {file.name: file.read_bytes() for file in (tiny_study.workdir / "model").iterdir() if file.name in broken}
    files = whole | {name: content for name, content in broken.items() if content != ENCODER.get(name)}
    folder = write(tiny_study.workdir / "broken", files)
    artifacts.publish(tiny_study.store, "models/broken", folder, ArtifactManifest(kind="model", key="broken"))
    stage = next(
        stage for stage in tiny_study.plan.stages.values()
        if stage.kind == role and stage.inputs["encoder"].startswith("models/")
    )  # fmt: skip
    request = replace(request_of(tiny_study, stage), inputs={"encoder": "models/broken"})
    outcome = runner_of(tiny_study, MemoryTracker()).attempt(request)
    assert (outcome.exit_code, outcome.reason) == (ExitCode.INVALID_INPUT, "UserError"), outcome.message
    assert "models/broken" in outcome.message
    assert str(tiny_study.workdir) not in outcome.message, "scratch is gone when this is read"


def test_an_attempt_is_the_pods_and_its_last_words_are_in_the_pods_status_too(
    tiny_study: TinyStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "termination-log"
    words.touch()
    monkeypatch.setenv("XSTILTS_POD", "xs-1-abcde")
    monkeypatch.setenv("XSTILTS_TERMINATION_MESSAGE", str(words))
    stage = first(tiny_study, "evaluation")
    outcome = runner_of(tiny_study, MemoryTracker()).attempt(request_of(tiny_study, stage))
    assert outcome.holder.startswith("xs-1-abcde/")
    assert words.read_text() == f"IntegrityError: {outcome.message}"


def test_the_outcome_tells_how_an_attempt_ended(tiny_study: TinyStudy) -> None:
    stage = first(tiny_study, "evaluation")
    outcome = runner_of(tiny_study, MemoryTracker()).attempt(request_of(tiny_study, stage))
    assert outcome.exit_code == ExitCode.PERMANENT
    assert outcome.reason == "IntegrityError"
    stored = json.loads(tiny_study.store.read(f"{stage.address}/outcome.json"))
    assert stored["exitCode"] == ExitCode.PERMANENT


def test_the_log_of_an_attempt_outlives_its_process(tiny_study: TinyStudy) -> None:
    stage = first(tiny_study, "evaluation")
    runner_of(tiny_study, MemoryTracker()).attempt(request_of(tiny_study, stage))
    text = tiny_study.store.read(f"{stage.address}/log.txt").decode()
    assert f"ERROR xstilts.stages.runner: {stage.address}: IntegrityError: " in text
    assert "Traceback" not in text, "errors raised on purpose say enough"


def test_the_log_of_an_error_that_nobody_foresaw_has_its_traceback(tiny_study: TinyStudy) -> None:
    stage = first(tiny_study, "data-scaling")

    def fail() -> None:
        raise ZeroDivisionError("by nothing")

    runner = runner_of(tiny_study, MemoryTracker(), before_work=fail)
    assert runner.attempt(request_of(tiny_study, stage)).exit_code == ExitCode.FAILED
    text = tiny_study.store.read(f"{stage.address}/log.txt").decode()
    assert "Traceback" in text
    assert text.endswith("ZeroDivisionError: by nothing\n")


def test_a_store_that_takes_no_log_fails_no_stage(tiny_study: TinyStudy) -> None:
    stage = first(tiny_study, "data-scaling")
    taken = tiny_study.workdir / "store" / stage.address / "log.txt" / "a-folder-in-its-place"
    taken.mkdir(parents=True)
    outcome = runner_of(tiny_study, MemoryTracker()).attempt(request_of(tiny_study, stage))
    assert outcome.exit_code == ExitCode.SUCCEEDED
    assert tiny_study.store.head(f"{stage.address}/outcome.json")


def test_what_a_stage_starts_from_is_what_the_stage_before_it_made(tiny_study: TinyStudy) -> None:
    """The hand-over: the encoder of the intermediate phase reaches the target phase, byte for byte."""
    run_all(tiny_study, MemoryTracker())
    trial = next(trial for trial in tiny_study.plan.trials if trial.intermediate)
    intermediate = tiny_study.plan.stages[str(trial.intermediate)]
    manifest = artifacts.load_manifest(tiny_study.store, intermediate.address)
    assert manifest
    best = next(c for c in TrainingFacts.model_validate(manifest.facts).checkpoints if c.name == "best")
    target = tiny_study.plan.stages[trial.trainings["xsid"]]
    assert target.inputs == {"encoder": intermediate.address}
    assert target.config["checkpoint"] == best.name
    assert any(file.path == f"{best.path}/model.safetensors" for file in manifest.files)


def stored(tiny: TinyStudy, name: str) -> DatasetManifest:
    dataset = load_dataset(tiny.store, name)
    assert dataset
    return dataset


def test_training_and_selection_do_without_any_label_of_a_target_language(tiny_study: TinyStudy) -> None:
    """All files of other languages are taken out of the store, and everything is trained; evaluation asks for them."""
    foreign = [
        (artifacts.blob_key(file.sha256), split.ref.language)
        for name in ("xsid", "tatoeba")
        for split in stored(tiny_study, name).splits
        for file in split.files
        if split.language != ENGLISH
    ]
    assert {language for _, language in foreign} == {"de", "hi"}
    kept = {key: tiny_study.store.read(key) for key, _ in foreign}
    for key in kept:
        tiny_study.store.delete(key)
    tracker = MemoryTracker()
    for stage in tiny_study.plan.stages.values():
        if stage.kind != "evaluation":
            runner_of(tiny_study, tracker).run(request_of(tiny_study, stage))
    evaluation = first(tiny_study, "evaluation")
    with pytest.raises(NotFound):
        runner_of(tiny_study, tracker).run(request_of(tiny_study, evaluation))
    for key, data in kept.items():
        tiny_study.store.put(key, data)
    runner_of(tiny_study, tracker).run(request_of(tiny_study, evaluation))
    assert artifacts.load_manifest(tiny_study.store, evaluation.address)


def test_the_oracle_takes_the_checkpoint_that_the_labels_of_a_language_favour(tiny_workdir: Path) -> None:
    tiny = accept_in(tiny_workdir, protocols=["Best", "Oracle"], recipes=[], sizes=["0"])
    run_all(tiny, MemoryTracker())
    done = acceptance.observe(tiny.plan, tiny.store, server="any")
    (facts,) = [f for f in acceptance.evaluations(tiny.plan, done.manifests).values() if f.task == "xsid"]
    assert [scores.checkpoint for scores in facts.checkpoints] == ["averaged", "best", "last"]
    for scores in facts.checkpoints:
        assert [entry.data.split for entry in scores.dev] == ["dev", "test", "test"], "xSID has no German dev set here"
        assert scores.dev[1:] == scores.languages[1:]
    oracle = facts.of("oracle")
    assert oracle
    assert [entry.language for entry in oracle.languages] == ["en", "de", "hi"]
    for entry in oracle.languages[1:]:
        others = [
            found for scores in facts.checkpoints for found in scores.languages if found.language == entry.language
        ]
        assert entry.metrics["exact_match"] == max(found.metrics["exact_match"] for found in others)


@pytest.fixture
def two_recipes_alike(tiny_workdir: Path) -> TinyStudy:
    recipes = [{"name": name, "tasks": [{"name": "mnli"}]} for name in ("one", "two")]
    return accept_in(tiny_workdir, recipes=recipes)


def test_recipes_of_equal_content_are_trained_once(two_recipes_alike: TinyStudy) -> None:
    trainings = [s for s in two_recipes_alike.plan.stages.values() if s.kind == "intermediate-training"]
    assert [stage.recipe for stage in trainings] == ["one"]


def test_a_stage_that_is_killed_resumes_from_its_last_checkpoint_to_the_same_bytes(tiny_study: TinyStudy) -> None:
    """In processes of their own: a container that vanishes, and the one that comes after it."""
    stage = first(tiny_study, "target-training")
    straight = replace(
        tiny_study, workdir=shutil.copytree(tiny_study.workdir, tiny_study.workdir.with_name("straight"))
    )
    runner_of(straight, MemoryTracker()).run(request_of(straight, stage))

    process = start_stage(tiny_study, stage)
    while not any("manifest.json" in entry.key for entry in tiny_study.store.list(f"{stage.address}/resume/")):
        assert process.poll() is None, "the stage ended before it could be killed"
    process.kill()
    process.wait()
    assert start_stage(tiny_study, stage).wait() == ExitCode.SUCCEEDED
    assert contents(tiny_study)[stage.address] == contents(straight)[stage.address]
    manifest = artifacts.load_manifest(tiny_study.store, stage.address)
    assert manifest
    assert manifest.provenance["leaseEpoch"] == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [("--config", "{}"), ("--config", "not json"), ("--store", '{"uri": "ftp://x"}'), ("--publication", "[]")],
)
def test_arguments_that_are_wrong_end_a_container_with_the_code_for_invalid_input(
    tiny_study: TinyStudy, option: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    stage = first(tiny_study, "data-scaling")
    arguments = {
        "--config": json.dumps(stage.config),
        "--store": '{"uri": "store"}',
        "--tracking": '{"uri": "sqlite:///mlflow.db"}',
        "--publication": '{"study": "s", "experiment": "e", "recipe": "r"}',
    }
    flat = [part for pair in (arguments | {option: value}).items() for part in pair]
    assert main([stage.kind, *flat]) == ExitCode.INVALID_INPUT
    assert "not valid" in caplog.text


def test_an_image_whose_stages_have_other_keys_than_the_plan_says_so(
    tiny_study: TinyStudy, caplog: pytest.LogCaptureFixture
) -> None:
    stage = first(tiny_study, "data-scaling")
    arguments = ["--config", json.dumps(stage.config), "--store", '{"uri": "memory:"}']
    arguments += ["--tracking", '{"uri": "sqlite:///mlflow.db"}', "--key", "0" * 32]
    arguments += ["--publication", '{"study": "s", "experiment": "e", "recipe": "r"}']
    assert main([stage.kind, *arguments]) == ExitCode.INVALID_INPUT
    assert stage.key in caplog.text
