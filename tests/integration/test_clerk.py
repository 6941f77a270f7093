"""What the operator asks of a store and a tracking server, on a directory and SQLite."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.tracked import MlflowView
from studies import study_document
from xstilts.api.names import Reason
from xstilts.api.study import Study
from xstilts.controller.clerk import Clerk
from xstilts.controller.silence import Silence
from xstilts.controller.views import Accepted, Claim, JobEnd, Known, Refusal, Start
from xstilts.core.configs import CONFIGS
from xstilts.core.errors import ExitCode, LeaseHeld
from xstilts.core.results import Outcome, Publication
from xstilts.stages import VERSIONS
from xstilts.stages.runner import StageRequest, StageRunner
from xstilts.store import leases
from xstilts.store.open import open_store
from xstilts.tracking import Tracker, open_tracker


@pytest.fixture
def study(tiny_workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tiny_workdir)
    return Study.model_validate(study_document(recipes=[{"name": "mnli", "tasks": [{"name": "mnli"}]}]))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def accepted(clerk: Clerk, study: Study) -> Accepted:
    answer = clerk.accept(study)
    assert isinstance(answer, Accepted)
    return answer


def scaling(plan: Accepted) -> str:
    return next(address for address, stage in plan.outline.stages.items() if stage.kind == "data-scaling")


def start(address: str) -> Start:
    return Start(address=address, trial="t", generation=1, uid="u", image="trainer:1")


def tracker_of(study: Study) -> Tracker:
    store = open_store(study.spec.store.uri)
    return open_tracker(study.spec.tracking.uri, experiment=study.experiment, store=store.uri)


def run_here(study: Study, clerk: Clerk, plan: Accepted, address: str) -> None:
    """As its Job would."""
    stage = clerk.plan(study, plan.outline.digest).stages[address]
    runner = StageRunner(
        store=open_store(study.spec.store.uri),
        tracker=tracker_of(study),
    )
    request = StageRequest(
        kind=stage.kind,
        config=CONFIGS[stage.kind].model_validate(stage.config),
        inputs=stage.inputs,
        publication=Publication(study=study.metadata.name, experiment=study.experiment, recipe=stage.recipe),
    )
    runner.run(request)


def test_a_store_and_a_server_that_work_are_ready_and_others_are_named(study, tmp_path):
    clerk = Clerk()
    assert (clerk.check_store(study).ready, clerk.check_tracking(study).ready) == (True, True)
    broken = study.model_copy(
        update={"spec": study.spec.model_copy(update={"store": study.spec.store.model_copy(update={"uri": "/proc/x"})})}
    )
    storage, tracking = clerk.check_store(broken), clerk.check_tracking(broken)
    assert (storage.ready, tracking.ready) == (False, True)
    assert "/proc/x" in storage.message


def test_a_new_plan_has_everything_to_run_and_a_wrong_study_is_refused(study):
    clerk = Clerk()
    plan = accepted(clerk, study)
    assert set(plan.known.values()) == {Known.ABSENT}
    target = study.spec.targets[0].model_copy(update={"name": "nothing"})
    wrong = study.model_copy(update={"spec": study.spec.model_copy(update={"targets": (target,)})})
    answer = clerk.accept(wrong)
    assert isinstance(answer, Refusal)
    assert "nothing" in answer.message


def test_more_seeds_are_planned_with_the_data_of_the_first_plan(study):
    clerk = Clerk()
    first = accepted(clerk, study)
    store = open_store(study.spec.store.uri)
    latest = next(entry.key for entry in store.list("datasets/mnli") if entry.key.endswith("latest.json"))
    store.delete(latest)
    more = study.model_copy(update={"spec": study.spec.model_copy(update={"seeds": (1, 2)})})
    second = clerk.accept(more, previous=first.outline.digest)
    assert isinstance(second, Accepted)
    assert set(first.outline.stages) < set(second.outline.stages)
    assert isinstance(clerk.accept(more), Refusal), "without the first plan the data set is missed"


def test_a_stage_is_started_once_and_shown_for_another_study_without_a_job(study):
    clerk = Clerk()
    plan = accepted(clerk, study)
    address = scaling(plan)
    digest = plan.outline.digest
    manifest = clerk.prepare(study, digest, start(address))
    assert isinstance(manifest, dict)
    assert manifest["kind"] == "Job"
    run_here(study, clerk, plan, address)
    assert clerk.prepare(study, digest, start(address)) is Known.DONE
    other = study.model_copy(update={"metadata": study.metadata.model_copy(update={"name": "other"})})
    there = accepted(clerk, other)
    assert there.known[address] is Known.UNPUBLISHED
    assert clerk.publish(other, there.outline.digest, address) is Known.DONE
    assert clerk.recall(other, there.outline.digest).known[address] is Known.DONE


def test_a_stage_whose_run_the_server_lost_is_shown_again(study, caplog):
    clerk = Clerk()
    plan = accepted(clerk, study)
    address, digest = scaling(plan), plan.outline.digest
    run_here(study, clerk, plan, address)
    assert clerk.recall(study, digest).known[address] is Known.DONE
    view = MlflowView(tracker_of(study).identity)
    (run,) = view.runs(role="stage", stage_key=address.rpartition("/")[2])
    view.client.delete_run(run.info.run_id)
    again = Clerk()
    assert again.recall(study, digest).known[address] is Known.UNPUBLISHED
    assert "no longer has run" in caplog.text
    assert again.publish(study, digest, address) is Known.DONE
    assert Clerk().recall(study, digest).known[address] is Known.DONE


def test_a_lease_of_somebody_else_is_a_claim_until_it_has_stood_still(study):
    """Each look is another process's: only the operator remembers how long the lease has stood still."""
    clock = Clock()
    silence = Silence(clock)
    plan = accepted(Clerk(), study)
    address = scaling(plan)
    store = open_store(study.spec.store.uri)
    dead = leases.acquire(store, address, holder="another cluster", ttl_seconds=120)

    def look() -> object:
        found = Clerk().prepare(study, plan.outline.digest, replace(start(address), expired=silence.expired(address)))
        return silence.noted(address, found) if isinstance(found, Claim) else found

    claim = look()
    assert isinstance(claim, Claim)
    assert claim.holder == "another cluster"
    clock.now = 61
    assert isinstance(look(), Claim)
    dead.renew()
    clock.now = 121
    assert isinstance(look(), Claim), "it was renewed"
    clock.now = 240
    assert isinstance(look(), Claim)
    clock.now = 242
    assert isinstance(look(), dict)
    seen = leases.look(store, address)
    assert seen
    assert seen.document.holder is None, "the stage takes it without a wait of its own"
    with pytest.raises(LeaseHeld):
        dead.renew()


def told_by_the_cluster(pod: str) -> JobEnd:
    return JobEnd("xs-1", pod, "StorageUnavailable", "no answer")


def test_what_ended_a_job_is_what_its_last_pod_said_and_outcomes_of_others_are_not_taken_for_it(study):
    clerk = Clerk()
    address = scaling(accepted(clerk, study))
    outcome = Outcome(
        exit_code=ExitCode.DIVERGED,
        reason="DivergenceError",
        message="nan",
        holder="xs-1-abcde/1",
        started=1,
        finished=2,
    )
    store = open_store(study.spec.store.uri)
    store.put(f"{address}/outcome.json", json.dumps(outcome.document()).encode())
    assert clerk.diagnose(study, address, None, told_by_the_cluster("xs-1-abcde")).reason == "DivergenceError"
    assert clerk.diagnose(study, address, None, told_by_the_cluster("")).reason == "DivergenceError", "the pod is gone"
    found = clerk.diagnose(study, address, b"killed here", told_by_the_cluster("xs-1-fghij"))
    assert (found.reason, found.message) == ("StorageUnavailable", "no answer")
    assert store.read(f"{address}/log.txt") == b"killed here"
    other_job = JobEnd("xs-2", "", Reason.ENDED_FROM_OUTSIDE, "exit code 137")
    assert clerk.diagnose(study, address, None, other_job).reason == Reason.ENDED_FROM_OUTSIDE


def test_a_plan_of_another_version_waits_for_an_image_that_can_run_it(study, monkeypatch):
    """The new image would refuse its keys, and every trial that is left would fail."""
    plan = accepted(Clerk(), study)
    monkeypatch.setitem(VERSIONS, "evaluation", VERSIONS["evaluation"] + 1)
    answer = Clerk().recall(study, plan.outline.digest)
    assert isinstance(answer, Refusal)
    assert answer.reason == "PlannedByAnotherVersion"
    assert "evaluation" in answer.message
    template = study.spec.pod_template.model_copy(update={"image": "trainer:old"})
    pinned = study.model_copy(update={"spec": study.spec.model_copy(update={"pod_template": template})})
    assert isinstance(Clerk().recall(pinned, plan.outline.digest), Accepted)
