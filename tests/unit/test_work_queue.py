"""Keys wait once, are worked on by one at a time, and come back when they are due."""

import threading

from xstilts.controller.work_queue import WorkQueue


def test_a_key_that_is_added_twice_is_given_out_once():
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert [queue.get(0), queue.get(0), queue.get(0)] == ["a", "b", None]


def test_a_key_that_is_added_while_it_is_worked_on_comes_again_afterwards():
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert queue.get(0) == "a"
    queue.add("a")
    assert queue.get(0) is None
    queue.done("a")
    assert queue.get(0) == "a"


def test_a_key_for_later_comes_when_it_is_due_and_the_soonest_time_holds():
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 3600)
    queue.add_after("b", 3600)
    queue.add_after("b", 0)
    assert queue.get(5) == "b"
    assert queue.get(0) is None


def test_closing_wakes_those_that_wait():
    queue: WorkQueue[str] = WorkQueue()
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(queue.get()))
    thread.start()
    queue.close()
    thread.join(10)
    assert found == [None]
