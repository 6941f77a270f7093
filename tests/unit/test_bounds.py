"""Statuses are cut to what their schema allows, and say what they lost."""

from hypothesis import given
from hypothesis import strategies as st

from xstilts.api.bounds import within_bounds
from xstilts.api.conditions import Condition
from xstilts.api.status import BestScore, CurveFit, PlanStatus, StudyStatus
from xstilts.api.trial import TrialStatus

CURVE = CurveFit(recipe="mnli", target="mtop", model="power", n=12)
PLAN = PlanStatus(digest="d", uri="s3://b/p", spec_digest="e", trials=1, stages=1, reused=0, to_run=1)


def test_a_status_that_fits_is_returned_as_it_is():
    status = StudyStatus(curves=(CURVE,) * 256, plan=PLAN)
    assert within_bounds(status) == (status, {})
    assert within_bounds(status)[0] is status


def test_a_list_that_is_too_long_keeps_its_first_entries_and_the_rest_is_counted():
    status = StudyStatus().model_copy(update={"curves": (CURVE,) * 300})
    bounded, omitted = within_bounds(status)
    assert bounded.curves == (CURVE,) * 256
    assert omitted == {"curves": 44}


def test_lists_of_a_part_are_counted_by_their_path():
    plan = PLAN.model_copy(update={"not_applicable": ("recipe a, size 9: it has 3 rows",) * 67})
    bounded, omitted = within_bounds(StudyStatus().model_copy(update={"plan": plan}))
    assert bounded.plan is not None
    assert len(bounded.plan.not_applicable) == 64
    assert omitted == {"plan.notApplicable": 3}


def test_a_text_that_is_too_long_ends_in_an_ellipsis_wherever_it_stands():
    time = "2026-01-01T00:00:00Z"
    condition = Condition(type="Succeeded", status="Unknown", last_transition_time=time, reason="Running")
    long = condition.model_copy(update={"message": "x" * 5000})
    curve = CURVE.model_copy(update={"parameters": {"a": "1" * 40}})
    plan = PLAN.model_copy(update={"not_applicable": ("y" * 200,)})
    status = StudyStatus().model_copy(update={"conditions": (long,), "curves": (curve,), "plan": plan})
    bounded, omitted = within_bounds(status)
    assert bounded.conditions[0].message == "x" * 2047 + "…"
    assert bounded.curves[0].parameters == {"a": "1" * 31 + "…"}
    assert bounded.plan is not None
    assert bounded.plan.not_applicable == ("y" * 127 + "…",)
    assert omitted == {}


texts = st.text(max_size=400)
curves = st.builds(
    CURVE.model_copy,
    update=st.fixed_dictionaries(
        {"model": texts, "interval": texts, "parameters": st.dictionaries(texts, texts, max_size=12)}
    ),
)
best = st.builds(
    BestScore.model_construct,
    **dict.fromkeys(BestScore.model_fields, texts) | {"labelled_languages": st.lists(texts, max_size=70).map(tuple)},
)


@given(st.lists(curves, max_size=5), st.integers(1, 80), st.lists(best, max_size=5), st.integers(1, 30))
def test_whatever_is_in_it_the_bounded_status_is_valid_and_bounding_it_again_changes_nothing(some, times, scores, more):
    status = StudyStatus().model_copy(update={"curves": tuple(some) * times, "best": tuple(scores) * more})
    bounded, _ = within_bounds(status)
    assert StudyStatus.model_validate(bounded.document()) == bounded
    assert within_bounds(bounded) == (bounded, {})


def test_a_trials_scores_and_stage_messages_are_bounded_too():
    scores = {f"target-{i}": "50.00" for i in range(70)}
    bounded, omitted = within_bounds(TrialStatus().model_copy(update={"scores": scores}))
    assert len(bounded.scores) == 64
    assert omitted == {"scores": 6}
