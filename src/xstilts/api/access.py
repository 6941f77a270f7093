"""How a study reaches what lies outside: object store, MLflow, engine."""

from collections.abc import Mapping
from enum import StrEnum

from pydantic import ConfigDict, Field

from xstilts.api.addresses import Address, HttpAddress
from xstilts.api.base import Model

STORE_KEYS: Mapping[str, bool] = {
    "AWS_ACCESS_KEY_ID": True,
    "AWS_SECRET_ACCESS_KEY": True,
    "AWS_SESSION_TOKEN": False,
    "AWS_REQUEST_CHECKSUM_CALCULATION": False,
    "AWS_RESPONSE_CHECKSUM_VALIDATION": False,
}
"""Variables that a store's Secret may set, and whether it has to. Anything else in a Secret reaches no process: other
variables of boto3 and of the system run commands, or send credentials elsewhere."""
TRACKING_KEYS: Mapping[str, bool] = dict.fromkeys(
    ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"), False
)
"""The same for a tracking server's Secret, which has a token, or user and password."""
HUB_KEYS: Mapping[str, bool] = {"HF_TOKEN": True}
"""The same for the Secret of a model."""
CA_KEY = "ca.crt"


class SecretRef(Model):
    """A Kubernetes secret in the study's namespace."""

    name: str = Field(min_length=1, max_length=253)
    """Name of the Secret."""


class StoreSpec(Model):
    """The object store that holds data sets, artifacts and plans."""

    model_config = ConfigDict(hide_input_in_errors=True)

    uri: Address = Field(min_length=1, max_length=1024)
    """`s3://bucket/prefix`, or a directory for the Local engine (relative to where the command runs)."""
    endpoint: HttpAddress | None = Field(None, max_length=1024)
    """URL of an S3-compatible service; AWS where unset."""
    region: str | None = Field(None, max_length=64)
    """Region of the bucket, where the service has regions."""
    path_style: bool | None = None
    """`true`: `https://endpoint/bucket/key`, as most S3-compatible services need; `false`: `https://bucket.endpoint/key`
    (an IP address is always addressed by path); unset: by host name on AWS and by path on other endpoints, or as
    `addressing_style` of the AWS profile says."""
    ca_secret_ref: SecretRef | None = None
    """Secret with `ca.crt`, the certificate authority of the endpoint."""
    secret_ref: SecretRef | None = None
    """Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, and if need be `AWS_SESSION_TOKEN`,
    `AWS_REQUEST_CHECKSUM_CALCULATION` and `AWS_RESPONSE_CHECKSUM_VALIDATION`; other keys are not used. Where unset,
    the pod's own identity."""


class TrackingSpec(Model):
    """The MLflow server that checkpoints and scores are published to."""

    model_config = ConfigDict(hide_input_in_errors=True)

    uri: Address = Field(min_length=1, max_length=1024)
    """`http(s)://…`, or `sqlite:///file.db` for the Local engine."""
    experiment: str | None = Field(None, max_length=256)
    """The study's name where unset."""
    secret_ref: SecretRef | None = None
    """Secret with `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, or with `MLFLOW_TRACKING_TOKEN`; other
    keys are not used."""


class EngineType(StrEnum):
    """Where stages run."""

    LOCAL = "Local"
    JOBS = "Jobs"
    KUBEFLOW = "Kubeflow"


class EngineSpec(Model):
    """Where the stages run, and how that is reached."""

    type: EngineType | None = None
    """Where unset, Local for `xstilts run` and Jobs on a cluster."""
    endpoint: HttpAddress | None = Field(None, max_length=1024)
    """URL of the Kubeflow Pipelines API; Kubeflow only."""
    namespace: str | None = Field(None, max_length=63)
    """Namespace of the pipeline runs; Kubeflow only."""
    token_secret_ref: SecretRef | None = None
    """Secret with the bearer token of the API; Kubeflow only."""
    queue_name: str | None = Field(None, max_length=63)
    """LocalQueue of Kueue, which admits the Jobs; Jobs only."""
