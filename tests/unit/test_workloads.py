"""Jobs and TrainJobs as the API server tells of them, read back: where they stand, and what they use."""

from typing import Any

from job_studies import EVERYTHING, NODES, TRIAL, UID, job
from xstilts.engines.pod_fields import Object
from xstilts.engines.workloads import Workload, WorkloadState, differs, workload

NOON = "2026-03-01T12:00:00Z"
NOON_EPOCH = 1772366400


def condition(kind: str, status: str = "True", **more: str) -> Object:
    return {"type": kind, "status": status, "lastTransitionTime": NOON, **more}


def stored(made: Object, status: dict[str, Any] | None = None, **metadata: Any) -> Object:
    """As the API server holds it."""
    given = {"uid": "u1", "resourceVersion": "7", "creationTimestamp": NOON}
    return made | {"metadata": made["metadata"] | given | metadata, **({"status": status} if status else {})}


def read(status: dict[str, Any] | None = None, *, changes: dict[str, Any] | None = None, **metadata: Any) -> Workload:
    return workload(stored(job(**(changes or {})), status, **metadata))


def test_a_new_job_tells_who_wants_it_and_has_not_started():
    found = read()
    assert (found.kind, found.namespace, found.uid, found.resource_version) == ("Job", "research", "u1", "7")
    assert (found.study, found.trial, found.stage_kind, found.generation) == ("s", TRIAL, "intermediate-training", 1)
    assert len(found.stage_key) == 32
    assert found.owners == (UID,)
    assert (found.state, found.started, found.completed) == (WorkloadState.ACTIVE, None, None)


def test_a_running_job_has_a_start_and_pods():
    found = read({"startTime": NOON, "active": 1, "ready": 1, "failed": 2})
    assert (found.state, found.started, found.ready, found.failed) == (WorkloadState.ACTIVE, NOON_EPOCH, 1, 2)
    assert not found.is_finished


def test_a_complete_job_has_succeeded():
    found = read(
        {
            "startTime": NOON,
            "completionTime": "2026-03-01T12:01:00Z",
            "succeeded": 1,
            "conditions": [
                condition("SuccessCriteriaMet", reason="CompletionsReached"),
                condition("Complete", reason="CompletionsReached"),
            ],
        }
    )
    assert (found.state, found.completed, found.is_finished) == (WorkloadState.SUCCEEDED, NOON_EPOCH + 60, True)


def test_a_failed_job_tells_why_and_when():
    why = {"reason": "PodFailurePolicy", "message": "Container stage for pod research/x failed with exit code 4"}
    found = read(
        {"startTime": NOON, "failed": 1, "conditions": [condition("FailureTarget", **why), condition("Failed", **why)]}
    )
    assert (found.state, found.completed) == (WorkloadState.FAILED, NOON_EPOCH)
    assert (found.reason, found.message) == (why["reason"], why["message"])


def test_a_job_whose_pods_still_end_is_not_finished():
    found = read({"startTime": NOON, "conditions": [condition("FailureTarget", reason="BackoffLimitExceeded")]})
    assert (found.state, found.reason) == (WorkloadState.TERMINATING, "BackoffLimitExceeded")
    assert not found.is_finished
    assert found.completed is None


def test_a_job_that_is_being_deleted_is_terminating_unless_it_had_ended():
    assert read(deletionTimestamp=NOON).state is WorkloadState.TERMINATING
    ended = {"conditions": [condition("Complete")]}
    assert read(ended, deletionTimestamp=NOON).state is WorkloadState.SUCCEEDED


def test_a_job_that_waits_for_kueue_is_suspended_and_uses_no_time():
    found = read({"conditions": [condition("Suspended", reason="JobSuspended")]}, changes=EVERYTHING)
    assert (found.state, found.reason, found.started) == (WorkloadState.SUSPENDED, "JobSuspended", None)


def test_conditions_that_are_false_say_nothing():
    found = read({"conditions": [condition("Suspended", "False"), condition("Failed", "False")], "startTime": NOON})
    assert found.state is WorkloadState.ACTIVE


def test_accelerators_are_counted_over_all_nodes_and_other_devices_are_not():
    assert read(changes=EVERYTHING).gpus == 8
    assert read(changes=NODES).gpus == 8
    assert read().gpus == 0
    mixed = {"intermediate-training": {"limits": {"rdma/hca": "4", "amd.com/gpu": "2", "nvidia.com/mig-1g.5gb": "1"}}}
    assert read(changes={"resources": mixed}).gpus == 3


def test_an_object_of_somebody_else_is_read_without_our_labels():
    found = read(labels=None, ownerReferences=None)
    assert (found.stage_key, found.generation, found.owners) == ("", 0, ())


# ---- TrainJobs (statuses as Trainer 2.3 writes them)


def trained(status: dict[str, Any] | None, **spec: Any) -> Workload:
    made = job(**NODES)
    return workload(stored(made | {"spec": made["spec"] | spec}, status))


def jobs_status(**counts: int) -> list[Object]:
    return [{"name": "node", "active": 0, "failed": 0, "ready": 0, "succeeded": 0, "suspended": 0} | counts]


def test_a_train_job_without_conditions_is_at_work_since_its_creation():
    found = trained({"jobsStatus": jobs_status(active=1, ready=1)}, suspend=False)
    assert (found.kind, found.state, found.started, found.ready) == ("TrainJob", WorkloadState.ACTIVE, NOON_EPOCH, 1)


def test_a_train_job_that_was_resumed_is_at_work_since_then():
    resumed = condition("Suspended", "False", reason="Resumed") | {"lastTransitionTime": "2026-03-01T12:00:30Z"}
    assert trained({"conditions": [resumed]}, suspend=False).started == NOON_EPOCH + 30


def test_a_suspended_train_job_waits():
    found = trained({"conditions": [condition("Suspended", reason="Suspended")]})
    assert (found.state, found.started) == (WorkloadState.SUSPENDED, None)


def test_a_train_job_that_completed_has_succeeded():
    found = trained({"conditions": [condition("Complete", reason="AllJobsCompleted")]}, suspend=False)
    assert (found.state, found.completed) == (WorkloadState.SUCCEEDED, NOON_EPOCH)


def test_a_train_job_that_failed_tells_why():
    failed = condition("Failed", reason="ReachedMaxRestarts", message="jobset failed")
    found = trained({"conditions": [failed], "jobsStatus": jobs_status(failed=1)}, suspend=False)
    assert (found.state, found.reason, found.failed) == (WorkloadState.FAILED, "ReachedMaxRestarts", 1)


# ---- differences


def test_a_shared_job_that_another_study_would_have_made_alike_does_not_differ():
    assert differs(job(**EVERYTHING), job(**EVERYTHING)) == []


def test_amounts_differ_by_value_and_not_by_spelling():
    there = job(resources={"intermediate-training": {"limits": {"memory": "8Gi"}, "requests": {"cpu": "500m"}}})
    same = job(resources={"intermediate-training": {"limits": {"memory": "8192Mi"}, "requests": {"cpu": "0.5"}}})
    more = job(resources={"intermediate-training": {"limits": {"memory": "16Gi"}, "requests": {"cpu": "0.5"}}})
    assert differs(there, same) == []
    assert differs(there, more) == ["limits.memory is 8Gi, not 16Gi"]


def test_nodes_processes_and_amounts_that_only_one_names_differ():
    assert differs(job(**EVERYTHING), job(**NODES)) == [
        "nodes is 1, not 2",
        "processesPerNode is 8, not 4",
        "requests.cpu is 16, not unset",
        "requests.memory is 64Gi, not unset",
        "limits.cpu is unset, not 8",
        "limits.memory is 64Gi, not unset",
        "limits.nvidia.com/gpu is 8, not 4",
    ]
