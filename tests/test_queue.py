"""Queue, LifoQueue and PriorityQueue beside what Python's do; test_queue_cpython.py has Python's own tests of them."""

from __future__ import annotations

import dataclasses
import pickle
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Array, LifoQueue, PriorityQueue, Queue, TransactionError, snapshot, transaction
from parkit.errors import NamespaceNotFoundError, WaitTimeout
from parkit.queue import ShutDown

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def q() -> Queue[Any]:
    return Queue("q", create=True)


def soon(function: Callable[..., object], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


VALUES = [None, 0, -1.5, 2**70, "é" * 3000, b"x" * 100_000, (1, [2]), {"a": 1}]


@pytest.mark.parametrize("kind", [Queue, LifoQueue])
def test_values_of_all_kinds(kind: type[Queue[Any]]) -> None:
    q = kind("values", create=True)
    for scope in (True, False):
        for value in VALUES:
            q.put(value)
        want = VALUES if kind is Queue else VALUES[::-1]
        if scope:
            with transaction(q):
                assert [q.get() for _ in VALUES] == want
        else:
            assert [q.get() for _ in VALUES] == want


def test_what_cannot_be_stored_changes_nothing(q: Queue[Any]) -> None:
    version = q.version
    with pytest.raises(TypeError):
        q.put(x for x in ())
    assert (q.qsize(), q.unfinished_tasks, q.version) == (0, 0, version)


def test_inside_a_transaction_nothing_waits(q: Queue[Any]) -> None:
    q.maxsize = 1
    with transaction(q):
        with pytest.raises(queue.Empty):
            q.get()
        for wants_to_wait in ({"timeout": 60}, {"block": True}, {"lease": True, "timeout": 60}):
            with pytest.raises(TransactionError, match="block=False"):
                q.get(**wants_to_wait)  # type: ignore[call-overload]
        with pytest.raises(TransactionError, match="block=False"):
            q.lease(wait=60)
        for does_not in ({"timeout": 0}, {"block": False, "timeout": 60}):
            with pytest.raises(queue.Empty):
                q.get(**does_not)  # type: ignore[call-overload]
        q.put(1, timeout=60)
        with pytest.raises(queue.Full):
            q.put(2)
        with pytest.raises(queue.Full):
            q.put(2, timeout=0)
        for timeout in (True, None), (True, 60), (None, 60):
            with pytest.raises(TransactionError, match="block=False"):
                q.put(2, *timeout)
        with pytest.raises(TransactionError):
            q.join()
    assert q.get() == 1
    with snapshot(q):  # writes in it go through on their own, and so do waits
        other = soon(q.put, 3)
        assert q.get() == 3
        assert q.empty()
    other.join()


def test_a_timeout_bounds_the_wait_for_the_turn_to_write_too(q: Queue[Any]) -> None:
    q.put(1)
    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction(q):
            begun.set()
            done.wait(30)

    thread = soon(hold)
    begun.wait(30)
    with pytest.raises(queue.Empty):
        q.get(timeout=0.02)
    with pytest.raises(queue.Full):
        q.put(2, timeout=0.02)
    done.set()
    thread.join()
    assert q.get(timeout=30) == 1


def test_by_default_it_waits_or_not_as_its_class_says() -> None:
    class Hasty(Queue[Any]):
        default_block = False

    q = Hasty("hasty", create=True, maxsize=1)
    with pytest.raises(queue.Empty):
        q.get()
    with pytest.raises(queue.Empty):
        q.get(timeout=0.01)
    q.put(1)
    with pytest.raises(queue.Full):
        q.put(2)
    other = soon(lambda: time.sleep(0.01) or q.get())
    q.put(2, block=True)
    other.join()


def test_the_environment_can_say_that_it_does_not_wait(script: Script, tmp_path: Path) -> None:
    source = """
import queue, sys, parkit
parkit.set_default_site(sys.argv[1], create=True)
try:
    parkit.Queue('q', create=True).get()
except queue.Empty:
    print('empty')
"""
    assert script(source, str(tmp_path / "s"), PARKIT_QUEUE_BLOCK="0").stdout == "empty\n"


def test_an_aborted_transaction_puts_items_back_in_their_place(q: Queue[Any]) -> None:
    for i in range(5):
        q.put(i)
    with pytest.raises(ZeroDivisionError), transaction(q):
        assert [q.get(), q.get()] == [0, 1]
        q.put(9)
        1 / 0  # noqa: B018
    assert q.unfinished_tasks == 5
    assert [q.get() for _ in range(5)] == list(range(5))


def test_shutting_down(q: Queue[Any]) -> None:
    q.put(1)
    q.put(2)
    caught: list[BaseException] = []

    def taker() -> None:
        try:
            while True:
                q.get()
        except ShutDown as error:
            caught.append(error)

    thread = soon(taker)
    while q.qsize():
        parkit.wait(q, condition=q.empty)
    q.shutdown()
    thread.join(10)
    assert len(caught) == 1
    assert q.is_shutdown
    with pytest.raises(ShutDown):
        q.put(1)
    with pytest.raises(ShutDown):
        q.get()
    q.reopen()
    q.put(3)
    assert q.unfinished_tasks == 3
    q.shutdown(immediate=True)
    assert (q.qsize(), q.unfinished_tasks) == (0, 2)
    q.reopen()
    with pytest.raises(queue.Empty):
        q.get_nowait()


def test_joining_and_clearing(q: Queue[Any]) -> None:
    for i in range(3):
        q.put(i)
    q.get()
    with pytest.raises(WaitTimeout):
        q.join(timeout=0.01)
    q.clear()
    assert q.unfinished_tasks == 1
    thread = soon(q.join)
    q.task_done()
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(ValueError, match="too many"):
        q.task_done()
    q.put(1)
    with pytest.raises(ValueError, match="too many"):
        q.task_done()  # it was not taken yet


def test_what_it_is(q: Queue[Any]) -> None:
    assert bool(q)
    assert (len(q), q.maxsize, q.full(), q.empty()) == (0, 0, False, True)
    assert pickle.loads(pickle.dumps(q)) == q
    assert Queue("small", create=True, maxsize=2).maxsize == 2
    assert Queue("small", maxsize=5).maxsize == 2
    stack = LifoQueue("stack", create=True)
    stack.put(1)
    stack.put(2)
    assert Queue("stack").get() == 2
    with pytest.raises(TypeError):
        LifoQueue("q")
    PriorityQueue("ranked", create=True)
    with pytest.raises(TypeError, match="own class"):
        Queue("ranked").put(1)


def test_dropping_it_ends_a_wait(q: Queue[Any]) -> None:
    caught: list[BaseException] = []

    def taker() -> None:
        try:
            q.get()
        except parkit.ObjectNotFoundError as error:
            caught.append(error)

    thread = soon(taker)
    q.drop()
    thread.join(10)
    assert len(caught) == 1


@dataclasses.dataclass(order=True)
class Job:
    urgency: int
    what: Any = dataclasses.field(compare=False)


def test_ranks() -> None:
    p: PriorityQueue[Any] = PriorityQueue("p", create=True)
    items: list[Any] = [(2, "b"), (1, "z"), (2, "a"), (-1.5,), (1, "z", 3), (True, "m")]
    for item in items:
        p.put(item)
    assert [p.get() for _ in items] == sorted(items)
    for job in (Job(3, {"n": 1}), Job(1, [2]), Job(3, {"n": 0})):
        p.put(job)
    assert [p.get().what for _ in range(3)] == [[2], {"n": 1}, {"n": 0}]
    for item in ((1, {"x": 1}), (0, {}), (1, {"a": 1})):
        p.put(item)
    assert [p.get() for _ in range(3)] == [(0, {}), (1, {"x": 1}), (1, {"a": 1})]
    with pytest.raises(TypeError, match="rank"):
        p.put({"no": "order"})
    for long in ("b" * 2000, "a" * 2000, "a" * 2000):
        p.put(long)
    assert [p.get()[0] for _ in range(3)] == ["a", "a", "b"]

    class Shortest(PriorityQueue[str]):
        def rank(self, item: str, /) -> int:
            return len(item)

        encode_value = None  # type: ignore[assignment]

        def decode_value(self, data: bytes, metadata: Any = None, /) -> Any:
            return data.decode() if metadata is None else data

    shortest: Any = Shortest("shortest", create=True)
    for word in (b"ccc", b"a", b"bb"):
        shortest.put(word)
    assert [shortest.get() for _ in range(3)] == ["a", "bb", "ccc"]


def test_a_bound_that_is_no_number_of_64_bits_is_refused(site: str) -> None:
    bounded: Any
    for cls, name in (Queue, "maxsize"), (Queue, "max_attempts"), (Array, "maxsize"):
        bounded = cls
        with pytest.raises(ValueError, match=name):
            bounded("large/one", create=True, **{name: 1 << 63})
        with pytest.raises(NamespaceNotFoundError):
            parkit.Namespace("large")
        assert getattr(bounded(create=True, **{name: (1 << 63) - 1}), name) == (1 << 63) - 1
    q = Queue("q", create=True, maxsize=5, max_attempts=6)
    for name in "maxsize", "max_attempts":
        with pytest.raises(ValueError, match=name):
            setattr(q, name, 1 << 64)
    assert (q.maxsize, q.max_attempts) == (5, 6)


SEVERAL = """
import os, sys, parkit
memory, producers, consumers, each = (int(arg) for arg in sys.argv[2:])
parkit.set_default_site(sys.argv[1], create=True, memory=bool(memory))
q = parkit.Queue('q', create=True, maxsize=50)
found = parkit.Dict('found', create=True)
def child(function, *args):
    pid = os.fork()
    if pid == 0:
        try:
            function(*args)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return pid
def produce(p):
    for i in range(each):
        q.put((p, i))
def consume(c):
    last, got = {}, []
    while (item := q.get()) is not None:
        assert last.get(item[0], -1) < item[1]
        last[item[0]] = item[1]
        got.append(item)
        q.task_done()
    found[c] = got
producing = [child(produce, p) for p in range(producers)]
consuming = [child(consume, c) for c in range(consumers)]
for pid in producing:
    assert os.waitpid(pid, 0)[1] == 0
q.join()
for _ in consuming:
    q.put(None)
for pid in consuming:
    assert os.waitpid(pid, 0)[1] == 0
items = sorted(item for got in found.values() for item in got)
assert items == [(p, i) for p in range(producers) for i in range(each)]
"""


@pytest.mark.parametrize(
    ("memory", "each"),
    [(1, 1000), (0, 30), pytest.param(1, 25_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])],
)
def test_several_processes(script: Script, tmp_path: Path, memory: int, each: int) -> None:
    """None lost, none doubled, in order for each producer, at a bound."""
    script(SEVERAL, str(tmp_path / "several"), str(memory), "4", "4", str(each), timeout=800)


@pytest.mark.parametrize("pairs", [2000, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_no_wake_up_is_lost(script: Script, tmp_path: Path, pairs: int) -> None:
    """Two processes hand an item to and fro: if one wake-up were lost, both would sleep for ever."""
    script(
        """
import os, sys, parkit
parkit.set_default_site(sys.argv[1], create=True, memory=True)
there, back = parkit.Queue('there', create=True), parkit.Queue('back', create=True)
pairs = int(sys.argv[2])
child = os.fork()
if child == 0:
    for i in range(pairs):
        back.put(there.get())
    os._exit(0)
for i in range(pairs):
    there.put(i)
    assert back.get() == i
assert os.waitpid(child, 0)[1] == 0
""",
        str(tmp_path / "pairs"),
        str(pairs),
        timeout=800,
    )
