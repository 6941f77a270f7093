"""How the pods of a study's stages look: what people add to the Jobs that the operator makes."""

import re
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from xstilts.api.access import SecretRef
from xstilts.api.base import Model, require_unique

QUANTITY = r"^[0-9]+([.][0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
_LONGEST_QUANTITY = 32


def _quantity(value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or len(text) > _LONGEST_QUANTITY or not re.fullmatch(QUANTITY, text):
        raise ValueError(f'{value!r} is no quantity: write a number with a unit, such as "500m", "8" or "16Gi"')
    return text


Quantity = Annotated[
    str,
    BeforeValidator(
        _quantity,
        json_schema_input_type=Annotated[str, StringConstraints(pattern=QUANTITY, max_length=_LONGEST_QUANTITY)]
        | Annotated[int, Field(ge=0)],
    ),
]
"""An amount as in pods: `500m`, `8`, `16Gi`."""

LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
LabelValue = Annotated[str, StringConstraints(pattern=LABEL_VALUE, max_length=63)]

QUALIFIED_NAME = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
QualifiedName = Annotated[str, StringConstraints(pattern=QUALIFIED_NAME)]
"""Name of a label, an annotation or a resource, such as `nvidia.com/gpu`."""

Labels = Annotated[dict[QualifiedName, LabelValue], Field(max_length=32)]
Annotations = Annotated[dict[QualifiedName, Annotated[str, StringConstraints(max_length=8192)]], Field(max_length=32)]
Quantities = Annotated[dict[QualifiedName, Quantity], Field(max_length=16)]


class KeyRef(Model):
    """One key of a Secret or ConfigMap."""

    name: str = Field(min_length=1, max_length=253)
    """Name of the Secret or ConfigMap."""
    key: str = Field(min_length=1, max_length=253)
    """Key in it."""


class EnvironmentVariable(Model):
    """A variable of the stages' processes. Exactly one of value, secretKeyRef and configMapKeyRef."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=253)
    """Name of the variable."""
    value: str | None = Field(None, max_length=8192)
    """Its value as it is."""
    secret_key_ref: KeyRef | None = None
    """Key of a Secret that holds the value."""
    config_map_key_ref: KeyRef | None = None
    """Key of a ConfigMap that holds the value."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [source for source in (self.value, self.secret_key_ref, self.config_map_key_ref) if source is not None]
        if len(given) != 1:
            raise ValueError(f"{self.name}: give exactly one of value, secretKeyRef and configMapKeyRef")
        return self


class Volume(Model):
    """A volume and where it is mounted. Exactly one of claimName, configMap, secret and emptyDirSize."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    """Name of the volume in the pod."""
    mount_path: str = Field(pattern=r"^/[^:]*$", max_length=1024)
    """Absolute path at which the stages see it."""
    read_only: bool = False
    """Stages may only read it."""
    claim_name: str | None = Field(None, max_length=253)
    """PersistentVolumeClaim in the study's namespace."""
    config_map: str | None = Field(None, max_length=253)
    """ConfigMap in the study's namespace."""
    secret: str | None = Field(None, max_length=253)
    """Secret in the study's namespace."""
    empty_dir_size: Quantity | None = None
    """Limit of an empty directory, such as `20Gi`."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [s for s in (self.claim_name, self.config_map, self.secret, self.empty_dir_size) if s is not None]
        if len(given) != 1:
            raise ValueError(f"{self.name}: give exactly one of claimName, configMap, secret and emptyDirSize")
        return self


class Toleration(Model):
    """As in core/v1."""

    key: str | None = Field(None, max_length=316)
    """Taint that is tolerated; every one where unset, with operator Exists."""
    operator: str | None = Field(None, pattern=r"^(Exists|Equal)$", max_length=6)
    """`Exists` for any value, or `Equal`, which counts where unset."""
    value: str | None = Field(None, max_length=63)
    """Value of the taint; Equal only."""
    effect: str | None = Field(None, pattern=r"^(NoSchedule|PreferNoSchedule|NoExecute)$", max_length=16)
    """Effect of the taint; every one where unset."""
    toleration_seconds: int | None = Field(None, ge=0)
    """Seconds for which a pod stays on the node; for ever where unset. NoExecute only."""


class PodTemplate(Model):
    """Added to the pods of every stage; engines Jobs and Kubeflow."""

    image: str | None = Field(None, max_length=1024)
    """Trainer image, best by digest; the operator's own default where unset."""
    service_account_name: str | None = Field(None, max_length=253)
    """ServiceAccount that the stages run as; the namespace's default where unset."""
    image_pull_secrets: tuple[SecretRef, ...] = Field((), max_length=8)
    """Secrets with credentials of the image's registry."""
    node_selector: Labels = Field(default_factory=dict)
    """Labels of the nodes that stages may run on."""
    tolerations: tuple[Toleration, ...] = Field((), max_length=32)
    """Taints of nodes that stages may run on all the same."""
    priority_class_name: str | None = Field(None, max_length=253)
    """PriorityClass of the pods."""
    env: tuple[EnvironmentVariable, ...] = Field((), max_length=64)
    """Environment variables of the stages."""
    volumes: tuple[Volume, ...] = Field((), max_length=16)
    """Volumes of the stages, such as one with a CA bundle."""
    shm: Quantity | None = None
    """Size of /dev/shm, such as `8Gi`: memory through which the processes of a node talk."""
    labels: Labels = Field(default_factory=dict)
    """Labels of the pods, beside the operator's own."""
    annotations: Annotations = Field(default_factory=dict)
    """Annotations of the pods."""

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        require_unique("imagePullSecrets", [secret.name for secret in self.image_pull_secrets])
        require_unique("env", [variable.name for variable in self.env])
        require_unique("volumes", [volume.name for volume in self.volumes])
        return self
