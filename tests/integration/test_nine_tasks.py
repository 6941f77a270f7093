"""The paper's multi-task recipe in small: all nine intermediate tasks, from synthetic files to one trained encoder."""

from pathlib import Path

from studies import accept_in
from xstilts import acceptance
from xstilts.core.configs import CONFIGS
from xstilts.core.results import ScalingFacts, TrainingFacts
from xstilts.stages.runner import StageRequest, StageRunner
from xstilts.store import artifacts, open_store
from xstilts.store.datasets import put_dataset
from xstilts.tasks.datasets import scan
from xstilts.tracking import MemoryTracker

NINE = ("anli_plus", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmosqa", "commonsenseqa")


def test_all_nine_intermediate_tasks_train_one_encoder_with_a_head_each(tiny_workdir: Path) -> None:
    store, data = open_store(str(tiny_workdir / "store")), tiny_workdir / "data"
    for name in NINE:
        put_dataset(store, scan(name, data), data)
    tiny = accept_in(
        tiny_workdir,
        recipes=[{"name": "nine", "tasks": [{"name": name} for name in NINE]}],
        sizes=["240"],
        budgets=[{"steps": 20}],
        targets=[{"name": "tatoeba", "languages": ["de"]}],
    )
    runner = StageRunner(store=store, tracker=MemoryTracker(), scratch=tiny_workdir / "scratch")
    for stage in tiny.plan.stages.values():
        if stage.recipe == "nine":
            config = CONFIGS[stage.kind].model_validate(stage.config)
            publication = acceptance.publication_of(tiny.plan, stage)
            runner.run(StageRequest(kind=stage.kind, config=config, inputs=stage.inputs, publication=publication))

    facts = {
        stage.kind: manifest.facts
        for address, stage in tiny.plan.stages.items()
        if stage.recipe == "nine" and (manifest := artifacts.load_manifest(store, address))
    }
    assert facts.keys() == {"data-scaling", "intermediate-training", "evaluation"}
    subsets = {subset.task: subset for subset in ScalingFacts.model_validate(facts["data-scaling"]).subsets}
    assert subsets.keys() == set(NINE)
    assert sum(subset.rows for subset in subsets.values()) == 240
    assert len({name.split(", ")[0] for name in subsets["anli_plus"].histogram}) == 5, "rows of every corpus"
    trained = TrainingFacts.model_validate(facts["intermediate-training"])
    assert trained.examples == 160
    for look in trained.history:
        assert 0 < look.loss < 20
        assert {name.split("/")[0] for name in look.scores} == set(NINE)
