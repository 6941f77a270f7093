"""Training on translations: the rows of the English subset, shown to be the same examples, and no other foreign data."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studies import TinyStudy, accept_in
from xstilts import acceptance
from xstilts.core.configs import CONFIGS, ScalingConfig, TrainingConfig
from xstilts.core.errors import IntegrityError, ZeroShotError
from xstilts.core.manifests import SplitRef
from xstilts.core.plan import PlannedStage
from xstilts.core.results import Publication, ScalingFacts, SubsetFacts, TrainingFacts
from xstilts.stages.data_scaling import read_subset
from xstilts.stages.runner import StageRequest, StageRunner
from xstilts.store import artifacts
from xstilts.store.datasets import load_dataset, put_dataset
from xstilts.store.open import open_store
from xstilts.tasks.datasets import scan
from xstilts.tracking import MemoryTracker

LANGUAGES = [
    {"name": "english", "tasks": [{"name": "mnli"}]},
    {"name": "german", "tasks": [{"name": "mnli", "translation": "de"}]},
    {"name": "both", "tasks": [{"name": "mnli"}, {"name": "mnli", "translation": "de"}]},
]
TRANSLATED_LABELS = {"contradiction": "contradictory"}

Rows = list[dict[str, str]]


def read_tsv(file: Path) -> Rows:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def write_tsv(file: Path, rows: Rows) -> None:
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def translate_mnli(workdir: Path, change: Callable[[Rows], Rows] = lambda rows: rows) -> None:
    """Imports MNLI again with a German train split in the form of XNLI-MT, which has no ids."""
    rows = [
        {
            "premise": f"de {row['sentence1']}",
            "hypo": f"de {row['sentence2']}",
            "label": TRANSLATED_LABELS.get(row["gold_label"], row["gold_label"]),
        }
        for row in read_tsv(workdir / "data/MNLI/train.tsv")
    ]
    (workdir / "data/MNLI/train.de.tsv").unlink()  # the synthetic translation, which has ids
    write_tsv(workdir / "data/multinli.train.de.tsv", change(rows))
    put_dataset(open_store(str(workdir / "store")), scan("mnli", workdir / "data"), workdir / "data")


def translate_pawsx(workdir: Path, change: Callable[[Rows], Rows] = lambda rows: rows) -> ScalingConfig:
    """Imports PAWS-X with a German train split, which has the ids of the English one."""
    folder = workdir / "data/pawsx/x-final"
    rows = [row | {"sentence1": f"de {row['sentence1']}"} for row in read_tsv(folder / "en/train.tsv")]
    write_tsv(folder / "de/translated_train.tsv", change(rows))
    return imported("pawsx", workdir / "data", workdir)


def imported(name: str, folder: Path, workdir: Path) -> ScalingConfig:
    """Imports the data set from the folder; asks for five rows of it in German."""
    manifest = put_dataset(open_store(str(workdir / "store")), scan(name, folder), folder)
    english, german = manifest.find("train", "en"), manifest.find("train", "de")
    assert english
    assert german
    request = {"task": name, "task_version": 1, "data": english.ref, "translation": german.ref, "rows": 5}
    return ScalingConfig.model_validate({"subsets": [request], "seed": 1})


def scale(workdir: Path, config: ScalingConfig) -> ScalingFacts:
    publication = Publication(study="s", experiment="e", recipe="r")
    request = StageRequest(kind="data-scaling", config=config, inputs={}, publication=publication)
    store = open_store(str(workdir / "store"))
    StageRunner(store=store, tracker=MemoryTracker(), scratch=workdir / "scratch").run(request)
    manifest = artifacts.fetch(store, request.address, workdir / "subset")
    return ScalingFacts.model_validate(manifest.facts)


@pytest.fixture
def translated(tiny_workdir: Path) -> TinyStudy:
    """The tiny study on MNLI in English, in German, and in both."""
    translate_mnli(tiny_workdir)
    return accept_in(tiny_workdir, recipes=LANGUAGES, targets=[{"name": "tatoeba", "languages": ["de"]}])


def run(tiny: TinyStudy, *stages: PlannedStage, **changes: Any) -> None:
    """The stages one after the other; `changes` replace parts of the last one's config."""
    tracker = MemoryTracker()
    for stage in stages:
        config = stage.config | (changes if stage is stages[-1] else {})
        request = StageRequest(
            kind=stage.kind,
            config=CONFIGS[stage.kind].model_validate(config),
            inputs=stage.inputs,
            publication=acceptance.publication_of(tiny.plan, stage),
        )
        StageRunner(store=tiny.store, tracker=tracker, scratch=tiny.workdir / "scratch").run(request)


def stage_of(tiny: TinyStudy, kind: str, recipe: str) -> PlannedStage:
    (stage,) = (stage for stage in tiny.plan.stages.values() if (stage.kind, stage.recipe) == (kind, recipe))
    return stage


def drawn(tiny: TinyStudy, recipe: str) -> tuple[tuple[SubsetFacts, ...], list[list[tuple[int, str]]]]:
    """Facts and rows of the recipe's subsets."""
    stage = stage_of(tiny, "data-scaling", recipe)
    run(tiny, stage)
    folder = tiny.workdir / recipe
    facts = ScalingFacts.model_validate(artifacts.fetch(tiny.store, stage.address, folder).facts)
    return facts.subsets, [list(read_subset(folder / subset.path)) for subset in facts.subsets]


def test_a_translated_subset_has_the_rows_of_the_english_one(translated: TinyStudy) -> None:
    (english,), (rows,) = drawn(translated, "english")
    (german,), (translations,) = drawn(translated, "german")
    assert [row for row, _ in translations] == [row for row, _ in rows]
    assert (german.ids_digest, german.histogram) == (english.ids_digest, english.histogram)
    assert {id_ for _, id_ in rows}.isdisjoint(id_ for _, id_ in translations), "XNLI-MT has no ids of its own"
    stored = load_dataset(translated.store, "mnli")
    assert stored
    assert [english.translation, german.translation] == [None, next(s.ref for s in stored.splits if s.language == "de")]
    assert german.parent == english.parent == english.data
    assert german.data == german.translation


def test_a_recipe_may_train_one_task_in_two_languages(translated: TinyStudy) -> None:
    subsets, rows = drawn(translated, "both")
    assert [(subset.task, subset.data.language, subset.rows) for subset in subsets] == [
        ("mnli", "en", 20),
        ("mnli", "de", 20),
    ]
    assert [row for row, _ in rows[0]] == [row for row, _ in rows[1]]
    assert len({subset.path for subset in subsets}) == 2
    config = TrainingConfig.model_validate(stage_of(translated, "intermediate-training", "both").config)
    assert [task.name for task in config.tasks] == ["mnli", "mnli.de"]
    assert {task.dev.language for task in config.tasks} == {"en"}


@pytest.mark.parametrize(("recipe", "names"), [("german", {"mnli.de"}), ("both", {"mnli", "mnli.de"})])
def test_an_encoder_is_trained_on_the_translation(translated: TinyStudy, recipe: str, names: set[str]) -> None:
    stage = stage_of(translated, "intermediate-training", recipe)
    run(translated, stage_of(translated, "data-scaling", recipe), stage)
    manifest = artifacts.load_manifest(translated.store, stage.address)
    assert manifest
    facts = TrainingFacts.model_validate(manifest.facts)
    assert facts.steps == 6
    for checkpoint in facts.checkpoints:
        assert {score.split("/")[0] for score in checkpoint.scores} == names, "each has a head and English dev scores"


def test_german_rows_are_trained_on_only_where_the_subset_names_them(translated: TinyStudy) -> None:
    english, german = (stage_of(translated, "intermediate-training", recipe) for recipe in ("english", "german"))
    tasks = german.config["tasks"]
    with pytest.raises(IntegrityError, match=r"no subset of mnli/train\.de"):
        run(translated, stage_of(translated, "data-scaling", "english"), english, tasks=tasks)
    dev = [tasks[0] | {"dev": tasks[0]["train"]}]  # type: ignore[index]
    with pytest.raises(ZeroShotError, match=r"mnli/train\.de"):
        run(translated, stage_of(translated, "data-scaling", "german"), german, tasks=dev)


def test_a_target_is_never_trained_on_a_translation(translated: TinyStudy) -> None:
    german = stage_of(translated, "intermediate-training", "german")
    target = german.model_copy(update={"kind": "target-training", "inputs": {"encoder": translated.plan.model}})
    with pytest.raises(ZeroShotError, match=r"mnli/train\.de"):
        run(translated, target)


@pytest.mark.parametrize("changes", [{"split": "test"}, {"dataset": "xsid"}], ids=["another split", "another data set"])
def test_what_is_no_translation_is_not_read_as_one(tiny_workdir: Path, changes: dict[str, str]) -> None:
    config = translate_pawsx(tiny_workdir)
    (request,) = config.subsets
    assert request.translation
    other = SplitRef.model_validate(request.translation.document() | changes)
    subsets = (request.model_copy(update={"translation": other}),)
    with pytest.raises(ZeroShotError, match="no translation of pawsx/train"):
        scale(tiny_workdir, config.model_copy(update={"subsets": subsets}))


def test_ids_of_upstream_are_compared_where_both_sides_have_them(tiny_workdir: Path) -> None:
    (subset,) = scale(tiny_workdir, translate_pawsx(tiny_workdir)).subsets
    rows = list(read_subset(tiny_workdir / "subset" / subset.path))
    assert [(row, id_) for row, id_ in rows] == [(row, str(row + 1)) for row, _ in rows]


def with_other_ids(rows: Rows) -> Rows:
    return [row | {"id": f"x{row['id']}"} for row in rows]


def with_other_labels(rows: Rows) -> Rows:
    return [row | {"label": {"0": "1", "1": "0"}[row["label"]]} for row in rows]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(with_other_ids, r"row (\d+) of pawsx/train\.de.*'x(\d+)'.*pawsx/train\.en.*'\2': their ids differ", id="another id"),
        pytest.param(with_other_labels, r"row (\d+) of pawsx/train\.de.*'(\d+)'.*'\2': it is '[01]', and '[01]' in English", id="another label"),
        pytest.param(lambda rows: rows[:-1], r"row 9 is in only one of pawsx/train\.en.* and pawsx/train\.de", id="a row less"),
        pytest.param(lambda rows: [*rows, rows[0]], r"row 10 is in only one of", id="a row more"),
    ],
)  # fmt: skip
def test_rows_that_are_not_the_same_examples_are_refused(
    tiny_workdir: Path, change: Callable[[Rows], Rows], expected: str
) -> None:
    with pytest.raises(IntegrityError, match=expected):
        scale(tiny_workdir, translate_pawsx(tiny_workdir, change))


def test_sentences_of_another_language_are_no_translation_because_they_are_as_many(tiny_workdir: Path) -> None:
    """PAN-X has 20,000 English and 20,000 German sentences, with neither ids nor anything in common."""
    folder = tiny_workdir / "panx"
    folder.mkdir()
    for language in ("en", "de"):
        sentences = "\n".join(f"{language}{number}\tO\nRuth\tB-PER\n" for number in range(10))
        (folder / f"train-{language}.tsv").write_text(sentences)
    with pytest.raises(IntegrityError, match="without ids nothing shows that they are the same example"):
        scale(tiny_workdir, imported("panx", folder, tiny_workdir))


def test_without_ids_the_labels_tell_that_rows_are_shifted(tiny_workdir: Path) -> None:
    translate_mnli(tiny_workdir, lambda rows: [*rows[1:], rows[0]])
    shifted = accept_in(tiny_workdir, recipes=LANGUAGES[1:2], targets=[{"name": "tatoeba", "languages": ["de"]}])
    with pytest.raises(
        IntegrityError, match=r"row \d+ of mnli/train\.de.* is no translation of that row of mnli/train"
    ):
        run(shifted, stage_of(shifted, "data-scaling", "german"))
