"""What the operator decides, on a cluster in one process. Names say what holds."""

import pytest

from simulation import NAMESPACE, START, Simulation, address_of, study_document
from xstilts.api.names import FINALIZER
from xstilts.api.status import CurveFit, StudyStatus
from xstilts.cluster.errors import ForeignObject, Invalid
from xstilts.cluster.port import EVENTS, JOBS, STUDIES, TRIALS, Object
from xstilts.controller.actions import CreateTrial, Decision
from xstilts.controller.effects import check_is_ours
from xstilts.controller.reconcile import reconcile
from xstilts.controller.views import Check, Claim
from xstilts.core.errors import ExitCode

TRIALS_OF_S = 8
STAGES_OF_S = 32


@pytest.fixture
def world() -> Simulation:
    return Simulation()


def asks_for_nothing(world: Simulation, name: str = "s") -> bool:
    observed = world.controller.state.observed(world.key(name))
    assert observed is not None
    decision = reconcile(observed, world.now)
    return decision == Decision(observed.study.status, {}, wake_at=decision.wake_at)


# ---- the way of a Study


def test_a_study_goes_from_apply_to_succeeded_and_runs_every_stage_once(world):
    world.apply(study_document())
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")
    assert set(world.trials().values()) == {"Succeeded"}
    assert len(world.runs) == STAGES_OF_S
    assert set(world.runs.values()) == {1}
    status = world.study()["status"]
    assert status["progress"] == f"{TRIALS_OF_S}/{TRIALS_OF_S}"
    assert status["reportURL"] == "memory:/s/report.html"
    assert status["plan"]["stages"] == STAGES_OF_S


def test_applying_the_actions_and_reconciling_again_asks_for_nothing(world):
    world.apply(study_document())
    for _ in range(200):
        world.settle()
        assert asks_for_nothing(world)
        if not (jobs := world.jobs()):
            break
        world.run(jobs[0])
    assert world.condition("Succeeded")[0] == "True"


def test_every_condition_tells_of_the_generation_that_it_is_about(world):
    world.apply(study_document())
    world.finish()
    world.edit(ttlSecondsAfterFinished=100_000)
    world.settle()
    study = world.study()
    generations = {condition["observedGeneration"] for condition in study["status"]["conditions"]}
    assert generations == {study["metadata"]["generation"]}
    assert world.condition("Succeeded") == ("True", "Succeeded")


def test_every_job_has_one_owner_that_is_no_controller_and_the_finalizer_came_before_it(world):
    world.apply(study_document())
    world.settle()
    study = world.study()
    assert FINALIZER in study["metadata"]["finalizers"]
    for job in world.jobs():
        (owner,) = job["metadata"]["ownerReferences"]
        assert owner["uid"] == study["metadata"]["uid"]
        assert not owner.get("controller")


def test_a_spec_that_this_version_cannot_read_is_refused_with_the_field(world):
    document = study_document()
    document["spec"]["sizes"] = ["many"]
    world.apply(document)
    world.settle()
    assert world.condition("Accepted") == ("False", "InvalidStudy")
    messages = [c["message"] for c in world.study()["status"]["conditions"] if c["type"] == "Accepted"]
    assert "sizes" in messages[0]
    assert not world.jobs()


def test_an_unknown_task_is_refused_with_the_known_ones_and_accepted_once_the_spec_is_right(world):
    world.apply(study_document(targets=[{"name": "nothing"}]))
    world.settle()
    assert world.condition("Accepted") == ("False", "InvalidStudy")
    assert world.trials() == {}
    world.edit(targets=[{"name": "xnli"}])
    world.settle()
    assert world.condition("Accepted") == ("True", "Accepted")


@pytest.mark.parametrize("engine", ["Local", "Kubeflow"])
def test_another_engine_is_refused_with_the_way_out(world, engine):
    world.apply(study_document(engine={"type": engine}))
    world.settle()
    assert world.condition("Accepted") == ("False", "EngineNotSupported")


def test_in_an_excluded_namespace_a_study_is_refused_gets_no_job_and_can_be_deleted():
    world = Simulation(excluded_namespaces=("kube-system", NAMESPACE))
    world.apply(study_document())
    world.settle()
    assert world.condition("Accepted") == ("False", "NamespaceExcluded")
    assert world.condition("Succeeded") == ("Unknown", "NamespaceExcluded")
    assert f"namespace {NAMESPACE} is excluded" in world.study()["status"]["conditions"][0]["message"]
    assert [event["reason"] for event in world.cluster.list(EVENTS, NAMESPACE)] == ["NamespaceExcluded"]
    assert not world.jobs()
    assert world.trials() == {}
    assert world.desk.asked == {}, "its Secrets are not read either"
    world.cluster.delete(STUDIES, NAMESPACE, "s")
    world.settle()
    assert world.cluster.get(STUDIES, NAMESPACE, "s") is None


def test_jobs_of_a_namespace_that_is_excluded_later_are_stopped(world):
    world.apply(study_document())
    world.settle()
    assert world.jobs()
    world.excluded_namespaces = (NAMESPACE,)
    world.start_operator()
    world.settle()
    assert world.condition("Accepted") == ("False", "NamespaceExcluded")
    assert not world.jobs()


# ---- preflight


def test_nothing_starts_before_store_and_server_answer_and_the_status_says_why(world):
    ready = world.desk.checks
    world.desk.checks = (Check(False, "StorageError", "HeadBucket: 403 for bucket"), ready[1])
    world.apply(study_document())
    world.settle()
    assert world.condition("StorageReady") == ("False", "StorageError")
    assert world.condition("TrackingReady") == ("True", "Ready")
    assert world.trials() == {}
    world.desk.checks = ready
    world.now += 60
    world.controller.look_at_all()
    world.settle()
    assert world.condition("StorageReady") == ("True", "Ready")
    assert world.jobs()


def test_what_is_wrong_is_told_as_an_event_once(world):
    world.desk.checks = (Check(False, "StorageError", "HeadBucket: 403 for bucket"), world.desk.checks[1])
    world.apply(study_document())
    for _ in range(5):
        world.settle()
        world.now += 60
        world.controller.look_at_all()
    assert [event["reason"] for event in world.cluster.list(EVENTS, "team")] == ["StorageError"]


# ---- sharing


def test_a_study_that_asks_for_other_resources_shares_the_job_as_it_is_and_is_told(world):
    world.apply(study_document("a"))
    world.settle()
    world.apply(study_document("b", resources={"target-training": {"limits": {"memory": "64Gi"}}}))
    world.settle()
    told = {event["message"] for event in world.cluster.list(EVENTS, "team") if event["reason"] == "ResourcesDiffer"}
    assert told
    assert all("limits.memory is unset, not 64Gi" in message for message in told)


def test_two_studies_that_want_the_same_stages_share_their_jobs_and_each_stage_runs_once(world):
    world.apply(study_document("a"))
    world.apply(study_document("b"))
    world.settle()
    uids = {world.study(name)["metadata"]["uid"] for name in ("a", "b")}
    assert all({owner["uid"] for owner in job["metadata"]["ownerReferences"]} == uids for job in world.jobs())
    assert set(world.trials("b").values()) == {"WaitingForStage"}
    world.finish()
    assert world.condition("Succeeded", "a") == world.condition("Succeeded", "b") == ("True", "Succeeded")
    assert set(world.runs.values()) == {1}
    assert {study for _, study in world.desk.published} == {"a", "b"}


def test_deleting_one_of_two_leaves_the_jobs_of_the_other_whole(world):
    world.apply(study_document("a"))
    world.apply(study_document("b"))
    world.settle()
    before = {job["metadata"]["uid"] for job in world.jobs()}
    world.cluster.delete(STUDIES, "team", "a")
    world.settle()
    world.cluster.collect_garbage()
    world.settle()
    assert {job["metadata"]["uid"] for job in world.jobs()} == before
    world.finish()
    assert world.condition("Succeeded", "b") == ("True", "Succeeded")
    assert set(world.runs.values()) == {1}


def test_deleting_both_leaves_nothing(world):
    world.apply(study_document("a"))
    world.apply(study_document("b"))
    world.settle()
    world.run(world.jobs()[0])
    world.settle()
    for name in ("a", "b"):
        world.cluster.delete(STUDIES, "team", name)
        world.settle()
    world.cluster.collect_garbage()
    for resource in (STUDIES, TRIALS, JOBS):
        assert not list(world.cluster.list(resource, None))


def test_what_was_made_before_is_published_for_a_new_study_and_nothing_runs(world):
    world.apply(study_document("a"))
    world.finish()
    runs = world.runs.total()
    world.apply(study_document("b"))
    world.settle()
    assert not world.jobs()
    assert world.condition("Succeeded", "b") == ("True", "Succeeded")
    assert world.runs.total() == runs
    assert world.study("b")["status"]["counts"]["reused"] == TRIALS_OF_S


def test_a_stage_that_is_at_work_elsewhere_makes_its_trials_wait_without_a_job(world):
    plan_of = study_document(recipes=[], sizes=["0"], seeds=[1], targets=[{"name": "xnli"}])
    world.apply(plan_of)
    (training, _) = world.planned().stages
    world.desk.claims[training] = Claim("another cluster", START + 30)
    world.settle()
    assert not world.jobs()
    assert world.trials() == {"s-baseline-s1": "WaitingForStage"}
    del world.desk.claims[training]
    world.now += 31
    world.controller.look_at_all()
    world.settle()
    assert [address_of(job) for job in world.jobs()] == [training]


def test_a_clock_that_is_put_back_makes_nobody_wait_until_it_has_caught_up(world):
    ready = world.desk.checks
    world.desk.checks = (Check(False, "StorageError", "HeadBucket: 403 for bucket"), ready[1])
    world.apply(study_document(recipes=[], sizes=["0"], seeds=[1], targets=[{"name": "xnli"}]))
    world.settle()
    world.desk.checks = ready
    world.now -= 3600
    world.controller.look_at_all()
    world.settle()
    assert world.condition("StorageReady") == ("True", "Ready")
    assert world.jobs()


# ---- failures


def failing(world: Simulation, code: ExitCode) -> None:
    """The first training that runs ends with the code."""
    world.settle()
    job = next(job for job in world.jobs() if address_of(job).startswith("stages/target-training"))
    world.fail(job, code, "loss is nan")


def test_a_stage_that_failed_fails_its_trials_once_with_the_reason_and_ends_the_study(world):
    world.apply(study_document())
    failing(world, ExitCode.DIVERGED)
    world.settle()
    assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")
    assert not world.jobs()
    message = next(c["message"] for c in world.study()["status"]["conditions"] if c["type"] == "Succeeded")
    assert "loss is nan" in message
    assert world.desk.asked["diagnose"] == 1
    assert asks_for_nothing(world)


def test_failures_within_the_budget_let_the_others_go_on(world):
    world.apply(study_document(failurePolicy={"maxFailedTrials": 1}))
    failing(world, ExitCode.DIVERGED)
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")
    assert sorted(world.trials().values()) == ["StageFailed"] + ["Succeeded"] * (TRIALS_OF_S - 1)


def test_a_shared_stage_that_failed_fails_every_trial_that_needs_it(world):
    world.apply(study_document(failurePolicy={"maxFailedTrials": 8}))
    world.settle()
    scaling = next(job for job in world.jobs() if address_of(job).startswith("stages/data-scaling"))
    world.fail(scaling, ExitCode.INVALID_INPUT)
    world.finish()
    assert sorted(world.trials().values()).count("StageFailed") == 2


def test_a_study_that_comes_later_tries_a_failed_stage_again_in_the_next_generation(world):
    small = {"recipes": [], "sizes": ["0"], "seeds": [1], "targets": [{"name": "xnli"}]}
    world.apply(study_document("a", **small))
    failing(world, ExitCode.DIVERGED)
    world.settle()
    world.apply(study_document("b", **small))
    world.settle()
    (job,) = world.jobs()
    assert job["metadata"]["labels"]["xstilts.dev/generation"] == "2"
    world.finish()
    assert world.condition("Succeeded", "b") == ("True", "Succeeded")
    assert world.condition("Succeeded", "a")[0] == "False"


def test_preemptions_have_a_budget_of_their_own(world):
    world.apply(
        study_document(recipes=[], sizes=["0"], seeds=[1], failurePolicy={"preemptionRetries": 2, "retries": 0})
    )
    world.settle()
    job = next(job for job in world.jobs() if address_of(job).startswith("stages/target-training"))
    for number in range(2):
        world.preempt(job, number)
        world.settle()
    assert world.condition("Succeeded")[0] == "Unknown"
    trial = next(iter(world.cluster.list(TRIALS, "team")))
    attempts = next(s["attempts"] for s in trial["status"]["stages"] if s["name"] == "target-training/xnli")
    assert attempts["preemptions"] == 2
    world.preempt(job, 2)
    world.settle()
    assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")
    message = next(c["message"] for c in world.study()["status"]["conditions"] if c["type"] == "Succeeded")
    assert "preemptionRetries is 2" in message
    assert not world.jobs()


def test_a_kill_for_memory_ends_the_job_at_once_and_a_hopeless_exit_code_waits_for_the_stages_own_words(world):
    world.apply(study_document(recipes=[], sizes=["0"], seeds=[1], targets=[{"name": "xnli"}]))
    world.settle()
    (job,) = world.jobs()
    world.end_pod(job, 0, {"exitCode": int(ExitCode.DIVERGED)})
    world.settle()
    assert world.condition("Succeeded")[0] == "Unknown", "the Job has not failed yet"
    world.end_pod(job, 1, {"exitCode": 137, "reason": "OOMKilled"})
    world.settle()
    assert world.condition("Succeeded") == ("False", "TooManyFailedTrials")
    assert not world.jobs()
    message = next(c["message"] for c in world.study()["status"]["conditions"] if c["type"] == "Succeeded")
    assert "limits.memory" in message


# ---- limits


def running(world: Simulation, name: str = "s") -> int:
    return list(world.trials(name).values()).count("Running")


def test_no_more_trials_run_than_parallelism_allows_and_others_are_queued(world):
    world.apply(study_document(parallelism=2))
    world.settle()
    assert running(world) == 2
    assert "Queued" in world.trials().values()
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")


def test_the_operators_limit_is_shared_fairly_between_studies(world):
    world = Simulation(max_running_trials=4)
    world.apply(study_document("a"))
    world.settle()
    assert running(world, "a") == 4
    world.apply(study_document("b", seeds=[7, 8]))
    world.settle()
    for _ in range(100):
        jobs = world.jobs()
        if not jobs:
            break
        world.run(jobs[0])
        world.settle()
        assert running(world, "a") + running(world, "b") <= 4 + 2
    assert world.condition("Succeeded", "a")[0] == world.condition("Succeeded", "b")[0] == "True"


def test_a_deadline_ends_a_study_and_stops_its_jobs(world):
    world.apply(study_document(failurePolicy={"activeDeadlineSeconds": 100}))
    world.settle()
    world.now += 101
    world.controller.look_at_all()
    world.settle()
    assert world.condition("Succeeded") == ("False", "DeadlineExceeded")
    assert not world.jobs()


def test_gpu_hours_end_a_study_when_they_are_used_up(world):
    limits = {"target-training": {"limits": {"nvidia.com/gpu": "4"}}}
    world.apply(study_document(resources=limits, maxGPUHours="8"))
    world.settle()
    for job in world.jobs():
        start = {"startTime": "2027-01-15T08:00:00Z"}
        world.cluster.patch(JOBS, "team", job["metadata"]["name"], {"status": start}, subresource="status")
    world.settle()
    world.now += 2 * 3600
    world.controller.look_at_all()
    world.settle()
    assert world.condition("Succeeded") == ("False", "GPUHoursExceeded")
    assert not world.jobs()
    assert float(world.study()["status"]["gpuHours"]) >= 8


def test_suspend_stops_the_jobs_and_resume_goes_on(world):
    world.apply(study_document())
    world.settle()
    world.run(world.jobs()[0])
    world.settle()
    world.edit(suspend=True)
    world.settle()
    assert not world.jobs()
    assert world.condition("Suspended") == ("True", "Suspended")
    assert set(world.trials().values()) == {"Suspended"}
    world.edit(suspend=False)
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")
    assert set(world.runs.values()) == {1}


def test_suspending_one_of_two_leaves_shared_jobs_to_the_other(world):
    world.apply(study_document("a"))
    world.apply(study_document("b"))
    world.settle()
    before = {job["metadata"]["uid"] for job in world.jobs()}
    world.edit("a", suspend=True)
    world.settle()
    assert {job["metadata"]["uid"] for job in world.jobs()} == before
    world.finish()
    assert world.condition("Succeeded", "b") == ("True", "Succeeded")


def test_more_seeds_of_a_finished_study_run_and_the_rest_is_kept(world):
    world.apply(study_document())
    world.finish()
    runs = dict(world.runs)
    world.edit(seeds=[1, 2, 3])
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")
    assert len(world.trials()) == 12
    assert set(world.runs.values()) == {1}
    assert len(world.runs) > len(runs)


def test_a_study_that_grows_after_its_end_has_a_report_of_all_that_ran(world):
    world.apply(study_document(failurePolicy={"maxFailedTrials": 8}))
    failing(world, ExitCode.DIVERGED)
    world.controller.state.facts[world.key()].failures["kept"] = 1  # by which what was found out is kept after the end
    world.finish()
    made = world.desk.asked["conclude"]
    world.edit(seeds=[1, 2, 3])
    world.controller.state.facts[world.key()].failures.clear()
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")
    assert world.desk.asked["conclude"] == made + 1


def test_a_finished_study_is_deleted_after_its_time_to_live(world):
    world.apply(study_document(ttlSecondsAfterFinished=60))
    world.finish()
    world.now += 61
    world.controller.look_at_all()
    world.settle()
    assert world.cluster.get(STUDIES, "team", "s") is None


def test_a_job_that_is_about_to_succeed_is_no_news(world):
    world.apply(study_document())
    world.settle()
    job = world.jobs()[0]
    about_to = {"type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached"}
    status = {"conditions": [about_to], "startTime": "2027-01-15T08:00:00Z"}
    world.cluster.patch(
        JOBS, NAMESPACE, job["metadata"]["name"], {"status": status | {"conditions": []}}, subresource="status"
    )
    world.settle()
    before = list(world.cluster.list(TRIALS, NAMESPACE))
    world.cluster.patch(JOBS, NAMESPACE, job["metadata"]["name"], {"status": status}, subresource="status")
    world.settle()
    assert list(world.cluster.list(TRIALS, NAMESPACE)) == before


# ---- deletion


def test_deletion_needs_neither_store_nor_server(world):
    world.apply(study_document())
    world.settle()
    asked = world.desk.asked.total()
    world.cluster.delete(STUDIES, "team", "s")
    world.settle()
    assert world.cluster.get(STUDIES, "team", "s") is None
    assert not world.jobs()
    assert world.desk.asked.total() == asked


def test_orphans_stay_and_run_to_their_end(world):
    world.apply(study_document(deletionPolicy="Orphan"))
    world.settle()
    before = len(world.jobs())
    world.cluster.delete(STUDIES, "team", "s")
    world.settle()
    world.cluster.collect_garbage()
    assert world.cluster.get(STUDIES, "team", "s") is None
    assert len(world.jobs()) == before
    assert len(list(world.cluster.list(TRIALS, "team"))) == TRIALS_OF_S


# ---- restarts


def test_an_operator_that_starts_anew_looks_at_studies_that_go_on_first(world):
    world.apply(study_document("a-finished", recipes=[], sizes=["0"], seeds=[1], targets=[{"name": "xnli"}]))
    world.finish()
    world.apply(study_document("b-running"))
    world.settle()
    world.start_operator()
    while (key := world.controller.queue.get(timeout=0)) is not None:  # what the listing has brought up
        world.controller.queue.done(key)
    world.controller.look_at_all()
    assert world.controller.queue.get(timeout=0) == world.key("b-running")


def test_an_operator_that_starts_anew_finds_everything_as_it_is_and_asks_for_nothing(world):
    world.apply(study_document())
    world.settle()
    for job in world.jobs()[:3]:
        world.run(job)
    world.settle()
    before = {job["metadata"]["uid"] for job in world.jobs(active=False)}
    world.start_operator()
    world.settle()
    assert {job["metadata"]["uid"] for job in world.jobs(active=False)} == before
    assert asks_for_nothing(world)
    world.finish()
    assert set(world.runs.values()) == {1}


def test_an_operator_that_starts_anew_reads_plans_of_studies_that_go_on_once_and_before_it_decides(world):
    world.apply(study_document("a-finished", recipes=[], sizes=["0"], seeds=[1], targets=[{"name": "xnli"}]))
    world.finish()
    world.apply(study_document("b-running"))
    world.settle()
    world.desk.asked.clear()
    world.start_operator()
    while world.calls.waiting:
        world.calls.run_next()
    assert world.desk.asked == {"recall": 1}
    world.settle()
    assert world.desk.asked == {"recall": 1}


def test_results_that_are_gone_from_the_store_are_made_again(world):
    world.apply(study_document())
    world.settle()
    job = next(job for job in world.jobs() if address_of(job).startswith("stages/target-training"))
    world.run(job)
    world.settle()
    world.desk.made.discard(address_of(job))
    world.start_operator()
    world.settle()
    again = [each for each in world.jobs() if address_of(each) == address_of(job)]
    assert [each["metadata"]["labels"]["xstilts.dev/generation"] for each in again] == ["2"]


# ---- statuses within their bounds


def test_a_study_with_more_curves_than_its_status_has_room_for_ends_and_says_how_many_are_left_out(world):
    world.desk.curves = (CurveFit(recipe="mnli", target="xnli", model="power", n=12),) * 300
    world.apply(study_document())
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")
    status = world.study()["status"]
    assert len(status["curves"]) == 256
    assert status["omitted"] == [{"field": "curves", "entries": 44}]
    assert asks_for_nothing(world)


def test_a_status_that_its_own_schema_refuses_is_never_sent(world):
    world.apply(study_document())
    world.settle()
    study = world.study()
    status = StudyStatus().model_copy(update={"progress": "x" * 100})
    metadata = study["metadata"]
    with pytest.raises(Invalid, match=r"status of Study s: status\.progress"):
        world.controller.effects.write_status(STUDIES, NAMESPACE, "s", metadata["resourceVersion"], status)
    assert world.study() == study


# ---- objects of the same name that are not ours


def foreign_job(world: Simulation, **labels: str) -> Object:
    """Somebody's Job, under the name that the operator would give to the first stage of its plan."""
    world.apply(study_document())
    world.settle()
    name = world.jobs()[0]["metadata"]["name"]
    world.cluster.delete(STUDIES, NAMESPACE, "s")
    world.settle()
    world.settle()
    assert world.cluster.get(JOBS, NAMESPACE, name) is None
    pod = {"template": {"spec": {"containers": [{"name": "main", "image": "theirs:1"}]}}}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return world.cluster.create(JOBS, {"metadata": metadata, "spec": pod})


@pytest.mark.parametrize(
    "labels", [{}, {"app.kubernetes.io/managed-by": "xstilts"}, {"app.kubernetes.io/managed-by": "somebody"}]
)
def test_a_job_of_the_name_of_ours_that_is_not_ours_is_left_alone_and_not_hammered(world, labels):
    job = foreign_job(world, **labels)
    world.desk.asked.clear()
    world.apply(study_document())
    world.settle()
    started = world.desk.asked["prepare"]
    for _ in range(30):
        world.now += 1
        world.controller.look_at_all()
        world.settle()
    assert world.cluster.get(JOBS, NAMESPACE, job["metadata"]["name"]) == job
    assert world.desk.asked["prepare"] - started <= 6  # at 2, 4, 8, 16 seconds, and what the others need
    world.cluster.delete(STUDIES, NAMESPACE, "s")
    world.settle()
    assert world.cluster.get(JOBS, NAMESPACE, job["metadata"]["name"]) == job


def test_a_job_of_ours_that_lost_a_label_is_named_with_the_label(world):
    world.apply(study_document())
    world.settle()
    wanted = world.jobs()[0]
    stripped = {"metadata": {"labels": {"xstilts.dev/stage-key": None}}}
    there = world.cluster.patch(JOBS, NAMESPACE, wanted["metadata"]["name"], stripped)
    with pytest.raises(ForeignObject, match=r"xstilts\.dev/stage-key=.*put the labels back"):
        check_is_ours(there, wanted)


def test_a_job_that_another_study_started_is_ours_whoever_it_names(world):
    world.apply(study_document())
    world.settle()
    wanted = world.jobs()[0]
    labels = {"xstilts.dev/study": "other", "xstilts.dev/trial": "other-baseline-s1"}
    there = world.cluster.patch(JOBS, NAMESPACE, wanted["metadata"]["name"], {"metadata": {"labels": labels}})
    check_is_ours(there, wanted)
    assert there["metadata"]["labels"]["xstilts.dev/study"] == "other"


def test_a_trial_of_another_study_with_the_same_name_is_told_with_the_way_out(world):
    """Study `a` with recipe `b-mnli` and Study `a-b` with recipe `mnli` name their Trials alike."""
    recipe = {"name": "b-mnli", "tasks": [{"name": "mnli"}]}
    world.apply(study_document("a", recipes=[recipe]))
    world.settle()
    world.apply(study_document("a-b"))
    world.settle()
    trial = next(name for name in world.trials("a") if name.startswith("a-b-mnli-100"))
    other = world.cluster.get(TRIALS, NAMESPACE, trial)
    assert other is not None
    assert other["spec"]["study"] == "a"
    observed = world.controller.state.observed(world.key("a-b"))
    assert observed is not None
    outline = observed.facts.outline
    assert outline is not None
    action = CreateTrial(next(each for each in outline.trials if each.name == trial))
    with pytest.raises(ForeignObject, match=r"belongs to Study 'a'; rename this Study or its recipe 'mnli'"):
        world.controller.effects.request(world.key("a-b"), observed, action)
    assert world.cluster.get(TRIALS, NAMESPACE, trial) == other


# ---- plans outlast statuses


def test_a_study_whose_status_was_wiped_keeps_the_plan_that_it_was_accepted_with(world):
    world.apply(study_document())
    world.settle()
    digest = world.study()["status"]["plan"]["digest"]
    assert world.study()["metadata"]["annotations"]["xstilts.dev/plan"] == f"s/{digest}"
    world.cluster.patch(STUDIES, NAMESPACE, "s", {"status": None}, subresource="status")
    world.start_operator()
    world.finish()
    assert world.desk.previous == [None, digest]
    assert world.study()["status"]["plan"]["digest"] == digest
    assert world.condition("Succeeded") == ("True", "Succeeded")


def test_a_copy_under_another_name_is_planned_anew(world):
    world.apply(study_document())
    world.settle()
    annotations = world.study()["metadata"]["annotations"]
    copy = study_document("copy")
    copy["metadata"]["annotations"] = annotations
    world.apply(copy)
    world.settle()
    assert world.desk.previous == [None, None]
    assert world.study("copy")["metadata"]["annotations"]["xstilts.dev/plan"].startswith("copy/")
