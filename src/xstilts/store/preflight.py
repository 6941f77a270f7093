"""Proof that a store can be used, before anything long begins: every call once, on an object of its own."""

import uuid

from xstilts.core.errors import StorageError
from xstilts.store.port import ObjectStore, PreconditionFailed


def preflight(store: ObjectStore) -> None:
    """Write, read, list, delete, and write on conditions that must fail.

    Raises StorageError, or StorageUnavailable, with the call that failed; a store that takes no notice of conditions
    is refused, because two stages could then publish over each other.
    """
    key = f"preflight/{uuid.uuid4().hex}"
    etag = store.put(key, b"1", if_absent=True)
    try:
        if store.read(key) != b"1":
            raise StorageError(f"{store.uri} does not read back what was written (read of {key})")
        if [info.key for info in store.list(key)] != [key]:
            raise StorageError(f"{store.uri} does not list what was written (list of {key})")
        _refuses(store, key, if_absent=True)
        store.put(key, b"2", if_match=etag)
        _refuses(store, key, if_match=etag)
    finally:
        store.delete(key)
    if store.head(key) is not None:
        raise StorageError(f"{store.uri} still holds what was deleted (delete of {key})")


def _refuses(store: ObjectStore, key: str, *, if_absent: bool = False, if_match: str | None = None) -> None:
    header = "If-None-Match" if if_absent else "If-Match"
    try:
        store.put(key, b"3", if_absent=if_absent, if_match=if_match)
    except PreconditionFailed:
        return
    raise StorageError(
        f"{store.uri} ignores conditional writes ({header} on the write of {key} was not refused): "
        "use a store that honours them"
    )
