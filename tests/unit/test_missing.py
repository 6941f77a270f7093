"""What is still to be done of a plan: backwards from what is missing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made import small_plan, trained
from xstilts.core.missing import needed_weights, stages_to_run

PLAN = small_plan()
TRIAL = next(trial for trial in PLAN.trials if trial.intermediate)
INTERMEDIATE, TRAINING = str(TRIAL.intermediate), TRIAL.trainings["xnli"]
SCORES, RETRIEVAL = TRIAL.evaluations["xnli"], TRIAL.evaluations["tatoeba"]
ALL = set(PLAN.stages)


@pytest.mark.parametrize(
    ("missing", "evicted", "expected"),
    [
        pytest.param(set(), set(), set(), id="nothing is missing"),
        pytest.param(ALL, set(), ALL, id="everything is missing"),
        pytest.param(set(), set(trained(PLAN)), set(), id="all results are there, and no weights"),
        pytest.param({SCORES}, set(), {SCORES}, id="a result is missing whose weights are there"),
        pytest.param({SCORES}, {TRAINING}, {SCORES, TRAINING}, id="a result is missing whose weights were evicted"),
        pytest.param({SCORES}, {TRAINING, INTERMEDIATE}, {SCORES, TRAINING, INTERMEDIATE}, id="so were those before"),
        pytest.param({SCORES}, {INTERMEDIATE}, {SCORES}, id="only the weights that the result starts from are asked for"),
        pytest.param({RETRIEVAL}, {TRAINING, INTERMEDIATE}, {RETRIEVAL, INTERMEDIATE}, id="retrieval needs no target training"),
        pytest.param({TRAINING}, {INTERMEDIATE}, {TRAINING, INTERMEDIATE}, id="a training is missing, its score is there"),
    ],
)  # fmt: skip
def test_what_is_to_run(missing: set[str], evicted: set[str], expected: set[str]) -> None:
    assert stages_to_run(PLAN, ALL - missing, evicted) == expected


def subsets(of: set[str]) -> st.SearchStrategy[set[str]]:
    return st.sets(st.sampled_from(sorted(of)))


@given(subsets(ALL), subsets(set(trained(PLAN))))
def test_whatever_runs_finds_the_weights_that_it_starts_from(made: set[str], evicted: set[str]) -> None:
    evicted &= made
    run = stages_to_run(PLAN, made, evicted)
    assert ALL - made <= run
    assert run - evicted == ALL - made, "what is made and has its weights is never made again"
    for address in run:
        assert set(PLAN.stages[address].dependencies) <= (made - evicted) | run
    for address in run & made:
        assert any(address in PLAN.stages[above].dependencies for above in run), "nothing is made again for nobody"


@given(subsets(ALL))
def test_the_weights_that_missing_work_needs_are_exactly_those_that_would_be_made_again(made: set[str]) -> None:
    evicted = set(trained(PLAN)) & made
    kept = evicted - needed_weights(PLAN, made)
    assert not stages_to_run(PLAN, made, kept) & made
