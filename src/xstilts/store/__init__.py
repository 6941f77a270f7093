"""Object stores and all that lies in them: artifacts, leases, data sets, models."""

from xstilts.store.open import open_store
from xstilts.store.port import NotFound, ObjectInfo, ObjectStore, PreconditionFailed

__all__ = ["NotFound", "ObjectInfo", "ObjectStore", "PreconditionFailed", "open_store"]
