"""`xstilts gc` as a person runs it: a directory with its MLflow, a real S3 server, a cluster."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cluster import s3
from cluster.tracked import MlflowView
from made import accepted, make, observed, small_plan, trained
from xstilts import acceptance
from xstilts.cli import app
from xstilts.cli.gc import InCluster, seconds
from xstilts.cluster.memory import MemoryCluster
from xstilts.cluster.port import TRIALS
from xstilts.core.errors import UserError
from xstilts.core.garbage import Kind
from xstilts.stages.publication import stage_record
from xstilts.store import ObjectStore, artifacts, open_store
from xstilts.store.garbage import Sweep
from xstilts.tracking import open_tracker


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["gc", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--store URI, --cluster, or both"),
        (["--tracking", "http://m"], "add --store URI"),
        (["--store", "store", "--older-than", "soon"], "'soon'.*24h or 7d"),
        (["--store", "ftp://x"], "ftp://x"),
    ],
)
def test_what_cannot_be_looked_at_is_explained(arguments: list[str], expected: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=expected):
        raise call(*arguments).exception or AssertionError("no error")


def test_ages_are_read() -> None:
    assert [seconds(age) for age in ("90m", "24h", "7d", "0.5h")] == [5400, 86400, 604800, 1800]


def test_a_dry_run_changes_nothing_and_the_next_removes_what_it_showed(tmp_path: Path) -> None:
    root, uri = tmp_path / "store", f"sqlite:///{tmp_path}/mlflow.db"
    store, tracker = open_store(str(root)), open_tracker(uri, experiment="e", store=f"file:{root}")
    planned = accepted(store, small_plan())
    make(store, planned, tmp_path / "made")
    gone, kept = trained(planned)[:2]
    manifests = observed(store, planned).manifests
    for address in (gone, kept):
        publication = acceptance.publication_of(planned, planned.stages[address])
        tracker.publish_stage(stage_record(store, manifests[address], publication))
    store.delete(artifacts.manifest_key(gone))
    store.put("blobs/sha256/aa/aa1", b"x" * 2500)
    assert "nothing" in call("--store", root, "--tracking", uri).output, "all of it is young"
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, times=(path.stat().st_mtime - 3 * 86400,) * 2)
    before = {info.key for info in store.list("")}

    dry = call("--store", root, "--tracking", uri)
    assert {info.key for info in store.list("")} == before
    swept = call("--store", root, "--tracking", uri, "--delete")

    assert dry.exit_code == swept.exit_code == 0, dry.output + swept.output
    for part in ("blobs/sha256/aa/aa1", "no document names it", "2.5 kB", "3 d", "Nothing was changed: --delete"):
        assert part in dry.output, dry.output
    assert not store.head("blobs/sha256/aa/aa1")
    assert observed(store, planned).manifests.keys() == manifests.keys() - {gone}
    # What the server has was made a moment ago.
    assert len(MlflowView(uri).client.search_model_versions()) == 6
    young = call("--store", root, "--tracking", uri, "--delete", "--older-than", "0m")
    assert f"{Kind.VERSION}: 3" in young.output
    assert f"{Kind.MODEL}: 3" in young.output
    assert len(MlflowView(uri).client.search_model_versions()) == 3
    assert "nothing" in call("--store", root, "--tracking", uri, "--older-than", "0m").output


def test_garbage_on_s3(s3_store: ObjectStore, s3_credentials: s3.S3Server, tmp_path: Path) -> None:
    import boto3

    planned = accepted(s3_store, small_plan())
    make(s3_store, planned, tmp_path / "made")
    s3_store.put("blobs/sha256/aa/aa1", b"nobody names it")
    s3_store.put("stages/evaluation/f00/outcome.json", b"{}")
    prefix = s3_store.uri.removeprefix(f"s3://{s3_credentials.bucket}/")
    client = boto3.client("s3", endpoint_url=s3_credentials.endpoint)
    client.create_multipart_upload(Bucket=s3_credentials.bucket, Key=f"{prefix}/blobs/sha256/bb/bb1")
    assert Sweep(s3_store, 3600).find() == []
    everything = Sweep(s3_store, -60)  # as if a minute had passed: S3 tells whole seconds

    things = everything.find()

    assert {thing.kind for thing in things} == {Kind.BLOB, Kind.STAGE, Kind.UPLOAD}
    assert set(everything.remove(things)) == set(things)
    assert everything.find() == []
    assert observed(s3_store, planned).settled(planned) == planned.stages.keys()


def test_objects_in_the_cluster_are_told_with_their_namespace() -> None:
    cluster = MemoryCluster()
    labels = {"app.kubernetes.io/managed-by": "xstilts", "xstilts.dev/study": "mine"}
    cluster.create(TRIALS, {"metadata": {"name": "t", "namespace": "ns", "labels": labels}, "spec": {}})
    place = InCluster(cluster, "ns", -60.0)
    (thing,) = place.find()
    assert (thing.kind, thing.place, thing.why) == (Kind.OBJECT, "Trial ns/t", "its Study mine is gone")
    assert place.remove([thing]) == [thing]
    assert place.find() == []
