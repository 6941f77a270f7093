"""What the terminal shows while a study runs, on a terminal and in a log."""

import io

import pytest
from rich.console import Console

from xstilts.cli.show import Live, failures
from xstilts.core.errors import ExitCode
from xstilts.core.missing import Done
from xstilts.core.plan import Plan, PlannedStage
from xstilts.core.results import Outcome
from xstilts.stages.bench import Progress

STAGE = PlannedStage(kind="evaluation", key="0123456789abcdef", version=1, config={}, inputs={}, recipe="mnli")
PLAN = Plan(
    study="s", experiment="s", model="models/m", trials=(), stages={STAGE.address: STAGE}, naive={"evaluation": 1}
)


def outcome(code: ExitCode) -> Outcome:
    return Outcome(exit_code=code, reason=code.name, message="why [not]", holder="h", started=0, finished=1500)


def shown(*outcomes: Outcome, terminal: bool) -> str:
    """The output of a run in which one stage has these attempts."""
    out = io.StringIO()
    live = Live(Console(file=out, force_terminal=terminal, width=100, highlight=False))
    live.planned(PLAN, Done(manifests={}, published=frozenset()))
    for place, each in enumerate(outcomes, 1):
        live.started(STAGE)
        live.progressed(STAGE, Progress(1, 2, "loss 0.5"))
        live.finished(STAGE, each, retry="x" if place < len(outcomes) else None)
    live.ended()
    return out.getvalue()


def test_a_log_has_a_line_for_each_finished_stage() -> None:
    assert "[1/1] evaluation mnli 01234567 1.5 s" in shown(outcome(ExitCode.SUCCEEDED), terminal=False)


def test_a_terminal_shows_bars() -> None:
    assert "stages" in shown(outcome(ExitCode.SUCCEEDED), terminal=True)


@pytest.mark.parametrize("terminal", [True, False], ids=["on a terminal", "in a log"])
def test_a_failed_attempt_is_told_with_what_comes_next(terminal: bool) -> None:
    text = shown(outcome(ExitCode.FAILED), outcome(ExitCode.SUCCEEDED), terminal=terminal)
    assert "FAILED: why [not], will be tried again" in text


def test_a_stage_held_elsewhere_is_no_news() -> None:
    assert "LEASE_HELD" not in shown(outcome(ExitCode.LEASE_HELD), outcome(ExitCode.SUCCEEDED), terminal=False)


def test_trials_that_failed_for_one_reason_are_told_together() -> None:
    assert failures({"a": "x: 1", "b": "x: 1", "c": "y: 2"}) == (
        "3 trials failed:\n  x: 1 (trials: a, b)\n  y: 2 (trials: c)"
    )
