"""How the pods of a study's stages look: what people add to the Jobs that the operator makes."""

from typing import Self

from pydantic import Field, model_validator

from xstilts.api.access import SecretRef
from xstilts.api.base import Model


class KeyRef(Model):
    """One key of a Secret or ConfigMap."""

    name: str = Field(min_length=1, max_length=253)
    key: str = Field(min_length=1, max_length=253)


class EnvironmentVariable(Model):
    """A variable of the stages' processes. At most one of value, secretKeyRef and configMapKeyRef."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=253)
    value: str | None = Field(None, max_length=8192)
    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [source for source in (self.value, self.secret_key_ref, self.config_map_key_ref) if source is not None]
        if len(given) != 1:
            raise ValueError(f"{self.name}: give exactly one of value, secretKeyRef and configMapKeyRef")
        return self


class Volume(Model):
    """A volume and where it is mounted. Exactly one of claimName, configMap, secret and emptyDirSize."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    mount_path: str = Field(pattern=r"^/[^:]*$", max_length=1024)
    read_only: bool = False
    claim_name: str | None = Field(None, max_length=253)
    """PersistentVolumeClaim in the study's namespace."""
    config_map: str | None = Field(None, max_length=253)
    secret: str | None = Field(None, max_length=253)
    empty_dir_size: str | None = Field(None, max_length=32)
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
    operator: str | None = Field(None, pattern=r"^(Exists|Equal)$")
    value: str | None = Field(None, max_length=63)
    effect: str | None = Field(None, pattern=r"^(NoSchedule|PreferNoSchedule|NoExecute)$")
    toleration_seconds: int | None = Field(None, ge=0)


class PodTemplate(Model):
    """Added to the pods of every stage; engines Jobs and Kubeflow."""

    image: str | None = Field(None, max_length=1024)
    """Trainer image, best by digest; the operator's own default where unset."""
    service_account_name: str | None = Field(None, max_length=253)
    image_pull_secrets: tuple[SecretRef, ...] = Field((), max_length=8)
    node_selector: dict[str, str] = Field(default_factory=dict, max_length=32)
    tolerations: tuple[Toleration, ...] = Field((), max_length=32)
    priority_class_name: str | None = Field(None, max_length=253)
    env: tuple[EnvironmentVariable, ...] = Field((), max_length=64)
    volumes: tuple[Volume, ...] = Field((), max_length=16)
    shm: str | None = Field(None, pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti)?$", max_length=32)
    """Size of /dev/shm, such as `8Gi`: memory through which the processes of a node talk."""
    labels: dict[str, str] = Field(default_factory=dict, max_length=32)
    annotations: dict[str, str] = Field(default_factory=dict, max_length=32)
