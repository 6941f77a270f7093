"""What the processes that ask stores and servers know: documented keys of a Study's Secrets, and what is lent."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from cluster.certificates import self_signed
from simulation import study_document
from xstilts.api.names import Reason
from xstilts.api.study import Study
from xstilts.cluster.memory import MemoryCluster
from xstilts.cluster.port import SECRETS
from xstilts.controller.credentials import Credentials, SecretError, Secrets
from xstilts.controller.lending import Lending

KEYS = {"AWS_ACCESS_KEY_ID": "study", "AWS_SECRET_ACCESS_KEY": "study"}
RUNS_CODE = (
    *("LD_PRELOAD", "PYTHONPATH", "PYTHONSTARTUP", "PATH", "HOME", "BASH_ENV"),
    *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL"),
    *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "HTTPS_PROXY"),
    *("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_INSECURE_TLS", "XSTILTS_ANYTHING"),
)
"""Variables that run something, or ask somebody else."""
OWN = {
    "PATH": "/bin",
    "HOME": "/home/operator",
    "AWS_CA_BUNDLE": "/etc/ca.crt",
    "AWS_ACCESS_KEY_ID": "operator",
    "AWS_SECRET_ACCESS_KEY": "operator",
    "AWS_SESSION_TOKEN": "operator",
    "AWS_PROFILE": "operator",
    "AWS_ROLE_ARN": "operator",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/operator",
    "AWS_CONFIG_FILE": "/operator",
    "MLFLOW_TRACKING_USERNAME": "operator",
    "MLFLOW_TRACKING_PASSWORD": "operator",
    "MLFLOW_TRACKING_AUTH": "operator",
    "HF_TOKEN": "operator",
}
"""Of an operator that has everything."""


class World:
    def __init__(self, *lent: str) -> None:
        self.cluster = MemoryCluster()
        self.secrets = Secrets(self.cluster, Lending.parse(lent))

    def secret(self, name: str, values: dict[str, str | bytes]) -> None:
        data = {
            key: base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
            for key, value in values.items()
        }
        self.cluster.create(SECRETS, {"metadata": {"name": name, "namespace": "team"}, "data": data})

    def credentials(self, **changes: Any) -> Credentials:
        return self.secrets.credentials("team", study(**changes))

    def refusal(self, **changes: Any) -> SecretError:
        with pytest.raises(SecretError) as refused:
            self.credentials(**changes)
        return refused.value


def study(*, store: dict[str, Any] | None = None, tracking: dict[str, Any] | None = None, **spec: Any) -> Study:
    changes = {
        "model": {"uri": "s3://bucket/model"},
        "store": {"uri": "s3://bucket/prefix"} | (store or {"secretRef": {"name": "s3"}}),
        "tracking": {"uri": "http://mlflow:5000"} | (tracking or {}),
    }
    return Study.model_validate(study_document(**(changes | spec)))


def known(credentials: Credentials, folder: Path) -> dict[str, str]:
    """Everything that says who asks."""
    found = credentials.environment(OWN, folder)
    return {name: value for name, value in found.items() if name.startswith(("AWS_", "MLFLOW_", "HF_"))}


# ---- of Secrets


def test_of_a_secret_only_the_documented_keys_are_passed_on(tmp_path: Path) -> None:
    world = World()
    world.secret("s3", KEYS | dict.fromkeys(RUNS_CODE, "evil"))
    world.secret("mlflow", {"MLFLOW_TRACKING_TOKEN": "study"} | dict.fromkeys(RUNS_CODE, "evil"))
    found = world.credentials(tracking={"secretRef": {"name": "mlflow"}})
    assert found.variables == KEYS | {"MLFLOW_TRACKING_TOKEN": "study"}
    assert "evil" not in found.environment(OWN, tmp_path).values()
    said = world.secrets.unused("team", study(tracking={"secretRef": {"name": "mlflow"}}))
    assert "Secret 's3': not used: AWS_CA_BUNDLE" in said
    assert "Secret 'mlflow': not used: AWS_CA_BUNDLE" in said


def test_keys_of_one_service_are_not_taken_from_the_secret_of_another() -> None:
    world = World()
    world.secret("s3", KEYS | {"MLFLOW_TRACKING_TOKEN": "study"})
    assert world.credentials().variables == KEYS
    assert world.credentials(tracking={"secretRef": {"name": "s3"}}).variables == KEYS | {
        "MLFLOW_TRACKING_TOKEN": "study"
    }


def test_a_study_with_secrets_has_nothing_of_the_operators_identity(tmp_path: Path) -> None:
    world = World("s3://bucket", "http://mlflow:5000", "https://huggingface.co")
    world.secret("s3", KEYS)
    world.secret("mlflow", {"MLFLOW_TRACKING_TOKEN": "study"})
    world.secret("hub", {"HF_TOKEN": "study"})
    model = {"name": "org/private", "tokenSecretRef": {"name": "hub"}}
    found = world.credentials(tracking={"secretRef": {"name": "mlflow"}}, model=model)
    assert known(found, tmp_path) == KEYS | {
        "MLFLOW_TRACKING_TOKEN": "study",
        "HF_TOKEN": "study",
        "HF_TOKEN_PATH": os.devnull,
        "AWS_CA_BUNDLE": "/etc/ca.crt",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert found.environment(OWN, tmp_path)["HOME"] == str(tmp_path)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        pytest.param(b"\xff\xfe", "is not UTF-8", id="other bytes"),
        pytest.param("a\0b", "has a line break or another control character", id="NUL"),
        pytest.param("secret\n", "has a line break or another control character", id="end of line"),
    ],
)
def test_a_value_that_no_variable_can_hold_is_refused_by_secret_and_key(value: str | bytes, complaint: str) -> None:
    world = World()
    world.secret("s3", KEYS | {"AWS_SESSION_TOKEN": value})
    error = world.refusal()
    assert f"spec.store.secretRef: key AWS_SESSION_TOKEN of Secret 's3' {complaint}" in str(error)
    assert (error.reason, error.service) == (Reason.UNREADABLE, "store")


def test_a_value_that_nobody_uses_may_be_anything() -> None:
    world = World()
    world.secret("s3", KEYS | {"keystore.jks": b"\xfe\xed\0"})
    assert world.credentials().variables == KEYS


def test_a_secret_without_a_key_that_it_has_to_have_is_refused() -> None:
    world = World("s3://bucket")
    world.secret("s3", {"AWS_ACCESS_KEY_ID": "study"})
    world.secret("mlflow", {"token": "study"})
    assert "Secret 's3' has no key AWS_SECRET_ACCESS_KEY" in str(world.refusal())
    error = world.refusal(store={"region": "eu"}, tracking={"secretRef": {"name": "mlflow"}})
    assert "Secret 'mlflow' has none of MLFLOW_TRACKING_USERNAME" in str(error)
    assert error.service == "tracking"


# ---- certificates


def test_of_a_bundle_only_its_certificates_are_written(tmp_path: Path) -> None:
    first, second = (self_signed(tmp_path, name).file.read_text() for name in ("a", "b"))
    world = World()
    world.secret("s3", KEYS)
    world.secret("ca", {"ca.crt": f"[default]\ncredential_process = touch /x\n{first}# comment\n{second}[profile]\n"})
    found = world.credentials(store={"secretRef": {"name": "s3"}, "caSecretRef": {"name": "ca"}})
    bundle = Path(known(found, tmp_path)["AWS_CA_BUNDLE"])
    assert bundle.parent == tmp_path
    assert bundle.read_text() == first + second


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("[default]\ncredential_process = touch /x\n", "has no certificate; write PEM", id="a config file"),
        pytest.param(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "no valid certificate at place 1",
            id="PEM",
        ),
        pytest.param(b"\x30\x82\xff", "is not UTF-8", id="DER"),
    ],
)
def test_what_is_no_certificate_is_refused(text: str | bytes, complaint: str) -> None:
    world = World()
    world.secret("s3", KEYS)
    world.secret("ca", {"ca.crt": text})
    error = world.refusal(store={"secretRef": {"name": "s3"}, "caSecretRef": {"name": "ca"}})
    assert "spec.store.caSecretRef: key ca.crt of Secret 'ca'" in str(error)
    assert complaint in str(error)


# ---- what is lent


def test_a_store_without_a_secret_is_refused_unless_its_address_is_listed(tmp_path: Path) -> None:
    own = {"region": "eu"}
    error = World("s3://others").refusal(store=own)
    assert error.reason == Reason.NOT_LENT
    assert "spec.store.uri: s3://bucket/prefix is not among the addresses" in str(error)
    assert "lendIdentityTo" in str(error)
    found = World("s3://bucket").credentials(store=own)
    assert found.lent == {"store"}
    environment = known(found, tmp_path)
    assert {environment["AWS_ACCESS_KEY_ID"], environment["AWS_ROLE_ARN"]} == {"operator"}
    assert environment["AWS_CONFIG_FILE"] == "/operator"
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == "/home/operator/.aws/credentials"
    assert not [name for name in environment if name.startswith("MLFLOW_")]


def test_a_model_in_another_bucket_is_not_read_with_the_operators_identity() -> None:
    error = World("s3://bucket/prefix").refusal(store={"region": "eu"}, model={"uri": "s3://secret/model"})
    assert "spec.model.uri: s3://secret/model is not among the addresses" in str(error)


@pytest.mark.parametrize(("listed", "user"), [((), None), (("http://mlflow:5000",), "operator")])
def test_a_server_without_a_secret_is_asked_as_nobody_unless_it_is_listed(
    listed: tuple[str, ...], user: str | None, tmp_path: Path
) -> None:
    world = World(*listed)
    world.secret("s3", KEYS)
    environment = known(world.credentials(), tmp_path)
    assert environment.get("MLFLOW_TRACKING_USERNAME") == environment.get("MLFLOW_TRACKING_AUTH") == user
    assert environment["AWS_ACCESS_KEY_ID"] == "study"
