"""The committed pipeline, executed end to end: the real stages in processes of their own, as containers would run them.

Every stage computes its own key from what reached it through the IR, so equal addresses mean that nothing was lost or
changed between the plan and the stages.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kfp_ir.interpreter import Execution, Interpreter, run_forked
from kfp_ir.values import PipelineError
from xstilts.core.plan import Trial
from xstilts.engines.kubeflow import pipeline_arguments

GOLDEN = Path(__file__).parents[2] / "pipelines" / "compiled" / "transfer.yaml"

Runner = Callable[[Trial], list[Execution]]


@pytest.fixture
def run_trial(tiny_study: Any) -> Runner:
    """Executes the pipeline for a trial of the tiny study, which has a trained target and a retrieval target."""

    def execute(trial: Trial) -> list[Execution]:
        parameters = pipeline_arguments(tiny_study.plan, trial, study=tiny_study.study, image="xstilts-trainer")
        return Interpreter(GOLDEN.read_text(), run_forked(tiny_study.workdir)).run(parameters)

    return execute


def first_trial(tiny_study: Any, *, baseline: bool) -> Trial:
    return next(trial for trial in tiny_study.plan.trials if (trial.scaling is None) is baseline)


@pytest.mark.parametrize("baseline", [False, True], ids=["trial", "baseline"])
def test_a_run_of_the_compiled_pipeline_makes_the_planned_stages(tiny_study: Any, run_trial: Runner, baseline: bool):
    trial = first_trial(tiny_study, baseline=baseline)
    assert trial.evaluations.keys() > trial.trainings.keys(), "the tiny study needs a retrieval target"
    executions = run_trial(trial)
    assert sorted(execution.outputs["address"] for execution in executions) == sorted(trial.stages)
    store = Path(tiny_study.workdir, tiny_study.study.spec.store.uri)
    assert all((store / address / "manifest.json").is_file() for address in trial.stages)


def test_a_stage_that_fails_fails_the_run_and_shows_its_log(tmp_path: Path):
    with pytest.raises(PipelineError, match=r"ended with 2:\n(.|\n)*required: --config, --encoder"):
        run_forked(tmp_path)(["python", "-m", "xstilts.stages", "evaluation"], {})
