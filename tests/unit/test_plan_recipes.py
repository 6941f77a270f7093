"""Recipes in a plan: text beside the tasks, translations, settings of single tasks, and what each of them reaches."""

from collections.abc import Mapping
from typing import Any

import pytest

from plans import (
    ALL_EVALUATIONS,
    ALL_TARGETS,
    BELOW_INTERMEDIATES,
    changed,
    replaced,
    study,
    world,
    world_with_text,
)
from xstilts.api.study import Study
from xstilts.core.configs import TaskTraining
from xstilts.core.errors import UserError
from xstilts.core.plan import Plan
from xstilts.core.planner import plan
from xstilts.core.world import World


def recipe(*tasks: Mapping[str, Any], **changes: Any) -> Study:
    """The study with another recipe `mnli`, which has those tasks, beside the same mixture."""
    mix = {"name": "mix", "tasks": [{"name": "mnli"}, {"name": "squad"}]}
    return study(recipes=[{"name": "mnli", "tasks": list(tasks) or [{"name": "mnli"}]} | changes, mix])


def with_text(**changes: Any) -> Study:
    return recipe(mlm={"dataset": "text", "ratio": "0.25"} | changes)


def translated_world(**rows: int) -> World:
    """MNLI in German too, with that many rows of each split and language instead of 1000."""
    return world(datasets=replaced("mnli", **({"train_de": 1000} | rows)))


def configs(planned: Plan, kind: str, recipe: str = "mnli") -> list[Any]:
    stages = planned.stages.values()
    return [stage.config for stage in stages if (stage.kind, stage.recipe) == (kind, recipe)]


MNLI_TRAINED = {f"{kind} mnli" for kind in ("intermediate-training", "target-training", "evaluation")}
MNLI_ALL = MNLI_TRAINED | {"data-scaling mnli"}
GERMAN = {"name": "mnli", "translation": "de"}
PREFIX = {"target": {"tuning": "Prefix"}}
MNLI_TWICE = {"intermediate": {"perTask": [{"name": "mnli", "gradientAccumulation": 2}]}}


@pytest.mark.parametrize(
    ("before", "after", "rows", "expected"),
    [
        pytest.param(study(), with_text(), {}, MNLI_TRAINED, id="text beside a task leaves its subsets alone"),
        pytest.param(with_text(), with_text(ratio="0.5"), {}, MNLI_TRAINED, id="another ratio trains again"),
        pytest.param(with_text(), with_text(smoothing="1"), {}, MNLI_TRAINED, id="another smoothing does too"),
        pytest.param(with_text(), with_text(maskProbability="0.2"), {}, MNLI_TRAINED, id="and another share of masks"),
        pytest.param(with_text(), with_text(ratio="0.250", smoothing="0.30"), {}, set(), id="the same ratio in another spelling does not"),
        pytest.param(with_text(), with_text(languages=["de", "en"]), {}, set(), id="all languages written out change nothing"),
        pytest.param(with_text(languages=["de"]), with_text(languages=["de"]), {"en": 201}, set(), id="nor does text that is not asked for"),
        pytest.param(with_text(), with_text(), {"th": 10}, MNLI_TRAINED, id="text of one more language does"),
        pytest.param(study(), recipe({"name": "mnli", "lossScale": "2"}), {}, MNLI_TRAINED, id="the scale of a loss trains again"),
        pytest.param(study(), recipe({"name": "mnli", "lossScale": "1.0"}), {}, set(), id="a scale of 1 does not"),
        pytest.param(study(), recipe({"name": "mnli", "gradientAccumulation": 2}), {}, MNLI_TRAINED, id="larger steps of a task train again"),
        pytest.param(study(), recipe({"name": "mnli", "gradientAccumulation": 1}), {}, set(), id="the phase's written out change nothing"),
        pytest.param(recipe({"name": "mnli", "gradientAccumulation": 2}), study(training=MNLI_TWICE), {}, set(), id="it does not matter where they are set"),
        pytest.param(study(), study(training={"target": {"prefixLength": 8}}), {}, set(), id="the length of no prefix does not matter"),
        pytest.param(study(), study(training={"intermediate": {"prefixLength": 8}}), {}, set(), id="in neither phase"),
        pytest.param(study(), study(training=PREFIX), {}, ALL_TARGETS, id="a prefix trains the targets again"),
        pytest.param(study(training=PREFIX), study(training={"target": {"tuning": "Prefix", "prefixLength": 8}}), {}, ALL_TARGETS, id="its length matters"),
        pytest.param(study(), study(training={"target": {"selection": "Averaged"}}), {}, set(), id="another headline selection of targets runs nothing"),
        pytest.param(study(), study(protocols=["Best"]), {}, ALL_EVALUATIONS, id="fewer protocols evaluate fewer checkpoints"),
        pytest.param(study(protocols=["Best"]), study(protocols=["Best", "Oracle"]), {}, ALL_EVALUATIONS, id="the oracle evaluates again, and trains nothing"),
        pytest.param(study(), study(training={"intermediate": {"selection": "Averaged"}}), {}, BELOW_INTERMEDIATES, id="averaged encoders are handed over without training them again"),
    ],
)  # fmt: skip
def test_a_change_of_how_recipes_are_trained_reaches_exactly_what_depends_on_it(
    before: Study, after: Study, rows: dict[str, int], expected: set[str]
) -> None:
    assert changed(plan(before, world_with_text()), plan(after, world_with_text(**rows))) == expected


def test_a_recipe_without_text_keeps_no_trace_of_it() -> None:
    assert plan(study(), world_with_text()) == plan(study(), world())
    assert {config["text"] for config in configs(plan(study(), world()), "intermediate-training")} == {None}


def test_text_is_a_stream_of_the_intermediate_phase_alone() -> None:
    planned = plan(with_text(), world_with_text())
    for config in configs(planned, "intermediate-training"):
        assert [(ref["dataset"], ref["split"], ref["language"]) for ref in config["text"]["data"]] == [
            ("text", "train", "de"),
            ("text", "train", "en"),
        ]
        assert (config["text"]["ratio"], config["text"]["smoothing"], config["text"]["maskProbability"]) == (
            "0.25",
            "0.3",
            "0.15",
        )
    others = [stage for stage in planned.stages.values() if stage.kind != "intermediate-training"]
    assert not any(stage.config.get("text") for stage in others)


TWO_SCALES = recipe({"name": "mnli", "gradientAccumulation": 3}, {"name": "squad"})


@pytest.mark.parametrize(
    ("spec", "budget", "expected"),
    [
        pytest.param(study(), {"epochs": "3"}, 3 * 1000, id="epochs are passes over the rows"),
        pytest.param(study(), {"steps": 10}, 10 * 32, id="steps are batches"),
        pytest.param(with_text(), {"epochs": "3"}, 4 * 1000, id="text comes on top of epochs"),
        pytest.param(with_text(), {"steps": 10}, 10 * 32, id="text is a part of the steps"),
        pytest.param(recipe({"name": "mnli", "gradientAccumulation": 4}), {"epochs": "3"}, 3 * 1000, id="larger steps are fewer in the same epochs"),
        pytest.param(recipe({"name": "mnli", "gradientAccumulation": 4}), {"steps": 10}, 10 * 128, id="larger steps are larger"),
        pytest.param(TWO_SCALES, {"steps": 10}, 10 * 64, id="a mixture's steps are as large as their mean"),
        pytest.param(recipe({"name": "mnli", "gradientAccumulation": 3}, mlm={"dataset": "text", "ratio": "0.5"}), {"steps": 10}, 5 * 96 + 5 * 32, id="steps on text have the phase's size"),
    ],
)  # fmt: skip
def test_the_cost_counts_what_passes_through_the_encoder(spec: Study, budget: dict[str, Any], expected: int) -> None:
    spec = Study.model_validate({**spec.document(), "spec": spec.spec.document() | {"budgets": [budget]}})
    planned = plan(spec, world_with_text())
    full = {
        trial.intermediate for trial in planned.trials if (trial.point.recipe, trial.point.size) == ("mnli", "full")
    }
    assert {planned.stages[str(address)].examples for address in full} == {expected}


def test_a_translated_recipe_draws_from_english_and_trains_on_the_translation() -> None:
    english, german = plan(study(), translated_world()), plan(recipe(GERMAN), translated_world())
    assert changed(english, german) == MNLI_ALL
    for before, after in zip(configs(english, "data-scaling"), configs(german, "data-scaling"), strict=True):
        (drawn,), (request,) = before["subsets"], after["subsets"]
        assert drawn["translation"] is None
        assert request["translation"]["language"] == "de"
        assert request | {"translation": None} == drawn, "the same rows of the same English split"
        assert after["seed"] == before["seed"]
    for config in configs(german, "intermediate-training"):
        (task,) = config["tasks"]
        assert (task["train"]["language"], task["dev"]["language"]) == ("de", "en")
    targets = [stage.config["tasks"] for stage in german.stages.values() if stage.kind == "target-training"]
    assert {task["train"]["language"] for tasks in targets for task in tasks} == {"en"}  # type: ignore[attr-defined]


def test_one_task_in_two_languages_is_a_mixture_of_two() -> None:
    both = recipe({"name": "mnli"}, GERMAN | {"lossScale": "0.5"})
    planned = plan(both, translated_world())
    assert {trial.point.rows for trial in planned.trials if trial.point.recipe == "mnli"} == {100, 2000}
    for config in configs(planned, "intermediate-training"):
        tasks = [TaskTraining.model_validate(task) for task in config["tasks"]]
        assert [(task.name, task.loss_scale, task.weight) for task in tasks] == [
            ("mnli", "1", 500_000),
            ("mnli.de", "0.5", 500_000),
        ]


@pytest.mark.parametrize(
    ("spec", "outside", "expected"),
    [
        pytest.param(recipe({"name": "mnli", "translation": "th"}), translated_world(train_sw=1000), ["recipes[0].tasks[0].translation", "'mnli'", "into 'th'", "only into de, sw", "xstilts data import mnli --from"], id="a language without translation"),
        pytest.param(recipe(GERMAN), world(), ["recipes[0].tasks[0].translation", "into no language"], id="no translation at all"),
        pytest.param(recipe({"name": "mnli", "translation": "en"}), translated_world(), ["recipes[0].tasks[0].translation", "into 'en', only into de"], id="English is no translation"),
        pytest.param(recipe(GERMAN), translated_world(train_de=999), ["recipes[0].tasks[0].translation", "mnli/train.de", "999 rows", "1000"], id="a translation with other rows"),
        pytest.param(with_text(), world(), ["spec.recipes[0].mlm.dataset", "xstilts data import text --from"], id="text that is not in the store"),
        pytest.param(with_text(languages=["sw"]), world_with_text(), ["spec.recipes[0].mlm.languages", "'sw'", "train.de"], id="a language without text"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_planned_is_explained(spec: Study, outside: World, expected: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        plan(spec, outside)
    assert all(part in str(caught.value) for part in expected), str(caught.value)


@pytest.mark.parametrize(
    ("spec", "outside"),
    [
        pytest.param(with_text(), world_with_text(), id="text"),
        pytest.param(recipe(GERMAN), translated_world(), id="a translation"),
    ],
)
def test_a_plan_of_such_a_recipe_survives_its_own_document(spec: Study, outside: World) -> None:
    planned = plan(spec, outside)
    assert Plan.model_validate(planned.document()) == planned


def test_a_mixture_with_rows_of_one_task_has_the_settings_of_that_task() -> None:
    override = {"intermediate": {"perTask": [{"name": "squad", "batchSize": 4}]}}
    larger = world(datasets=replaced("squad", train_en=3000))
    planned = plan(study(sizes=["1"], training=override), larger)
    found = [
        (config["tasks"][0]["task"], config["settings"]["batchSize"])
        for config in configs(planned, "intermediate-training", "mix")
    ]
    assert set(found) == {("squad", 4)}
