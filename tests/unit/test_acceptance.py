"""Plans made before the data are there: published row counts stand in for them."""

from pathlib import Path

from xstilts.acceptance import PUBLISHED, provisional_world
from xstilts.api.study import Study
from xstilts.core.planner import plan
from xstilts.store.open import open_store


def test_a_study_can_be_planned_before_its_text_and_its_translations_are_there(tmp_path: Path) -> None:
    task = {"name": "mnli", "translation": "de"}
    recipe = {"name": "r", "tasks": [task], "mlm": {"dataset": "text", "ratio": "0.5", "languages": ["de", "th"]}}
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
    study = Study.model_validate({"metadata": {"name": "s"}, "spec": spec})
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
