"""Every contract of the object store is tested over all stores."""

from pathlib import Path

import pytest

from xstilts.store import ObjectStore, open_store


@pytest.fixture(params=["memory", "directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    match request.param:
        case "memory":
            return open_store("memory:")
        case "directory":
            return open_store(f"file:{tmp_path}/store")
        case _:
            return request.getfixturevalue("s3_store")
