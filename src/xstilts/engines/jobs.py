"""The Jobs engine: a stage as a batch/v1 Job, or as a TrainJob where it takes several nodes.

Pure: the operator creates what `manifest` returns and reads what became of it with `xstilts.engines.workloads` and
`xstilts.engines.endings`. A Job's name is made of what it does, so that the API server keeps two Studies of a namespace
from starting the same stage twice. Objects are created and never applied again: Kueue changes them.
"""

import posixpath
from urllib.parse import urlsplit

from xstilts.api.access import StoreSpec
from xstilts.api.addresses import normalized
from xstilts.api.study import API_VERSION, StageKind, StageResources, Study
from xstilts.core.attempts import HOPELESS, UNCHARGED
from xstilts.core.errors import UserError
from xstilts.core.keys import digest
from xstilts.core.plan import PlannedStage
from xstilts.core.results import Publication
from xstilts.engines import trainjobs
from xstilts.engines.pod_fields import Object
from xstilts.engines.pods import CONTAINER, StagePod, pod_template
from xstilts.engines.trainjobs import train_job_spec
from xstilts.stages.runner import TRAININGS

QUEUE = "kueue.x-k8s.io/queue-name"
TTL_SECONDS = 86400
"""Time that an ended Job and its pods stay: for an operator that was down for a night, and for `kubectl logs`."""


def job_name(stage_key: str, store_identity: str, generation: int) -> str:
    """The same for all who want the stage in this store; generations count attempts at it, from 1."""
    return f"xs-{digest([stage_key, store_identity, generation])}"


def store_identity(store: StoreSpec) -> str:
    """Where objects lie, in one spelling: address, and endpoint where it is not AWS."""
    parts = urlsplit(store.uri)
    path = posixpath.join(parts.netloc, parts.path.strip("/")).rstrip("/")
    uri = f"{parts.scheme}://{path}" if parts.netloc else posixpath.normpath(store.uri)
    return f"{uri} at {normalized(store.endpoint)}" if store.endpoint else uri


def owner_reference(study: str, uid: str) -> Object:
    """One of a Job's owners: it goes when the last of them is deleted."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Study",
        "name": study,
        "uid": uid,
        "controller": False,
        "blockOwnerDeletion": False,
    }


def manifest(
    stage: PlannedStage,
    *,
    study: Study,
    uid: str,
    trial: str,
    publication: Publication,
    generation: int,
    image: str,
) -> Object:
    """The object that runs the stage. `image` is the operator's default, for Studies that name none.

    The trial's name becomes a label, so it has at most 63 characters. Raises UserError as `check` does, and for a
    config that no process could be given.
    """
    check(study)
    pod = StagePod(
        stage=stage,
        study=study,
        trial=trial,
        publication=publication,
        generation=generation,
        image=study.spec.pod_template.image or image,
    )
    queue = study.spec.engine.queue_name
    several_nodes = pod.asked.nodes > 1
    return {
        "apiVersion": trainjobs.API_VERSION if several_nodes else "batch/v1",
        "kind": "TrainJob" if several_nodes else "Job",
        "metadata": {
            "name": job_name(stage.key, store_identity(study.spec.store), generation),
            **({"namespace": study.metadata.namespace} if study.metadata.namespace else {}),
            "labels": pod.labels | ({QUEUE: queue} if queue else {}),
            "annotations": pod.annotations,
            "ownerReferences": [owner_reference(study.metadata.name, uid)],
        },
        "spec": {
            **({"suspend": True} if queue else {}),  # until Kueue admits it
            **(train_job_spec(pod) if several_nodes else _job_spec(pod)),
        },
    }


def _job_spec(pod: StagePod) -> Object:
    return {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": pod.study.spec.failure_policy.retries,
        "podReplacementPolicy": "Failed",  # never two pods at a time, of which one would find the lease held
        "podFailurePolicy": {
            # The first rule that fits: a stage that says that it can't succeed is believed, also in an eviction.
            # A kill for memory is code 137, like other kills, so that only its reason in the pod's status tells it.
            "rules": [
                {"action": "FailJob", "onExitCodes": _exit_codes(HOPELESS)},
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "Ignore", "onExitCodes": _exit_codes(UNCHARGED)},
            ]
        },
        "ttlSecondsAfterFinished": TTL_SECONDS,
        "template": pod_template(pod),
    }


def _exit_codes(codes: tuple[int, ...]) -> Object:
    return {"containerName": CONTAINER, "operator": "In", "values": sorted(int(code) for code in codes)}


# ---- what this engine can't do


def check(study: Study) -> None:
    """Raises UserError, naming the field, for what no Job or TrainJob can carry."""
    for kind, asked in study.spec.resources.items():
        _check_stage(study, kind, asked)


def _check_stage(study: Study, kind: StageKind, asked: StageResources) -> None:
    field = f"spec.resources[{kind}]"
    if kind not in TRAININGS and (asked.nodes > 1 or asked.processes_per_node > 1):
        raise UserError(f"{field}: {kind} runs as one process; remove nodes and processesPerNode")
    if asked.nodes > 1 and (name := study.spec.pod_template.priority_class_name):
        raise UserError(
            f"spec.podTemplate.priorityClassName: {name!r} can't be given to a TrainJob, which {field}.nodes = "
            f"{asked.nodes} asks for; set it in the ClusterTrainingRuntime {trainjobs.RUNTIME}, or remove one of both"
        )
