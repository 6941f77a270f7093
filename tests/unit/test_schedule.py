"""Which stages may run, and what an attempt's end means: a table of situations."""

import pytest

from xstilts.api.study import Budget, FailurePolicy
from xstilts.api.trial import Point
from xstilts.core.errors import ExitCode
from xstilts.core.plan import Plan, PlannedStage, Trial
from xstilts.core.results import Outcome
from xstilts.engines.schedule import Schedule, State


def stage(kind: str, key: str, *inputs: str) -> PlannedStage:
    return PlannedStage.model_validate(
        {
            "kind": kind,
            "key": key,
            "version": 1,
            "config": {},
            "inputs": {f"input{i}": address for i, address in enumerate(inputs)},
            "recipe": "r",
        }
    )


SHARED = stage("data-scaling", "shared")
FIRST = stage("intermediate-training", "first", "models/m", SHARED.address)
SECOND = stage("intermediate-training", "second", "models/m", SHARED.address)
SCORE_1 = stage("evaluation", "score1", FIRST.address)
SCORE_2 = stage("evaluation", "score2", SECOND.address)
STAGES = (SHARED, FIRST, SCORE_1, SECOND, SCORE_2)


def trial(seed: int, training: PlannedStage, score: PlannedStage) -> Trial:
    return Trial(
        point=Point(recipe="r", size="9", rows=9, seed=seed, budget=Budget(steps=1)),
        scaling=SHARED.address,
        intermediate=training.address,
        trainings={},
        evaluations={"t": score.address},
    )


TRIAL_1, TRIAL_2 = trial(1, FIRST, SCORE_1), trial(2, SECOND, SCORE_2)
PLAN = Plan(
    study="s",
    experiment="s",
    model="models/m",
    trials=(TRIAL_1, TRIAL_2),
    stages={each.address: each for each in STAGES},
    naive={"data-scaling": 2, "intermediate-training": 2, "target-training": 0, "evaluation": 2},
)


def ended(code: ExitCode) -> Outcome:
    return Outcome(exit_code=code, reason=code.name, message="why", holder="h", started=0, finished=1)


def schedule(*done: PlannedStage, **policy: int) -> Schedule:
    return Schedule(PLAN, FailurePolicy(**policy), done={each.address for each in done})


def ready(planned: Schedule, now: float = 0.0) -> list[str]:
    return [each.key for each in planned.ready(now)]


def attempt(planned: Schedule, each: PlannedStage, code: ExitCode, now: float = 0.0) -> str | None:
    planned.start(each.address)
    return planned.finish(each.address, ended(code), now)


def test_a_stage_waits_for_what_it_needs() -> None:
    planned = schedule()
    assert ready(planned) == ["shared"]
    assert attempt(planned, SHARED, ExitCode.SUCCEEDED) is None
    assert ready(planned) == ["first", "second"]


def test_a_running_stage_is_not_started_again() -> None:
    planned = schedule(SHARED)
    planned.start(FIRST.address)
    assert ready(planned) == ["second"]


def test_what_is_done_is_never_ready() -> None:
    assert ready(schedule(*STAGES)) == []
    assert schedule(*STAGES).is_finished


def test_a_trial_succeeds_with_its_last_stage() -> None:
    planned = schedule(SHARED, FIRST)
    assert planned.state(TRIAL_1) is State.RUNNING
    attempt(planned, SCORE_1, ExitCode.SUCCEEDED)
    assert planned.state(TRIAL_1) is State.SUCCEEDED
    assert not planned.is_finished


@pytest.mark.parametrize(
    "code", [ExitCode.INVALID_INPUT, ExitCode.PERMANENT, ExitCode.DIVERGED, ExitCode.OUT_OF_MEMORY]
)
def test_a_hopeless_error_is_not_tried_again(code: ExitCode) -> None:
    planned = schedule(SHARED, max_failed_trials=1)
    assert attempt(planned, FIRST, code) is None
    assert planned.state(TRIAL_1) is State.FAILED
    assert planned.reason(TRIAL_1) == f"{code.name}: why"
    assert ready(planned) == ["second"]


def test_a_failed_shared_stage_fails_every_trial_once_with_the_reason() -> None:
    planned = schedule()
    attempt(planned, SHARED, ExitCode.PERMANENT)
    assert planned.trials(State.FAILED) == [TRIAL_1, TRIAL_2]
    assert {planned.reason(each) for each in PLAN.trials} == {"PERMANENT: why"}
    assert planned.is_finished


def test_too_many_failed_trials_end_the_study_while_what_runs_goes_on() -> None:
    planned = schedule(SHARED, max_failed_trials=0)
    planned.start(SECOND.address)
    attempt(planned, FIRST, ExitCode.PERMANENT)
    assert ready(planned) == []
    assert not planned.is_finished
    assert planned.finish(SECOND.address, ended(ExitCode.SUCCEEDED), 0.0) is None
    assert planned.is_finished


def test_retries_are_spaced_and_counted() -> None:
    planned = schedule(SHARED, SECOND, SCORE_2, retries=2)
    assert attempt(planned, FIRST, ExitCode.FAILED, now=0.0) == "FAILED: why"
    assert ready(planned, now=0.5) == []
    assert ready(planned, now=1.0) == ["first"]
    assert attempt(planned, FIRST, ExitCode.FAILED, now=1.0)
    assert ready(planned, now=2.5) == []
    assert ready(planned, now=3.0) == ["first"]
    assert attempt(planned, FIRST, ExitCode.FAILED, now=3.0) is None
    assert planned.state(TRIAL_1) is State.FAILED


def test_an_outage_costs_time_and_no_retry() -> None:
    planned = schedule(SHARED, SECOND, SCORE_2, retries=0, outage_seconds=600)
    now, attempts = 0.0, 0
    while attempt(planned, FIRST, ExitCode.UNAVAILABLE, now=now):
        attempts += 1
        assert ready(planned, now=now) == []
        now = next(later for later in (now + seconds for seconds in range(1, 100)) if ready(planned, now=later))
    assert 600 <= now <= 700
    assert 10 < attempts < 20, "1, 2, 4, … 64 seconds apart"
    assert planned.reason(TRIAL_1) == "UNAVAILABLE: why; failurePolicy.outageSeconds is 600"


def test_outages_with_anything_else_between_them_are_counted_anew() -> None:
    planned = schedule(SHARED, retries=5, outage_seconds=600)
    for hour in range(5):
        assert attempt(planned, FIRST, ExitCode.UNAVAILABLE, now=hour * 3600.0)
        assert attempt(planned, FIRST, ExitCode.FAILED, now=hour * 3600.0 + 60)
    assert planned.state(TRIAL_1) is not State.FAILED


def test_an_attempt_that_ran_for_long_has_met_another_outage() -> None:
    planned = schedule(SHARED, retries=0, outage_seconds=600)
    for hour in range(5):
        planned.start(FIRST.address)
        long = ended(ExitCode.UNAVAILABLE).model_copy(update={"finished": 3_500_000})
        assert planned.finish(FIRST.address, long, hour * 3600.0)


def test_an_end_from_outside_is_charged_to_preemption_alone() -> None:
    planned = schedule(SHARED, retries=0, preemption_retries=2)
    assert attempt(planned, FIRST, ExitCode.PREEMPTED) == "PREEMPTED: why"
    assert attempt(planned, FIRST, ExitCode.PREEMPTED)
    assert attempt(planned, FIRST, ExitCode.PREEMPTED) is None
    assert planned.state(TRIAL_1) is State.FAILED


def test_a_stage_held_elsewhere_costs_no_retry() -> None:
    planned = schedule(SHARED, retries=0, preemption_retries=0)
    assert all(attempt(planned, FIRST, ExitCode.LEASE_HELD, now=float(i)) for i in range(50))
    assert planned.state(TRIAL_1) is not State.FAILED
