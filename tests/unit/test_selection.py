"""The best is chosen on English dev data: what is reported of it is not the highest of many draws."""

import random
from pathlib import Path
from statistics import fmean

from made import make, observed, small_plan
from xstilts import acceptance, report
from xstilts.controller.results import best_scores, curve_fits
from xstilts.core.conditions import Condition
from xstilts.core.configs import EvaluationConfig
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import CheckpointFacts, CheckpointScores, EvaluationFacts, LanguageScores, TrainingFacts
from xstilts.core.selection import Measured, best
from xstilts.report import text
from xstilts.report.html import render_html
from xstilts.store import open_store

REPEATS = 400
"""The mean of three normal deviates has a standard deviation of 0.577; of 400 such means, that of the mean is 0.029."""


def five_conditions() -> Plan:
    """A baseline and four sizes, three seeds each."""
    return small_plan(
        sizes=["0", "100", "200", "300", "full"], subsetSeeds=[1], seeds=[1, 2, 3], targets=[{"name": "xnli"}]
    )


def evaluation(planned: Plan, trial: Trial, score: float) -> EvaluationFacts:
    config = EvaluationConfig.model_validate(planned.stages[trial.evaluations["xnli"]].config)
    languages = tuple(
        LanguageScores(language=ref.language, data=ref, rows=1, metrics={"accuracy": score}, predictions="p")
        for ref in config.data
    )
    checkpoint = CheckpointScores(checkpoint="best", languages=languages)
    return EvaluationFacts(task="xnli", metric="accuracy", checkpoints=(checkpoint,))


def training(dev: float) -> TrainingFacts:
    kept = CheckpointFacts(name="best", path="checkpoints/best", step=1, scores={"xnli/accuracy": dev})
    return TrainingFacts(steps=1, examples=1, trainable_parameters=1, history=(), checkpoints=(kept,), degenerate={})


def test_where_nothing_differs_the_score_of_the_chosen_is_unbiased_and_the_highest_is_not() -> None:
    planned, noise = five_conditions(), random.Random(7)
    chosen, highest = [], []
    for _ in range(REPEATS):
        tests = {trial.name: noise.gauss() for trial in planned.trials}
        measured = Measured(
            evaluations={t.evaluations["xnli"]: evaluation(planned, t, tests[t.name]) for t in planned.trials},
            trainings={t.trainings["xnli"]: training(noise.gauss()) for t in planned.trials},
        )
        by_condition: dict[Condition, list[float]] = {}
        for trial in planned.trials:
            by_condition.setdefault(Condition.of(trial.point), []).append(tests[trial.name])
        means = {condition: fmean(values) for condition, values in by_condition.items()}
        choice = best(planned, "xnli", measured)
        assert choice
        chosen.append(means[choice.condition])
        highest.append(max(means.values()))
    assert abs(fmean(chosen)) < 4 * 0.577 / REPEATS**0.5
    assert 0.6 < fmean(highest) < 0.75, "1.163 standard deviations of a mean of three"


def done(tmp_path: Path, **changes: object) -> report.Results:
    """A study in which test scores and English dev scores say the opposite: the baseline is best by test."""
    planned, store = small_plan(sizes=["0", "300", "full"], **changes), open_store("memory:")

    def dev(trial: Trial, _: str) -> float:
        return 40.0 + trial.point.rows / 100 + trial.point.seed

    make(store, planned, tmp_path, dev=dev, scores=lambda trial, target: 90.0 - dev(trial, target))
    manifests = observed(store, planned).manifests
    trainings = acceptance.trainings(planned, manifests)
    return report.collect(planned, acceptance.evaluations(planned, manifests), training=trainings)


def test_status_names_what_english_dev_chooses_and_reports_its_test_score(tmp_path: Path) -> None:
    (found,) = best_scores(done(tmp_path))
    assert (found.target, found.recipe, found.size, found.dev_score) == ("xnli", "mnli", "full", "51.50")
    assert found.score == "38.50", "the baseline has 48.50, and was not chosen"


def test_retrieval_has_no_english_dev_data_so_nothing_is_chosen(tmp_path: Path) -> None:
    results = done(tmp_path, targets=[{"name": "tatoeba"}])
    assert list(best_scores(results)) == []
    assert 'id="best"' not in render_html(results)


def test_the_report_says_what_was_chosen_by_what(tmp_path: Path) -> None:
    results = done(tmp_path)
    section = render_html(results).partition('id="best"')[2].partition("</table>")[0]
    assert "Chosen on English dev" in section
    assert "mnli, 1,000 rows (full)" in section
    assert "51.5" in section
    assert "38.5" in section
    assert text.BEST_CAPTION.startswith("Chosen on English dev")


def test_budgets_are_told_apart_in_status(tmp_path: Path) -> None:
    budgets = [{"epochs": "1"}, {"steps": 10}]
    results = done(tmp_path, budgets=budgets, targets=[{"name": "xnli"}])
    assert [found.budget for found in best_scores(results)] == ["1 epochs"], "of equals the first"
    conditions = {(curve.recipe, curve.target, curve.budget) for curve in results.curves}
    assert len(conditions) == 2
    assert {fit.budget for fit in curve_fits(results)} <= {"1 epochs", "10 steps"}


def test_a_point_is_compared_by_its_mean_over_subset_seeds_within_seeds(tmp_path: Path) -> None:
    """One failed trial must not move the choice by the number of trials alone."""
    planned = small_plan(sizes=["300", "full"], subsetSeeds=[1, 2], targets=[{"name": "xnli"}])
    dev = {
        "mnli-300-d1-s1": 70.0,
        "mnli-300-d1-s2": 40.0,
        "mnli-300-d2-s2": 40.0,
        "mnli-full-s1": 53.0,
        "mnli-full-s2": 53.0,
    }
    measured = Measured(
        evaluations={t.evaluations["xnli"]: evaluation(planned, t, 0.0) for t in planned.trials if t.name in dev},
        trainings={t.trainings["xnli"]: training(dev[t.name]) for t in planned.trials if t.name in dev},
    )
    choice = best(planned, "xnli", measured)
    assert choice
    assert (choice.condition.size, choice.dev, choice.trial.name) == ("300", 55.0, "mnli-300-d1-s1")


def test_a_point_that_lost_seeds_does_not_win_by_the_one_that_is_left() -> None:
    planned = small_plan(sizes=["300", "full"], subsetSeeds=[1], seeds=[1, 2, 3], targets=[{"name": "xnli"}])
    dev = {"mnli-300-d1-s1": 95.0, "mnli-full-s1": 90.0, "mnli-full-s2": 89.0, "mnli-full-s3": 89.0}
    measured = Measured(
        evaluations={t.evaluations["xnli"]: evaluation(planned, t, 0.0) for t in planned.trials if t.name in dev},
        trainings={t.trainings["xnli"]: training(dev[t.name]) for t in planned.trials if t.name in dev},
    )
    choice = best(planned, "xnli", measured)
    assert choice
    assert choice.condition.size == "full"
