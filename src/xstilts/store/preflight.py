"""Proof that a store can be used, before anything long begins: every call once, on an object of its own."""

import uuid

from xstilts.core.errors import StorageError
from xstilts.store.port import NotFound, ObjectStore, PreconditionFailed


def preflight(store: ObjectStore) -> None:
    """Write, read, list, delete, write again, and write on conditions that must fail.

    Raises StorageError, or StorageUnavailable, with the call that failed. A store that takes no notice of a condition
    is refused, because two stages could then publish over each other; one that takes a deleted object for one that is
    there, because what was deleted could then never be made again.
    """
    key = f"preflight/{uuid.uuid4().hex}"
    etag = _written(store, key, b"1")
    try:
        if store.read(key) != b"1":
            raise StorageError(f"{store.uri} does not read back what was written (read of {key})")
        if [info.key for info in store.list(key)] != [key]:
            raise StorageError(f"{store.uri} does not list what was written (list of {key})")
        _refuses(store, key, "a write with If-None-Match over an object that exists", if_absent=True)
        newer = store.put(key, b"2", if_match=etag)
        _refuses(store, key, "a write with the If-Match of an older version", if_match=etag)
        store.delete(key)
        if store.head(key) is not None:
            raise StorageError(f"{store.uri} still holds what was deleted (delete of {key})")
        newest = _written(store, key, b"4", again=True)
        store.delete(key)
        for deleted in (newer, newest):
            _refuses(store, key, "a write with If-Match where the object was deleted", if_match=deleted)
    finally:
        store.delete(key)


def _written(store: ObjectStore, key: str, data: bytes, *, again: bool = False) -> str:
    """ETag of an object that is not there before."""
    try:
        return store.put(key, data, if_absent=True)
    except PreconditionFailed as error:
        try:
            found, etag = store.read_versioned(key)
        except NotFound:
            found, etag = b"", ""
        if found == data:  # our own write, whose answer was lost
            return etag
        cause = (
            "an object that was deleted can't be written again; if the bucket keeps versions, turn that off (a delete "
            "marker counts as an object there)"
            if again
            else "an object that does not exist counts as existing"
        )
        raise StorageError(
            f"{store.uri} refuses a write with If-None-Match of {key}: {cause}, or use another store"
        ) from error


def _refuses(store: ObjectStore, key: str, what: str, *, if_absent: bool = False, if_match: str | None = None) -> None:
    try:
        store.put(key, b"3", if_absent=if_absent, if_match=if_match)
    except PreconditionFailed:
        return
    raise StorageError(
        f"{store.uri} ignores conditional writes: {what} was not refused ({key}); use a store that honours them"
    )
