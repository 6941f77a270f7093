"""Pretraining: it learns, resumes to the same bytes, and hands over an encoder that every later phase loads whole."""

import shutil
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from studies import DATASETS, TinyStudy, accept_in
from training_rows import settings, text, tiny_encoder
from xstilts import acceptance
from xstilts.core.configs import CONFIGS
from xstilts.core.errors import IntegrityError, Preempted, UserError, ZeroShotError
from xstilts.core.plan import PlannedStage
from xstilts.core.results import TrainingFacts
from xstilts.stages.runner import StageRequest, StageRunner
from xstilts.store import artifacts
from xstilts.store.datasets import put_dataset
from xstilts.tasks.datasets import scan
from xstilts.tracking import MemoryTracker
from xstilts.training import Budget, FitResult, fit, load_encoder

TEXT = {"en": 600, "de": 400}
PRETRAINING = {"steps": 6, "training": {"batchSize": 8, "maxLength": 32, "evaluateEverySteps": 3}}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder") / "model")


def pretrain(encoder: Path, workdir: Path, **changes: Any) -> FitResult:
    """`fit` on text alone: 12 steps, a look every 5."""
    arguments: dict[str, Any] = {
        "tasks": (),
        "text": text(TEXT),
        "budget": Budget(steps=12),
        "seed": 1,
        "settings": settings(evaluate_every_steps=5),
    }
    return fit(encoder=encoder, workdir=workdir, **arguments | changes)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_perplexity_falls_in_every_language(encoder: Path, tmp_path: Path) -> None:
    result = pretrain(encoder, tmp_path, budget=Budget(steps=80), settings=settings(evaluate_every_steps=20))
    first, last = result.history[0].scores, result.history[-1].scores
    assert set(last) == {"perplexity/en", "perplexity/de"}
    assert all(last[language] < first[language] for language in last)
    assert result.history[-1].loss < result.history[0].loss


def test_the_next_phase_loads_every_weight_of_the_encoder(encoder: Path, tmp_path: Path) -> None:
    result = pretrain(encoder, tmp_path)
    folder = result.checkpoints["last"].folder
    before, _ = load_encoder(encoder)
    after, report = load_encoder(folder)
    assert set(report.language_model) == {
        *("dense.weight", "dense.bias", "layer_norm.weight", "layer_norm.bias", "bias"),
    }
    assert report.loaded == len(after.state_dict())
    assert not (folder / "heads.json").exists()
    assert (folder / "tokenizer.json").read_bytes() == (encoder / "tokenizer.json").read_bytes()
    moved = [name for name, weight in after.state_dict().items() if not weight.equal(before.state_dict()[name])]
    assert any("word_embeddings" in name for name in moved)
    assert any("attention" in name for name in moved)


def test_a_resumed_run_ends_with_the_same_bytes(encoder: Path, tmp_path: Path) -> None:
    whole = pretrain(encoder, tmp_path / "whole")
    kept, looks = tmp_path / "kept", count(1)
    with pytest.raises(Preempted, match="step 7 of 12"):
        pretrain(
            encoder,
            tmp_path / "first",
            on_checkpoint=lambda folder, _: shutil.copytree(folder, kept),
            should_stop=lambda: next(looks) == 7,
        )
    resumed = pretrain(encoder, tmp_path / "second", resume=kept)
    assert files(resumed.checkpoints["last"].folder) == files(whole.checkpoints["last"].folder)
    assert resumed.history == whole.history


def test_another_seed_ends_elsewhere(encoder: Path, tmp_path: Path) -> None:
    one, other = (pretrain(encoder, tmp_path / str(seed), seed=seed) for seed in (1, 2))
    assert files(one.checkpoints["last"].folder) != files(other.checkpoints["last"].folder)


def test_a_language_without_text_is_an_error(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'th' has no line"):
        pretrain(encoder, tmp_path, text=text(TEXT | {"th": 0}))


# ---- as a stage


@pytest.fixture
def pretrained_study(tiny_workdir: Path) -> TinyStudy:
    """The tiny study, begun with pretraining."""
    study = accept_in(tiny_workdir)
    put_dataset(study.store, scan("text", tiny_workdir / "data"), tiny_workdir / "data")
    return accept_in(tiny_workdir, pretraining=PRETRAINING)


def run(study: TinyStudy, stage: PlannedStage, tracker: MemoryTracker) -> None:
    request = StageRequest(
        kind=stage.kind,
        config=CONFIGS[stage.kind].model_validate(stage.config),
        inputs=stage.inputs,
        publication=acceptance.publication_of(study.plan, stage),
    )
    StageRunner(store=study.store, tracker=tracker, scratch=study.workdir / "scratch").run(request)


def stages(study: TinyStudy, kind: str) -> list[PlannedStage]:
    return [stage for stage in study.plan.stages.values() if stage.kind == kind]


def test_one_stage_pretrains_for_all_trials_and_retrieval_uses_it(pretrained_study: TinyStudy) -> None:
    tracker = MemoryTracker()
    (pretraining,) = stages(pretrained_study, "pretraining")
    run(pretrained_study, pretraining, tracker)
    manifest = artifacts.load_manifest(pretrained_study.store, pretraining.address)
    assert manifest is not None
    facts = TrainingFacts.model_validate(manifest.facts)
    assert [(checkpoint.name, checkpoint.step) for checkpoint in facts.checkpoints] == [("last", 6)]
    assert tracker.versions.keys() == {"tiny.pretraining"}
    retrieval = next(
        stage for stage in stages(pretrained_study, "evaluation") if stage.inputs["encoder"] == pretraining.address
    )
    run(pretrained_study, retrieval, tracker)
    training = next(s for s in stages(pretrained_study, "target-training") if s.recipe == "baseline")
    assert training.inputs == {"encoder": pretraining.address}
    run(pretrained_study, training, tracker)


def test_a_stage_before_pretraining_says_what_is_missing(pretrained_study: TinyStudy) -> None:
    training = next(s for s in stages(pretrained_study, "target-training") if s.recipe == "baseline")
    with pytest.raises(IntegrityError, match=r"no checkpoint 'last'.*run that stage first"):
        run(pretrained_study, training, MemoryTracker())


def test_labelled_data_are_no_text(tiny_workdir: Path) -> None:
    assert "mnli" in DATASETS
    study = accept_in(tiny_workdir, pretraining=PRETRAINING | {"data": "mnli", "languages": ["en"]})
    with pytest.raises(ZeroShotError, match="only plain text"):
        run(study, stages(study, "pretraining")[0], MemoryTracker())
