"""Tokens in the store: made by the first stage that needs them, shared by all others, mended where they are broken."""

from collections.abc import Callable
from pathlib import Path

import pytest

from studies import TinyStudy, accept_in
from xstilts import acceptance
from xstilts.core.configs import CONFIGS
from xstilts.core.errors import ZeroShotError
from xstilts.core.manifests import ArtifactManifest
from xstilts.core.plan import PlannedStage
from xstilts.stages.runner import StageRequest, StageRunner
from xstilts.store import artifacts
from xstilts.tracking import MemoryTracker


@pytest.fixture
def study(tiny_workdir: Path) -> TinyStudy:
    return accept_in(tiny_workdir)


@pytest.fixture
def run(study: TinyStudy) -> Callable[[PlannedStage], None]:
    def run(stage: PlannedStage) -> None:
        request = StageRequest(
            kind=stage.kind,
            config=CONFIGS[stage.kind].model_validate(stage.config),
            inputs=stage.inputs,
            publication=acceptance.publication_of(study.plan, stage),
        )
        StageRunner(store=study.store, tracker=MemoryTracker(), scratch=study.workdir / "scratch").run(request)

    return run


def stages(study: TinyStudy, kind: str, recipe: str) -> list[PlannedStage]:
    return [stage for stage in study.plan.stages.values() if (stage.kind, stage.recipe) == (kind, recipe)]


def tables(study: TinyStudy) -> dict[str, ArtifactManifest]:
    keys = [entry.key for entry in study.store.list("tokens/") if entry.key.endswith("/manifest.json")]
    loaded = {key: artifacts.load_manifest(study.store, key.removesuffix("/manifest.json")) for key in keys}
    return {key: manifest for key, manifest in loaded.items() if manifest}


def test_a_second_stage_on_the_same_data_tokenizes_nothing(
    study: TinyStudy, run: Callable[[PlannedStage], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes, seeds and encoders of one tokenizer share what the first made: here the target after another encoder."""
    (baseline,) = stages(study, "target-training", "baseline")
    run(baseline)
    made = tables(study)
    assert {manifest.config["data"]["split"] for manifest in made.values()} == {"train", "dev"}
    for kind in ("data-scaling", "intermediate-training"):
        for stage in stages(study, kind, "mnli"):
            run(stage)
    after = tables(study)
    assert {manifest.config["data"]["dataset"] for manifest in after.values()} == {"xsid", "mnli"}
    monkeypatch.setattr("xstilts.training.tables.write_table", lambda *_, **__: pytest.fail("tokenized again"))
    for stage in stages(study, "target-training", "mnli"):
        run(stage)
    assert tables(study) == after


@pytest.mark.parametrize("damage", [lambda data: b"short", lambda data: bytes(len(data))], ids=["cut", "overwritten"])
def test_broken_tokens_are_made_again(
    study: TinyStudy, run: Callable[[PlannedStage], None], damage: Callable[[bytes], bytes]
) -> None:
    (baseline,) = stages(study, "target-training", "baseline")
    run(baseline)
    address, manifest = next(iter(tables(study).items()))
    blob = artifacts.blob_key(manifest.files[0].sha256)
    study.store.put(blob, damage(study.store.read(blob)))
    study.store.delete(artifacts.manifest_key(baseline.address))
    run(baseline)
    artifacts.fetch(study.store, address.removesuffix("/manifest.json"), study.workdir / "fetched")


def test_tokens_that_are_there_open_no_way_around_zero_shot(
    study: TinyStudy, run: Callable[[PlannedStage], None]
) -> None:
    (baseline,) = stages(study, "target-training", "baseline")
    run(baseline)
    config = CONFIGS[baseline.kind].model_validate(baseline.config)
    (training,) = config.tasks
    german = training.model_copy(update={"train": training.train.model_copy(update={"language": "de"})})
    stage = baseline.model_copy(update={"config": config.model_copy(update={"tasks": (german,)}).document()})
    with pytest.raises(ZeroShotError, match="only 'en' is allowed in training"):
        run(stage)
