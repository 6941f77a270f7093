"""Credentials come from the environment alone, so a process that is given a Secret's keys acts for that Study and no other.

That is how stages get them, and how one operator serves Studies with different secrets: in child processes.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from cluster import s3
from cluster.certificates import Certificate, self_signed
from cluster.http_servers import TlsServer, serving
from xstilts.store.open import open_store

IN_STORE = """
import sys
from xstilts.store.open import open_store
uri, endpoint = sys.argv[1:]
print(open_store(uri, endpoint=endpoint, path_style=True).read("greeting").decode())
"""
AT_MLFLOW = """
import sys
from xstilts.tracking.connection import Connection
print(Connection(sys.argv[1]).server_version())
"""


def child(code: str, *arguments: str, environment: Mapping[str, str]) -> str:
    """What a process prints whose environment is this and nothing else; of one that fails the last line of its error."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_two_processes_with_different_keys_are_two_users_of_one_s3_server(s3_credentials: s3.S3Server) -> None:
    uri = f"s3://{s3_credentials.bucket}/credentials"
    store = open_store(uri, endpoint=s3_credentials.endpoint, path_style=True)
    store.put("greeting", b"hello")
    secret = dict(s3_credentials.environment)
    wrong = secret | {"AWS_SECRET_ACCESS_KEY": "another"}
    region = {name: value for name, value in secret.items() if name == "AWS_REGION"}
    assert child(IN_STORE, uri, s3_credentials.endpoint, environment=secret) == "hello"
    assert "the credentials are wrong" in child(IN_STORE, uri, s3_credentials.endpoint, environment=wrong)
    assert "no credentials" in child(IN_STORE, uri, s3_credentials.endpoint, environment=region)
    store.delete("greeting")


class Handler(BaseHTTPRequestHandler):
    """Answers like S3 to `/bucket/...`, and tells who asks for MLflow's version."""

    def do_GET(self) -> None:
        body = b"hello" if self.path.startswith("/bucket/") else self.headers.get("Authorization", "nobody").encode()
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"), "server")


@pytest.fixture(scope="module")
def server(authority: Certificate) -> Iterator[TlsServer]:
    with serving(TlsServer(Handler, authority)) as server:
        yield server


def test_a_store_behind_a_private_authority_is_trusted_by_its_bundle_alone(
    server: TlsServer, authority: Certificate
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    bundle = {"AWS_CA_BUNDLE": str(authority.file)}
    assert child(IN_STORE, "s3://bucket/p", server.address, environment=keys | bundle) == "hello"
    assert "no trusted TLS" in child(IN_STORE, "s3://bucket/p", server.address, environment=keys)


@pytest.mark.parametrize(
    ("secret", "header"),
    [
        ({"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "pw"}, "Basic YWRhOnB3"),
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
        ({}, "nobody"),
    ],
    ids=["user and password", "token", "neither"],
)
def test_mlflow_is_asked_with_the_keys_of_the_secret(
    server: TlsServer, authority: Certificate, secret: dict[str, str], header: str, tmp_path: Path
) -> None:
    trusted = {"MLFLOW_TRACKING_SERVER_CERT_PATH": str(authority.file), "HOME": str(tmp_path)}
    assert child(AT_MLFLOW, server.address, environment=secret | trusted) == header
