"""What the tracking server learns of a stage that trained on more than one English task."""

from plans import replaced, study, world_with_text
from xstilts.core.manifests import ArtifactManifest
from xstilts.core.plan import Plan, PlannedStage
from xstilts.core.planner import plan
from xstilts.core.results import Publication, ScalingFacts, SubsetFacts, TrainingFacts
from xstilts.core.world import World
from xstilts.stages.publication import stage_record
from xstilts.store import open_store
from xstilts.tracking import StageRecord

PUBLICATION = Publication(study="s", experiment="e", recipe="both")
FACTS = TrainingFacts(steps=3, examples=9, trainable_parameters=1, history=(), checkpoints=(), degenerate={})


def planned() -> Plan:
    recipe = {
        "name": "both",
        "tasks": [
            {"name": "mnli", "gradientAccumulation": 2},
            {"name": "mnli", "translation": "de", "lossScale": "0.5"},
        ],
        "mlm": {"dataset": "text", "ratio": "0.3"},
    }
    outside = world_with_text()
    translated = World(
        tasks=outside.tasks,
        datasets={**outside.datasets, "mnli": replaced("mnli", train_de=1000)["mnli"]},
        model_digest=outside.model_digest,
        versions=outside.versions,
    )
    return plan(study(recipes=[recipe], sizes=["full"], seeds=[1]), translated)


def record_of(stage: PlannedStage, facts: TrainingFacts | ScalingFacts) -> StageRecord:
    manifest = ArtifactManifest(
        kind=stage.kind, key=stage.key, config=stage.config, inputs=stage.inputs, facts=facts.document()
    )
    return stage_record(open_store("memory:"), manifest, PUBLICATION)


def stage_of(kind: str) -> PlannedStage:
    return next(stage for stage in planned().stages.values() if stage.kind == kind)


def test_tasks_are_told_with_their_languages_and_their_own_settings_and_text_with_its_ratio() -> None:
    record = record_of(stage_of("intermediate-training"), FACTS)
    told = {name: record.params[name] for name in ("tasks", "gradientAccumulation", "lossScale")}
    assert told == {"tasks": "mnli,mnli.de", "gradientAccumulation": "2,1", "lossScale": "1,0.5"}
    assert {name: value for name, value in record.params.items() if name.startswith("text.")} == {
        "text.languages": "de,en",
        "text.ratio": "0.3",
        "text.smoothing": "0.3",
        "text.maskProbability": "0.15",
    }
    used = [(use.name, use.context) for use in record.datasets]
    assert used == [
        ("mnli/train.en", "training"),
        ("mnli/train.de", "training"),
        ("text/train.de", "training"),
        ("text/train.en", "training"),
        ("mnli/dev.en", "dev"),
        ("mnli/dev.en", "dev"),
    ]


def test_a_stage_without_text_says_nothing_of_it() -> None:
    record = record_of(stage_of("target-training"), FACTS)
    assert not [name for name in record.params if name.startswith("text.")]


def test_a_translated_subset_is_told_apart_from_the_english_one() -> None:
    stage = stage_of("data-scaling")
    subsets = tuple(
        SubsetFacts(
            task=request["task"],
            parent=request["data"],
            translation=request["translation"],
            rows=request["rows"],
            parent_rows=1000,
            ids_digest=f"ids {number}",
            histogram={},
            path="",
        )
        for number, request in enumerate(stage.config["subsets"])  # type: ignore[arg-type, var-annotated]
    )
    record = record_of(stage, ScalingFacts(subsets=subsets))
    assert (record.params["rows.mnli"], record.params["rows.mnli.de"]) == ("1000", "1000")
    assert [(use.name, use.tags["subset_ids"]) for use in record.datasets] == [
        ("mnli/train.en", "ids 0"),
        ("mnli/train.de", "ids 1"),
    ]
