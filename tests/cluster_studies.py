"""Studies and Trials as a cluster has them at some moment, made by whoever plays the operator."""

from collections.abc import Mapping
from typing import Any

from xstilts.api import names
from xstilts.cluster import Cluster, Object
from xstilts.cluster.port import PODS, STUDIES, TRIALS

PLACE = "team"
TIME = "2026-01-02T03:04:05Z"
SPEC: dict[str, Any] = {
    "model": {"name": "xlm-roberta-base"},
    "recipes": [{"name": "mnli", "tasks": [{"name": "mnli"}]}],
    "sizes": ["0", "100"],
    "targets": [{"name": "xnli"}],
    "store": {"uri": "s3://bucket/prefix"},
    "tracking": {"uri": "http://mlflow:5000"},
}


def study(cluster: Cluster, name: str = "demo", *, finalizers: tuple[str, ...] = (), **spec: Any) -> Object:
    metadata = {"name": name, "namespace": PLACE, "finalizers": [*finalizers]}
    return cluster.create(STUDIES, {"metadata": metadata, "spec": SPEC | spec})


def tell(cluster: Cluster, owner: Object, *conditions: Object, **status: Any) -> None:
    """Write the status of a Study, seen at its present generation."""
    generation = owner["metadata"]["generation"]
    patch = {"status": {"observedGeneration": generation, "conditions": [*conditions], **status}}
    cluster.patch(STUDIES, PLACE, owner["metadata"]["name"], patch, subresource="status")


def condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": TIME}


def trial(
    cluster: Cluster, owner: Object, point: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]], summary: Object
) -> Object:
    """A Trial whose stages have keys made of their names; an empty status is a stage that has not started."""
    metadata = owner["metadata"]
    recipe = {"recipe": "mnli", "size": "100", "rows": 100, "subsetSeed": 1, "seed": 1} | point
    name = f"{metadata['name']}-{recipe['recipe']}-{recipe['size']}-d{recipe['subsetSeed']}-s{recipe['seed']}"
    refs = [{"name": stage, "kind": stage.split("/")[0], "key": stage_key(stage)} for stage in stages]
    made = cluster.create(
        TRIALS,
        {
            "metadata": {
                "name": name,
                "namespace": PLACE,
                "labels": {names.MANAGED_BY: names.MANAGER, names.STUDY: metadata["name"]},
                "ownerReferences": [
                    {
                        "apiVersion": "xstilts.dev/v1alpha1",
                        "kind": "Study",
                        "name": metadata["name"],
                        "uid": metadata["uid"],
                    }
                ],
            },
            "spec": {"study": metadata["name"], "plan": "0" * 32, "point": recipe, "stages": refs},
        },
    )
    told = [{"name": stage, **status} for stage, status in stages.items() if status]
    done = sum(status.get("state") == "Succeeded" for status in stages.values())
    update(cluster, made, stages=told, conditions=[summary], progress=f"{done}/{len(stages)}")
    return made


def update(cluster: Cluster, of: Object, **status: Any) -> None:
    """Change the status of a Trial or pod."""
    resource = PODS if of["kind"] == "Pod" else TRIALS
    cluster.patch(resource, PLACE, of["metadata"]["name"], {"status": status}, subresource="status")


def pod(cluster: Cluster, name: str, stage: str, *, job: str = "", phase: str = "Running", **labels: str) -> Object:
    """A pod of a stage, at work."""
    own = {names.MANAGED_BY: names.MANAGER, names.STAGE_KEY: stage_key(stage), "batch.kubernetes.io/job-name": job}
    metadata = {"name": name, "namespace": PLACE, "labels": own | labels}
    made = cluster.create(PODS, {"metadata": metadata, "spec": {"containers": [{"name": "stage", "image": "i"}]}})
    update(cluster, made, phase=phase)
    return made


def stage_key(stage: str) -> str:
    return stage.encode().hex()[:32]
