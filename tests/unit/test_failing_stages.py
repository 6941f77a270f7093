"""What ends a stage that fails, waits or meets an outage, and how failed trials start again."""

from typing import Any

import pytest

from simulation import NAMESPACE, Simulation, address_of, study_document
from xstilts.cluster.errors import ClusterUnavailable, Conflict
from xstilts.cluster.port import EVENTS, JOBS, PODS, TRIALS, Object, Resource
from xstilts.controller.views import Check
from xstilts.core.errors import ExitCode, StorageUnavailable, TrackingUnavailable

SMALL: dict[str, Any] = {"recipes": [], "sizes": ["0"], "seeds": [1], "targets": [{"name": "xnli"}]}
TRIAL = "s-baseline-s1"
AWAY = Check(False, "StorageUnavailable", "no answer from s3")


@pytest.fixture
def world() -> Simulation:
    return Simulation()


def pass_time(world: Simulation, seconds: float, step: float = 30.0) -> None:
    end = world.now + seconds
    while world.now < end:
        world.now += min(step, end - world.now)
        world.controller.look_at_all()
        world.settle()


def condition(world: Simulation, kind: str) -> Object:
    return next(c for c in world.study()["status"]["conditions"] if c["type"] == kind)


def training(world: Simulation) -> Object:
    """Status of the training of the first trial."""
    trial = next(iter(world.cluster.list(TRIALS, NAMESPACE)))
    return next(stage for stage in trial["status"]["stages"] if stage["name"] == "target-training/xnli")


def warnings(world: Simulation) -> list[str]:
    return [event["reason"] for event in world.cluster.list(EVENTS, NAMESPACE) if event["type"] == "Warning"]


def started(world: Simulation, **changes: Any) -> Object:
    """The Job of the only stage that runs."""
    world.apply(study_document(**SMALL | changes))
    world.settle()
    (job,) = world.jobs()
    return job


def say(world: Simulation, job: Object, **status: Any) -> None:
    """What the Job controller writes."""
    world.cluster.patch(JOBS, NAMESPACE, job["metadata"]["name"], {"status": status}, subresource="status")


# ---- causes


def test_a_job_that_ran_out_of_retries_is_told_in_the_words_of_its_last_pod(world: Simulation) -> None:
    job = started(world)
    world.end_pod(job, 0, {"exitCode": 1, "message": "OSError: disk full"})
    world.now += 60
    world.end_pod(job, 1, {"exitCode": 1, "message": "TrackingError: MLflow answers 401"})
    world._end(job, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    world.settle()
    assert training(world)["reason"] == "TrackingError"
    assert training(world)["message"] == "MLflow answers 401"


def test_the_last_pod_is_asked_for_where_the_watch_has_not_told_of_its_end_yet(world: Simulation) -> None:
    job = started(world)
    world.end_pod(job, 0, {"exitCode": 11, "message": "Preempted: the next attempt goes on"})
    world.settle()
    world.now += 60
    world.end_pod(job, 1, {"exitCode": 4, "message": "DivergenceError: loss is nan"})
    world.news.clear()
    world._end(job, "Failed", "PodFailurePolicy", "exit code 4")
    world.settle()
    assert (training(world)["reason"], training(world)["message"]) == ("DivergenceError", "loss is nan")


def test_a_job_without_pods_is_told_in_its_own_words(world: Simulation) -> None:
    world._end(started(world), "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    world.settle()
    assert training(world)["reason"] == "EndedFromOutside"
    assert "backoff limit" in training(world)["message"]


def test_pods_of_an_earlier_job_of_the_same_name_are_not_taken_for_those_of_this_one(world: Simulation) -> None:
    job = started(world)
    world.end_pod(job, 0, {"exitCode": 137, "reason": "OOMKilled"})
    late = world.cluster.get(PODS, NAMESPACE, f"{job['metadata']['name']}-0")
    assert late is not None
    late["metadata"]["ownerReferences"][0]["uid"] = "another"
    late["metadata"] |= {"uid": "late", "resourceVersion": "999999"}
    world.news.clear()
    world.controller.see(PODS, late, deleted=True)
    world.settle()
    assert training(world)["state"] == "Running"


def test_words_of_the_pods_are_used_where_the_store_has_none_to_give(world: Simulation) -> None:
    job = started(world)
    world.end_pod(job, 0, {"exitCode": 1, "message": "ValueError: bad row"})
    world.desk.fault = lambda call: KeyError("outcome") if call == "diagnose" else None  # type: ignore[return-value]
    world._end(job, "Failed", "BackoffLimitExceeded", "backoff limit")
    world.settle()
    assert (training(world)["reason"], training(world)["message"]) == ("ValueError", "bad row")


# ---- pods that do not start


def waiting(reason: str, message: str = "told by the kubelet") -> Object:
    return {
        "phase": "Pending",
        "containerStatuses": [{"name": "stage", "state": {"waiting": {"reason": reason, "message": message}}}],
    }


def unschedulable() -> Object:
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
    return {"phase": "Pending", "conditions": [told]}


@pytest.mark.parametrize("reason", ["ErrImageNeverPull", "ImagePullBackOff", "CreateContainerConfigError"])
def test_a_pod_that_cannot_start_is_a_condition_a_column_one_event_and_fails_in_the_end(
    world: Simulation, reason: str
) -> None:
    job = started(world, failurePolicy={"pendingSeconds": 3600})
    world.pod(job, 0, **waiting(reason))
    world.settle()
    since = condition(world, "PodsBlocked")["lastTransitionTime"]
    for again in range(4):
        world.pod(job, 0, **waiting("ErrImagePull" if again % 2 else reason))
        pass_time(world, 60)
    assert world.condition("PodsBlocked") == ("True", "ErrImagePull")
    assert condition(world, "PodsBlocked")["lastTransitionTime"] == since
    assert "told by the kubelet" in condition(world, "PodsBlocked")["message"]
    assert world.study()["status"]["problem"] == "ErrImagePull"
    assert training(world)["state"] == "Running"
    assert (training(world)["reason"], training(world)["message"]) == ("ErrImagePull", "told by the kubelet")
    assert warnings(world) == [reason]
    pass_time(world, 3600, step=600)
    assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")
    assert training(world)["reason"] == "ErrImagePull"
    assert "failurePolicy.pendingSeconds is 3600" in training(world)["message"]
    assert not world.jobs()
    assert world.condition("PodsBlocked") == ("False", "NotBlocked")
    assert world.study()["status"]["problem"] == ""


def test_a_pod_that_starts_after_all_ends_the_condition(world: Simulation) -> None:
    job = started(world)
    world.pod(job, 0, **waiting("ImagePullBackOff"))
    world.settle()
    assert world.condition("PodsBlocked")[0] == "True"
    world.pod(job, 0, phase="Running")
    world.settle()
    assert world.condition("PodsBlocked") == ("False", "NotBlocked")
    assert training(world)["reason"] == ""


def test_a_moment_without_room_is_no_problem_and_a_minute_is(world: Simulation) -> None:
    job = started(world)
    world.pod(job, 0, **unschedulable())
    world.settle()
    assert world.condition("PodsBlocked") == ("False", "NotBlocked")
    assert training(world)["reason"] == "Unschedulable"
    pass_time(world, 61)
    assert world.condition("PodsBlocked") == ("True", "Unschedulable")


def test_the_wait_for_room_that_other_stages_of_the_study_take_up_does_not_count(world: Simulation) -> None:
    world.apply(study_document(**SMALL | {"seeds": [1, 2], "failurePolicy": {"pendingSeconds": 3600}}))
    world.settle()
    first, second = world.jobs()
    world.cluster.patch(
        JOBS, NAMESPACE, first["metadata"]["name"], {"status": {"ready": 1, "active": 1}}, subresource="status"
    )
    world.pod(second, 0, **unschedulable())
    pass_time(world, 7200, step=600)
    assert world.condition("Succeeded")[0] == "Unknown"
    world.run(first)
    world.settle()
    assert len([job for job in world.jobs() if job["metadata"]["name"] == second["metadata"]["name"]]) == 1
    pass_time(world, 3700, step=600)
    assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")


@pytest.mark.parametrize("end", ["succeeding", "preempted"])
def test_the_wait_for_room_counts_from_when_it_became_free_however_that_came(world: Simulation, end: str) -> None:
    world.apply(study_document(**SMALL | {"seeds": [1, 2], "failurePolicy": {"pendingSeconds": 3600}}))
    world.settle()
    first, second = world.jobs()
    say(world, first, startTime=world.time, ready=1, active=1)
    world.pod(second, 0, **unschedulable())
    pass_time(world, 7200, step=600)
    if end == "succeeding":  # told before the Job is complete
        met = {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": world.time}
        say(world, first, ready=0, active=0, conditions=[met | {"reason": "CompletionsReached"}])
    else:
        say(world, first, ready=0, active=0)
        world.preempt(first, 0)
    world.settle()
    pass_time(world, 3500, step=500)
    assert world.condition("Succeeded")[0] == "Unknown"
    pass_time(world, 200, step=100)
    assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")


def test_a_job_that_can_make_no_pod_is_told_by_its_events(world: Simulation) -> None:
    job = started(world)
    status = {"startTime": world.time}
    world.cluster.patch(JOBS, NAMESPACE, job["metadata"]["name"], {"status": status}, subresource="status")
    quota = 'Error creating: pods "xs-1" is forbidden: exceeded quota: team'
    world.cluster.create(
        EVENTS,
        {
            "metadata": {"name": "refused", "namespace": NAMESPACE},
            "involvedObject": {"kind": "Job", "uid": job["metadata"]["uid"]},
            "reason": "FailedCreate",
            "message": quota,
            "type": "Normal",
            "lastTimestamp": world.time,
        },
    )
    pass_time(world, 120)
    assert world.condition("PodsBlocked") == ("True", "FailedCreate")
    assert quota in condition(world, "PodsBlocked")["message"]
    assert training(world)["message"] == quota
    status = {"active": 1}
    world.cluster.patch(JOBS, NAMESPACE, job["metadata"]["name"], {"status": status}, subresource="status")
    world.settle()
    assert world.condition("PodsBlocked") == ("False", "NotBlocked")


@pytest.mark.parametrize("meanwhile", ["ran", "suspended"])
def test_what_kept_a_job_from_its_first_pod_is_not_held_against_its_second(world: Simulation, meanwhile: str) -> None:
    job = started(world, failurePolicy={"pendingSeconds": 3600})
    say(world, job, startTime=world.time)
    refused: Object = {"reason": "FailedCreate", "message": "exceeded quota", "lastTimestamp": world.time}
    about = {"involvedObject": {"kind": "Job", "uid": job["metadata"]["uid"]}}
    world.cluster.create(EVENTS, {"metadata": {"name": "refused", "namespace": NAMESPACE}} | about | refused)
    pass_time(world, 120)
    assert world.condition("PodsBlocked") == ("True", "FailedCreate")
    if meanwhile == "ran":
        say(world, job, active=1, ready=1)
    else:
        world.cluster.patch(JOBS, NAMESPACE, job["metadata"]["name"], {"spec": {"suspend": True}})
    pass_time(world, 5 * 3600, step=600)
    world.cluster.patch(JOBS, NAMESPACE, job["metadata"]["name"], {"spec": {"suspend": False}})
    say(world, job, startTime=world.time, active=0, ready=0)
    world.preempt(job, 1)
    world.settle()
    assert training(world)["state"] == "Running"
    assert world.condition("PodsBlocked") == ("False", "NotBlocked")


def test_a_refused_job_fails_its_stage_when_it_has_waited_for_too_long(world: Simulation) -> None:
    world.desk.fault = lambda call: PermissionError("quota") if call == "prepare" else None  # type: ignore[return-value]
    world.apply(study_document(**SMALL, failurePolicy={"pendingSeconds": 600}))
    pass_time(world, 590)
    assert world.condition("Succeeded")[0] == "Unknown"
    pass_time(world, 60)
    assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")
    assert "failurePolicy.pendingSeconds is 600" in training(world)["message"]


# ---- outages


def test_outages_that_pods_meet_are_charged_to_nobody_until_their_time_is_up(world: Simulation) -> None:
    job = started(world, failurePolicy={"retries": 0, "preemptionRetries": 0, "outageSeconds": 1800})
    world.outage(job, 0)
    world.settle()
    first = world.time
    for number in range(1, 5):
        pass_time(world, 300)
        world.outage(job, number)
        world.settle()
        assert training(world)["state"] == "Running"
        assert training(world)["reason"] == "StorageUnavailable"
        assert training(world)["attempts"] == {"failures": 0, "preemptions": 0}
    pass_time(world, 700)
    assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")
    assert training(world)["reason"] == "OutageSecondsExceeded"
    assert "StorageUnavailable: no answer from s3" in training(world)["message"]
    assert f"since {first}; failurePolicy.outageSeconds is 1800" in training(world)["message"]
    assert not world.jobs()


def test_a_pod_that_meets_an_outage_has_the_operator_try_the_store_at_once(world: Simulation) -> None:
    job = started(world)
    ready, world.desk.checks = world.desk.checks, (AWAY, world.desk.checks[1])
    tried = world.desk.asked["preflight"]
    world.outage(job, 0)
    world.settle()
    assert world.desk.asked["preflight"] == tried + 1
    assert world.condition("StorageReady") == ("False", "StorageUnavailable")
    assert world.study()["status"]["problem"] == "StorageUnavailable"
    world.desk.checks = ready
    pass_time(world, 65)
    assert world.condition("StorageReady") == ("True", "Ready")
    tried = world.desk.asked["preflight"]
    pass_time(world, 300)
    assert world.desk.asked["preflight"] == tried, "once for each pod"
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")


def test_a_pod_that_runs_again_for_long_has_outlived_the_outage(world: Simulation) -> None:
    job = started(world, failurePolicy={"outageSeconds": 600})
    world.outage(job, 0)
    status = {"ready": 1, "active": 1}
    world.cluster.patch(JOBS, NAMESPACE, job["metadata"]["name"], {"status": status}, subresource="status")
    begun = world.time
    pass_time(world, 3600, step=600)
    assert training(world)["state"] == "Running"
    status = {"ready": 0, "active": 0}
    world.cluster.patch(JOBS, NAMESPACE, job["metadata"]["name"], {"status": status}, subresource="status")
    world.end_pod(job, 1, {"exitCode": 12, "startedAt": begun})
    world.settle()
    assert training(world)["state"] == "Running", "another outage, with a budget of its own"
    pass_time(world, 700, step=100)
    assert training(world)["reason"] == "OutageSecondsExceeded"


def test_a_preemption_long_after_an_outage_that_was_outlived_is_none(world: Simulation) -> None:
    job = started(world, failurePolicy={"outageSeconds": 600})
    world.outage(job, 0)
    say(world, job, ready=1, active=1)
    begun = world.time
    pass_time(world, 3600, step=600)
    say(world, job, ready=0, active=0)
    evicted = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
    world.end_pod(job, 1, {"exitCode": 137, "startedAt": begun}, evicted)
    world.settle()
    assert (training(world)["state"], training(world)["reason"]) == ("Running", "")


@pytest.mark.parametrize(
    ("kind", "error"),
    [("StorageReady", StorageUnavailable("503")), ("TrackingReady", TrackingUnavailable("503"))],
    ids=["store", "server"],
)
def test_a_store_or_server_that_stays_away_ends_the_study_after_the_budget_and_not_before(
    world: Simulation, kind: str, error: Exception
) -> None:
    started(world, failurePolicy={"outageSeconds": 1800})
    world.desk.fault = lambda call: error if call != "diagnose" else None  # type: ignore[return-value]
    world.run(world.jobs()[0])
    world.settle()
    since = condition(world, kind)["lastTransitionTime"]
    pass_time(world, 1700, step=60)
    assert world.condition(kind) == ("False", type(error).__name__)
    assert condition(world, kind)["lastTransitionTime"] == since
    assert world.condition("Succeeded")[0] == "Unknown"
    assert warnings(world) == [type(error).__name__]
    pass_time(world, 200)
    assert world.condition("Succeeded") == ("False", "OutageSecondsExceeded")
    assert f"since {since}" in condition(world, "Succeeded")["message"]
    world.desk.fault = lambda call: None
    world.retry()
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")


# ---- retry


def failing(world: Simulation, code: ExitCode = ExitCode.DIVERGED) -> str:
    """The first training that runs ends with the code; its address."""
    world.settle()
    job = next(job for job in world.jobs() if address_of(job).startswith("stages/target-training"))
    world.fail(job, code, "loss is nan")
    world.settle()
    return address_of(job)


def test_a_failed_study_is_retried_in_place_and_its_failed_trials_alone_start_again(world: Simulation) -> None:
    world.apply(study_document(failurePolicy={"maxFailedTrials": 1}))
    failed = failing(world)
    world.finish()
    assert sorted(set(world.trials().values())) == ["StageFailed", "Succeeded"]
    before, runs = world.study()["metadata"]["uid"], dict(world.runs)
    world.retry()
    world.settle()
    assert world.condition("Succeeded") == ("Unknown", "Running")
    assert [(address_of(job), job["metadata"]["labels"]["xstilts.dev/generation"]) for job in world.jobs()] == [
        (failed, "2")
    ]
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")
    assert set(world.trials().values()) == {"Succeeded"}
    assert world.study()["metadata"]["uid"] == before
    assert all(world.runs[address] == times for address, times in runs.items())
    assert set(world.runs.values()) == {1}


def test_a_retry_is_honoured_once_and_another_token_asks_again(world: Simulation) -> None:
    started(world)
    for number, asked in enumerate(("first", "second"), start=2):
        failing(world)
        assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")
        world.retry(asked=asked)
        world.settle()
        assert world.study()["status"]["retried"] == asked
        assert [job["metadata"]["labels"]["xstilts.dev/generation"] for job in world.jobs()] == [str(number)]
    failing(world)
    for _ in range(3):
        world.start_operator()
        world.settle()
        assert world.condition("Succeeded") == ("False", "TooManyFailedTrials"), "the second token is used up"
    assert not world.jobs()


def test_attempts_are_counted_from_the_retry(world: Simulation) -> None:
    job = started(world, failurePolicy={"preemptionRetries": 1})
    for number in range(2):
        world.preempt(job, number)
        world.settle()
    assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")
    assert training(world)["attempts"]["preemptions"] == 2
    world.retry()
    world.settle()
    assert training(world)["attempts"]["preemptions"] == 0
    (job,) = world.jobs()
    world.preempt(job, 7)
    world.settle()
    assert training(world)["state"] == "Running"
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")


def test_one_trial_is_retried_with_those_that_failed_by_the_same_stage(world: Simulation) -> None:
    world.apply(study_document(failurePolicy={"maxFailedTrials": 8}, seeds=[1, 2]))
    world.settle()
    scaling = next(job for job in world.jobs() if address_of(job).startswith("stages/data-scaling"))
    world.fail(scaling, ExitCode.INVALID_INPUT)
    failing(world)
    world.finish()
    failed = sorted(name for name, reason in world.trials().items() if reason == "StageFailed")
    assert len(failed) == 3
    shared = [name for name in failed if "baseline" not in name]
    world.retry(asked=f"again {shared[0]}")
    world.finish()
    assert [name for name, reason in world.trials().items() if reason == "StageFailed"] == [
        name for name in failed if name not in shared
    ]
    assert world.condition("Succeeded") == ("True", "Succeeded")


def test_a_retry_by_name_that_is_cut_off_between_two_trials_goes_on_with_the_others(world: Simulation) -> None:
    world.apply(study_document(failurePolicy={"maxFailedTrials": 8}, seeds=[1, 2]))
    world.settle()
    world.fail(next(job for job in world.jobs() if "data-scaling" in address_of(job)), ExitCode.INVALID_INPUT)
    world.finish()
    named, *others = sorted(name for name, reason in world.trials().items() if reason == "StageFailed")
    assert others
    write, refused = world.controller.effects.write_status, []

    def all_but_the_others(resource: Resource, namespace: str, name: str, version: str, status: Any) -> None:
        if name in others and not refused:
            refused.append(name)
            raise Conflict("somebody was faster")
        write(resource, namespace, name, version, status)

    world.controller.effects.write_status = all_but_the_others  # type: ignore[method-assign]
    world.retry(asked=f"again {named}")
    world.settle()
    assert refused
    world.controller.look_at_all()
    world.finish()
    assert set(world.trials().values()) == {"Succeeded"}
    assert world.study()["status"]["retried"] == f"again {named}"


def test_a_retry_whose_write_fails_waits_before_it_tries_again(world: Simulation) -> None:
    started(world)
    failing(world)
    tried = []

    def unavailable(resource: Resource, *arguments: Any) -> None:
        if resource == TRIALS:
            tried.append("")
            raise ClusterUnavailable("503")
        write(resource, *arguments)

    write, world.controller.effects.write_status = world.controller.effects.write_status, unavailable  # type: ignore[method-assign]
    world.retry()
    world.settle()  # or does not come to rest
    assert len(tried) == 1
    world.controller.effects.write_status = write  # type: ignore[method-assign]
    pass_time(world, 60)
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")


def test_the_deadline_counts_from_the_retry_and_gpu_hours_go_on(world: Simulation) -> None:
    started(world, failurePolicy={"activeDeadlineSeconds": 600})
    pass_time(world, 601)
    assert world.condition("Succeeded") == ("False", "DeadlineExceeded")
    world.retry()
    world.settle()
    assert world.condition("Succeeded") == ("Unknown", "Running")
    pass_time(world, 500)
    assert world.jobs()
    pass_time(world, 101)
    assert world.condition("Succeeded") == ("False", "DeadlineExceeded")


def test_a_report_is_written_again_after_a_retry(world: Simulation) -> None:
    started(world)
    failing(world)
    assert world.desk.asked["conclude"] == 1
    world.retry()
    world.finish()
    assert world.desk.asked["conclude"] == 2


def test_the_report_of_a_failed_study_waits_for_a_server_that_is_away(world: Simulation) -> None:
    started(world)
    away = TrackingUnavailable("503")
    world.desk.fault = lambda call: away if call == "conclude" else None
    failing(world)
    assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")
    pass_time(world, 600)
    assert world.condition("TrackingReady") == ("False", "TrackingUnavailable")
    assert "reportURL" not in world.study()["status"]
    world.desk.fault = lambda call: None
    pass_time(world, 65)
    assert world.study()["status"]["reportURL"]
    assert world.condition("TrackingReady") == ("True", "Ready")


def test_an_annotation_that_was_there_from_the_start_starts_nothing_twice(world: Simulation) -> None:
    document = study_document(**SMALL)
    document["metadata"]["annotations"] = {"xstilts.dev/retry": "copied"}
    world.apply(document)
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")
    assert set(world.runs.values()) == {1}
    assert world.study()["status"]["retried"] == "copied"
