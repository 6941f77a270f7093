"""Addresses in a Study hold no credentials: they stand in arguments, reports and statuses."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from studies import study_document
from xstilts.api.access import StoreSpec, TrackingSpec
from xstilts.api.addresses import normalized, redacted
from xstilts.api.load import InvalidDocument, parse_study
from xstilts.core.errors import UserError
from xstilts.store.open import open_store
from xstilts.tracking import open_tracker

FIELDS = {
    "store.uri": ("store", "uri", {}),
    "store.endpoint": ("store", "endpoint", {"uri": "s3://bucket/prefix"}),
    "tracking.uri": ("tracking", "uri", {}),
    "engine.endpoint": ("engine", "endpoint", {"type": "Kubeflow"}),
    "model.uri": ("model", "uri", {}),
}
HTTP = {"store.endpoint", "tracking.uri", "engine.endpoint"}


def read(field: str, address: str) -> Any:
    section, name, others = FIELDS[field]
    document = study_document(**{section: {**others, name: address}})
    return getattr(getattr(parse_study(yaml.safe_dump(document)).spec, section), name)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "address",
    [
        "{scheme}://user:hunter2@host",
        "{scheme}://hunter2@host/path",
        "{scheme}://user:hun/ter2@host:80/path",
        "{scheme}://host/path?token=hunter2",
        "{scheme}://host#hunter2",
        "{scheme}://host\\@hunter2",
        "postgresql://user:hunter2@host/db",
    ],
)
def test_an_address_with_credentials_is_refused_by_its_field_and_never_repeated(field: str, address: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        read(field, address.format(scheme="https" if field in HTTP else "s3"))
    assert f"spec.{field}: " in str(refused.value)
    assert "Secret" in str(refused.value)
    if "@host" in address:
        assert "hun" not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "address"),
    [
        ("store.uri", "s3://bucket/a/b@c"),
        ("store.uri", "/data/me@home"),
        ("store.endpoint", "http://127.0.0.1:9000"),
        ("tracking.uri", "sqlite:////data/me@home/mlflow.db"),
        ("tracking.uri", "https://[::1]:5000/team/"),
        ("model.uri", "s3://bucket/models/xlm-r@1f2e"),
        ("model.uri", "models/xlm-r"),
    ],
)
def test_other_addresses_stay_as_they_are(field: str, address: str) -> None:
    assert read(field, address) == address


def test_an_endpoint_is_a_url() -> None:
    with pytest.raises(InvalidDocument, match=r"spec\.store\.endpoint: 'localhost:9000' is not a URL"):
        read("store.endpoint", "localhost:9000")


@pytest.mark.parametrize("model", [StoreSpec, TrackingSpec])
def test_what_a_stage_logs_of_a_section_that_is_wrong_does_not_repeat_it(
    model: type[StoreSpec] | type[TrackingSpec],
) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate_json('{"uri": "postgresql://user:hunter2@host", "misspelt": "hunter2"}')
    assert "hunter2" not in str(refused.value)


def test_addresses_given_by_hand_are_judged_by_the_same_rule() -> None:
    with pytest.raises(UserError, match="without user, password") as refused:
        open_store("s3://bucket", endpoint="https://user:hunter2@host")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(UserError, match="without user, password") as refused:
        open_tracker("http://user:hunter2@host", experiment="e", store="s3://b")
    assert "hunter2" not in str(refused.value)


def test_messages_lose_passwords_with_slashes_and_without_a_slash_before() -> None:
    assert redacted("GET http://me:a/b@host/x failed") == "GET http://host/x failed"
    assert redacted("http:me:secret@host") == "http://host"


def test_an_address_has_one_spelling() -> None:
    assert normalized("HTTPS://S3.Example:443/") == normalized("https://s3.example")
    assert normalized("http://[::1]:9000/a/") == "http://[::1]:9000/a"
