"""S3 as it fails: refusals in words that help, networks that break off, servers that ignore conditions."""

import math
import re
import select
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from botocore.config import Config

from cluster import s3
from xstilts.core.errors import StorageError, StorageUnavailable
from xstilts.store import ObjectStore, open_store
from xstilts.store.preflight import preflight

PREFIX = f"errors-{uuid.uuid4().hex}"
MIB = 1 << 20
LARGE = bytes(range(256)) * (40 * MIB // 256)


def connect(endpoint: str, bucket: str = "studies") -> ObjectStore:
    return open_store(f"s3://{bucket}/{PREFIX}", endpoint=endpoint, path_style=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One try only, so that a test sees the first failure."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


# Refusals of a real server


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_named_without_being_repeated(
    s3_credentials: s3.S3Server, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "not-the-right-one")
    with pytest.raises(StorageError, match=r"PutObject of .* credentials are wrong") as error:
        preflight(connect(s3_credentials.endpoint, s3_credentials.bucket))
    assert "not-the-right-one" not in str(error.value)


def test_missing_credentials_are_named(s3_server: s3.S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageError, match=r"there are no credentials.*AWS_ACCESS_KEY_ID"):
        preflight(connect(s3_server.endpoint))


def test_a_missing_bucket_is_named(s3_credentials: s3.S3Server, tmp_path: Path) -> None:
    store = connect(s3_credentials.endpoint, "no-such-bucket")
    (tmp_path / "file").write_bytes(b"content")
    for call in (
        lambda: store.read("a"),
        lambda: store.put("a", b"1"),
        lambda: store.upload("a", tmp_path / "file"),
        lambda: list(store.list("")),
    ):
        with pytest.raises(StorageError, match=r"s3://no-such-bucket/.* does not exist: create it"):
            call()


@pytest.mark.usefixtures("impatient", "s3_credentials")
def test_where_nothing_listens_the_endpoint_is_questioned() -> None:
    with pytest.raises(StorageUnavailable, match="no answer; check the network and the store's endpoint"):
        preflight(connect(f"http://127.0.0.1:{s3.free_port()}"))


@pytest.mark.usefixtures("impatient")
def test_an_endpoint_without_tls_is_questioned(s3_credentials: s3.S3Server) -> None:
    with pytest.raises(StorageError, match="no trusted TLS; check the CA bundle"):
        preflight(connect(s3_credentials.endpoint.replace("http:", "https:")))


# Refusals that a real server seldom gives


class Server(ThreadingHTTPServer):
    """A little S3 without any conditions. `refusals` (status, code) are given before any other answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Calls)
        self.objects: dict[str, bytes] = {}
        self.refusals: list[tuple[int, str]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Calls(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._refused():
            self.server.objects[self._key] = body
            self._answer(200, b"")

    def do_GET(self) -> None:
        if self._refused():
            return
        if "list-type" in self.path:
            found = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in self.server.objects)
            dated = found.replace("</Size>", "</Size><LastModified>2026-01-01T00:00:00Z</LastModified>")
            self._answer(200, f"<ListBucketResult>{dated}</ListBucketResult>".encode())
        elif (body := self.server.objects.get(self._key)) is None:
            self._error(404, "NoSuchKey")
        else:
            self._answer(200, body)

    def do_HEAD(self) -> None:
        self._answer(200 if self._key in self.server.objects else 404, b"")

    def do_DELETE(self) -> None:
        self.server.objects.pop(self._key, None)
        self._answer(204, b"")

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/studies/")

    def _refused(self) -> bool:
        if not self.server.refusals:
            return False
        self._error(*self.server.refusals.pop(0))
        return True

    def _error(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"always the same"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not news."""


@pytest.fixture
def server(s3_credentials: s3.S3Server) -> Iterator[Server]:
    """Takes any credentials; the real server's are in the environment."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_server_that_ignores_conditions_is_refused(server: Server) -> None:
    with pytest.raises(
        StorageError, match=rf"s3://studies/{PREFIX} ignores conditional writes: a write with If-None-Match"
    ):
        preflight(connect(server.endpoint))
    assert server.objects == {}


def test_a_bucket_whose_versions_stand_in_the_way_of_new_objects_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """versitygw takes a delete marker for an object: what was deleted there can never be published again."""
    with s3.start(may_keep_versions=True) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=server.endpoint, config=Config(s3={"addressing_style": "path"}))
        preflight(connect(server.endpoint))
        client.put_bucket_versioning(Bucket=server.bucket, VersioningConfiguration={"Status": "Enabled"})
        with pytest.raises(StorageError, match=r"deleted can't be written again; if the bucket keeps versions"):
            preflight(connect(server.endpoint))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("status", "code", "kind", "advice"),
    [
        (403, "AccessDenied", StorageError, "PutObject of 'preflight/.*access is denied"),
        (400, "ExpiredToken", StorageError, "credentials are wrong or have expired"),
        (301, "PermanentRedirect", StorageError, "lies in another region"),
        (403, "RequestTimeTooSkewed", StorageError, "clock is wrong"),
        (501, "NotImplemented", StorageError, "use a store with conditional writes"),
        (400, "QuotaExceeded", StorageError, "QuotaExceeded: no"),
        (503, "SlowDown", StorageUnavailable, "is not able to now"),
        (500, "InternalError", StorageUnavailable, "is not able to now"),
    ],
)
def test_each_refusal_names_the_call_and_the_way_out(
    server: Server, status: int, code: str, kind: type[Exception], advice: str
) -> None:
    server.refusals = [(status, code)] * 2  # boto3 asks a second time, elsewhere, after a redirect
    with pytest.raises(kind, match=advice):
        preflight(connect(server.endpoint))


def test_a_conflict_with_another_writer_is_tried_again(server: Server) -> None:
    server.refusals = [(409, "ConditionalRequestConflict")] * 2
    connect(server.endpoint).put("a", b"1", if_absent=True)
    assert server.objects == {f"{PREFIX}/a": b"1"}


# Networks


class CuttingProxy(ThreadingTCPServer):
    """Relays to a server, counts bytes, and cuts the connection over which one too many passes."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        parts = urlsplit(target)
        self.target = (parts.hostname, parts.port)
        self.passed = 0
        self.cut_at = math.inf

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def cut_once_after(self, num_bytes: int, *, then: Callable[[], None] = lambda: None) -> None:
        self.then = then
        self.cut_at = self.passed + num_bytes


class _Relay(BaseRequestHandler):
    server: CuttingProxy
    request: socket.socket

    def handle(self) -> None:
        with socket.create_connection(self.server.target) as upstream:
            other = {self.request: upstream, upstream: self.request}
            while True:
                for source in select.select(list(other), [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data or self._cut(len(data)):
                        return
                    other[source].sendall(data)

    def _cut(self, num_bytes: int) -> bool:
        self.server.passed += num_bytes
        if self.server.passed < self.server.cut_at:
            return False
        self.server.cut_at = math.inf
        self.server.then()
        return True


@pytest.fixture
def proxy(s3_credentials: s3.S3Server) -> Iterator[CuttingProxy]:
    with CuttingProxy(s3_credentials.endpoint) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()
    store = connect(s3_credentials.endpoint, s3_credentials.bucket)
    for info in store.list(""):
        store.delete(info.key)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


@pytest.mark.usefixtures("impatient")
def test_a_download_that_broke_off_goes_on_where_it_was(
    s3_credentials: s3.S3Server, proxy: CuttingProxy, large: Path, tmp_path: Path
) -> None:
    connect(s3_credentials.endpoint, s3_credentials.bucket).upload("large", large)
    store, target = connect(proxy.endpoint, s3_credentials.bucket), tmp_path / "got" / "file"
    proxy.cut_once_after(36 * MIB)
    with pytest.raises(StorageUnavailable, match="GetObject of 'large'"):
        store.download("large", target)
    [part] = target.parent.iterdir()
    kept = part.stat().st_size
    assert re.fullmatch(r"file\.\w{8}\.part", part.name)
    assert kept > 0
    before = proxy.passed
    store.download("large", target)
    assert target.read_bytes() == LARGE
    assert proxy.passed - before < len(LARGE) - kept + MIB, "what was there is not brought again"
    assert list(target.parent.iterdir()) == [target]


def test_a_broken_answer_is_asked_for_again(
    s3_credentials: s3.S3Server, proxy: CuttingProxy, large: Path, tmp_path: Path
) -> None:
    connect(s3_credentials.endpoint, s3_credentials.bucket).upload("large", large)
    proxy.cut_once_after(10 * MIB)
    connect(proxy.endpoint, s3_credentials.bucket).download("large", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == LARGE


@pytest.mark.usefixtures("impatient")
def test_an_upload_that_broke_off_leaves_nothing_and_can_be_run_again(
    s3_credentials: s3.S3Server, proxy: CuttingProxy, large: Path, tmp_path: Path
) -> None:
    store = connect(proxy.endpoint, s3_credentials.bucket)
    proxy.cut_once_after(20 * MIB)
    with pytest.raises(StorageUnavailable, match="PutObject of 'broken'"):
        store.upload("broken", large)
    assert store.head("broken") is None
    client = boto3.client("s3", endpoint_url=s3_credentials.endpoint)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=s3_credentials.bucket, Prefix=f"{PREFIX}/broken")
    store.upload("broken", large)
    store.download("broken", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == LARGE


def test_a_download_does_not_mix_two_versions(
    s3_credentials: s3.S3Server, proxy: CuttingProxy, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = connect(proxy.endpoint, s3_credentials.bucket)
    store.upload("changing", large)
    proxy.cut_once_after(36 * MIB)
    with pytest.raises(StorageUnavailable):
        store.download("changing", tmp_path / "got")
    large.write_bytes(LARGE[::-1])
    store.upload("changing", large)
    store.download("changing", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == LARGE[::-1]


UPLOADER = """
import itertools, pathlib, sys
from xstilts.store import open_store
uri, endpoint, *files = sys.argv[1:]
store = open_store(uri, endpoint=endpoint, path_style=True)
for file in itertools.cycle(files):
    store.upload("killed", pathlib.Path(file))
    print(file, flush=True)
"""


def test_a_killed_uploader_leaves_a_whole_object(
    s3_credentials: s3.S3Server, proxy: CuttingProxy, large: Path, tmp_path: Path
) -> None:
    """Killed when half of its second file has passed."""
    other = tmp_path / "other"
    other.write_bytes(LARGE[::-1])
    uri = f"s3://{s3_credentials.bucket}/{PREFIX}"
    uploader = subprocess.Popen(
        [sys.executable, "-c", UPLOADER, uri, proxy.endpoint, str(large), str(other)], stdout=subprocess.PIPE
    )
    assert uploader.stdout is not None
    uploader.stdout.readline()
    proxy.cut_once_after(len(LARGE) // 2, then=uploader.kill)
    uploader.communicate()
    connect(s3_credentials.endpoint, s3_credentials.bucket).download("killed", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == LARGE
