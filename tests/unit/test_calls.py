"""Calls that hang hold up those of their own line, and no others."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from xstilts.controller.calls import CALLS_OF_A_LINE, CallQueue, Line

LONG = 30.0
"""Seconds that only a queue that is broken takes."""


def line(name: str, namespace: str = "team") -> Line:
    return Line(namespace=namespace, store=f"https://{name}", tracking="https://mlflow", secrets=(name,))


class Hanging:
    """Calls that say that they have begun, and then wait."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        self.begun.release()
        assert self.go.wait(LONG)


@pytest.fixture
def hanging():
    calls = Hanging()
    yield calls
    calls.go.set()


def test_many_calls_that_hang_leave_room_for_other_credentials(hanging: Hanging) -> None:
    queue = CallQueue(4, of_a_namespace=4)
    for _ in range(50):
        queue.submit(line("hangs"), hanging)
    assert all(hanging.begun.acquire(timeout=LONG) for _ in range(CALLS_OF_A_LINE))
    done = threading.Semaphore(0)
    for _ in range(10):
        queue.submit(line("fine"), done.release)
    assert all(done.acquire(timeout=LONG) for _ in range(10))
    assert hanging.count == CALLS_OF_A_LINE
    hanging.go.set()
    assert all(hanging.begun.acquire(timeout=LONG) for _ in range(50 - CALLS_OF_A_LINE))
    queue.join()


def test_many_stores_of_a_namespace_that_hang_leave_room_for_another_namespace(hanging: Hanging) -> None:
    queue = CallQueue(4, of_a_namespace=2)
    for number in range(20):
        queue.submit(line(f"hangs-{number}"), hanging)
    assert all(hanging.begun.acquire(timeout=LONG) for _ in range(2))
    done = threading.Event()
    queue.submit(line("fine", "others"), done.set)
    assert done.wait(LONG)
    assert hanging.count == 2
    hanging.go.set()
    queue.close(LONG)
    queue.join()


def test_lines_take_turns() -> None:
    order: list[str] = []
    queue = CallQueue(1, of_a_namespace=1)
    begun, go = threading.Event(), threading.Event()
    queue.submit(line("first"), lambda: (begun.set(), go.wait(LONG)))
    assert begun.wait(LONG)
    for name in ("a", "a", "a", "b", "c"):
        queue.submit(line(name), order.append, name)
    last = threading.Event()
    queue.submit(line("a"), last.set)
    go.set()
    assert last.wait(LONG)
    assert order == ["a", "b", "c", "a", "a"]
    queue.join()


def test_a_call_that_raises_gives_its_place_back() -> None:
    queue = CallQueue(1, of_a_namespace=1)
    done = threading.Event()

    def fails() -> None:
        raise RuntimeError

    queue.submit(line("a"), fails)
    queue.submit(line("a"), done.set)
    assert done.wait(LONG)
    queue.join()


def test_a_closed_queue_starts_nothing_and_waits_for_what_runs(hanging: Hanging) -> None:
    queue = CallQueue(2, of_a_namespace=2)
    for _ in range(5):
        queue.submit(line("a"), hanging)
    assert all(hanging.begun.acquire(timeout=LONG) for _ in range(2))
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(queue.close, LONG)
        hanging.go.set()
        closing.result(LONG)
    queue.submit(line("b"), hanging)
    queue.join()
    assert hanging.count == 2


@pytest.mark.parametrize(
    "change", [{"namespace": "b"}, {"store": "https://b"}, {"tracking": "https://b"}, {"secrets": ("b",)}]
)
def test_each_namespace_server_and_secret_makes_a_line_of_its_own(change: dict[str, object]) -> None:
    assert replace(line("a"), **change) != line("a")  # type: ignore[arg-type]
