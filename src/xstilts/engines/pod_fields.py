"""Fields of pods, as core/v1 has them, from fields of a Study's `podTemplate` and its references to secrets."""

from collections.abc import Mapping
from typing import Any

from xstilts.api.access import SecretRef
from xstilts.api.pods import EnvironmentVariable, Toleration, Volume

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON."""


def secret_variables(ref: SecretRef | None, keys: Mapping[str, bool]) -> list[Object]:
    """Keys of a Secret as variables of the same names; `keys` says which the Secret has to have."""
    if ref is None:
        return []
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": key, "optional": not required}}}
        for key, required in keys.items()
    ]


def variable(given: EnvironmentVariable) -> Object:
    """With its value, or where it comes from."""
    if ref := given.secret_key_ref:
        return {"name": given.name, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": ref.key}}}
    if ref := given.config_map_key_ref:
        return {"name": given.name, "valueFrom": {"configMapKeyRef": {"name": ref.name, "key": ref.key}}}
    return {"name": given.name, "value": given.value}


def volume(given: Volume) -> Object:
    if given.claim_name:
        source: Object = {"persistentVolumeClaim": {"claimName": given.claim_name}}
    elif given.config_map:
        source = {"configMap": {"name": given.config_map}}
    elif given.secret:
        source = {"secret": {"secretName": given.secret}}
    else:
        source = {"emptyDir": {"sizeLimit": given.empty_dir_size}}
    return {"name": given.name, **source}


def mount(given: Volume) -> Object:
    return {
        "name": given.name,
        "mountPath": given.mount_path,
        **({"readOnly": True} if given.read_only else {}),
    }


def toleration(given: Toleration) -> Object:
    return {name: value for name, value in given.document().items() if value is not None}
