"""Intermediate tasks from synthetic files to a trained encoder: all nine in one recipe, and their translations."""

from pathlib import Path
from typing import Any

from studies import accept_in
from xstilts import acceptance
from xstilts.core.configs import CONFIGS
from xstilts.core.results import ScalingFacts, SubsetFacts, TrainingFacts
from xstilts.stages.runner import StageRequest, StageRunner
from xstilts.store import artifacts, open_store
from xstilts.store.datasets import put_dataset
from xstilts.tasks.datasets import scan
from xstilts.tracking import MemoryTracker

NINE = ("anli_plus", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmosqa", "commonsenseqa")


def run_recipes(
    workdir: Path, *recipes: dict[str, Any], rows: int, steps: int
) -> dict[tuple[str, str], dict[str, Any]]:
    """Facts of the stages of each recipe, by its name and the kind of the stage."""
    store, data = open_store(str(workdir / "store")), workdir / "data"
    for name in sorted({task["name"] for recipe in recipes for task in recipe["tasks"]}):
        put_dataset(store, scan(name, data), data)
    tiny = accept_in(
        workdir,
        recipes=list(recipes),
        sizes=[str(rows)],
        budgets=[{"steps": steps}],
        targets=[{"name": "tatoeba", "languages": ["de"]}],
    )
    runner = StageRunner(store=store, tracker=MemoryTracker(), scratch=workdir / "scratch")
    facts = {}
    for address, stage in tiny.plan.stages.items():
        config = CONFIGS[stage.kind].model_validate(stage.config)
        publication = acceptance.publication_of(tiny.plan, stage)
        runner.run(StageRequest(kind=stage.kind, config=config, inputs=stage.inputs, publication=publication))
        manifest = artifacts.load_manifest(store, address)
        assert manifest is not None
        facts[stage.recipe, stage.kind] = manifest.facts
    return facts


def subsets(facts: dict[str, Any]) -> dict[str, SubsetFacts]:
    return {subset.task: subset for subset in ScalingFacts.model_validate(facts).subsets}


def test_all_nine_train_one_encoder_with_a_head_each(tiny_workdir: Path) -> None:
    recipe = {"name": "nine", "tasks": [{"name": name} for name in NINE]}
    facts = run_recipes(tiny_workdir, recipe, rows=240, steps=20)
    drawn = subsets(facts["nine", "data-scaling"])
    assert drawn.keys() == set(NINE)
    assert sum(subset.rows for subset in drawn.values()) == 240
    assert len({name.split(", ")[0] for name in drawn["anli_plus"].histogram}) == 5, "rows of every corpus"
    trained = TrainingFacts.model_validate(facts["nine", "intermediate-training"])
    assert trained.examples == 160
    for look in trained.history:
        assert 0 < look.loss < 20
        assert {name.split("/")[0] for name in look.scores} == set(NINE)


def test_translated_data_trains_on_the_rows_that_the_english_recipe_trains_on(tiny_workdir: Path) -> None:
    names = ("mnli", "hellaswag")
    facts = run_recipes(
        tiny_workdir,
        {"name": "english", "tasks": [{"name": name} for name in names]},
        {"name": "german", "tasks": [{"name": name, "translation": "de"} for name in names]},
        rows=40,
        steps=6,
    )
    english, german = (subsets(facts[recipe, "data-scaling"]) for recipe in ("english", "german"))
    for name in names:
        assert english[name].ids_digest == german[name].ids_digest
        assert german[name].translation is not None
        assert german[name].translation.language == "de"
    losses = [
        [look.loss for look in TrainingFacts.model_validate(facts[recipe, "intermediate-training"]).history]
        for recipe in ("english", "german")
    ]
    assert losses[0] != losses[1], "the texts are others"
