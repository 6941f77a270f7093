"""Fields of pods, as core/v1 has them, from fields of a Study's `podTemplate` and its references to secrets."""

from typing import Any

from xstilts.api.access import SecretRef
from xstilts.api.pods import EnvironmentVariable, Toleration, Volume

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON."""

STORE_KEYS = {"AWS_ACCESS_KEY_ID": False, "AWS_SECRET_ACCESS_KEY": False, "AWS_SESSION_TOKEN": True}
"""Variables of the store's Secret, and whether a Secret without it will do."""
TRACKING_KEYS = dict.fromkeys(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"), True)


def secret_variables(ref: SecretRef | None, keys: dict[str, bool]) -> list[Object]:
    """Credentials as single variables, for objects that take no whole Secret."""
    if ref is None:
        return []
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": key, "optional": optional}}}
        for key, optional in keys.items()
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
