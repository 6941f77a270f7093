"""Studies and worlds to plan with: four tasks of 1000 rows and retrieval, in three languages."""

from collections.abc import Mapping
from typing import Any

from xstilts.api.study import Study
from xstilts.core.catalogue import Source, TaskKind, TaskSpec
from xstilts.core.manifests import DatasetManifest, FileEntry, Split
from xstilts.core.plan import Plan
from xstilts.core.world import World

VERSIONS = {"pretraining": 1, "data-scaling": 1, "intermediate-training": 1, "target-training": 1, "evaluation": 1}


def dataset(name: str, splits: Mapping[str, int]) -> DatasetManifest:
    """`splits` maps `split.language` to rows; the content is made of the name and the rows."""
    return DatasetManifest(
        name=name,
        splits=tuple(
            Split(
                dataset=name,
                split=key.split(".")[0],
                language=key.split(".")[1],
                layout="test",
                rows=rows,
                files=(FileEntry(path=f"{key}.tsv", sha256=f"{name}-{key}-{rows}", size=rows),),
            )
            for key, rows in splits.items()
        ),
    )


def task(name: str, *, kind: TaskKind = TaskKind.CLASSIFICATION, languages: tuple[str, ...] = ("en",)) -> TaskSpec:
    trained = kind is not TaskKind.RETRIEVAL
    return TaskSpec(
        name=name,
        version=1,
        kind=kind,
        description=name,
        train=Source(name, "train") if trained else None,
        dev=Source(name, "dev") if trained else None,
        test=Source(name, "test"),
        languages=languages,
    )


def world(**changes: Any) -> World:
    rows = {"train.en": 1000, "dev.en": 50, "test.en": 50, "test.de": 50, "test.th": 50}
    defaults: dict[str, Any] = {
        "tasks": {name: task(name, languages=("en", "de", "th")) for name in ("mnli", "squad", "xnli", "xsid")}
        | {"tatoeba": task("tatoeba", kind=TaskKind.RETRIEVAL, languages=("de", "th"))},
        "datasets": {name: dataset(name, rows) for name in ("mnli", "squad", "xnli", "xsid", "tatoeba")},
        "model_digest": "m0",
        "versions": VERSIONS,
    }
    return World(**(defaults | changes))


def study(**changes: Any) -> Study:
    spec: dict[str, Any] = {
        "model": {"uri": "model"},
        "recipes": [
            {"name": "mnli", "tasks": [{"name": "mnli"}]},
            {"name": "mix", "tasks": [{"name": "mnli"}, {"name": "squad"}]},
        ],
        "sizes": ["0", "100", "full"],
        "subsetSeeds": [1, 2],
        "seeds": [1, 2],
        "targets": [{"name": "xnli"}, {"name": "xsid"}, {"name": "tatoeba"}],
        "store": {"uri": "store"},
        "tracking": {"uri": "sqlite:///x.db"},
    }
    return Study.model_validate({"metadata": {"name": "s"}, "spec": spec | changes})


def changed(before: Plan, after: Plan) -> set[str]:
    """Kinds and recipes of the stages that only the second plan has."""
    return {f"{stage.kind} {stage.recipe}" for address, stage in after.stages.items() if address not in before.stages}


ALL_TARGETS = {
    f"{kind} {recipe}" for kind in ("target-training", "evaluation") for recipe in ("baseline", "mnli", "mix")
}
ALL_EVALUATIONS = {f"evaluation {recipe}" for recipe in ("baseline", "mnli", "mix")}
ALL_INTERMEDIATES = {f"{kind} {recipe}" for kind in ("intermediate-training",) for recipe in ("mnli", "mix")}
BELOW_INTERMEDIATES = {f"{kind} {recipe}" for kind in ("target-training", "evaluation") for recipe in ("mnli", "mix")}
MIX_ONLY = {f"{kind} mix" for kind in ("data-scaling", "intermediate-training", "target-training", "evaluation")}


def replaced(name: str, **splits: int) -> dict[str, DatasetManifest]:
    rows = {"train.en": 1000, "dev.en": 50, "test.en": 50, "test.de": 50, "test.th": 50}
    splits = {key.replace("_", "."): value for key, value in splits.items()}
    return dict(world().datasets) | {name: dataset(name, rows | splits)}


def world_with_text(**rows: int) -> World:
    text = {"train.de": 100, "train.en": 200, **{f"train.{language}": count for language, count in rows.items()}}
    return world(datasets=dict(world().datasets) | {"text": dataset("text", text)})
