"""What a store tells of writes that have not ended, and of its clock."""

import time
from pathlib import Path

import pytest

from cluster import s3
from xstilts.store import ObjectStore, open_store
from xstilts.store.port import Unfinished


def test_the_clock_of_a_store_is_the_one_that_ages_are_told_by(store: ObjectStore) -> None:
    before = store.now()
    store.put("a", b"one")
    info = store.head("a")
    assert info
    assert before - 1 <= info.modified <= store.now() + 1
    assert abs(before - time.time()) < 60, "these servers run here"
    assert [entry.key for entry in store.list("")] == ["a"], "asking leaves nothing behind"


def test_a_store_in_which_nobody_writes_has_nothing_unfinished(store: ObjectStore) -> None:
    store.put("a", b"one")
    assert list(store.unfinished()) == []
    store.abort(Unfinished("a", "gone", 0, 0.0))
    assert store.read("a") == b"one"


def test_a_file_that_a_killed_writer_left_is_found_and_removed(tmp_path: Path) -> None:
    store = open_store(f"file:{tmp_path}")
    store.put("a", b"one")
    (tmp_path / ".xstilts" / "new-0").write_bytes(b"half")
    (left,) = store.unfinished()
    assert (left.id, left.size) == ("new-0", 4)
    store.abort(left)
    assert list(store.unfinished()) == []


def test_a_multipart_upload_that_was_cut_off_is_found_and_aborted(
    s3_store: ObjectStore, s3_credentials: s3.S3Server
) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=s3_credentials.endpoint)
    prefix = s3_store.uri.removeprefix(f"s3://{s3_credentials.bucket}/")
    place = {"Bucket": s3_credentials.bucket, "Key": f"{prefix}/blobs/one"}
    elsewhere = {"Bucket": s3_credentials.bucket, "Key": f"other-{prefix}/blobs/one"}
    upload = client.create_multipart_upload(**place)["UploadId"]
    client.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"half")
    other = client.create_multipart_upload(**elsewhere)["UploadId"]
    try:
        (left,) = s3_store.unfinished()
        assert left == Unfinished("blobs/one", upload, 4, pytest.approx(s3_store.now(), abs=60))
        s3_store.abort(left)
        s3_store.abort(left)
        assert list(s3_store.unfinished()) == []
        assert s3_store.head("blobs/one") is None
        still = client.list_multipart_uploads(Bucket=s3_credentials.bucket, Prefix=f"other-{prefix}").get("Uploads", ())
        assert [found["UploadId"] for found in still] == [other], "that of another prefix is another study's"
    finally:
        client.abort_multipart_upload(**elsewhere, UploadId=other)
