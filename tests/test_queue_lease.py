"""Leases of a queue's items, dead letters, and queues that do not wait."""

from __future__ import annotations

import pickle
import queue
import random
import threading
import time
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, Leased, LeaseLostError, LifoQueue, PriorityQueue, Queue, snapshot, transaction
from parkit.errors import ClaimLostError
from parkit.queue import ShutDown

BOTH = pytest.mark.parametrize("memory", [True, False], ids=["memory", "durable"])


@pytest.fixture
def q(site: str) -> Queue[Any]:
    return Queue("q", create=True)


# ---- In one process ----


def test_leaving_normally_acknowledges(q: Queue[Any]) -> None:
    for item in "abc":
        q.put(item)
    with q.lease() as item:
        assert item == "a"
        assert (q.qsize(), q.leased_count, q.unfinished_tasks) == (2, 1, 3)
    assert (q.qsize(), q.leased_count, q.unfinished_tasks) == (2, 0, 2)
    assert [q.get(), q.get()] == ["b", "c"]


def test_an_exception_puts_the_item_back_in_its_place(q: Queue[Any]) -> None:
    for item in "abc":
        q.put(item)
    with pytest.raises(ZeroDivisionError), q.lease() as item:
        1 / 0  # noqa: B018
    assert (q.qsize(), q.leased_count, q.unfinished_tasks) == (3, 0, 3)
    lease = q.get(lease=True)
    assert (lease.item, lease.attempts, lease.deadline) == ("a", 2, None)
    lease.nack()
    assert [q.get() for _ in range(3)] == ["a", "b", "c"]


def test_what_stops_the_program_is_no_attempt(q: Queue[Any]) -> None:
    q.put(1)
    for stop in (KeyboardInterrupt, SystemExit):
        with pytest.raises(stop), q.lease():
            raise stop
    lease = q.get(lease=True)
    assert lease.attempts == 1
    lease.release()
    assert q.get(lease=True).attempts == 1


@pytest.mark.parametrize("kind", [Queue, LifoQueue, PriorityQueue])
def test_items_come_back_in_the_order_of_the_queue(site: str, kind: type[Queue[Any]]) -> None:
    q = kind("ordered", create=True)
    for item in (2, 1, 3, 1.5):
        q.put(item)
    order = {Queue: [2, 1, 3, 1.5], LifoQueue: [1.5, 3, 1, 2], PriorityQueue: [1, 1.5, 2, 3]}[kind]
    leases = [q.get(lease=True) for _ in range(3)]
    assert [lease.item for lease in leases] == order[:3]
    for lease in random.Random(7).sample(leases, 3):
        lease.nack()
    assert [q.get() for _ in range(4)] == order


def test_values_of_all_kinds_and_coded_ones(site: str) -> None:
    class Shouted(Queue[str]):
        def encode_value(self, value: Any, /) -> bytes:
            return str(value).upper().encode()

        def decode_value(self, data: bytes, metadata: Any = None, /) -> Any:
            return data.decode()

    q: Queue[Any] = Queue("values", create=True)
    for value in (None, "é" * 3000, b"x" * 100_000, {"a": [1]}):
        q.put(value)
        lease = q.get(lease=5)
        assert lease.item == value
        lease.reject()
        assert q.dead_letters()[-1].item == value
        q.retry_dead()
        assert q.get() == value
    shouted: Queue[Any] = Shouted("shouted", create=True)
    shouted.put("a")
    with shouted.lease() as item:
        assert item == "A"
    shouted.put("b")
    shouted.get(lease=True).reject()
    assert [letter.item for letter in shouted.dead_letters()] == ["B"]


def test_arguments_are_refused_before_anything_changes(q: Queue[Any]) -> None:
    q.put(1)
    for hold in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="above zero"):
            q.lease(timeout=hold)
        with pytest.raises(ValueError, match="above zero"):
            q.get(lease=hold)
    with pytest.raises(TypeError):
        q.get(lease="long")  # type: ignore[call-overload]
    assert (q.qsize(), q.leased_count) == (1, 0)
    lease = q.get(lease=True)
    for settle in (lambda: lease.extend(-1), lambda: lease.nack(delay=-1)):
        with pytest.raises(ValueError, match="below zero"):
            settle()
    lease.ack()


def test_how_it_waits_for_an_item(q: Queue[Any]) -> None:
    with pytest.raises(queue.Empty):
        q.lease(block=False)
    with pytest.raises(queue.Empty):
        q.lease(wait=0.01)
    with transaction(q), pytest.raises(queue.Empty):
        q.lease()
    with transaction(q), pytest.raises(parkit.TransactionError):
        q.get(block=True, lease=True)
    threading.Timer(0.01, q.put, ["late"]).start()
    with q.lease() as item:
        assert item == "late"
    q.shutdown()
    with pytest.raises(ShutDown):
        q.lease()


# ---- Leases that were lost ----


def test_a_lease_whose_time_is_over_settles_nothing(q: Queue[Any]) -> None:
    q.put("a")
    with pytest.raises(LeaseLostError, match="another one may have it") as caught, q.lease(timeout=0.01):
        assert q.get(timeout=30) == "a"  # woken by the deadline
    assert isinstance(caught.value, ClaimLostError)
    q.put("b")
    lease = q.get(lease=0.01)
    assert lease.deadline is not None
    assert abs(lease.deadline - time.time()) < 5
    again = q.get(timeout=30, lease=60)
    assert (again.item, again.attempts) == ("b", 2)
    for settle in (lease.ack, lease.nack, lease.reject, lease.release, lambda: lease.extend(60)):
        with pytest.raises(LeaseLostError):
            settle()
    again.ack()
    with pytest.raises(LeaseLostError):
        again.ack()
    assert (q.qsize(), q.leased_count, q.unfinished_tasks) == (0, 0, 1)


def test_an_exception_is_not_hidden_by_a_lost_lease(q: Queue[Any]) -> None:
    q.put("a")
    with pytest.raises(ZeroDivisionError), q.lease(timeout=0.01):
        q.get(timeout=30)
        1 / 0  # noqa: B018


def test_a_lease_can_be_extended(q: Queue[Any]) -> None:
    q.put("a")
    lease = q.get(lease=0.05)
    lease.extend(600)
    with pytest.raises(queue.Empty):
        q.get(timeout=0.06)
    lease.extend(None)
    assert lease.deadline is None
    lease.ack()


def test_put_back_for_later(q: Queue[Any]) -> None:
    q.put("a")
    q.put("b")
    q.get(lease=True).nack(delay=0.05)
    begun = time.monotonic()
    assert q.get() == "b"
    assert (q.qsize(), q.leased_count) == (0, 1)
    assert q.get(timeout=30) == "a"
    assert time.monotonic() - begun >= 0.04


# ---- Transactions ----


def test_to_acknowledge_is_part_of_a_transaction(q: Queue[Any]) -> None:
    done: Dict[str, int] = Dict("done", create=True)
    q.put("a")
    lease = q.get(lease=True)
    with pytest.raises(ZeroDivisionError), transaction(q):
        done["a"] = 1
        lease.ack()
        assert q.leased_count == 0
        1 / 0  # noqa: B018
    assert (len(done), q.leased_count, q.unfinished_tasks) == (0, 1, 1)
    with lease, transaction(q):
        done["a"] = 1
        lease.ack()
    assert (len(done), q.leased_count, q.unfinished_tasks) == (1, 0, 0)


def test_a_block_settles_what_a_transaction_undid(q: Queue[Any]) -> None:
    for settle, left in ((Leased.ack, []), (Leased.nack, ["a"]), (Leased.reject, [])):
        q.put("a")
        lease: Leased[Any] = q.get(lease=True)
        with lease:
            try:
                with transaction(q):
                    settle(lease)
                    raise ZeroDivisionError
            except ZeroDivisionError:
                pass
            assert q.leased_count == 1
        assert (q.leased_count, [q.get() for _ in range(q.qsize())]) == (0, left)
    assert q.dead_count == 1


def test_a_lease_taken_in_a_transaction_that_fails_was_never_taken(q: Queue[Any]) -> None:
    q.put("a")
    with transaction(q):
        with pytest.raises(ZeroDivisionError), transaction(q), q.lease():
            1 / 0  # noqa: B018
        with pytest.raises(ZeroDivisionError), transaction(q):
            lease = q.get(lease=True)
            1 / 0  # noqa: B018
        with pytest.raises(LeaseLostError):
            lease.ack()
        with q.lease() as item:
            assert item == "a"
    assert (q.qsize(), q.leased_count, q.unfinished_tasks) == (0, 0, 0)
    q.put("b")
    with snapshot(q):
        with q.lease() as item:
            assert item == "b"
        assert q.qsize() == 1  # as it was when the snapshot began
    assert q.qsize() == 0


def test_nested_transactions_and_leases(q: Queue[Any]) -> None:
    for item in range(4):
        q.put(item)
    with transaction(q):
        first = q.get(lease=True)
        with pytest.raises(ZeroDivisionError), transaction(q):
            second = q.get(lease=True)
            first.ack()
            assert second.item == 1
            1 / 0  # noqa: B018
        assert q.leased_count == 1
        with transaction(q):
            first.nack()
        again = q.get(lease=True)
        assert (again.item, again.attempts) == (0, 2)
        again.ack()
    assert (q.qsize(), q.leased_count, q.get()) == (3, 0, 1)


# ---- Dead letters ----


def test_dead_letters_are_listed_and_put_back(q: Queue[Any]) -> None:
    q.max_attempts = 2
    begun = time.time()
    for item in "abc":
        q.put(item)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"), q.lease() as item:
            raise ValueError(f"no {item}")
    q.get(lease=True).reject("bad \udc80 text")
    letters = q.dead_letters()
    assert [(d.item, d.attempts, d.why) for d in letters] == [("a", 2, "ValueError: no a"), ("b", 1, "bad ? text")]
    assert all(begun - 1 < d.when < time.time() + 1 for d in letters)
    assert (q.dead_count, q.unfinished_tasks, q.qsize()) == (2, 1, 1)
    assert q.retry_dead(letters[1]) == 1
    assert q.retry_dead(letters[1]) == 0
    assert [q.get(), q.get()] == ["c", "b"]
    q.maxsize = 1
    q.put("d")
    assert q.retry_dead() == 1
    assert (q.qsize(), q.dead_count, q.unfinished_tasks) == (2, 0, 4)
    assert [q.get(lease=True).attempts, q.get(lease=True).item] == [1, "a"]


def test_many_dead_letters_cross_in_batches(q: Queue[Any]) -> None:
    with transaction(q):
        for item in range(200):
            q.put(item)
            q.get(lease=True).reject()
    letters = q.dead_letters()
    assert [d.item for d in letters] == list(range(200))
    assert q.clear_dead(letters[3], letters[5]) == 2
    assert q.dead_count == 198
    assert q.clear_dead() == 198
    assert q.dead_letters() == []
    assert q.retry_dead() == 0


def test_a_queue_that_was_shut_down_takes_no_dead_letters_back(q: Queue[Any]) -> None:
    q.put("a")
    q.get(lease=True).reject()
    q.put("b")
    lease = q.get(lease=True)
    q.shutdown(immediate=True)
    with pytest.raises(ShutDown):
        q.retry_dead()
    assert q.dead_count == 1
    lease.nack()  # what was taken before still comes back
    assert q.get() == "b"


def test_the_bound_on_attempts_is_stored(script: Script, site: str, q: Queue[Any]) -> None:
    assert q.max_attempts == 10
    assert Queue("three", create=True, max_attempts=3).max_attempts == 3
    script(
        "import sys; from parkit import *; set_default_site(sys.argv[1]); assert Queue('three').max_attempts == 3; "
        "Queue('three').max_attempts = 0",
        site,
    )
    three: Queue[Any] = Queue("three", max_attempts=7)
    assert three.max_attempts == 0
    three.put(1)
    for attempt in range(1, 31):
        lease = three.get(lease=True)
        assert lease.attempts == attempt
        lease.nack()
    q.put(1)
    for _ in range(10):
        q.get(lease=True).nack()
    assert (q.qsize(), q.dead_count) == (0, 1)


def test_task_done_is_not_for_leased_items(q: Queue[Any]) -> None:
    q.put(1)
    lease = q.get(lease=True)
    with pytest.raises(ValueError, match="too many"):
        q.task_done()
    lease.ack()
    q.join()
    q.put(2)
    q.put(3)
    held = q.get(lease=True)
    q.clear()
    assert (q.qsize(), q.leased_count, q.unfinished_tasks) == (0, 1, 1)
    held.ack()
    q.join()


def test_a_lease_goes_with_the_queue(q: Queue[Any]) -> None:
    q.put(1)
    lease = q.get(lease=True)
    assert repr(lease) == "<Leased 1 of 'default/q', attempt 1>"
    assert isinstance(pickle.loads(pickle.dumps(q)), Queue)
    q.drop()
    with pytest.raises(parkit.ObjectNotFoundError):
        lease.ack()


# ---- Queues that do not wait ----


@BOTH
def test_a_queue_that_does_not_wait(script: Script, tmp_path: Any, site: str, memory: bool) -> None:
    parkit.set_default_site(str(tmp_path / "s"), create=True, memory=memory)
    q: Queue[Any] = Queue("hasty", create=True, maxsize=1, blocking=False)
    assert not q.blocking
    source = """
import queue, sys, threading, parkit
parkit.set_default_site(sys.argv[1])
q = parkit.Queue('hasty')
try:
    q.get()
except queue.Empty:
    print('empty')
q.put(1)
try:
    q.put(2)
except queue.Full:
    print('full')
assert q.get() == 1
threading.Timer(0.01, q.put, [3]).start()
assert q.get(timeout=30) == 3
threading.Timer(0.01, q.put, [4]).start()
assert q.get(block=True) == 4
q.blocking = True
"""
    assert script(source, str(tmp_path / "s")).stdout == "empty\nfull\n"
    assert q.blocking
    thread = threading.Timer(0.01, q.put, [5])
    thread.start()
    assert q.get() == 5
    thread.join()
    assert Queue("plain", create=True, blocking=True).blocking


def test_what_comes_back_from_a_lease_is_not_kept_out_by_the_bound(q: Queue[Any]) -> None:
    q.maxsize = 1
    q.put("a")
    lease = q.lease()
    q.put("b")  # to take an item makes room, by a lease as well
    lease.nack()
    assert (q.qsize(), q.full()) == (2, True)
    with pytest.raises(queue.Full):
        q.put("c", block=False)
    assert q.get() == "a"
    with pytest.raises(queue.Full):
        q.put("c", block=False)
    assert q.get() == "b"
    q.put("c", block=False)


@pytest.mark.usefixtures("site")
def test_a_time_to_lease_for_that_is_no_number_is_refused() -> None:
    queue = Queue("jobs/one", create=True)
    queue.put("a")
    given: Any
    for given in ("x", [1]):
        with pytest.raises(TypeError, match=r"a lease is for a number of seconds above zero, .* not (str|list)"):
            queue.get(lease=given)
        with pytest.raises(TypeError, match=r"a lease is for a number of seconds above zero, .* not (str|list)"):
            queue.lease(given)
    assert queue.qsize() == 1
