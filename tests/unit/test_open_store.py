"""From addresses to stores, and what each way of opening one costs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xstilts.core.errors import UserError
from xstilts.store import ObjectStore, open_store
from xstilts.store.directory import DirectoryStore
from xstilts.store.memory import MemoryStore
from xstilts.store.s3 import S3Store

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.mark.parametrize("form", ["{}", "file:{}", "file://{}"])
def test_a_directory_is_opened_from_each_of_its_spellings(tmp_path: Path, form: str) -> None:
    store = open_store(form.format(tmp_path / "store"))
    assert isinstance(store, DirectoryStore)
    assert store.uri == f"file:{tmp_path}/store"


def test_opening_a_directory_creates_nothing(tmp_path: Path) -> None:
    assert open_store(str(tmp_path / "store")).head("a") is None
    assert list(tmp_path.iterdir()) == []


def test_memory_is_new_each_time() -> None:
    store = open_store("memory:")
    store.put("a", b"1")
    assert isinstance(store, MemoryStore)
    assert open_store("memory:").head("a") is None


def test_a_bucket_is_opened_with_and_without_a_prefix() -> None:
    assert open_store("s3://bucket/a/prefix/", region="eu-west-1").uri == "s3://bucket/a/prefix"
    assert open_store("s3://bucket", region="eu-west-1").uri == "s3://bucket"


@pytest.mark.parametrize(
    "uri", ["gs://bucket/prefix", "s3:bucket", "s3:///prefix", "memory:shared", "file:", "", "s3://bucket?versions"]
)
def test_another_address_is_refused_with_the_allowed_ones(uri: str) -> None:
    with pytest.raises(UserError, match=r"write s3://bucket/prefix|write file:/directory"):
        open_store(uri)


@pytest.mark.parametrize(
    ("uri", "endpoint"),
    [("s3://key:secret@bucket/prefix", None), ("s3://bucket", "http://key:secret@127.0.0.1:9")],
    ids=["in the uri", "in the endpoint"],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(uri: str, endpoint: str | None) -> None:
    with pytest.raises(UserError, match="environment") as refusal:
        open_store(uri, endpoint=endpoint)
    assert "secret" not in str(refusal.value)


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    with pytest.raises(UserError, match="endpoint 'nonsense'"):
        open_store("s3://bucket", endpoint="nonsense", region="eu-west-1")


def test_a_ca_bundle_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ca\.pem is no file"):
        open_store("s3://bucket", ca_bundle=tmp_path / "ca.pem")


def test_a_directory_store_imports_no_s3_client() -> None:
    program = "import sys; from xstilts.store import open_store; open_store('.'); print('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == (
        "False\n"
    )


@pytest.mark.parametrize(
    ("path_style", "endpoint", "address"),
    [
        (True, "https://s3.example", "https://s3.example/bucket/prefix/"),
        (False, "https://s3.example", "https://bucket.s3.example/prefix/"),
        (None, "https://s3.example", "https://s3.example/bucket/prefix/"),
        (True, None, "https://s3.eu-west-1.amazonaws.com/bucket/prefix/"),
        (False, None, "https://bucket.s3.eu-west-1.amazonaws.com/prefix/"),
        (None, None, "https://bucket.s3.eu-west-1.amazonaws.com/prefix/"),
    ],
)
def test_a_bucket_is_addressed_as_path_style_says(
    path_style: bool | None, endpoint: str | None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    store = open_store("s3://bucket/prefix", endpoint=endpoint, region="eu-west-1", path_style=path_style)
    assert requested(store, "a").partition("?")[0] == f"{address}a"


def test_where_nothing_is_said_the_profile_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n    addressing_style = virtual\n")
    for name, value in {**CREDENTIALS, "AWS_CONFIG_FILE": str(config)}.items():
        monkeypatch.setenv(name, value)
    store = open_store("s3://bucket/prefix", endpoint="https://s3.example", region="eu-west-1")
    assert requested(store, "a") == "https://bucket.s3.example/prefix/a"


def requested(store: ObjectStore, key: str) -> str:
    """The address that a read of the key asks; nothing is sent."""

    class Sent(Exception):
        pass

    def stop(request: Any, **_: object) -> None:
        raise Sent(request.url)

    assert isinstance(store, S3Store)
    store._client.meta.events.register("before-send.s3", stop)
    with pytest.raises(Sent) as sent:
        store.read(key)
    return str(sent.value)
