"""examples/recipes from its file to a report: every intermediate task, mixture, text, translation, and prefix tuning.

The file is run as it is, in a folder that has generated data and a tiny encoder where its paths point to.
"""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load

from studies import DATASETS
from xstilts import acceptance
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import ScalingFacts, SubsetFacts, TrainingFacts
from xstilts.store import ObjectStore, artifacts, open_store
from xstilts.store.datasets import put_dataset
from xstilts.tasks.datasets import scan

STUDY = Path(__file__).parents[2] / "examples" / "recipes" / "study.yaml"
ROWS, STEPS, BATCH = 32, 10, 8
SINGLE = {
    "anli-plus": "anli_plus",
    "mnli": "mnli",
    "qqp": "qqp",
    "squad-v1": "squad_v1",
    "squad-v2": "squad_v2",
    "hellaswag": "hellaswag",
    "ccg": "ccg",
    "cosmosqa": "cosmosqa",
    "commonsenseqa": "commonsenseqa",
}
HEADS = {recipe: [task] for recipe, task in SINGLE.items()} | {
    "mixture": ["mnli", "hellaswag", "ccg"],
    "mnli-mlm": ["mnli"],
    "german": ["mnli.de", "hellaswag.de"],
}
OTHERS = ("anli_plus", "qqp", "squad_v1", "squad_v2", "ccg", "cosmosqa", "commonsenseqa", "text")


def run(workdir: Path) -> str:
    finished = subprocess.run(
        (sys.executable, "-m", "xstilts.cli", "run", STUDY, "--out", "report"),
        cwd=workdir,
        env={**os.environ, "XDG_STATE_HOME": str(workdir / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


class Ran:
    """The study after its run."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        self.store: ObjectStore = open_store(str(workdir / "runs/recipes/store"))
        self.plan: Plan = acceptance.load_plan(self.store, "recipes")

    def trial(self, recipe: str) -> Trial:
        (found,) = (trial for trial in self.plan.trials if trial.point.recipe == recipe)
        return found

    def facts(self, address: str | None) -> dict[str, Any]:
        manifest = artifacts.load_manifest(self.store, address or "")
        assert manifest is not None
        return manifest.facts

    def trained(self, recipe: str) -> TrainingFacts:
        return TrainingFacts.model_validate(self.facts(self.trial(recipe).intermediate))

    def subsets(self, recipe: str) -> dict[str, SubsetFacts]:
        drawn = ScalingFacts.model_validate(self.facts(self.trial(recipe).scaling)).subsets
        return {subset.task: subset for subset in drawn}

    def read(self, address: str | None, path: str) -> bytes:
        manifest = artifacts.load_manifest(self.store, address or "")
        assert manifest is not None
        (file,) = (file for file in manifest.files if file.path == path)
        return self.store.read(artifacts.blob_key(file.sha256))


@pytest.fixture(scope="module")
def ran(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    workdir = tmp_path_factory.mktemp("recipes")
    folder = workdir / "runs" / "recipes"
    for part in ("model", "store"):
        shutil.copytree(tiny_inputs / part, folder / part)
    for name in set(OTHERS) - set(DATASETS):
        put_dataset(open_store(str(folder / "store")), scan(name, tiny_inputs / "data"), tiny_inputs / "data")
    run(workdir)
    return Ran(workdir)


def test_the_study_has_a_trial_a_recipe_and_the_baseline(ran: Ran) -> None:
    assert {trial.point.recipe for trial in ran.plan.trials} == {"baseline", *HEADS}
    assert ran.plan.not_applicable == ()


@pytest.mark.parametrize("recipe", HEADS)
def test_a_recipe_trains_its_tasks_for_the_planned_steps_with_a_head_each(ran: Ran, recipe: str) -> None:
    trained, heads = ran.trained(recipe), HEADS[recipe]
    assert sum(subset.rows for subset in ran.subsets(recipe).values()) == ROWS
    assert trained.steps == STEPS
    assert [look.step for look in trained.history] == [5, 10]
    for look in trained.history:
        assert 0 < look.loss < 20
        assert {name.split("/")[0] for name in look.scores} - {"perplexity"} == set(heads)
        assert all(math.isfinite(value) for value in look.scores.values())
    averaged = next(checkpoint for checkpoint in trained.checkpoints if checkpoint.name == "averaged")
    assert averaged.scores.keys() == trained.history[-1].scores.keys()
    document = json.loads(ran.read(ran.trial(recipe).intermediate, f"{averaged.path}/heads.json"))
    assert [head["task"] for head in document["heads"]] == heads


@pytest.mark.parametrize("recipe", sorted(HEADS.keys() - {"mixture"}))
def test_a_recipe_sees_as_many_examples_as_planned(ran: Ran, recipe: str) -> None:
    planned = ran.plan.stages[ran.trial(recipe).intermediate or ""]
    assert ran.trained(recipe).examples == planned.examples == STEPS * BATCH


def test_the_mixture_caps_its_tasks_and_accumulates_where_asked(ran: Ran) -> None:
    """Of the tiny data, MNLI's 120 rows count as 100; HellaSwag has 40, CCG as many as are generated."""
    address = ran.trial("mixture").intermediate or ""
    mnli, hellaswag, ccg = ran.plan.stages[address].config["tasks"]  # type: ignore[misc]
    assert mnli["weight"] == pytest.approx(ccg["weight"], rel=1e-4)
    assert mnli["weight"] == pytest.approx(hellaswag["weight"] * 100 / 40, rel=1e-4)
    assert (mnli["lossScale"], hellaswag["gradientAccumulation"]) == ("0.5", 2)
    batches = ran.trained("mixture").examples / BATCH
    assert STEPS < batches <= 2 * STEPS, "HellaSwag's steps take two batches"


def test_text_beside_a_task_shows_a_perplexity_a_language(ran: Ran) -> None:
    for look in ran.trained("mnli-mlm").history:
        perplexities = {name: value for name, value in look.scores.items() if name.startswith("perplexity/")}
        assert perplexities.keys() == {"perplexity/en", "perplexity/de"}
        assert all(1 < value < 10_000 for value in perplexities.values())
    mlm, alone = ran.trained("mnli-mlm"), ran.trained("mnli")
    assert mlm.history[-1].loss != alone.history[-1].loss
    assert ran.trial("mnli-mlm").scaling == ran.trial("mnli").scaling, "text changes no subset"


def test_translated_recipes_train_on_german_rows_of_the_english_subset(ran: Ran) -> None:
    for name, subset in ran.subsets("german").items():
        assert subset.parent.language == "en"
        assert subset.translation is not None
        assert (subset.translation.dataset, subset.translation.language) == (name, "de")
        assert subset.parent.split == subset.translation.split == "train"


@pytest.mark.parametrize("recipe", ["baseline", *HEADS])
def test_prefix_tuning_of_the_target_trains_prefix_and_heads_alone(ran: Ran, recipe: str) -> None:
    address = ran.trial(recipe).trainings["xsid"]
    config = ran.plan.stages[address].config
    assert config["checkpoint"] == ("base" if recipe == "baseline" else "averaged")
    trained = TrainingFacts.model_validate(ran.facts(address))
    prefix, heads = (
        sum(weight.size for weight in load(ran.read(address, f"checkpoints/last/{file}.safetensors")).values())
        for file in ("prefix", "heads")
    )
    assert prefix == 2 * 2 * 4 * 32, "layers x (key, value) x prefixLength x hidden size"
    assert trained.trainable_parameters == prefix + heads


def test_the_report_has_every_recipe_and_target(ran: Ran) -> None:
    with (ran.workdir / "report" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["trial"] for row in rows} == {trial.name for trial in ran.plan.trials}
    assert {(row["target"], row["language"]) for row in rows} == {
        *(("xsid", language) for language in ("en", "de", "hi")),
        *(("tatoeba", language) for language in ("de", "hi")),
    }


def test_a_second_run_starts_no_stage(ran: Ran) -> None:
    assert ", 0 to run" in run(ran.workdir)
