"""Files that people hand over, of models and data sets: what is never taken for the file, wherever it is read."""

from pathlib import Path

from xstilts.core.errors import UserError

_POINTERS = (b"version https://git-lfs", b"version https://hawser")


def is_pointer(start: bytes) -> bool:
    """Whether a file that begins so is what a clone without git-lfs leaves in place of the file."""
    return start.startswith(_POINTERS)


def pointer_error(name: str) -> UserError:
    return UserError(
        f"{name} is a git-lfs pointer, not the file itself; run 'git lfs pull' where it was cloned, "
        "or download the file again"
    )


def stays_inside(target: Path, folder: Path) -> bool:
    """Whether a file belongs to the folder; both paths are resolved, so links lead nowhere else.

    A snapshot in the hub's cache (`<repository>/snapshots/<commit>`) consists of links into `<repository>/blobs`.
    """
    caches = (above.parent / "blobs" for above in folder.parents if above.name == "snapshots")
    return any(target.is_relative_to(place) for place in (folder, *caches))
