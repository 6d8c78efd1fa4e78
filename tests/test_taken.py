"""What was taken and then cannot be read is put back: nothing is lost because its value is not understood."""

from __future__ import annotations

import pickle
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from conftest import Script
from parkit import Array, Dict, LifoQueue, Object, PriorityQueue, Queue, Unreadable, transaction
from parkit.queue import ShutDown

pytestmark = pytest.mark.usefixtures("site")


class Switch:
    """What happens when a Fragile is unpickled; nothing if it is None."""

    act: Callable[[], object] | None = None


@pytest.fixture(autouse=True)
def whole() -> Any:
    yield
    Switch.act = None


class Fragile:
    """An object whose unpickling does what the switch says."""

    def __init__(self, number: int, weight: bytes = b"") -> None:
        self.number, self.weight = number, weight

    def __reduce__(self) -> Any:
        return _made, (self.number, self.weight)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fragile) and (self.number, self.weight) == (other.number, other.weight)

    def __hash__(self) -> int:
        return hash(self.number)

    def __repr__(self) -> str:
        return f"Fragile({self.number}, {len(self.weight)} bytes)"


def _made(number: int, weight: bytes) -> Fragile:
    if Switch.act is not None:
        Switch.act()
    return Fragile(number, weight)


def refuse() -> None:
    raise ModuleNotFoundError("No module named 'gone'")


def interrupt() -> None:
    raise KeyboardInterrupt


def run_out() -> None:
    raise MemoryError


FAILURES = pytest.mark.parametrize(
    ("act", "kind"), [(refuse, ImportError), (interrupt, KeyboardInterrupt), (run_out, MemoryError)]
)
# What lies on the stack of C, what is copied before it is unpickled, and what is not.
WEIGHTS = pytest.mark.parametrize("weight", [b"", b"x" * 5000, b"y" * 300_000], ids=["small", "some", "large"])


def notes(error: BaseException) -> str:
    return " ".join(getattr(error, "__notes__", []))


def fails(act: Callable[[], object], kind: type[BaseException], take: Callable[[], object]) -> BaseException:
    """Take something while unpickling fails."""
    Switch.act = act
    try:
        with pytest.raises(kind) as caught:
            take()
    finally:
        Switch.act = None
    assert type(caught.value) is kind or kind is ImportError
    assert not hasattr(caught.value, "parkit_raw")
    if sys.version_info >= (3, 11):
        assert "put back" in notes(caught.value)
    return caught.value


class Hooked:
    """Mixed into a class: a decoder that does what the switch says."""

    @staticmethod
    def encode_value(value: Any, /) -> bytes:
        return pickle.dumps(value)

    @staticmethod
    def decode_value(data: bytes, metadata: Any = None, /) -> Any:
        if Switch.act is not None:
            Switch.act()
        return pickle.loads(data)


class HookedQueue(Hooked, Queue[Any]):
    pass


class HookedLifo(Hooked, LifoQueue[Any]):
    pass


class HookedPriority(Hooked, PriorityQueue[Any]):
    pass


class HookedArray(Hooked, Array[Any]):
    pass


class HookedDict(Hooked, Dict[Any, Any]):
    pass


class KeyedDict(Dict[Any, Any]):
    """Its keys have a decoder that fails."""

    encode_key = staticmethod(pickle.dumps)

    @staticmethod
    def decode_key(data: bytes, /) -> Any:
        if Switch.act is not None:
            Switch.act()
        return pickle.loads(data)


# ---- Queues ----

QUEUES = pytest.mark.parametrize(
    "cls", [Queue, LifoQueue, PriorityQueue, HookedQueue, HookedLifo, HookedPriority], ids=lambda cls: cls.__name__
)


def counts(q: Queue[Any]) -> tuple[int, int, int, int]:
    return q.qsize(), q.unfinished_tasks, q.leased_count, q.dead_count


@QUEUES
@FAILURES
@WEIGHTS
def test_a_queue_gets_its_item_back_in_its_place(
    cls: type[Queue[Any]], act: Callable[[], object], kind: type[BaseException], weight: bytes
) -> None:
    q = cls("q", create=True)
    items = [(n % 2, Fragile(n, weight)) for n in range(4)]
    for item in items:
        q.put(item)
    before = counts(q)
    for block in (False, None):
        fails(act, kind, lambda block=block: q.get(block))
        assert counts(q) == before
    if issubclass(cls, PriorityQueue):
        items = [items[n] for n in (0, 2, 1, 3)]
    elif issubclass(cls, LifoQueue):
        items.reverse()
    assert [q.get(block=False) for _ in items] == items
    assert counts(q) == (0, 4, 0, 0)


def test_a_durable_queue_gets_it_back_too(durable: str) -> None:
    q: Queue[Any] = Queue("q", create=True)
    q.put(Fragile(1))
    fails(refuse, ImportError, q.get)
    fails(refuse, ImportError, lambda: q.get(timeout=10))
    assert (q.get(), q.unfinished_tasks) == (Fragile(1), 1)


@QUEUES
def test_what_others_do_meanwhile_stays(cls: type[Queue[Any]]) -> None:
    q = cls("q", create=True)
    for n in range(4):
        q.put((0, Fragile(n)))
    order = [3, 2, 1, 0] if issubclass(cls, LifoQueue) else [0, 1, 2, 3]

    def act() -> None:
        Switch.act = None
        assert [q.get()[1].number for _ in range(2)] == order[1:3]
        q.put((0, Fragile(9)))
        refuse()

    fails(act, ImportError, q.get)
    assert counts(q) == (3, 5, 0, 0)
    rest = [9, order[0], order[3]] if issubclass(cls, LifoQueue) else [order[0], order[3], 9]
    assert [q.get()[1].number for _ in range(3)] == rest
    q.put((0, Fragile(7)))  # and goes on as any
    q.put((0, Fragile(8)))
    assert {q.get()[1].number, q.get()[1].number} == {7, 8}


def test_neither_the_bound_nor_a_shutdown_keeps_it_out() -> None:
    q: Queue[Any] = Queue("q", create=True, maxsize=1)
    q.put(Fragile(1))

    def act() -> None:
        q.put(2, block=False)
        q.shutdown()
        refuse()

    fails(act, ImportError, q.get)
    assert (q.qsize(), q.full(), q.is_shutdown) == (2, True, True)
    assert [q.get(), q.get()] == [Fragile(1), 2]
    with pytest.raises(ShutDown):
        q.get()


def test_who_says_done_too_often_does_not_make_the_counts_wrong() -> None:
    q: Queue[Any] = Queue("q", create=True)
    q.put(Fragile(1))

    def act() -> None:
        q.task_done()
        refuse()

    fails(act, ImportError, q.get)
    assert counts(q) == (1, 1, 0, 0)
    q.get()
    q.task_done()
    q.join(timeout=0)


def test_who_waits_gets_what_was_put_back() -> None:
    q: Queue[Any] = Queue("q", create=True)
    q.put(Fragile(1))
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(q.get(timeout=30)))

    def act() -> None:
        Switch.act = None
        thread.start()
        refuse()

    fails(act, ImportError, q.get)
    thread.join(30)
    assert got == [Fragile(1)]


def test_a_signal_that_came_while_it_was_read_puts_it_back_too() -> None:
    class Interrupting:
        def __reduce__(self) -> Any:
            import _thread

            return _thread.interrupt_main, ()  # which raises nothing: the signal is there when unpickling has ended

    q: Queue[Any] = Queue("q", create=True)
    q.put(Interrupting())
    with pytest.raises(KeyboardInterrupt):
        q.get()
    assert counts(q) == (1, 1, 0, 0)


def test_a_class_whose_module_is_missing() -> None:
    import types

    module = types.ModuleType("parkit_absent")
    exec("class Thing:\n    pass", vars(module))
    sys.modules["parkit_absent"] = module
    q: Queue[Any] = Queue("q", create=True)
    try:
        q.put(vars(module)["Thing"]())
        del sys.modules["parkit_absent"]
        for take in (q.get, q.get_nowait, lambda: q.get(timeout=1)):
            with pytest.raises(ModuleNotFoundError, match="parkit_absent"):
                take()
        sys.modules["parkit_absent"] = module
        assert type(q.get()).__name__ == "Thing"
    finally:
        sys.modules.pop("parkit_absent", None)


def test_threads_that_fail_at_random_lose_and_double_nothing() -> None:
    import random

    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    q: Queue[Any] = Queue("q", create=True)
    for n in range(300):
        q.put(Fragile(n))
    got: list[int] = []
    failed: list[int] = []

    def act() -> None:
        if draw.random() < 0.3:
            refuse()

    def work() -> None:
        while True:
            try:
                got.append(q.get(block=False).number)
            except ImportError:
                failed.append(1)
            except queue.Empty:
                return

    Switch.act = act
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    work()  # what was put back when all others had gone
    assert failed
    assert sorted(got) == list(range(300))
    assert counts(q) == (0, 300, 0, 0)


def test_in_a_transaction() -> None:
    q: Queue[Any] = Queue("q", create=True)
    for n in range(2):
        q.put(Fragile(n))
    with transaction(q):
        fails(refuse, ImportError, q.get)  # who goes on all the same
        q.put(Fragile(2))
    Switch.act = refuse
    with pytest.raises(ImportError), transaction(q):
        q.put(Fragile(3))
        q.get()
    Switch.act = None
    assert [q.get().number for _ in range(3)] == [0, 1, 2]
    assert counts(q) == (0, 3, 0, 0)


def test_a_coroutine_puts_it_back() -> None:
    import asyncio

    from parkit import aio

    q: Queue[Any] = Queue("q", create=True)
    q.put(Fragile(1))
    fails(refuse, ImportError, lambda: asyncio.run(aio.get(q)))
    assert asyncio.run(aio.get(q)) == Fragile(1)


def test_what_cannot_be_put_back_is_in_the_exception() -> None:
    from parkit import _native

    def dropping(thing: Object) -> Callable[[], None]:
        def act() -> None:
            thing.drop()
            refuse()

        return act

    q: Queue[Any] = Queue("q", create=True)
    a: Array[Any] = Array("a", create=True)
    d: Dict[Any, Any] = Dict("d", create=True)
    for put, thing, take in [
        (q.put, q, q.get),
        (a.append, a, a.pop),
        (lambda value: d.update(k=value), d, d.popitem),
    ]:
        put(Fragile(1))  # type: ignore[operator]
        Switch.act = dropping(thing)  # type: ignore[arg-type]
        with pytest.raises(ImportError) as caught:
            take()  # type: ignore[operator]
        Switch.act = None
        raw: Any = caught.value
        assert _native.lane.decode_value(raw.parkit_raw) == Fragile(1)
        assert (b"k" in raw.parkit_raw_key) == (thing is d)
        assert type(raw.__context__).__name__ == "ObjectNotFoundError"
        if sys.version_info >= (3, 11):
            assert "nor put back (" in notes(raw)


def test_a_second_ctrl_c_does_not_lose_what_is_put_back_after_the_first(script: Script, site: str) -> None:
    script(
        """
import os, signal, sys, threading
import parkit
from parkit import Queue, transaction

class Second(BaseException):
    pass

def second(*_):
    raise Second

def hold():
    with transaction(q):
        held.set()
        asleep = 0
        while asleep < 200:  # the main thread waits for the turn
            with open(f'/proc/self/task/{main}/stat') as file:
                asleep = asleep + 1 if file.read().rsplit(')', 1)[1].split()[0] == 'S' else 0
        os.kill(os.getpid(), signal.SIGUSR1)
        threading.Event().wait(0.2)  # longer than a wait goes without a look at signals

def act():
    threading.Thread(target=hold).start()
    held.wait(30)
    raise KeyboardInterrupt

class Slow:
    def __reduce__(self):
        return act, ()

main = threading.get_native_id()
signal.signal(signal.SIGUSR1, second)
held = threading.Event()
parkit.set_default_site(sys.argv[1])
q = Queue('slow', create=True)
q.put(Slow())
try:
    try:
        q.get()
    except KeyboardInterrupt as error:
        assert not hasattr(error, 'parkit_raw')
        for _ in range(100):
            pass
except Second:
    pass
assert q.qsize() == 1, q.qsize()
""",
        site,
    )


# ---- Leases and dead letters ----


@pytest.mark.parametrize("cls", [Queue, HookedQueue, HookedPriority])
def test_a_lease_whose_item_cannot_be_read_has_ended(cls: type[Queue[Any]]) -> None:
    q = cls("q", create=True, max_attempts=3)
    for n in range(2):
        q.put((0, Fragile(n)))
    leases: list[Callable[[], object]] = [q.lease, lambda: q.get(lease=60)]
    for attempt, lease in enumerate(leases, 1):
        fails(refuse, ImportError, lease)
        assert counts(q) == (2, 2, 0, 0)
        with pytest.raises(KeyboardInterrupt):  # which is no attempt
            fails_to(interrupt, lease)
        held = q.get(lease=True)
        assert (held.item, held.attempts) == ((0, Fragile(0)), attempt + 1)
        held.release()
    fails(refuse, ImportError, q.lease)
    assert counts(q) == (1, 1, 0, 1)
    with q.lease() as item:  # what came behind it is next
        assert item == (0, Fragile(1))
    Switch.act = refuse
    [letter] = q.dead_letters()
    assert (letter.attempts, letter.why) == (3, "it could not be read: ModuleNotFoundError: No module named 'gone'")
    assert isinstance(letter.item, Unreadable)
    assert isinstance(letter.item.error, ImportError)
    assert b"_made" in letter.item.data
    Switch.act = interrupt
    with pytest.raises(KeyboardInterrupt):
        q.dead_letters()
    Switch.act = None
    assert [letter.item for letter in q.dead_letters()] == [(0, Fragile(0))]
    assert q.retry_dead(letter) == 1
    assert q.get() == (0, Fragile(0))


def fails_to(act: Callable[[], object], take: Callable[[], object]) -> None:
    Switch.act = act
    try:
        take()
    finally:
        Switch.act = None


def test_how_to_get_past_an_item_that_can_never_be_read() -> None:
    """As docs/guarantees.md says it."""
    q: Queue[Any] = Queue("q", create=True)
    q.put(Fragile(1))
    q.put("next")
    Switch.act = refuse
    for _ in range(5):
        with pytest.raises(ImportError):
            q.get()
    tries = 0
    while True:
        try:
            with q.lease() as item:
                assert item == "next"
                break
        except ImportError:
            tries += 1
    assert (tries, q.dead_count) == (10, 1)
    assert q.clear_dead() == 1


def test_a_lease_that_cannot_be_ended_at_once_says_so() -> None:
    q: Queue[Any] = Queue("q", create=True)
    q.put(Fragile(1))

    def act() -> None:
        q.drop()
        refuse()

    Switch.act = act
    with pytest.raises(ImportError) as caught:
        q.lease()
    assert type(caught.value.__context__).__name__ == "ObjectNotFoundError"
    assert not hasattr(caught.value, "parkit_raw")


def test_attempts_outlive_a_failed_take() -> None:
    q: Queue[Any] = Queue("q", create=True)
    q.put(Fragile(1))
    q.get(lease=True).nack()
    fails(refuse, ImportError, q.get)
    assert q.get(lease=True).attempts == 2


# ---- Arrays ----


@FAILURES
@WEIGHTS
@pytest.mark.parametrize("cls", [Array, HookedArray])
def test_an_array_gets_its_item_back_at_its_end(
    cls: type[Array[Any]], act: Callable[[], object], kind: type[BaseException], weight: bytes
) -> None:
    a = cls("a", create=True, maxsize=3)
    items = [Fragile(n, weight) for n in range(3)]
    a.extend(items)
    for take in (a.pop, a.popleft, lambda: a.pop(0)):
        fails(act, kind, take)
        assert list(a) == items
    assert (a.popleft(), a.pop(), list(a)) == (items[0], items[2], [items[1]])


def test_what_was_appended_meanwhile_stays() -> None:
    a: Array[Any] = Array("a", create=True, maxsize=2)
    a.extend([Fragile(0), Fragile(1)])

    def act() -> None:
        Switch.act = None
        a.append(2)
        refuse()

    fails(act, ImportError, a.popleft)
    assert list(a) == [Fragile(0), Fragile(1), 2]  # over its bound, until the next one is appended
    a.append(3)
    assert list(a) == [2, 3]
    a.append(Fragile(4))
    fails(act, ImportError, a.pop)
    assert list(a) == [3, 2, Fragile(4)]
    with transaction(a):
        fails(refuse, ImportError, a.pop)
    assert a.pop() == Fragile(4)


# ---- Dicts ----


@FAILURES
@WEIGHTS
@pytest.mark.parametrize("cls", [Dict, HookedDict])
def test_a_dict_gets_its_entry_back(
    cls: type[Dict[Any, Any]], act: Callable[[], object], kind: type[BaseException], weight: bytes
) -> None:
    d = cls("d", create=True)
    entries = {True: Fragile(1, weight), "a" * 1000: Fragile(2, weight), ("b", 2.5): Fragile(3, weight)}
    d.update(entries)
    before = list(d.items())
    for key in [1, "a" * 1000, ("b", 2.5)]:
        fails(act, kind, lambda key=key: d.pop(key))
        fails(act, kind, lambda key=key: d.pop(key, None))
    fails(act, kind, d.popitem)
    fails(act, kind, lambda: d.popitem(0))
    assert list(d.items()) == before
    assert len(d) == 3
    assert next(iter(d)) is True  # the key is the one that was given at first
    with transaction(d):
        fails(act, kind, d.popitem)
    assert d.pop("nobody", 1) == 1
    with pytest.raises(KeyError, match="nobody"):
        d.pop("nobody")
    assert {d.popitem()[0] for _ in range(3)} == set(entries)


@pytest.mark.parametrize("cls", [Dict, KeyedDict])
def test_a_key_that_cannot_be_read_is_put_back_too(cls: type[Dict[Any, Any]]) -> None:
    d = cls("d", create=True)
    d[Fragile(1)] = "one"
    fails(refuse, ImportError, d.popitem)
    assert d.popitem() == (Fragile(1), "one")


def test_what_others_have_set_meanwhile_stays() -> None:
    d: Dict[str, Any] = Dict("d", create=True)
    d["k"] = Fragile(1)

    def act() -> None:
        d["k"] = "theirs"
        refuse()

    fails(act, ImportError, lambda: d.pop("k"))
    assert list(d.items()) == [("k", "theirs")]


@pytest.mark.parametrize("limits", [{}, {"max_entries": 2}, {"max_entries": 2, "eviction": "none"}], ids=str)
def test_an_end_is_kept(limits: dict[str, Any]) -> None:
    d: Dict[str, Any] = Dict("d", create=True, **limits)
    d.set("k", Fragile(1), expire=3600)
    d["other"] = 1
    end = d.expire_time("k")
    fails(refuse, ImportError, lambda: d.pop("k"))
    assert d.expire_time("k") == end
    fails(refuse, ImportError, lambda: d.popitem(0))
    assert (len(d), d.expire_time("k"), d["k"]) == (2, end, Fragile(1))


def test_a_limit_that_others_filled_meanwhile_refuses_it() -> None:
    d: Dict[str, Any] = Dict("d", create=True, max_entries=1, eviction="none")
    d["k"] = Fragile(1)

    def act() -> None:
        d["other"] = 1
        refuse()

    Switch.act = act
    with pytest.raises(ImportError) as caught:
        d.pop("k")
    assert list(d) == ["other"]
    assert b"_made" in caught.value.parkit_raw  # type: ignore[attr-defined]


def test_what_cannot_be_read_can_be_removed() -> None:
    """As docs/guarantees.md says it."""
    Switch.act = refuse
    a: Array[Any] = Array("a", create=True)
    a.extend([Fragile(1), 2])
    a[0] = None
    assert (a.popleft(), a.popleft()) == (None, 2)
    for cls in (Dict, HookedDict):
        d: Dict[Any, Any] = cls(cls.__name__, create=True)
        d["k"] = Fragile(1)
        del d["k"]
        assert len(d) == 0
        with pytest.raises(KeyError, match=r"^'k'$"):
            del d["k"]
