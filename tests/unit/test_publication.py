"""What the tracking server learns of a stage and of a trial: all that had a part in it, and nothing else."""

import pytest

from plans import dataset, replaced, study, world_with_text
from xstilts.conclusion import trial_record
from xstilts.core.errors import TrackingUnavailable
from xstilts.core.manifests import ArtifactManifest
from xstilts.core.plan import Plan, PlannedStage
from xstilts.core.planner import plan
from xstilts.core.results import EvaluationFacts, Publication, ScalingFacts, SubsetFacts, TrainingFacts
from xstilts.core.world import World
from xstilts.stages.publication import stage_record, still_known
from xstilts.store import open_store
from xstilts.tasks import registry
from xstilts.tracking import StageRecord
from xstilts.tracking.runs import lies_in

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


def record_of(stage: PlannedStage, facts: TrainingFacts | ScalingFacts | EvaluationFacts) -> StageRecord:
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
        "text.gradientAccumulation": "1",
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


# ---- what had no part in a stage is not shown

OPTIMIZATION = {
    "learningRate", "batchSize", "maxLength", "warmupRatio", "weightDecay", "adamEpsilon", "maxGradNorm", "dropout",
    "evaluateEverySteps", "devRows", "precision", "threads", "tuning",
}  # fmt: skip
TRAINING = OPTIMIZATION | {"tasks", "seed", "budget", "steps", "examples", "gradientAccumulation"}
INFERENCE = {"task", "checkpoints", "metric", "maxLength", "precision", "threads"}


def installed(*names: str, **changes: object) -> Plan:
    """A plan with the real specs of these targets."""
    outside = world_with_text()
    specs = {name: registry.get(name).spec for name in (*names, "mnli")}
    sources = [source for spec in specs.values() for source in (spec.train, spec.dev, spec.test) if source]
    everywhere = {
        f"{split}.{language}": 10 for split in ("train", "dev", "test") for language in ("en", "de", "fr", "ru", "zh")
    }
    own = {source.dataset: dataset(source.dataset, everywhere) for source in sources}
    there = World(
        tasks=specs,
        datasets={**own, "text": outside.datasets["text"]},
        model_digest=outside.model_digest,
        versions=outside.versions,
    )
    spec = {"recipes": [{"name": "mnli", "tasks": [{"name": "mnli"}]}], "sizes": ["full"], "seeds": [1], **changes}
    return plan(study(targets=[{"name": name} for name in names], **spec), there)


def params_of(found: Plan, kind: str) -> dict[str, str]:
    stage = next(stage for stage in found.stages.values() if stage.kind == kind)
    match kind:
        case "data-scaling":
            facts = ScalingFacts(subsets=())
        case "evaluation":
            facts = EvaluationFacts(task=stage.config["task"], metric="accuracy", layer=6, checkpoints=())
        case _:
            facts = FACTS
    return dict(record_of(stage, facts).params)


def test_a_budget_of_steps_stands_alone_and_not_beside_epochs_that_had_no_part() -> None:
    params = params_of(installed("xnli", budgets=[{"steps": 10}]), "intermediate-training")
    assert params["budget"] == "10 steps"
    assert params.keys() == TRAINING | {"lossScale"}


@pytest.mark.parametrize(
    ("target", "changes", "expected"),
    [
        ("xnli", {}, TRAINING),
        ("mlqa", {}, TRAINING | {"docStride"}),
        (
            "mtop",
            {},
            TRAINING | {f"parser.{name}" for name in ("decoderLayers", "labelSmoothing", "beamSize", "maxParseTokens")},
        ),
        ("xnli", {"training": {"target": {"tuning": "Prefix"}}}, TRAINING | {"prefixLength"}),
    ],
    ids=["classification", "spans", "parsing", "prefix"],
)
def test_a_target_shows_the_settings_of_its_kind(target: str, changes: dict[str, object], expected: set[str]) -> None:
    assert params_of(installed(target, **changes), "target-training").keys() == expected


def test_pretraining_shows_neither_tasks_nor_their_share() -> None:
    params = params_of(installed("xnli", pretraining={"steps": 5}), "pretraining")
    text = {"text.languages", "text.smoothing", "text.maskProbability"}
    assert params.keys() == OPTIMIZATION | text | {"seed", "steps", "gradientAccumulation"}


@pytest.mark.parametrize(("seeds", "shown"), [("full", {"rows"}), ("5", {"rows", "subset_seed"})])
def test_full_data_have_no_subset_seed(seeds: str, shown: set[str]) -> None:
    assert params_of(installed("xnli", sizes=[seeds]), "data-scaling").keys() == shown


@pytest.mark.parametrize(
    ("target", "expected", "similarity"),
    [
        ("xnli", INFERENCE, None),
        ("mlqa", INFERENCE | {"docStride"}, None),
        ("tatoeba", INFERENCE | {"layer", "pooling", "similarity"}, "Cosine"),
        ("bucc2018", INFERENCE | {"layer", "pooling", "similarity", "neighbours"}, "Margin"),
    ],
)
def test_an_evaluation_shows_what_its_predictions_depend_on(
    target: str, expected: set[str], similarity: str | None
) -> None:
    params = params_of(installed(target), "evaluation")
    assert (params.keys(), params.get("similarity")) == (expected, similarity)
    assert params.get("layer") in {None, "6"}


def test_trials_show_the_unit_of_their_budget_and_no_subset_seed_that_they_do_not_have() -> None:
    found = installed("xnli", sizes=["0", "5", "full"], budgets=[{"epochs": "3"}, {"steps": 10}], subsetSeeds=[7])
    shown = {trial.name: trial_record(found, trial, {}, "Succeeded").params for trial in found.trials}
    assert shown["baseline-s1"] == {"recipe": "baseline", "size": "0", "rows": "0", "seed": "1"}
    assert shown["mnli-5-d7-u10-s1"] == {
        "recipe": "mnli", "size": "5", "rows": "5", "subset_seed": "7", "seed": "1", "budget": "10 steps",
    }  # fmt: skip
    assert shown["mnli-full-e3-s1"] == {
        "recipe": "mnli", "size": "full", "rows": "10", "seed": "1", "budget": "3 epochs",
    }  # fmt: skip


def test_receipts_are_trusted_where_the_server_can_not_be_asked(caplog: pytest.LogCaptureFixture) -> None:
    def away(_: object) -> set[str]:
        raise TrackingUnavailable("no answer")

    assert still_known(away, ["a", "b"]) == ["a", "b"]
    assert "receipts are trusted" in caplog.text
    assert still_known(lambda runs: {"b"} & {*runs}, ["a", "b"]) == {"b"}


def test_what_lies_in_a_store_below_another_is_not_the_others() -> None:
    assert lies_in("s3://ml/stages/evaluation/k", "s3://ml")
    assert lies_in("s3://ml/datasets/mnli/d", "s3://ml")
    assert not lies_in("s3://ml/team-a/stages/evaluation/k", "s3://ml")
    assert lies_in("s3://ml/team-a/stages/evaluation/k", "s3://ml/team-a")
