"""One headline: whoever shows a mean over languages shows the same number under the same name."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from made import make, observed, small_plan
from xstilts import acceptance, report
from xstilts.conclusion import trial_record
from xstilts.controller.results import trial_scores
from xstilts.core.languages import by_scope
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import EvaluationFacts
from xstilts.report import text
from xstilts.report.html import render_html
from xstilts.report.scores import means, scores_csv
from xstilts.stages.publication import stage_record
from xstilts.store import ObjectStore, open_store
from xstilts.tracking import MemoryTracker, TrialRecord, open_tracker

MEANS = {"en": 69.0, "other-languages": 30.0, "transfer-gap": 39.0, "all-languages": 43.0}
"""Of the target xnli, whose trials score 30 in German and Thai."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[ObjectStore, Plan, dict[str, EvaluationFacts]]:
    store, planned = open_store("memory:"), small_plan()
    make(store, planned, tmp_path_factory.mktemp("made"), scores=lambda trial, target: 30.0)
    return store, planned, acceptance.evaluations(planned, observed(store, planned).manifests)


Done = tuple[ObjectStore, Plan, dict[str, EvaluationFacts]]


def first(planned: Plan) -> Trial:
    return next(trial for trial in planned.trials if trial.name == "mnli-full-s1")


def record(done: Done) -> TrialRecord:
    _, planned, facts = done
    return trial_record(planned, first(planned), facts, "Succeeded")


def in_mlflow(done: Done, path: Path) -> Iterator[dict[str, float]]:
    memory = MemoryTracker()
    memory.publish_trial(record(done))
    yield dict(next(iter(memory.trials.values())).scores)
    uri = f"sqlite:///{path}/mlflow.db"
    run_id = open_tracker(uri, experiment="s", store="memory:").publish_trial(record(done))
    from mlflow import MlflowClient

    yield dict(MlflowClient(tracking_uri=uri).get_run(run_id).data.metrics)


def test_mlflow_status_report_csv_and_terminal_agree_on_a_trial(done: Done, tmp_path: Path) -> None:
    _, planned, facts = done
    trial = first(planned)
    for metrics in in_mlflow(done, tmp_path):
        of_target = {name.rpartition("/")[2]: value for name, value in metrics.items() if name.startswith("xnli/")}
        assert of_target == {**MEANS, "de": 30.0, "th": 30.0}

    assert trial_scores(planned, trial, facts) == {"xnli": "30.00", "tatoeba": "30.00"}

    results = report.collect(planned, facts)
    condition = next(condition for condition in results.planned if not condition.is_baseline)
    for scope, value in MEANS.items():
        found = results.find(condition, target="xnli", metric="accuracy", scope=scope)
        assert found
        assert found.estimate.mean == value

    rows = [
        row
        for scores in (results.scores, means(results.scores))
        for row in csv.DictReader(io.StringIO(scores_csv(scores)))
        if (row["trial"], row["target"], row["protocol"]) == (trial.name, "xnli", planned.selected["xnli"])
    ]
    assert {row["language"]: float(row["value"]) for row in rows} == {**MEANS, "de": 30.0, "th": 30.0}
    assert {row["language"]: row["examples"] for row in rows}["other-languages"] == "2"

    out = io.StringIO()
    Console(file=out, width=160).print(text.scores_table(results))
    (line,) = (line for line in out.getvalue().splitlines() if re.search(r"mnli .* 2/2 .* 69\.0 ", line))
    assert re.findall(r"\d+\.\d", line) == ["69.0", "0.0", "30.0", "0.0", "0.0", "0.0"]
    row = render_html(results).partition("mnli, 1,000 rows (full)")[2].partition("</tr>")[0]
    assert re.findall(r"<td>(\d+\.\d)", row)[:3] == ["69.0", "30.0", "30.0"], "English, other languages, their median"


def test_the_run_of_an_evaluation_has_the_same_means_each_under_its_own_name(done: Done) -> None:
    store, planned, _ = done
    address = first(planned).evaluations["xnli"]
    manifest = observed(store, planned).manifests[address]
    scores = stage_record(store, manifest, acceptance.publication_of(planned, planned.stages[address])).scores
    of_best = {score.metric: score.value for score in scores if score.model and score.model.checkpoint == "best"}
    assert of_best == {f"eval/accuracy/{scope}": value for scope, value in {**MEANS, "de": 30.0, "th": 30.0}.items()}
    assert {score.dataset.name for score in scores if score.dataset} == {"xnli/test.de", "xnli/test.en", "xnli/test.th"}


@pytest.mark.parametrize(
    ("by_language", "means"),
    [
        ({"en": 80.0, "de": 60.0, "th": 40.0}, {"other-languages": 50.0, "transfer-gap": 30.0, "all-languages": 60.0}),
        ({"de": 60.0, "th": 40.0}, {"other-languages": 50.0, "all-languages": 50.0}),
        ({"en": 80.0}, {"all-languages": 80.0}),
        ({}, {}),
    ],
    ids=["with English", "without English", "English alone", "nothing"],
)
def test_a_mean_is_there_where_its_languages_are(by_language: dict[str, float], means: dict[str, float]) -> None:
    assert by_scope(by_language) == by_language | means


def test_english_alone_is_not_passed_off_as_other_languages(tmp_path: Path) -> None:
    planned = small_plan(targets=[{"name": "xnli", "languages": ["en"]}])
    store = open_store("memory:")
    make(store, planned, tmp_path)
    facts = acceptance.evaluations(planned, observed(store, planned).manifests)
    assert trial_scores(planned, planned.trials[0], facts) == {}
    record = trial_record(planned, planned.trials[0], facts, "Succeeded")
    assert record.scores.keys() == {"xnli/accuracy/en", "xnli/accuracy/all-languages"}
