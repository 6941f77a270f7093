"""Objects in a cluster that no Study owns any more."""

import time
from typing import Any

import pytest

from xstilts.api import names
from xstilts.cluster.memory import MemoryCluster
from xstilts.cluster.orphans import orphans, remove_orphan
from xstilts.cluster.port import JOBS, STUDIES, TRAIN_JOBS, TRIALS, Resource

LATER = time.time() + 3600


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


def make(cluster: MemoryCluster, resource: Resource, name: str, *owners: str, ended: bool = True, **more: Any) -> str:
    """Its uid. `owners` are uids of Studies."""
    references = [{"apiVersion": "x", "kind": "Study", "name": "s", "uid": uid} for uid in owners]
    labels = {names.MANAGED_BY: names.MANAGER, names.STUDY: "s"}
    metadata = {"name": name, "namespace": "ns", "labels": labels, "ownerReferences": references}
    made = cluster.create(resource, {"metadata": metadata | more, "spec": {}})
    if ended:
        conditions = [{"type": "Complete", "status": "True"}]
        cluster.patch(resource, "ns", name, {"status": {"conditions": conditions}}, subresource="status")
    return str(made["metadata"]["uid"])


def found(cluster: MemoryCluster, before: float = LATER) -> list[str]:
    return sorted(f"{orphan.resource.kind}/{orphan.name}" for orphan in orphans(cluster, "ns", before=before))


def test_objects_whose_studies_are_all_gone_are_orphans(cluster: MemoryCluster) -> None:
    there = make(cluster, STUDIES, "s")
    for resource in (TRIALS, JOBS, TRAIN_JOBS):
        make(cluster, resource, "owned", there)
        make(cluster, resource, "shared", "gone", there)
        make(cluster, resource, "alone")
        make(cluster, resource, "left", "gone", "gone too")
    expected = [f"{resource.kind}/{name}" for resource in (TRIALS, JOBS, TRAIN_JOBS) for name in ("alone", "left")]
    assert found(cluster) == sorted(expected)


def test_a_job_that_still_runs_may_run_to_its_end(cluster: MemoryCluster) -> None:
    make(cluster, JOBS, "running", ended=False)
    make(cluster, TRIALS, "trial", ended=False)
    assert found(cluster) == ["Trial/trial"]


def test_what_is_young_is_left_alone(cluster: MemoryCluster) -> None:
    make(cluster, TRIALS, "trial")
    assert found(cluster, before=time.time() - 3600) == []


def test_what_others_made_is_left_alone(cluster: MemoryCluster) -> None:
    make(cluster, JOBS, "theirs", labels={names.MANAGED_BY: "helm"})
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "of another kind"}
    make(cluster, JOBS, "of-something-else", ownerReferences=[reference])
    assert found(cluster) == []


def test_an_orphan_is_removed_and_its_successor_stays(cluster: MemoryCluster) -> None:
    make(cluster, TRIALS, "trial")
    (orphan,) = orphans(cluster, "ns", before=LATER)
    remove_orphan(cluster, orphan)
    assert cluster.get(TRIALS, "ns", "trial") is None
    make(cluster, TRIALS, "trial", make(cluster, STUDIES, "s"))
    remove_orphan(cluster, orphan)
    assert cluster.get(TRIALS, "ns", "trial") is not None
