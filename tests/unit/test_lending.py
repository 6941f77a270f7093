"""The operator's own identity goes to addresses that the installation lists, and to no other."""

import pytest

from xstilts.controller.lending import Lending
from xstilts.core.errors import UserError

LISTED = Lending.parse(
    [
        "s3://team/studies",
        "s3://lab?endpoint=https://S3.example:443/",
        "https://mlflow.example/",
        "https://huggingface.co",
    ]
)


@pytest.mark.parametrize(
    ("uri", "endpoint", "covered"),
    [
        ("s3://team/studies", None, True),
        ("s3://team/studies/", None, True),
        ("s3://team/studies/one", None, True),
        ("s3://team/studies-of-others", None, False),
        ("s3://team", None, False),
        ("s3://other/studies", None, False),
        ("s3://team/studies/../secret", None, False),
        ("s3://team/studies//x", None, False),
        ("s3://team/studies", "https://evil.example", False),
        ("s3://lab/anything", "https://s3.example", True),
        ("s3://lab", "https://s3.example/", True),
        ("s3://lab", None, False),
        ("s3://lab", "http://s3.example", False),
        ("s3://lab", "https://s3.example:8443", False),
        ("/team/studies", None, False),
    ],
)
def test_a_bucket_is_covered_with_its_endpoint_and_by_whole_parts_of_its_prefix(
    uri: str, endpoint: str | None, covered: bool
) -> None:
    assert LISTED.covers_bucket(uri, endpoint=endpoint) is covered


@pytest.mark.parametrize(
    ("uri", "covered"),
    [
        ("https://mlflow.example", True),
        ("https://MLflow.example:443/", True),
        ("http://mlflow.example", False),
        ("https://mlflow.example/elsewhere", False),
        ("https://mlflow.example.evil.example", False),
    ],
)
def test_a_server_is_covered_by_its_very_address(uri: str, covered: bool) -> None:
    assert LISTED.covers_server(uri) is covered


def test_nothing_is_lent_by_default() -> None:
    nothing = Lending.parse([])
    assert not nothing.covers_bucket("s3://team/studies")
    assert not nothing.covers_server("https://mlflow.example")
    assert not nothing.covers_hub
    assert LISTED.covers_hub


@pytest.mark.parametrize(
    "address",
    ["team/studies", "s3://key:secret@team", "s3://team?region=eu", "s3://team?endpoint=s3.example", "ftp://x"],
)
def test_an_address_that_could_not_be_compared_is_refused_with_those_that_can(address: str) -> None:
    with pytest.raises(UserError, match=r"--lend-identity-to .*s3://bucket/prefix\?endpoint=https://host:port"):
        Lending.parse([address])
