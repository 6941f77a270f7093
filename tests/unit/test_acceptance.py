"""Plans made before the data are there: published row counts stand in for them."""

from pathlib import Path
from typing import Any

import pytest

from xstilts.acceptance import PUBLISHED, accept, load_frozen, provisional_world
from xstilts.api.study import Study
from xstilts.core.errors import IntegrityError, UserError
from xstilts.core.planner import plan
from xstilts.store.open import open_store
from xstilts.store.studies import plan_key


def study_of(recipe: dict[str, Any]) -> Study:
    spec = {
        "model": {"uri": "model"},
        "recipes": [recipe],
        "sizes": ["full"],
        "seeds": [1],
        "budgets": [{"epochs": "1"}],
        "targets": [{"name": "tatoeba", "languages": ["de"]}],
        "store": {"uri": "store"},
        "tracking": {"uri": "sqlite:///x.db"},
    }
    return Study.model_validate({"metadata": {"name": "s"}, "spec": spec})


def test_a_study_can_be_planned_before_its_text_and_its_translations_are_there(tmp_path: Path) -> None:
    task = {"name": "mnli", "translation": "de"}
    recipe = {"name": "r", "tasks": [task], "mlm": {"dataset": "text", "ratio": "0.5", "languages": ["de", "th"]}}
    study = study_of(recipe)
    world = provisional_world(study, open_store(str(tmp_path / "store")))
    splits = {
        f"{name}/{split.split}.{split.language}": split.rows
        for name, dataset in world.datasets.items()
        for split in dataset.splits
    }
    assert splits.keys() >= {"mnli/train.en", "mnli/train.de", "mnli/dev.en", "text/train.de", "text/train.th"}
    assert "mnli/dev.de" not in splits, "selection is on English"
    assert splits["mnli/train.de"] == splits["mnli/train.en"] == 392_702
    assert {split.layout for dataset in world.datasets.values() for split in dataset.splits} == {PUBLISHED}
    (trial,) = plan(study, world).trials
    assert plan(study, world).stages[str(trial.intermediate)].examples == 2 * 392_702


def test_a_plan_that_is_gone_from_the_store_is_told_and_never_replaced_by_todays_data(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    study = study_of({"name": "r", "tasks": [{"name": "mnli"}]})
    with pytest.raises(UserError, match=r"plan abc of study 's', which was accepted, is not in .*restore studies/s/"):
        accept(study, store, previous="abc")
    with pytest.raises(UserError, match=r"plan abc of study 's'.*under another name"):
        load_frozen(store, "s", "abc")


def test_a_frozen_plan_that_was_cut_is_named_as_unreadable(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put(plan_key("s", "abc"), b'{"study": "s"')
    with pytest.raises(IntegrityError, match=r"studies/s/plans/abc\.json .* is not readable"):
        load_frozen(store, "s", "abc")
