"""What the operator says when one of its own calls fails: a reason and a message on Study and Trial, and one Event."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from simulation import NAMESPACE, Simulation, study_document
from xstilts.api.names import Reason
from xstilts.cluster.answers import Request
from xstilts.cluster.errors import ClusterUnavailable, Forbidden, ForeignObject, Invalid, NotFound, NotInstalled
from xstilts.cluster.port import EVENTS, JOBS, STUDIES, TRIALS, Object, Resource
from xstilts.controller.objects import Key
from xstilts.controller.views import Check, StudyView, TrialOutline
from xstilts.core.errors import IntegrityError, StorageUnavailable, TrackingError, TrackingUnavailable, UserError

SMALL = {"recipes": [], "sizes": ["0"], "seeds": [1], "targets": [{"name": "xnli"}]}
TRIAL = "s-baseline-s1"


@dataclass
class Refusing:
    """An API server that refuses requests."""

    refuses: Callable[[Request], Exception | None] = lambda request: None
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)

    def before(self, request: Request) -> None:
        self.requests[request.verb, request.resource.plural] += 1
        if error := self.refuses(request):
            raise error

    def after(self, request: Request) -> None: ...


def creates(plural: str, error: Exception) -> Callable[[Request], Exception | None]:
    return lambda request: error if (request.verb, request.resource.plural) == ("create", plural) else None


@pytest.fixture
def server() -> Refusing:
    return Refusing()


@pytest.fixture
def world(server: Refusing) -> Simulation:
    return Simulation(faults=server)


def pass_time(world: Simulation, seconds: float, step: float = 5.0) -> None:
    end = world.now + seconds
    while world.now < end:
        world.now += step
        world.controller.look_at_all()
        world.settle()


def condition(world: Simulation, kind: str) -> Object:
    return next(c for c in world.study()["status"]["conditions"] if c["type"] == kind)


def stage(world: Simulation, name: str) -> Object:
    (trial,) = world.cluster.list(TRIALS, NAMESPACE)
    return next(stage for stage in trial["status"]["stages"] if stage["name"] == name)


def events(world: Simulation) -> list[str]:
    return [event["reason"] for event in world.cluster.list(EVENTS, NAMESPACE) if event["type"] == "Warning"]


# ---- Jobs


@pytest.mark.parametrize(
    "error",
    [
        Forbidden("create jobs: exceeded quota: team, requested: count/jobs.batch=1, used: 0, limited: 0"),
        Forbidden("create jobs: admission webhook denied the request: no GPU for you"),
        Invalid("create jobs: the API server refuses it\n  spec.template: too many tolerations"),
        NotInstalled("create trainjobs: the cluster does not know the kind TrainJob"),
        NotFound("create jobs: namespaces team not found"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_stage_whose_job_is_refused_waits_with_the_servers_words_and_starts_once_it_is_allowed(
    world: Simulation, server: Refusing, error: Exception
) -> None:
    server.refuses = creates("jobs", error)
    world.apply(study_document(**SMALL))
    world.settle()
    for _ in range(3):
        assert world.trials() == {TRIAL: Reason.JOB_REFUSED}
        found = stage(world, "target-training/xnli")
        assert (found["state"], found["reason"]) == ("Waiting", "JobRefused")
        assert str(error) in found["message"]
        assert condition(world, "Progressing")["status"] == "False"
        assert condition(world, "Progressing")["reason"] == "JobRefused"
        assert str(error) in condition(world, "Progressing")["message"]
        assert world.study()["status"]["counts"]["queued"] == 1
        pass_time(world, 300)
    assert events(world) == ["JobRefused"]
    assert server.requests["create", "jobs"] < 30, "15 minutes with growing delays"
    server.refuses = lambda request: None
    pass_time(world, 65)
    assert world.trials() == {TRIAL: "Running"}
    assert world.condition("Progressing") == ("True", "Running")
    assert stage(world, "target-training/xnli")["reason"] == ""


def test_refused_jobs_of_many_trials_make_one_event(world: Simulation, server: Refusing) -> None:
    server.refuses = creates("jobs", Forbidden("exceeded quota"))
    world.apply(study_document())
    pass_time(world, 600)
    assert events(world) == ["JobRefused"]
    assert set(world.trials().values()) <= {"JobRefused", "WaitingForStage", "Queued"}


def test_other_stages_run_on_beside_a_refused_one(world: Simulation, server: Refusing) -> None:
    world.apply(study_document(**SMALL | {"targets": [{"name": "xnli"}, {"name": "xsid"}]}))
    names: list[str] = []

    def second(request: Request) -> Exception | None:
        if (request.verb, request.resource) == ("create", JOBS):
            names.append("")
            return Forbidden("exceeded quota") if len(names) != 1 else None
        return None

    server.refuses = second
    pass_time(world, 60)
    assert world.trials() == {TRIAL: "Running"}
    assert world.condition("Progressing") == ("True", "JobRefused")
    assert {stage(world, f"target-training/{target}")["state"] for target in ("xnli", "xsid")} == {
        "Running",
        "Waiting",
    }


def test_the_wait_of_a_refused_job_is_limited_but_not_while_the_study_itself_uses_up_the_quota(
    world: Simulation, server: Refusing
) -> None:
    world.apply(study_document(**SMALL | {"seeds": [1, 2], "failurePolicy": {"pendingSeconds": 3600}}))
    created: list[str] = []

    def after_the_first(request: Request) -> Exception | None:
        if (request.verb, request.resource) == ("create", JOBS):
            created.append("")
            return Forbidden("exceeded quota") if len(created) != 1 else None
        return None

    server.refuses = after_the_first
    world.settle()
    (job,) = world.jobs()
    ready = {"status": {"ready": 1, "active": 1}}
    world.cluster.patch(JOBS, NAMESPACE, job["metadata"]["name"], ready, subresource="status")
    pass_time(world, 7200, step=60)
    assert sorted(world.trials().values()) == ["JobRefused", "Running"]
    world.run(job)
    world.settle()
    pass_time(world, 3500, step=60)
    assert world.condition("Succeeded")[0] == "Unknown"
    pass_time(world, 200, step=60)
    assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")


# ---- calls to store and server


@pytest.mark.parametrize("call", ["prepare", "publish_trial", "conclude", "accept"])
@pytest.mark.parametrize(
    "error",
    [IntegrityError("digest differs"), UserError("no such field"), KeyError("xnli"), NotFound("gone")],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_call_raises_is_told_on_the_study_once_and_passes(
    world: Simulation, call: str, error: Exception
) -> None:
    broken = True
    world.desk.fault = lambda asked: error if broken and asked == call else None  # type: ignore[return-value]
    world.apply(study_document(**SMALL))
    world.finish()
    pass_time(world, 300)
    assert condition(world, "Progressing")["reason"] == type(error).__name__
    assert str(error) in condition(world, "Progressing")["message"]
    assert events(world) == [type(error).__name__]
    assert world.condition("Succeeded")[0] == "Unknown"
    if call in {"prepare", "publish_trial"}:
        assert world.trials() == {TRIAL: type(error).__name__}
    broken = False
    pass_time(world, 65)
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")
    assert world.condition("Progressing") == ("False", "Succeeded")


def test_a_preflight_that_nobody_foresaw_is_told_as_a_store_that_is_not_ready(world: Simulation) -> None:
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    world.desk.fault = lambda call: error if call == "preflight" else None  # type: ignore[assignment, return-value]
    world.apply(study_document(**SMALL))
    pass_time(world, 120)
    assert world.condition("StorageReady") == ("False", "UnicodeDecodeError")
    assert events(world) == ["UnicodeDecodeError"]
    assert world.desk.asked["preflight"] < 10


@pytest.mark.parametrize("error", [TrackingError("403"), TrackingUnavailable("503")], ids=lambda e: type(e).__name__)
def test_tracking_is_not_ready_while_publishing_fails_though_the_server_answers(
    world: Simulation, error: Exception
) -> None:
    world.apply(study_document("a", **SMALL))
    world.finish()
    publishing = True
    world.desk.fault = lambda call: error if publishing and call == "publish" else None  # type: ignore[return-value]
    world.apply(study_document(**SMALL))
    world.settle()
    since = condition(world, "TrackingReady")["lastTransitionTime"]
    for _ in range(60):
        assert world.condition("TrackingReady") == ("False", type(error).__name__)
        assert condition(world, "TrackingReady")["lastTransitionTime"] == since
        pass_time(world, 5)
    assert events(world) == [type(error).__name__]
    assert world.desk.asked["preflight"] > 3
    publishing = False
    pass_time(world, 65)
    world.finish()
    assert world.condition("TrackingReady") == ("True", "Ready")
    assert world.condition("Succeeded") == ("True", "Succeeded")


def test_nothing_new_starts_while_the_store_is_away_and_the_trials_say_why(world: Simulation) -> None:
    world.apply(study_document(**SMALL))
    world.settle()
    away = StorageUnavailable("no answer from s3")
    world.desk.fault = lambda call: away if call != "preflight" else None
    ready, world.desk.checks = (
        world.desk.checks,
        (Check(False, "StorageUnavailable", "no answer"), world.desk.checks[1]),
    )
    world.run(world.jobs()[0])
    pass_time(world, 120)
    assert world.condition("StorageReady") == ("False", "StorageUnavailable")
    assert world.trials() == {TRIAL: "Queued"}
    (trial,) = world.cluster.list(TRIALS, NAMESPACE)
    assert "StorageReady is false" in trial["status"]["conditions"][0]["message"]
    assert not world.jobs()
    world.desk.fault, world.desk.checks = (lambda call: None), ready
    pass_time(world, 130)
    world.finish()
    assert world.condition("StorageReady") == ("True", "Ready")
    assert world.condition("Succeeded") == ("True", "Succeeded")


def test_an_operator_that_starts_anew_tries_a_store_again_that_was_not_ready(world: Simulation) -> None:
    world.apply(study_document(**SMALL))
    world.settle()
    world.desk.fault = lambda call: StorageUnavailable("503") if call == "prepare" else None
    ready, world.desk.checks = world.desk.checks, (Check(False, "StorageUnavailable", "503"), world.desk.checks[1])
    world.run(world.jobs()[0])
    pass_time(world, 10)
    assert world.condition("StorageReady") == ("False", "StorageUnavailable")
    world.desk.fault, world.desk.checks = (lambda call: None), ready
    world.start_operator()
    world.finish()
    assert world.condition("StorageReady") == ("True", "Ready")


# ---- requests


@pytest.mark.parametrize(
    "error", [Forbidden("exceeded quota: count/trials"), ClusterUnavailable("500 failed calling webhook")]
)
def test_trials_that_cannot_be_made_are_told_on_the_study(
    world: Simulation, server: Refusing, error: Exception
) -> None:
    server.refuses = creates("trials", error)
    world.apply(study_document(**SMALL))
    pass_time(world, 300)
    assert condition(world, "Progressing")["reason"] == type(error).__name__
    assert events(world) == [type(error).__name__]
    assert server.requests["create", "trials"] < 15
    server.refuses = lambda request: None
    pass_time(world, 65)
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")


def test_a_trials_status_that_is_refused_is_told_on_the_study(world: Simulation, server: Refusing) -> None:
    refused = Invalid("patch trials/status: the API server refuses it")
    server.refuses = lambda request: refused if (request.resource, request.subresource) == (TRIALS, "status") else None
    world.apply(study_document(**SMALL))
    pass_time(world, 300)
    assert condition(world, "Progressing")["reason"] == "Invalid"
    assert events(world) == ["Invalid"]
    server.refuses = lambda request: None
    pass_time(world, 65)
    assert world.trials() == {TRIAL: "Running"}
    assert condition(world, "Progressing")["reason"] == "Running"


def test_a_study_ends_after_the_statuses_of_all_its_trials_are_written(world: Simulation, server: Refusing) -> None:
    world.apply(study_document(**SMALL))
    world.settle()
    server.refuses = lambda request: (
        ClusterUnavailable("503") if (request.resource, request.subresource) == (TRIALS, "status") else None
    )
    world.finish()
    pass_time(world, 120)
    assert world.condition("Succeeded")[0] == "Unknown"
    server.refuses = lambda request: None
    pass_time(world, 65)
    assert world.condition("Succeeded") == ("True", "Succeeded")
    assert world.trials() == {TRIAL: "Succeeded"}
    assert world.desk.asked["conclude"] == 1


def test_a_study_that_is_stopped_ends_after_its_trials_say_so(world: Simulation, server: Refusing) -> None:
    world.apply(study_document(**SMALL, failurePolicy={"activeDeadlineSeconds": 100}))
    world.settle()
    server.refuses = lambda request: (
        ClusterUnavailable("503") if (request.resource, request.subresource) == (TRIALS, "status") else None
    )
    pass_time(world, 200)
    assert not world.jobs()
    assert world.condition("Succeeded") == ("Unknown", "DeadlineExceeded")
    server.refuses = lambda request: None
    pass_time(world, 65)
    assert world.condition("Succeeded") == ("False", "DeadlineExceeded")
    assert world.trials() == {TRIAL: "Stopped"}


def test_a_studys_status_that_is_refused_is_told_as_an_event(world: Simulation, server: Refusing) -> None:
    refused = Invalid("patch studies/status: the API server refuses it")
    server.refuses = lambda request: refused if (request.resource, request.subresource) == (STUDIES, "status") else None
    world.apply(study_document(**SMALL))
    for _ in range(3):
        pass_time(world, 60)
    assert events(world) == ["Invalid"]
    server.refuses = lambda request: None
    pass_time(world, 65)
    assert world.trials() == {TRIAL: "Running"}


def test_a_deletion_that_is_refused_is_told_and_tried_again(world: Simulation, server: Refusing) -> None:
    world.apply(study_document(**SMALL))
    world.settle()
    refused = Forbidden("delete jobs: denied by a policy")
    server.refuses = lambda request: refused if (request.verb, request.resource) == ("delete", JOBS) else None
    world.cluster.delete(STUDIES, NAMESPACE, "s")
    pass_time(world, 120)
    assert condition(world, "Progressing")["reason"] == "Forbidden"
    assert events(world) == ["Forbidden"]
    assert server.requests["delete", "jobs"] < 10
    server.refuses = lambda request: None
    pass_time(world, 65)
    assert world.cluster.get(STUDIES, NAMESPACE, "s") is None


def test_a_pass_that_nobody_foresaw_to_fail_is_told_as_an_event_once(world: Simulation) -> None:
    world.apply(study_document(**SMALL))
    world.settle()
    controller = world.controller
    for _ in range(2):
        controller.crashed(world.key(), ZeroDivisionError("division by zero"))
    assert events(world) == ["ZeroDivisionError"]


def test_a_study_that_is_stopped_ends_though_one_of_its_trials_can_never_be_made(world: Simulation) -> None:
    create = world.controller.effects._create_trial

    def all_but_the_second(study: StudyView, trial: TrialOutline) -> None:
        if trial.name != TRIAL:
            raise ForeignObject(f"Trial {trial.name!r} exists and belongs to another")
        create(study, trial)

    world.controller.effects._create_trial = all_but_the_second  # type: ignore[method-assign]
    world.apply(study_document(**SMALL | {"seeds": [1, 2], "failurePolicy": {"activeDeadlineSeconds": 600}}))
    pass_time(world, 660, step=30)
    assert world.condition("Succeeded") == ("False", "DeadlineExceeded")
    assert world.study()["status"]["completionTime"]
    assert world.trials() == {TRIAL: "Stopped"}


def test_a_study_that_is_stopped_waits_for_an_api_server_that_is_away_no_longer_than_an_outage_may_last(
    world: Simulation, server: Refusing
) -> None:
    policy = {"activeDeadlineSeconds": 100, "outageSeconds": 1800}
    world.apply(study_document(**SMALL, failurePolicy=policy))
    world.settle()
    server.refuses = lambda request: (
        ClusterUnavailable("503") if (request.resource, request.subresource) == (TRIALS, "status") else None
    )
    pass_time(world, 1800, step=60)
    assert world.condition("Succeeded") == ("Unknown", "DeadlineExceeded")
    pass_time(world, 300, step=60)
    assert world.condition("Succeeded") == ("False", "DeadlineExceeded")


def test_a_write_whose_answer_was_lost_is_no_trouble_once_it_is_seen_to_be_done(world: Simulation) -> None:
    world.apply(study_document(failurePolicy={"maxFailedTrials": 8}))
    world.settle()
    write, lost = world.controller.effects.write_status, []

    def answer_is_lost(resource: Resource, namespace: str, name: str, version: str, status: Any) -> None:
        write(resource, namespace, name, version, status)
        if resource == TRIALS and status.completion_time and not lost:
            lost.append(name)
            raise ClusterUnavailable("no answer: connection reset")

    world.controller.effects.write_status = answer_is_lost  # type: ignore[method-assign]
    while not lost:
        world.run(world.jobs()[0])
        world.settle()
    assert world.condition("Progressing") == ("True", "Running")
    assert world.study()["status"]["problem"] == ""
    assert not world.controller.state.facts[world.key()].failures


def test_an_error_that_nobody_foresaw_while_another_is_told_ends_no_thread(world: Simulation) -> None:
    world.apply(study_document(**SMALL))
    world.settle()
    controller, looked = world.controller, []

    def broken(key: Key) -> None:
        looked.append(key)
        raise ZeroDivisionError("division by zero")

    controller.state.observed = broken  # type: ignore[method-assign]
    controller.look_at_all()
    thread = threading.Thread(target=controller.work, daemon=True)
    thread.start()
    for _ in range(1000):
        if len(looked) == 2:
            break
        time.sleep(0.01)
    controller.queue.add(Key(NAMESPACE, "other"))
    for _ in range(1000):
        if len(looked) == 4:
            break
        time.sleep(0.01)
    controller.queue.close()
    thread.join(10)
    assert [key.name for key in looked] == ["s", "s", "other", "other"]
