"""An object store in an S3 bucket, of AWS or of any compatible server that honours conditional writes.

boto3 does the work: it retries, signs, splits large uploads and finds credentials in the usual places (environment,
profile, service account). Added here are conditional writes, downloads in parallel ranges that go on where they were
cut off, and errors in our own words. Checksums follow AWS_REQUEST_CHECKSUM_CALCULATION and
AWS_RESPONSE_CHECKSUM_VALIDATION (`when_required` for servers that know none). Uploads that fail are aborted at once;
those of killed processes are left to `xstilts gc`, or to a rule of the bucket (AbortIncompleteMultipartUpload).
"""

import hashlib
import os
import random
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.config import Config
from botocore.exceptions import BotoCoreError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from xstilts.api.addresses import checked
from xstilts.core.errors import StorageUnavailable, UserError
from xstilts.store.port import PARALLEL_FILES, NotFound, ObjectInfo, PreconditionFailed, Unfinished, check_key
from xstilts.store.s3_errors import Conflict, translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectRequestTypeDef, PutObjectRequestTypeDef

PART_BYTES = 8 << 20
"""Size of a range of a download, and of a part of an upload."""
PARALLEL_PARTS = 4
"""Parts of one file in flight; with PART_BYTES it bounds the memory that a download takes."""
MAX_ATTEMPTS = 8
"""Tries of a request before it counts as unavailable, about half a minute; AWS_MAX_ATTEMPTS overrides it."""
READ_SECONDS = 60.0
"""Silence of the server after which a try has failed; XSTILTS_READ_SECONDS overrides it."""


class S3Store:
    """Objects in `bucket` below `prefix`; safe under threads."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        region: str | None = None,
        path_style: bool | None = None,
        ca_bundle: Path | None = None,
    ) -> None:
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._client = _client(endpoint=endpoint, region=region, path_style=path_style, ca_bundle=ca_bundle)
        self._attempts = _max_attempts()
        self._transfer = TransferConfig(
            multipart_threshold=2 * PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARALLEL_PARTS
        )

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._root}".rstrip("/")

    def read(self, key: str) -> bytes:
        return self.read_versioned(key)[0]

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        with translated("GetObject", self.uri, key):
            return self._get({"Bucket": self._bucket, "Key": self._key(key)})

    def head(self, key: str) -> ObjectInfo | None:
        try:
            with translated("HeadObject", self.uri, key):
                answer = self._client.head_object(Bucket=self._bucket, Key=self._key(key))
        except NotFound:
            return None
        return ObjectInfo(key, answer["ContentLength"], answer["LastModified"].timestamp())

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with translated("ListObjectsV2", self.uri, prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._root + prefix
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    key = found["Key"].removeprefix(self._root)
                    yield ObjectInfo(key, found["Size"], found["LastModified"].timestamp())

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        for attempt in range(MAX_ATTEMPTS):
            with suppress(Conflict):
                return self._put(key, data, if_absent=if_absent, if_match=if_match)
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311  (spreads writers, guards nothing)
        raise StorageUnavailable(f"{key!r} in {self.uri} is being written by others all the time")

    def upload(self, key: str, path: Path) -> None:
        with (
            translated("PutObject", self.uri, key),
            create_transfer_manager(self._client, self._transfer) as manager,
        ):
            # the whole file at once, or in parts that are aborted together when one of them fails
            manager.upload(str(path), self._bucket, self._key(key)).result()

    def download(self, key: str, path: Path) -> None:
        with translated("HeadObject", self.uri, key):
            head = self._client.head_object(Bucket=self._bucket, Key=self._key(key))
        size, etag = head["ContentLength"], head["ETag"]
        path.parent.mkdir(parents=True, exist_ok=True)
        # named after the version, so that it is never continued with another one's bytes
        part = path.with_name(f"{path.name}.{hashlib.sha256(etag.encode()).hexdigest()[:8]}.part")
        part.touch()
        with part.open("r+b") as file:  # not appending: a second process writes the same bytes in place
            for data in self._ranges(key, etag, start=file.seek(0, os.SEEK_END), size=size):
                file.write(data)
        part.replace(path)

    def delete(self, key: str) -> None:
        with translated("DeleteObject", self.uri, key):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    def now(self) -> float:
        """The server's clock, from the head of an answer."""
        with translated("ListObjectsV2", self.uri, ""):
            answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._root, MaxKeys=1)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        # Without it our own will do: S3 answers nobody whose clock is wrong by more than a quarter of an hour.
        return parsedate_to_datetime(date).timestamp() if date else time.time()

    def unfinished(self) -> Iterator[Unfinished]:
        """Multipart uploads; those that S3 calls complete are objects."""
        with translated("ListMultipartUploads", self.uri, ""):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._root
            )
            for page in pages:
                for found in page.get("Uploads", ()):
                    key, started = found["Key"].removeprefix(self._root), found["Initiated"].timestamp()
                    yield Unfinished(key, found["UploadId"], self._uploaded(key, found["UploadId"]), started)

    def abort(self, upload: Unfinished) -> None:
        with translated("AbortMultipartUpload", self.uri, upload.key), suppress(self._client.exceptions.NoSuchUpload):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key(upload.key), UploadId=upload.id)

    def _uploaded(self, key: str, upload_id: str) -> int:
        """Bytes of the parts that are there."""
        with translated("ListParts", self.uri, key), suppress(self._client.exceptions.NoSuchUpload):
            pages = self._client.get_paginator("list_parts").paginate(
                Bucket=self._bucket, Key=self._key(key), UploadId=upload_id
            )
            return sum(part["Size"] for page in pages for part in page.get("Parts", ()))
        return 0

    def _key(self, key: str) -> str:
        return self._root + check_key(key)

    def _get(self, request: "GetObjectRequestTypeDef") -> tuple[bytes, str]:
        """boto3 tries requests again by itself, but not an answer that breaks off while it is read."""
        broken = 0
        while True:
            answer = self._client.get_object(**request)
            try:
                return answer["Body"].read(), answer["ETag"]
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                broken += 1
                if broken == self._attempts:
                    raise

    def _put(self, key: str, data: bytes, *, if_absent: bool, if_match: str | None) -> str:
        request: PutObjectRequestTypeDef = {"Bucket": self._bucket, "Key": self._key(key), "Body": data}
        if if_absent:
            request["IfNoneMatch"] = "*"
        if if_match is not None:
            request["IfMatch"] = if_match
        try:
            with translated("PutObject", self.uri, key):
                return self._client.put_object(**request)["ETag"]
        except NotFound as error:  # S3's answer to IfMatch where the object is gone
            raise PreconditionFailed(f"{key!r} in {self.uri} is gone") from error

    def _ranges(self, key: str, etag: str, *, start: int, size: int) -> Iterator[bytes]:
        """The object's bytes from `start`, in order; at most PARALLEL_PARTS ranges are in flight or in memory."""
        window: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(PARALLEL_PARTS) as pool:
            try:
                for first in range(start, size, PART_BYTES):
                    last = min(first + PART_BYTES, size) - 1
                    window.append(pool.submit(self._range, key, etag, first, last))
                    if len(window) == PARALLEL_PARTS:
                        yield window.popleft().result()
                while window:
                    yield window.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _range(self, key: str, etag: str, first: int, last: int) -> bytes:
        try:
            with translated("GetObject", self.uri, key):
                request: GetObjectRequestTypeDef = {"Bucket": self._bucket, "Key": self._key(key)}
                return self._get(request | {"Range": f"bytes={first}-{last}", "IfMatch": etag})[0]
        except PreconditionFailed as error:
            raise StorageUnavailable(f"{key!r} in {self.uri} was replaced during its download") from error


def _client(*, endpoint: str | None, region: str | None, path_style: bool | None, ca_bundle: Path | None) -> "S3Client":
    try:
        checked(endpoint or "")
    except ValueError as error:
        raise UserError(f"the store's endpoint {error}") from error
    if ca_bundle and not ca_bundle.is_file():
        raise UserError(f"the store's CA bundle {ca_bundle} is no file")
    config = Config(
        retries={"mode": "standard", "total_max_attempts": _max_attempts()},
        connect_timeout=10,
        read_timeout=float(os.environ.get("XSTILTS_READ_SECONDS", READ_SECONDS)),
        max_pool_connections=PARALLEL_FILES * PARALLEL_PARTS,
        tcp_keepalive=True,
        s3=None if path_style is None else {"addressing_style": "path" if path_style else "virtual"},
    )
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            verify=str(ca_bundle) if ca_bundle else None,
            config=config,
        )
    except (ValueError, BotoCoreError) as error:  # an endpoint that is no URL, an unknown profile
        raise UserError(f"no S3 client for endpoint {endpoint!r}, region {region!r}: {error}") from error


def _max_attempts() -> int:
    """Tries of one request; botocore prefers its configuration to the environment, people the other way round."""
    return int(os.environ.get("AWS_MAX_ATTEMPTS", MAX_ATTEMPTS))
