"""What was cut off or damaged is found, and mended so that it is made, imported or published again; over every store."""

import hashlib
from pathlib import Path

import pytest

from made import accepted, small_plan
from xstilts.core.errors import IntegrityError, LeaseHeld
from xstilts.core.manifests import ArtifactManifest, DatasetManifest, Eviction, EvictionState, FileEntry, Split
from xstilts.store import ObjectStore, artifacts, datasets, documents, evictions, leases
from xstilts.store.repair import Damage, Part, Repair
from xstilts.store.studies import plan_key

STAGE = "stages/evaluation/abc"
OTHER = "stages/evaluation/def"


@pytest.fixture
def whole(store: ObjectStore, tmp_path: Path) -> ObjectStore:
    """Two stages with a receipt, and a data set."""
    for address, content in ((STAGE, b"scores"), (OTHER, b"others")):
        folder = tmp_path / address
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_bytes(content)
        artifacts.publish(store, address, folder, ArtifactManifest(kind="evaluation", key=address[-3:]))
        store.put(f"{address}/receipts/0.json", b'{"runId":"r","server":"s"}')
    import_rows(store, tmp_path / "raw")
    return store


def import_rows(store: ObjectStore, root: Path) -> DatasetManifest:
    root.mkdir(exist_ok=True)
    (root / "rows.tsv").write_bytes(b"rows")
    entry = FileEntry(path="rows.tsv", sha256=hashlib.sha256(b"rows").hexdigest(), size=4)
    split = Split(dataset="mini", split="dev", language="en", layout="mini", rows=1, files=(entry,))
    return datasets.put_dataset(store, DatasetManifest(name="mini", splits=(split,)), root)


def mended(store: ObjectStore) -> list[Damage]:
    """After a dry run has changed nothing, and with nothing damaged afterwards."""
    before = {info.key: store.read(info.key) for info in store.list("")}
    found = Repair(store).find()
    assert {info.key: store.read(info.key) for info in store.list("")} == before
    done = list(Repair(store).mend(found))
    assert not [damage for damage in Repair(store).find() if damage.remedy]
    return done


def blob(store: ObjectStore, address: str) -> str:
    manifest = artifacts.load_manifest(store, address)
    assert manifest
    return artifacts.blob_key(manifest.files[0].sha256)


def test_a_whole_store_needs_no_repair(whole: ObjectStore) -> None:
    assert Repair(whole).find() == []


def test_a_cut_manifest_goes_and_its_stage_is_not_made(whole: ObjectStore) -> None:
    key = artifacts.manifest_key(STAGE)
    whole.put(key, whole.read(key)[:20])
    with pytest.raises(IntegrityError, match=rf"{key} .*xstilts repair {whole.uri}"):
        artifacts.load_manifest(whole, STAGE)
    (damage,) = mended(whole)
    assert (damage.part, damage.key) == (Part.MANIFEST, key)
    assert artifacts.load_manifest(whole, STAGE) is None
    assert artifacts.load_manifest(whole, OTHER)


@pytest.mark.parametrize("damaged", [b"scorez", b"score"], ids=["same size", "cut"])
def test_a_damaged_file_goes_and_the_stage_that_names_it_is_not_whole(whole: ObjectStore, damaged: bytes) -> None:
    key = blob(whole, STAGE)
    whole.put(key, damaged)
    (damage,) = mended(whole)
    assert (damage.part, damage.key) == (Part.BLOB, key)
    assert STAGE in damage.remedy
    manifest = artifacts.load_manifest(whole, STAGE)
    assert manifest
    assert not artifacts.verify(whole, manifest), "it is made again"


def test_content_is_not_read_where_sizes_are_to_do(whole: ObjectStore) -> None:
    whole.put(blob(whole, STAGE), b"scorez")
    assert not Repair(whole, sizes_only=True).find()
    whole.put(blob(whole, STAGE), b"score")
    (damage,) = Repair(whole, sizes_only=True).find()
    assert damage.found == "it has 5 bytes of 6"


def test_a_damaged_file_that_was_mended_meanwhile_stays(whole: ObjectStore) -> None:
    key = blob(whole, STAGE)
    whole.put(key, b"scorez")
    found = Repair(whole).find()
    whole.put(key, b"scores")
    assert list(Repair(whole).mend(found)) == []
    assert whole.read(key) == b"scores"


def test_an_import_replaces_damaged_content_of_the_same_size(whole: ObjectStore, tmp_path: Path) -> None:
    key = artifacts.blob_key(hashlib.sha256(b"rows").hexdigest())
    whole.put(key, b"rowz")
    import_rows(whole, tmp_path / "raw")
    assert whole.read(key) == b"rows"


def test_a_cut_lease_is_freed_with_an_epoch_that_nobody_had(whole: ObjectStore) -> None:
    holder = leases.acquire(whole, STAGE, holder="somebody", ttl_seconds=60)
    whole.put(f"{STAGE}/resume/000007/000000001/manifest.json", b"{}")
    whole.put(leases.lease_key(STAGE), b'{"hol')
    with pytest.raises(IntegrityError, match="xstilts repair"):
        leases.acquire(whole, STAGE, holder="another", ttl_seconds=60)
    (damage,) = mended(whole)
    assert damage.part is Part.LEASE
    with leases.hold(whole, STAGE, holder="another", ttl_seconds=60) as lease:
        assert lease.epoch > 7
        with pytest.raises(LeaseHeld):
            holder.renew()


def test_a_cut_tombstone_is_written_again_where_files_are_gone_and_else_removed(whole: ObjectStore) -> None:
    whole.delete(blob(whole, STAGE))
    for address in (STAGE, OTHER):
        whole.put(evictions.eviction_key(address), b"")
    assert {damage.part for damage in mended(whole)} == {Part.TOMBSTONE}
    eviction, manifest = evictions.load(whole, STAGE), artifacts.load_manifest(whole, STAGE)
    assert eviction
    assert manifest
    assert eviction.concerns(manifest)
    assert eviction.state is EvictionState.DELETED
    assert evictions.load(whole, OTHER) is None


def test_a_cut_receipt_goes_and_its_stage_is_published_again(whole: ObjectStore) -> None:
    whole.put(f"{STAGE}/receipts/0.json", b'{"runId":')
    (damage,) = mended(whole)
    assert damage.part is Part.RECEIPT
    assert not whole.head(f"{STAGE}/receipts/0.json")


def test_a_cut_data_set_goes_and_comes_back_with_its_import(whole: ObjectStore, tmp_path: Path) -> None:
    pointer = "datasets/mini/latest.json"
    whole.put(pointer, b"{")
    (damage,) = mended(whole)
    assert "xstilts data import mini" in damage.remedy
    manifest = import_rows(whole, tmp_path / "raw")
    assert datasets.load_dataset(whole, "mini") == manifest


def test_a_cut_plan_is_written_again_from_its_other_copy_and_never_removed(whole: ObjectStore) -> None:
    planned = accepted(whole, small_plan())
    latest, frozen = "studies/s/plan.json", plan_key("s", planned.digest)
    for key in (latest, frozen):
        before = whole.read(key)
        whole.put(key, before[:100])
        (damage,) = mended(whole)
        assert (damage.key, whole.read(key)) == (key, before)
    for key in (latest, frozen):
        whole.put(key, b"{")
    found = Repair(whole).find()
    assert {damage.remedy for damage in found} == {""}
    assert list(Repair(whole).mend(found)) == []
    assert whole.head(latest)


def test_a_cut_mark_of_a_finished_study_goes(whole: ObjectStore) -> None:
    accepted(whole, small_plan())
    whole.put("studies/s/finished.json", b"")
    (damage,) = mended(whole)
    assert "counts as active" in damage.remedy


def test_evicted_weights_are_no_damage_and_lost_ones_are_told(whole: ObjectStore) -> None:
    manifest = artifacts.load_manifest(whole, STAGE)
    assert manifest
    for address in (STAGE, OTHER):
        whole.delete(blob(whole, address))
    eviction = Eviction(
        manifest=manifest.digest, study="s", reason="r", evicted=1, files=manifest.files, state=EvictionState.DELETED
    )
    whole.put(evictions.eviction_key(STAGE), documents.encode(eviction))
    (damage,) = Repair(whole).find()
    assert damage.key == artifacts.manifest_key(OTHER)
    assert "1 of its files are gone, such as metrics.json" in damage.found
    assert damage.remedy == ""


def test_what_another_version_wrote_is_told_and_left_alone(whole: ObjectStore) -> None:
    key = artifacts.manifest_key(STAGE)
    newer = whole.read(key).replace(b'"format":1', b'"format":2')
    whole.put(key, newer)
    found = Repair(whole).find()
    assert [(damage.key, damage.remedy) for damage in found] == [(key, "")]
    assert "another version" in found[0].found
    assert list(Repair(whole).mend(found)) == []
    assert whole.read(key) == newer


def test_a_manifest_of_another_stage_goes(whole: ObjectStore) -> None:
    whole.put(artifacts.manifest_key(STAGE), whole.read(artifacts.manifest_key(OTHER)))
    (damage,) = mended(whole)
    assert (damage.key, damage.found) == (artifacts.manifest_key(STAGE), "it is that of def")
