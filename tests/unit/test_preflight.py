"""Stores that are conditional by halves are refused before anything long begins, with what they did wrong."""

import pytest

from xstilts.core.errors import StorageError, StorageUnavailable
from xstilts.store.memory import MemoryStore
from xstilts.store.port import PreconditionFailed
from xstilts.store.preflight import preflight


class Halved(MemoryStore):
    """Honours conditions but for one case."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.deleted: set[str] = set()

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        there = self.head(key) is not None
        match self.fault:
            case "markers" if if_absent and not there and key in self.deleted:
                raise PreconditionFailed("a delete marker is there")
            case "if-none-match":
                if_absent = False
            case "stale" if there:
                if_match = None
            case "gone" if not there:
                if_match = None
        return super().put(key, data, if_absent=if_absent, if_match=if_match)

    def delete(self, key: str) -> None:
        self.deleted.add(key)
        if self.fault != "delete":
            super().delete(key)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("markers", "an object that was deleted can't be written again; if the bucket keeps versions, turn that off"),
        ("if-none-match", "a write with If-None-Match over an object that exists was not refused"),
        ("stale", "a write with the If-Match of an older version was not refused"),
        ("gone", "a write with If-Match where the object was deleted was not refused"),
        ("delete", "still holds what was deleted"),
    ],
)
def test_a_store_that_is_conditional_by_halves_is_refused_with_what_it_did_wrong(fault: str, said: str) -> None:
    with pytest.raises(StorageError, match=said):
        preflight(Halved(fault))


def test_a_store_that_honours_all_conditions_is_left_empty() -> None:
    store = Halved("none")
    preflight(store)
    assert not list(store.list(""))


class Forgetful(MemoryStore):
    """Its client tries again after the first answer was lost, and so meets its own write."""

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        etag = super().put(key, data, if_absent=if_absent, if_match=if_match)
        return super().put(key, data, if_absent=if_absent, if_match=if_match) if data in {b"1", b"4"} else etag


def test_a_write_whose_answer_was_lost_is_no_fault_of_the_store() -> None:
    preflight(Forgetful())


def test_an_outage_is_told_as_one() -> None:
    class Away(MemoryStore):
        def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
            raise StorageUnavailable("503")

    with pytest.raises(StorageUnavailable):
        preflight(Away())
