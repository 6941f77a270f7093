"""Which training stages a study keeps."""

import pytest

from made import make, observed, small_plan, trained
from xstilts.api.study import CheckpointRetention as Keep
from xstilts.core.plan import Plan, Trial
from xstilts.core.retention import kept, measured
from xstilts.store import open_store


def choice(planned: Plan, keep: Keep, dev: dict[tuple[str, str], float], tmp_path, *, without: str = "") -> set[str]:
    """What is kept where trials have such English dev scores; unnamed ones 10. `without` is an evaluation to leave out.

    Test scores say the opposite.
    """
    store = open_store("memory:")
    stages = [address for address in planned.stages if address != without]

    def of(trial: Trial, target: str) -> float:
        return dev.get((trial.name, target), 10.0)

    make(store, planned, tmp_path, stages=stages, dev=of, scores=lambda trial, target: 100.0 - of(trial, target))
    done = observed(store, planned)
    return kept(planned, keep, made=done.manifests, facts=measured(done.manifests))


def trial(planned: Plan, name: str) -> Trial:
    return next(trial for trial in planned.trials if trial.name == name)


def test_all_keeps_all_and_none_keeps_none(tmp_path) -> None:
    planned = small_plan()
    assert choice(planned, Keep.ALL, {}, tmp_path) == set(trained(planned))
    assert choice(planned, Keep.NONE, {}, tmp_path) == set()


def test_english_dev_chooses_the_trial_of_each_recipe_and_target_that_keeps_its_weights(tmp_path) -> None:
    planned = small_plan()
    dev = {("mnli-full-s2", "xnli"): 60.0, ("mnli-full-s1", "intermediate"): 70.0, ("baseline-s2", "xnli"): 55.0}
    first, second, baseline = (trial(planned, name) for name in ("mnli-full-s1", "mnli-full-s2", "baseline-s2"))
    assert choice(planned, Keep.BEST_PER_RECIPE, dev, tmp_path) == {
        second.intermediate,
        second.trainings["xnli"],
        first.intermediate,  # for retrieval, by the dev scores of the intermediate task
        baseline.trainings["xnli"],
    }


def test_sizes_are_compared_by_their_means_over_seeds_and_not_by_their_luckiest_trial(tmp_path) -> None:
    planned = small_plan(sizes=["300", "full"], targets=[{"name": "xnli"}])
    dev = {
        ("mnli-300-d1-s1", "xnli"): 90.0,
        ("mnli-300-d1-s2", "xnli"): 10.0,
        ("mnli-full-s1", "xnli"): 60.0,
        ("mnli-full-s2", "xnli"): 61.0,
    }
    best = trial(planned, "mnli-full-s2")
    assert choice(planned, Keep.BEST_PER_RECIPE, dev, tmp_path) == {best.intermediate, best.trainings["xnli"]}


def test_of_equals_the_first_trial_is_kept(tmp_path) -> None:
    planned = small_plan(recipes=[], sizes=["0"])
    assert choice(planned, Keep.BEST_PER_RECIPE, {}, tmp_path) == {trial(planned, "baseline-s1").trainings["xnli"]}


def test_pretraining_is_kept_with_the_best(tmp_path) -> None:
    from plans import study, world_with_text
    from xstilts.core.planner import plan

    asked = study(pretraining={"steps": 5}, recipes=[], sizes=["0"], targets=[{"name": "xnli"}])
    planned = plan(asked, world_with_text())
    assert planned.trials[0].pretraining in choice(planned, Keep.BEST_PER_RECIPE, {}, tmp_path)
    assert choice(planned, Keep.NONE, {}, tmp_path) == set()


@pytest.mark.parametrize("keep", [Keep.BEST_PER_RECIPE, Keep.NONE])
def test_what_missing_work_starts_from_is_kept(keep: Keep, tmp_path) -> None:
    planned = small_plan()
    failed = trial(planned, "mnli-full-s2")
    assert failed.trainings["xnli"] in choice(planned, keep, {}, tmp_path, without=failed.evaluations["xnli"])
