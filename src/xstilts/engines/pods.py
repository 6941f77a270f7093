"""How the pod of a stage looks: command, environment, volumes, resources, security. Jobs and TrainJobs are made of it.

Pure: from a planned stage and a Study to parts of manifests, the same at each call. Pods hold to the Pod Security
Standard `restricted`, with a root file system that nobody writes to.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from xstilts.api import names
from xstilts.api.access import CA_KEY, STORE_KEYS, TRACKING_KEYS
from xstilts.api.study import StageResources, Study
from xstilts.core.errors import UserError
from xstilts.core.keys import canonical_json
from xstilts.core.plan import PlannedStage
from xstilts.core.results import Publication
from xstilts.engines import pod_fields
from xstilts.engines.pod_fields import Object, secret_variables
from xstilts.stages.runner import POD_VARIABLE, WORDS_VARIABLE

CONTAINER = "stage"
USER = 10001
"""The image's own user (`docker/trainer.Dockerfile`)."""
GRACE_SECONDS = 120
"""Time to save progress after SIGTERM: the last checkpoint, whole, on its way to the store."""
MILLICORES_PER_THREAD = 250
"""CPU request where a Study names none: what a node must have left before the pod starts, and the pod's share of a full
node. Without a limit a stage uses every idle core all the same; a whole core left pods pending on small idle nodes."""
TERMINATION_MESSAGE = "/dev/termination-log"
"""Kubernetes' own default, which Trainer's runtimes have too. The kubelet puts a file there that anybody may write."""
MAX_ARGUMENT_BYTES = 120 * 1024
"""Linux cuts one argument of a process off at 128 KiB."""
_TMP, _SHM, _CA = "xstilts-tmp", "xstilts-shm", "xstilts-ca"
_CA_FOLDER = "/etc/xstilts/ca"


@dataclass(frozen=True, kw_only=True)
class StagePod:
    """One stage, and the Study that has it started."""

    stage: PlannedStage
    study: Study
    trial: str
    publication: Publication
    generation: int
    image: str

    @property
    def asked(self) -> StageResources:
        return self.study.spec.resources.get(self.stage.kind, StageResources())

    # ---- metadata

    @property
    def labels(self) -> dict[str, str]:
        """What the operator finds its objects by."""
        return {
            names.MANAGED_BY: names.MANAGER,
            names.STUDY: self.study.metadata.name,
            names.TRIAL: self.trial,
            names.STAGE: self.stage.kind,
            names.STAGE_KEY: self.stage.key,
            names.GENERATION: str(self.generation),
        }

    @property
    def annotations(self) -> dict[str, str]:
        return {names.STORE: self.study.spec.store.uri}

    @property
    def pod_metadata(self) -> Object:
        template = self.study.spec.pod_template
        return {
            # the component is set whatever the Study says: the operator's Service and NetworkPolicy select by it
            "labels": _sorted(template.labels) | {names.COMPONENT: "stage"} | self.labels,
            "annotations": _sorted(template.annotations) | self.annotations,
        }

    # ---- command

    @property
    def module(self) -> list[str]:
        """What torchrun or the container's python runs: the stage with the arguments that it parses."""
        documents = {
            "config": self.stage.config,
            "store": self.study.spec.store.document(),
            "tracking": self.study.spec.tracking.document(),
            "publication": self.publication.document(),
        }
        arguments = {name: canonical_json(document) for name, document in documents.items()} | self.stage.inputs
        if (size := max(len(text.encode()) for text in arguments.values())) > MAX_ARGUMENT_BYTES:
            raise UserError(
                f"spec.targets: {self.stage.address} has an argument of {size} bytes, and a process takes "
                f"{MAX_ARGUMENT_BYTES}; split the targets or their languages over several studies"
            )
        # Kubernetes puts variables in place of $(NAME); $$ stands for a dollar
        options = [part for name, text in arguments.items() for part in (f"--{name}", text.replace("$", "$$"))]
        return ["-m", "xstilts.stages", self.stage.kind, "--key", self.stage.key, *options]

    @property
    def env(self) -> list[Object]:
        """By name, since server-side apply takes each name once; what a person sets wins."""
        own: list[Object] = [
            {"name": "XSTILTS_IMAGE", "value": self.image},
            {"name": "OMP_NUM_THREADS", "value": str(self.stage.threads)},
            {"name": POD_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": WORDS_VARIABLE, "value": TERMINATION_MESSAGE},
        ]
        store, tracking = self.study.spec.store, self.study.spec.tracking
        if store.ca_secret_ref:
            own.append({"name": "AWS_CA_BUNDLE", "value": f"{_CA_FOLDER}/{CA_KEY}"})
        if store.secret_ref:  # its keys are the whole identity: no file adds to it, nor has anything run to find one
            own += [{"name": name, "value": "/dev/null"} for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")]
        own += secret_variables(store.secret_ref, STORE_KEYS)
        own += secret_variables(tracking.secret_ref, TRACKING_KEYS)
        given = [pod_fields.variable(each) for each in self.study.spec.pod_template.env]
        return list({variable["name"]: variable for variable in [*own, *given]}.values())

    # ---- volumes

    @property
    def volumes(self) -> list[Object]:
        own: list[Object] = []
        if "/tmp" not in self._mounted:  # noqa: S108  (of the pod, not of this machine)
            own.append({"name": _TMP, "emptyDir": {}})
        if self._shm is not None:
            own.append({"name": _SHM, "emptyDir": self._shm})
        if ref := self.study.spec.store.ca_secret_ref:
            items = [{"key": CA_KEY, "path": CA_KEY}]
            own.append({"name": _CA, "secret": {"secretName": ref.name, "items": items}})
        return [*own, *(pod_fields.volume(volume) for volume in self.study.spec.pod_template.volumes)]

    @property
    def mounts(self) -> list[Object]:
        paths = {_TMP: "/tmp", _SHM: "/dev/shm", _CA: _CA_FOLDER}  # noqa: S108
        own = [
            {"name": volume["name"], "mountPath": paths[volume["name"]]}
            for volume in self.volumes
            if volume["name"] in paths
        ]
        return [*own, *(pod_fields.mount(volume) for volume in self.study.spec.pod_template.volumes)]

    @property
    def _shm(self) -> Object | None:
        """Processes of a node talk through /dev/shm, which has 64 MiB in a container unless something is mounted."""
        size = self.study.spec.pod_template.shm
        if "/dev/shm" in self._mounted or (size is None and self.asked.processes_per_node == 1):  # noqa: S108
            return None
        return {"medium": "Memory", **({"sizeLimit": size} if size else {})}

    @property
    def _mounted(self) -> set[str]:
        return {volume.mount_path.rstrip("/") for volume in self.study.spec.pod_template.volumes}

    # ---- resources and security

    @property
    def resources(self) -> Object:
        """A quarter of a core per thread where the Study names no CPU; no memory, which a person must know."""
        limits = {name: amount for name, amount in self.asked.requests.items() if _is_extended(name)}
        limits |= self.asked.limits  # Kubernetes wants limits of devices
        requests = dict(self.asked.requests)
        if "cpu" not in {*requests, *limits}:
            requests["cpu"] = f"{MILLICORES_PER_THREAD * self.stage.threads * self.asked.processes_per_node}m"
        parts = {"requests": _sorted(requests), "limits": _sorted(limits)}
        return {name: amounts for name, amounts in parts.items() if amounts}

    @property
    def security_context(self) -> Object:
        return {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,  # volumes of claims are writable
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }

    @property
    def container_security_context(self) -> Object:
        return {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }

    @property
    def placement(self) -> Object:
        """Fields of a pod, and of Trainer's patch of one, that a Study may set."""
        template = self.study.spec.pod_template
        fields: Object = {
            "serviceAccountName": template.service_account_name,
            "imagePullSecrets": [{"name": ref.name} for ref in template.image_pull_secrets],
            "nodeSelector": _sorted(template.node_selector),
            "tolerations": [pod_fields.toleration(toleration) for toleration in template.tolerations],
        }
        return {name: value for name, value in fields.items() if value}


def pod_template(pod: StagePod) -> Object:
    """The template of a Job's pods: one container, never restarted in place."""
    template = pod.study.spec.pod_template
    processes = pod.asked.processes_per_node
    module = pod.module
    launcher = ["-m", "xstilts.stages.together", "--nproc-per-node", str(processes)] if processes > 1 else []
    container: Object = {
        "name": CONTAINER,
        "image": pod.image,
        "command": ["python", *launcher, *module[:3]],
        "args": module[3:],
        "env": pod.env,
        "resources": pod.resources,
        "volumeMounts": pod.mounts,
        "securityContext": pod.container_security_context,
        "terminationMessagePath": TERMINATION_MESSAGE,
        "terminationMessagePolicy": "FallbackToLogsOnError",  # of a stage that left no words, its last lines
    }
    spec: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": template.service_account_name is not None,
        "enableServiceLinks": False,  # a Service called mlflow would set MLFLOW_PORT
        **pod.placement,
        **({"priorityClassName": template.priority_class_name} if template.priority_class_name else {}),
        "securityContext": pod.security_context,
        "containers": [{name: value for name, value in container.items() if value != []}],
        "volumes": pod.volumes,
    }
    return {"metadata": pod.pod_metadata, "spec": spec}


def _sorted(values: Mapping[str, str]) -> dict[str, str]:
    return {name: values[name] for name in sorted(values)}


def _is_extended(resource: str) -> bool:
    """Whether it is a device such as `nvidia.com/gpu`, of which nobody gets more than the limit says."""
    return "/" in resource
