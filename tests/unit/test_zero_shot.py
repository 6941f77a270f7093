"""The report says zero-shot where it is true, and marks whatever was trained, tuned or selected by other labels."""

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console

from made import make, named, observed
from plans import dataset, study, world
from xstilts import acceptance, report
from xstilts.conclusion import trial_record
from xstilts.controller.results import best_scores
from xstilts.controller.views import outline
from xstilts.core.plan import Plan, Trial
from xstilts.core.planner import plan
from xstilts.core.results import CheckpointScores, EvaluationFacts
from xstilts.core.world import World
from xstilts.core.zero_shot import is_same_task, marked
from xstilts.report import text
from xstilts.report.html import render_html
from xstilts.report.scores import means, scores_csv
from xstilts.stages.publication import stage_record
from xstilts.store import open_store
from xstilts.tasks import registry

SENTENCE = "no label of these languages was used in training or selection"
GERMAN = {"name": "mnli-de", "tasks": [{"name": "mnli", "translation": "de"}]}
ENGLISH = {"name": "mnli", "tasks": [{"name": "mnli"}]}


def planned(*recipes: dict[str, object], **changes: object) -> Plan:
    """Targets of the same task, of another one, and retrieval; rows of MNLI in German too."""
    outside = world()
    rows = {"train.en": 1000, "train.de": 1000, "dev.en": 50}
    translated = World(
        tasks=outside.tasks,
        datasets={**outside.datasets, "mnli": dataset("mnli", rows)},
        model_digest=outside.model_digest,
        versions=outside.versions,
    )
    spec = {"recipes": list(recipes), "sizes": ["0", "full"], **changes}
    return plan(named(study(**spec), "s"), translated)


def results_of(found: Plan, folder: Path) -> report.Results:
    store = open_store("memory:")
    make(store, found, folder)
    manifests = observed(store, found).manifests
    return report.collect(
        found, acceptance.evaluations(found, manifests), training=acceptance.trainings(found, manifests)
    )


def trial(found: Plan, recipe: str) -> Trial:
    return next(trial for trial in found.trials if trial.point.recipe == recipe)


def zero_shot_rows(results: report.Results) -> dict[tuple[str, str, str], set[str]]:
    """Column zero_shot by recipe, target and language, for the headline protocol."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for row in csv.DictReader(io.StringIO(scores_csv([*results.scores, *means(results.scores)]))):
        if row["selected"] == "True":
            found.setdefault((row["recipe"], row["target"], row["language"]), set()).add(row["zero_shot"])
    return found


def test_of_a_study_on_english_labels_the_sentence_is_true_and_printed(tmp_path: Path) -> None:
    html = render_html(results_of(planned(ENGLISH), tmp_path))
    assert SENTENCE in html
    assert "Not all of it is zero-shot" not in html


def test_translated_training_data_take_the_sentence_away_and_mark_their_recipe(tmp_path: Path) -> None:
    results = results_of(planned(ENGLISH, GERMAN), tmp_path)
    html = render_html(results)
    assert SENTENCE not in html
    assert "Not all of it is zero-shot" in html
    uses = {use.target: use for use in results.label_uses}
    assert {(use.recipe, use.languages) for use in uses.values()} == {("mnli-de", ("de",))}
    assert uses["xnli"].reason == "trained on labels of mnli (the same task)"
    assert uses["xsid"].reason == "trained on labels of mnli (another task)"
    assert results.zero_shot_languages("xnli") == ("th",)
    section = html.partition('id="zero-shot"')[2].partition("</table>")[0]
    assert "mnli-de, trained on labels of mnli (the same task)" in section
    assert "mnli-de (labels: de), 1,000 rows (full)" in html, "in tables"
    figures = html.partition("<svg")[2]
    assert "mnli-de (labels: de)" in figures, "in legends"
    out = io.StringIO()
    Console(file=out, width=160).print(text.scores_table(results))
    assert "mnli-de (labels: de)" in out.getvalue()
    assert text.LABELS_CAPTION in out.getvalue()


def test_every_row_of_the_csv_says_whether_it_is_zero_shot(tmp_path: Path) -> None:
    rows = zero_shot_rows(results_of(planned(ENGLISH, GERMAN), tmp_path))
    assert rows["mnli-de", "xnli", "de"] == {"False"}
    assert rows["mnli-de", "xnli", "th"] == {"True"}
    assert rows["mnli-de", "xnli", "other-languages"] == {"False"}, "one of its languages is not"
    assert rows["mnli-de", "tatoeba", "de"] == {"False"}
    assert rows["mnli", "xnli", "other-languages"] == rows["baseline", "xnli", "de"] == {"True"}
    assert rows["mnli", "xnli", "en"] == rows["mnli", "xnli", "all-languages"] == {"False"}


def test_mlflow_status_and_trials_are_marked(tmp_path: Path) -> None:
    found = planned(ENGLISH, GERMAN)
    german, english = trial(found, "mnli-de"), trial(found, "mnli")
    tags = {"xstilts.zero_shot": "false", "xstilts.labelled_languages": "de"}
    assert trial_record(found, german, {}, "Succeeded").tags == tags
    assert trial_record(found, english, {}, "Succeeded").tags == {"xstilts.zero_shot": "true"}
    outlines = {entry.point.recipe: entry.labelled_languages for entry in outline(found, uri="u").trials}
    assert outlines == {"baseline": (), "mnli": (), "mnli-de": ("de",)}

    store = open_store("memory:")
    make(store, found, tmp_path)
    for planned_trial, expected in ((german, tags), (english, {"xstilts.zero_shot": "true"})):
        for address in (planned_trial.intermediate, planned_trial.trainings["xnli"], planned_trial.evaluations["xnli"]):
            assert address
            manifest = observed(store, found).manifests[address]
            publication = acceptance.publication_of(found, found.stages[address])
            shown = stage_record(store, manifest, publication).tags
            assert {name: shown[name] for name in shown if name in tags} == expected, address


def test_the_best_point_is_marked_where_labels_of_its_languages_were_used(tmp_path: Path) -> None:
    found = planned(GERMAN, sizes=["full"])
    for entry in best_scores(results_of(found, tmp_path)):
        assert (entry.recipe, entry.labelled_languages) == ("mnli-de", ("de",))


def test_the_oracle_is_told_apart_from_zero_shot(tmp_path: Path) -> None:
    found = planned(ENGLISH, protocols=["Best", "Oracle"])
    store = open_store("memory:")
    make(store, found, tmp_path)
    facts = acceptance.evaluations(found, observed(store, found).manifests)

    def with_dev(entry: EvaluationFacts) -> EvaluationFacts:
        known = tuple(scores.model_copy(update={"dev": scores.languages}) for scores in entry.checkpoints)
        return entry.model_copy(update={"checkpoints": known})

    results = report.collect(found, {address: with_dev(entry) for address, entry in facts.items()})
    (use,) = [use for use in results.label_uses if use.target == "xnli"]
    assert (use.protocol, use.recipe, use.languages) == ("oracle", "", ("de", "th"))
    by_protocol = {s.protocol: s.zero_shot for s in results.scores if (s.target, s.language) == ("xnli", "de")}
    assert by_protocol == {"best": True, "oracle": False}
    assert SENTENCE not in render_html(results)


def test_a_threshold_that_was_tuned_on_labelled_pairs_is_named(tmp_path: Path) -> None:
    found = planned(ENGLISH, targets=[{"name": "tatoeba"}])
    store = open_store("memory:")
    make(store, found, tmp_path)

    def tuned(scores: CheckpointScores) -> CheckpointScores:
        return scores.model_copy(
            update={"languages": tuple(e.model_copy(update={"threshold": 1.1}) for e in scores.languages)}
        )

    facts = {
        address: entry.model_copy(update={"checkpoints": tuple(map(tuned, entry.checkpoints))})
        for address, entry in acceptance.evaluations(found, observed(store, found).manifests).items()
    }
    results = report.collect(found, facts)
    (use,) = results.label_uses
    assert (use.recipe, use.languages) == ("", ("de", "th"))
    assert use.reason == "threshold tuned on labelled dev pairs of each language"
    assert not any(score.zero_shot for score in results.scores)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("mnli", "xnli", True),
        ("anli", "xnli", True),
        ("squad_v2", "mlqa", True),
        ("squad_v1", "tydiqa", True),
        ("qqp", "pawsx", True),
        ("panx", "uner", True),
        ("ccg", "udpos", False),
        ("hellaswag", "cosmosqa", False),
        ("mnli", "pawsx", False),
        ("mnli", "mtop", False),
    ],
)
def test_tasks_that_teach_each_others_labels_are_the_same(one: str, other: str, *, same: bool) -> None:
    assert is_same_task(registry.get(one).spec, registry.get(other).spec) == same


def test_of_many_languages_the_mark_gives_the_number() -> None:
    assert marked("r", ()) == "r"
    assert marked("r", ("de", "ru")) == "r (labels: de, ru)"
    assert marked("r", ("de", "fr", "hi", "ru", "sw")) == "r (labels: 5 languages)"
