"""The environment of the processes that ask stores and servers."""

import pytest

from xstilts.controller.desk import own_environment


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator has credentials of its own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.setenv(name, "operator")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/ca.crt")


def identity(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(("AWS_", "MLFLOW_"))}


@pytest.mark.usefixtures("operators")
def test_keys_of_a_study_stand_alone_and_the_server_is_asked_as_the_operator() -> None:
    found = own_environment({"AWS_ACCESS_KEY_ID": "study", "AWS_SECRET_ACCESS_KEY": "study"})
    assert identity(found) == {
        "AWS_ACCESS_KEY_ID": "study",
        "AWS_SECRET_ACCESS_KEY": "study",
        "AWS_CA_BUNDLE": "/etc/ca.crt",
        "MLFLOW_TRACKING_USERNAME": "operator",
    }


@pytest.mark.usefixtures("operators")
def test_a_token_of_a_study_is_not_beside_a_name_of_the_operator() -> None:
    found = own_environment({"MLFLOW_TRACKING_TOKEN": "study"})
    assert {name for name in found if name.startswith("MLFLOW_")} == {"MLFLOW_TRACKING_TOKEN"}


@pytest.mark.usefixtures("operators")
def test_a_study_without_secrets_is_served_with_what_the_operator_has() -> None:
    assert own_environment({})["AWS_SESSION_TOKEN"] == "operator"
