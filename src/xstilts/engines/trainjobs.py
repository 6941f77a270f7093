"""A stage on several nodes: a TrainJob of Kubeflow Trainer 2.3, which starts torchrun's parts and lets them meet.

Trainer takes the pod from a runtime of the cluster and lets a TrainJob patch some of its fields: not its priority
class or its restart policy. Retries of pods are the runtime's.
"""

from xstilts.engines.pod_fields import Object
from xstilts.engines.pods import GRACE_SECONDS, StagePod

API_VERSION = "trainer.kubeflow.org/v1alpha1"
RUNTIME = "torch-distributed"
"""The ClusterTrainingRuntime that Trainer ships; it sets PET_NNODES and the like, which torchrun reads."""
PATCHES = "xstilts.dev/operator"
"""Names our patches among those of others, such as Kueue."""
NODE = "node"
"""Trainer's name for the job and the container of the trainer."""


def train_job_spec(pod: StagePod) -> Object:
    return {
        "runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": "ClusterTrainingRuntime", "name": RUNTIME},
        "trainer": {
            "image": pod.image,
            "command": ["python", "-m", "xstilts.stages.together"],
            "args": pod.module,
            "numNodes": pod.asked.nodes,
            "numProcPerNode": pod.asked.processes_per_node,
            "resourcesPerNode": pod.resources,
            "env": pod.env,
        },
        "runtimePatches": [
            {
                "manager": PATCHES,
                "trainingRuntimeSpec": {
                    "template": {"spec": {"replicatedJobs": [{"name": NODE, "template": _job_patch(pod)}]}}
                },
            }
        ],
    }


def _job_patch(pod: StagePod) -> Object:
    container = {
        "name": NODE,
        "volumeMounts": pod.mounts,
        "securityContext": pod.container_security_context,
    }
    spec = {
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        **pod.placement,
        "securityContext": pod.security_context,
        "containers": [container],
        "volumes": pod.volumes,
    }
    return {"spec": {"template": {"metadata": pod.pod_metadata, "spec": spec}}}
