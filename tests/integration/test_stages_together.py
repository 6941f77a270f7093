"""A stage by two processes under torchrun: published once, stopped together, resumed by any number, told by exit code."""

import json
from pathlib import Path

import pytest

from studies import TinyStudy, accept_in, start_stage
from xstilts.core.errors import ExitCode
from xstilts.core.plan import PlannedStage
from xstilts.core.results import TrainingFacts
from xstilts.stages.together import main
from xstilts.store import artifacts, leases

TWO = ("-m", "xstilts.stages.together", "--standalone", "--nproc-per-node", "2")


@pytest.fixture
def study(tiny_workdir: Path) -> TinyStudy:
    return accept_in(tiny_workdir)


def baseline(study: TinyStudy) -> PlannedStage:
    return next(s for s in study.plan.stages.values() if (s.kind, s.recipe) == ("target-training", "baseline"))


def outcome(study: TinyStudy, stage: PlannedStage) -> int:
    code: int = json.loads(study.store.read(f"{stage.address}/outcome.json"))["exitCode"]
    return code


def test_two_processes_stop_together_and_the_next_two_end_the_stage(study: TinyStudy, tmp_path: Path) -> None:
    stage = baseline(study)
    with (tmp_path / "log").open("wb") as log:
        process = start_stage(study, stage, *TWO, log=log)
        while not any("manifest.json" in entry.key for entry in study.store.list(f"{stage.address}/resume/")):
            assert process.poll() is None, (tmp_path / "log").read_text()
        process.terminate()
        assert process.wait() == ExitCode.PREEMPTED, (tmp_path / "log").read_text()
        assert outcome(study, stage) == ExitCode.PREEMPTED
        assert start_stage(study, stage, *TWO, log=log).wait() == ExitCode.SUCCEEDED, (tmp_path / "log").read_text()
    manifest = artifacts.load_manifest(study.store, stage.address)
    assert manifest
    assert manifest.provenance["processes"] == 2
    assert manifest.provenance["leaseEpoch"] == 2
    facts = TrainingFacts.model_validate(manifest.facts)
    assert [c.name for c in facts.checkpoints] == ["averaged", "best", "last"]
    assert facts.history[-1].step == facts.steps
    assert not list(study.store.list(f"{stage.address}/resume/"))
    assert start_stage(study, stage, *TWO).wait() == ExitCode.SUCCEEDED, "what is done is not begun"


def test_all_processes_end_with_the_code_of_the_one_that_may_not_work(study: TinyStudy) -> None:
    stage = baseline(study)
    with leases.hold(study.store, stage.address, holder="elsewhere", ttl_seconds=6):
        assert start_stage(study, stage, *TWO).wait() == ExitCode.LEASE_HELD


def test_without_processes_to_start_there_is_nothing_to_tell(tmp_path: Path) -> None:
    """torchrun's own errors are its own."""
    script = tmp_path / "killed.py"
    script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert main(["--standalone", "--nproc-per-node", "1", str(script)]) == ExitCode.FAILED
