"""Studies whose stages become Jobs: the plainest, one that sets everything, and one on several nodes."""

from typing import Any

import plans
from xstilts.api.study import StageKind, Study
from xstilts.core.plan import PlannedStage
from xstilts.core.planner import plan
from xstilts.core.results import Publication
from xstilts.engines import jobs
from xstilts.engines.pod_fields import Object

UID = "6e4c1f0a-0000-4000-8000-000000000001"
IMAGE = "registry.example/xstilts-trainer@sha256:" + "0" * 64
TRIAL = "s-mnli-100-d1-s1"
PUBLICATION = Publication(study="s", experiment="e", recipe="mnli")
PLAIN: dict[str, Any] = {"store": {"uri": "s3://bucket/prefix"}, "tracking": {"uri": "http://mlflow:5000"}}
SECRETS: dict[str, Any] = {
    "store": {
        "uri": "s3://bucket/prefix",
        "endpoint": "https://s3.example:9000",
        "region": "eu-central-1",
        "pathStyle": True,
        "secretRef": {"name": "s3"},
        "caSecretRef": {"name": "s3-ca"},
    },
    "tracking": {"uri": "https://mlflow.example", "secretRef": {"name": "mlflow"}},
}
EVERYTHING: dict[str, Any] = SECRETS | {
    "engine": {"queueName": "research"},
    "resources": {
        "intermediate-training": {
            "processesPerNode": 8,
            "requests": {"cpu": "16", "memory": "64Gi"},
            "limits": {"nvidia.com/gpu": "8", "memory": "64Gi"},
        }
    },
    "failurePolicy": {"retries": 5},
    "podTemplate": {
        "serviceAccountName": "trainer",
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"pool": "gpu", "arch": "amd64"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "priorityClassName": "research",
        "env": [
            {"name": "PLAIN", "value": "1"},
            {"name": "PASSWORD", "secretKeyRef": {"name": "extra", "key": "password"}},
            {"name": "SETTING", "configMapKeyRef": {"name": "settings", "key": "a"}},
            {"name": "OMP_NUM_THREADS", "value": "4"},
        ],
        "volumes": [
            {"name": "scratch", "mountPath": "/tmp", "claimName": "scratch"},
            {"name": "settings", "mountPath": "/etc/settings", "configMap": "settings", "readOnly": True},
            {"name": "keys", "mountPath": "/etc/keys", "secret": "extra", "readOnly": True},
            {"name": "cache", "mountPath": "/cache", "emptyDirSize": "20Gi"},
        ],
        "shm": "8Gi",
        "labels": {"team": "nlp", "xstilts.dev/study": "not-this"},
        "annotations": {"sidecar.istio.io/inject": "false"},
    },
}
NODES: dict[str, Any] = EVERYTHING | {
    "resources": {
        "intermediate-training": {"nodes": 2, "processesPerNode": 4, "limits": {"nvidia.com/gpu": "4", "cpu": "8"}}
    },
    "podTemplate": {name: value for name, value in EVERYTHING["podTemplate"].items() if name != "priorityClassName"},
}


def study(**changes: Any) -> Study:
    document = plans.study(**(PLAIN | changes)).document()
    return Study.model_validate(document | {"metadata": {"name": "s", "namespace": "research"}})


def stage_of(chosen: Study, kind: StageKind) -> PlannedStage:
    return next(stage for stage in plan(chosen, plans.world()).stages.values() if stage.kind == kind)


def made_of(stage: PlannedStage, chosen: Study, *, generation: int = 1) -> Object:
    return jobs.manifest(
        stage, study=chosen, uid=UID, trial=TRIAL, publication=PUBLICATION, generation=generation, image=IMAGE
    )


def job(kind: StageKind = "intermediate-training", **changes: Any) -> Object:
    """What the operator would create for the first stage of the kind."""
    chosen = study(**changes)
    return made_of(stage_of(chosen, kind), chosen)
