"""Data sets: documents by digest, a pointer last, files verified at their places."""

import hashlib
from pathlib import Path

import pytest

from xstilts.core.errors import IntegrityError
from xstilts.core.manifests import DatasetManifest, FileEntry, Split, SplitRef
from xstilts.store import NotFound, ObjectStore, datasets, open_store


@pytest.fixture
def store() -> ObjectStore:
    return open_store("memory:")


def entry(root: Path, path: str, content: bytes) -> FileEntry:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)
    return FileEntry(path=path, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def xnli(root: Path, *, dev: bytes = b"dev rows") -> DatasetManifest:
    """Two languages of one split, which share a file."""
    english = entry(root, "dev/en.tsv", dev)
    german = entry(root, "dev/de.tsv", b"deutsche Zeilen")

    def split(language: str, *files: FileEntry) -> Split:
        return Split(dataset="xnli", split="dev", language=language, layout="xnli", rows=1, files=files)

    return DatasetManifest(name="xnli", splits=(split("en", english), split("de", german, english)))


def ref(split: Split) -> SplitRef:
    return SplitRef(dataset=split.dataset, split=split.split, language=split.language, digest=split.digest)


def test_a_data_set_comes_back_whole(store: ObjectStore, tmp_path: Path) -> None:
    manifest = datasets.put_dataset(store, xnli(tmp_path / "raw"), tmp_path / "raw")
    assert datasets.load_dataset(store, "xnli") == manifest
    german = datasets.load_split(store, ref(manifest.splits[1]))
    paths = datasets.fetch_split(store, german, tmp_path / "got")
    assert [path.relative_to(tmp_path / "got").as_posix() for path in paths] == ["dev/de.tsv", "dev/en.tsv"]
    assert paths[0].read_bytes() == b"deutsche Zeilen"


def test_importing_again_changes_nothing(store: ObjectStore, tmp_path: Path) -> None:
    manifest = xnli(tmp_path)
    datasets.put_dataset(store, manifest, tmp_path)
    before = list(store.list(""))
    datasets.put_dataset(store, manifest, tmp_path)
    assert list(store.list("")) == before


def test_a_new_import_is_the_latest_and_the_old_one_stays(store: ObjectStore, tmp_path: Path) -> None:
    old = datasets.put_dataset(store, xnli(tmp_path / "old"), tmp_path / "old")
    new = datasets.put_dataset(store, xnli(tmp_path / "new", dev=b"more rows"), tmp_path / "new")
    assert datasets.load_dataset(store, "xnli") == new
    assert datasets.load_dataset(store, "xnli", old.digest) == old
    datasets.put_dataset(store, old, tmp_path / "old")
    assert datasets.load_dataset(store, "xnli") == old, "the last import wins, also when it is not new"


def test_what_was_never_imported_is_not_there(store: ObjectStore, tmp_path: Path) -> None:
    assert datasets.load_dataset(store, "xnli") is None
    assert datasets.load_dataset(store, "xnli", "0" * 32) is None
    with pytest.raises(NotFound, match="import data set 'xnli' into this store"):
        datasets.load_split(store, ref(xnli(tmp_path).splits[0]))


def test_a_file_that_changed_during_the_import_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    manifest = xnli(tmp_path)
    (tmp_path / "dev" / "en.tsv").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match=r"dev/en.tsv has sha256 \w+ and 7 bytes"):
        datasets.put_dataset(store, manifest, tmp_path)
    assert datasets.load_dataset(store, "xnli") is None


def test_a_document_under_the_wrong_digest_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    manifest = datasets.put_dataset(store, xnli(tmp_path), tmp_path)
    english, german = manifest.splits
    store.put(f"{ref(english).address}.json", store.read(f"{ref(german).address}.json"))
    with pytest.raises(IntegrityError, match=rf"splits/{english.digest}.json .* {german.digest}"):
        datasets.load_split(store, ref(english))
    datasets.put_dataset(store, manifest, tmp_path)
    assert datasets.load_split(store, ref(english)) == english, "importing again repairs it"
    store.put("datasets/xnli/aaaa/manifest.json", store.read(f"datasets/xnli/{manifest.digest}/manifest.json"))
    with pytest.raises(IntegrityError, match=r"datasets/xnli/aaaa/manifest\.json"):
        datasets.load_dataset(store, "xnli", "aaaa")


def test_a_broken_document_is_named(store: ObjectStore) -> None:
    store.put("datasets/xnli/latest.json", b"{")
    with pytest.raises(IntegrityError, match=r"datasets/xnli/latest\.json .* the document"):
        datasets.load_dataset(store, "xnli")
