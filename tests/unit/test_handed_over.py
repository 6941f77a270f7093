"""Folders that people hand over for import: links to elsewhere and pointers of git-lfs are never taken for the data."""

import os
from pathlib import Path

import pytest

from encoders import POINTER
from xstilts.core.errors import UserError
from xstilts.tasks import datasets

ROW = "a\tb\tneutral\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Beside a file that is none of its business."""
    (tmp_path / "secret").write_text(ROW)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("files", [{}, {"dev:de": "dev-de.tsv"}], ids=["found", "named"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, files: dict[str, str]) -> None:
    (folder / "dev-de.tsv").symlink_to(folder.parent / "secret")
    with pytest.raises(UserError, match=r"dev-de\.tsv, a link to .*/secret, lies outside of .*/data; choose a folder"):
        datasets.scan("xnli", folder, files)


def test_a_folder_that_is_a_link_is_not_searched(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere" / "dev-de.tsv").write_text(ROW)
    (folder / "more").symlink_to(folder.parent / "elsewhere")
    with pytest.raises(UserError, match="no files of 'xnli'"):
        datasets.scan("xnli", folder)


def test_pipes_are_not_read(folder: Path) -> None:
    os.mkfifo(folder / "dev-de.tsv")
    with pytest.raises(UserError, match="no files of 'xnli'"):
        datasets.scan("xnli", folder)


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "rows").write_text(ROW)
    (folder / "dev-de.tsv").symlink_to("rows")
    (split,) = datasets.scan("xnli", folder).splits
    assert split.rows == 1


@pytest.mark.parametrize("below", ["", "xnli"], ids=["whole snapshot", "a folder of it"])
def test_a_snapshot_of_the_hubs_cache_is_read(folder: Path, below: str) -> None:
    repository = folder / "datasets--some--data"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / "1f").write_text(ROW)
    snapshot = repository / "snapshots" / ("c" * 40)
    (snapshot / "xnli").mkdir(parents=True)
    (snapshot / "xnli" / "dev-de.tsv").symlink_to("../../../blobs/1f")
    (split,) = datasets.scan("xnli", snapshot / below).splits
    assert split.rows == 1


@pytest.mark.parametrize("files", [{}, {"dev:de": "dev-de.tsv"}], ids=["found", "named"])
def test_a_pointer_of_git_lfs_is_named_as_such(folder: Path, files: dict[str, str]) -> None:
    (folder / "dev-de.tsv").write_bytes(POINTER)
    with pytest.raises(UserError, match=r"dev-de\.tsv is a git-lfs pointer, not the file itself; run 'git lfs pull'"):
        datasets.scan("xnli", folder, files)
