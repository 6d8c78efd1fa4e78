"""Dict.memoize: what a key is made of, and that what is asked for at once is computed once."""

from __future__ import annotations

import asyncio
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, Queue, snapshot, transaction, wait
from parkit._memo_key import version_of

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def d() -> Dict[Any, Any]:
    return Dict("memo", create=True)


def counted(d: Dict[Any, Any], **options: Any) -> tuple[Any, list[Any]]:
    calls: list[Any] = []

    @d.memoize(name="counted", **options)
    def function(a: Any, b: Any = 2, *rest: Any, c: Any = 3, **more: Any) -> Any:
        calls.append((a, b, rest, c, more))
        return calls[-1]

    return function, calls


# ---- What a result is kept under ----


def test_a_result_is_computed_once(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)
    assert function(1) == function(1) == (1, 2, (), 3, {})
    assert len(calls) == 1
    assert function.cache_info() == (1, 1, None, 1)
    assert function.__wrapped__(1) == (1, 2, (), 3, {})
    assert len(calls) == 2
    assert d[function.cache_key(1)] == (1, 2, (), 3, {})


def test_arguments_are_one_however_they_are_given(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)
    for call in (
        lambda: function(1),
        lambda: function(a=1),
        lambda: function(1, 2),
        lambda: function(1, b=2),
        lambda: function(b=2, a=1, c=3),
        lambda: function(1.0, 2, c=3),
    ):
        call()
    assert len(calls) == 1
    function(1, 2, 4, x=1, y=2)
    function(1, 2, 4, y=2, x=1)
    assert len(calls) == 2
    function(1, 2, 4, x=2, y=2)
    assert len(calls) == 3
    with pytest.raises(TypeError, match="missing a required argument"):
        function()


class Plain:
    """An argument that is compared by identity, and pickled."""

    def __init__(self, n: int) -> None:
        self.n = n


class Unhashable(Plain):
    __hash__ = None  # type: ignore[assignment]


def test_arguments_of_any_type_count_by_their_value(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)
    other: Dict[Any, Any] = Dict("other", create=True)
    different = [
        None,
        "a",
        b"a",
        [1, 2],
        (1, 2),
        [2, 1],
        {1, 2},
        {"a": 1},
        {"a": 2},
        Plain(1),
        Plain(2),
        Unhashable(1),
        bytearray(10),
        bytearray(10**6),
        d,
        other,
        "x" * 5000,
        ["x" * 5000],
    ]
    for argument in different:
        function(argument)
    assert len(calls) == len(different)
    for argument in pickle.loads(pickle.dumps(different)):
        function(argument)
    assert len(calls) == len(different)


def test_an_argument_that_cannot_be_pickled_is_refused(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)
    with pytest.raises(TypeError, match=r"the argument b cannot be part of a key .*; leave it out with ignore="):
        function(1, threading.Lock())
    assert calls == []

    @d.memoize(ignore="lock")
    def locked(n: int, lock: Any) -> int:
        calls.append(n)
        return n

    assert locked(1, threading.Lock()) == locked(1, threading.Lock()) == 1
    assert calls == [1]


@pytest.mark.parametrize("ignore", ["a", 0, ["a"], (0,), {"a"}, -5])
def test_ignored_parameters_do_not_count(d: Dict[Any, Any], ignore: Any) -> None:
    function, calls = counted(d, ignore=ignore)
    function(1)
    function(2)
    function(a=3)
    assert len(calls) == 1
    function(1, 3)
    assert len(calls) == 2


@pytest.mark.parametrize("ignore", ["z", 5, [-6]])
def test_a_parameter_that_is_not_there_cannot_be_ignored(d: Dict[Any, Any], ignore: Any) -> None:
    with pytest.raises(ValueError, match="has no parameter"):
        counted(d, ignore=ignore)


def test_types_count_where_asked(d: Dict[Any, Any]) -> None:
    function, calls = counted(d, typed=True)
    function(1)
    function(1.0)
    function(True)
    function(1)
    function(1, 2, 3, x=1)
    function(1, 2, 3.0, x=1)
    function(1, 2, 3, x=True)
    assert len(calls) == 6


def test_a_key_of_ones_own(d: Dict[Any, Any]) -> None:
    function, calls = counted(d, key=lambda a, **more: a["id"])
    function({"id": 1, "text": "a"})
    function({"id": 1, "text": "b"})
    function({"id": 2, "text": "b"})
    assert len(calls) == 2
    assert function.cache_key({"id": 7})[0] == "counted"
    assert function.cache_key({"id": 7})[-1] == 7


def test_none_is_a_value_and_exceptions_are_none(d: Dict[Any, Any]) -> None:
    calls = []

    @d.memoize()
    def nothing(fail: bool) -> None:
        calls.append(fail)
        if fail:
            raise ZeroDivisionError

    assert nothing(False) is None
    assert nothing(False) is None
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            nothing(True)
    assert calls == [False, True, True]


def test_a_result_that_cannot_be_stored_says_so_and_leaves_no_claim(d: Dict[Any, Any]) -> None:
    results: list[Any] = [threading.Lock(), 1]

    @d.memoize()
    def function() -> Any:
        return results.pop(0)

    with pytest.raises(TypeError, match="pickle"):
        function()
    assert function() == 1


def test_a_result_may_end(d: Dict[Any, Any]) -> None:
    function, calls = counted(d, expire=0.03)
    function(1)
    wait(d, lambda: function.cache_key(1) not in d, timeout=20)
    function(1)
    assert len(calls) == 2
    with pytest.raises(ValueError, match="expire is above zero"):
        d.memoize(expire=0)


def test_forgetting(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)

    @d.memoize(name="counted.too")
    def other(n: int) -> int:
        return n

    d["counted"] = d[("counted",)] = "mine"
    assert function.invalidate(1) is False
    for n in range(3):
        function(n)
        other(n)
    assert function.invalidate(1) is True
    assert function.cache_info().currsize == 2
    function(1)
    assert len(calls) == 4
    function.cache_clear()
    assert function.cache_info() == (0, 0, None, 0)
    assert other.cache_info().currsize == 3  # type: ignore[attr-defined]
    assert d["counted"] == d[("counted",)] == "mine"


# ---- Which function it is ----


def made(source: str, **names: Any) -> Callable[..., Any]:
    exec(source, names)
    return names["f"]  # type: ignore[no-any-return]


def closing(value: Any) -> Callable[[], Any]:
    return lambda: value


def test_the_version_of_a_function_is_that_of_its_code() -> None:
    one = made("def f(a, b=1): return a + b")
    assert version_of(one) == version_of(made("\n\n# moved\ndef f(a, b=1):\n    return a + b"))
    for other in (
        "def f(a, b=1): return a - b",
        "def f(a, b=2): return a + b",
        "def f(a, *, b=1): return a + b",
        "def f(a, b=1): return a + b + 1",
        "def f(a, b=1): return (lambda: a + b)()",
        "def f(a, b=1): return (lambda: a - b)()",
        "def f(a, b=1): return g(a, b)",
    ):
        assert version_of(one) != version_of(made(other)), other
    first = made("def f(a): return (lambda: a in {1, 'b', 'c'})()")
    assert version_of(first) == version_of(made("def f(a): return (lambda: a in {'c', 'b', 1})()"))
    assert version_of(first) != version_of(made("def f(a): return (lambda: a in {'c', 'b', 2})()"))


def test_what_a_function_closes_over_counts() -> None:
    values: list[Any] = [
        1,
        1.5,
        "a",
        (1, 2),
        [1, 2],
        {1, 2},
        {"a": 1},
        {"a": 2},
        Plain(1),
        Plain(2),
        closing(1),
        closing(2),
        len,
        Plain,
    ]
    versions = [version_of(closing(value)) for value in values]
    assert len(set(versions)) == len(values)
    again = [version_of(closing(value)) for value in pickle.loads(pickle.dumps(values[:10]))]
    assert again == versions[:10]
    assert version_of(closing(threading.Lock())) == version_of(closing(threading.Lock()))


def test_a_changed_function_computes_anew(d: Dict[Any, Any]) -> None:
    def build(factor: int) -> Callable[[int], int]:
        @d.memoize()
        def times(n: int) -> int:
            return n * factor

        return times

    assert build(2)(3) == 6
    assert build(3)(3) == 9
    assert build(2).cache_info().currsize == 2  # type: ignore[attr-defined]
    build(4).cache_clear()  # type: ignore[attr-defined]
    assert len(d) == 0


def test_versions_are_the_same_in_every_process(d: Dict[Any, Any], site: str, script: Script, tmp_path: Path) -> None:
    (tmp_path / "mod.py").write_text(
        "import parkit\nd = parkit.Dict('memo')\n"
        "@d.memoize()\ndef f(n, kinds={'a', 'b', 'c', 'd'}, *, x=(1, 'y')):\n"
        "    return (lambda k: k in {'p', 'q', 'r'})(n)\n"
        "def g():\n    words = {'e', 'f', 'g', 'h'}\n    return d.memoize()(lambda n: n in words)\n"
    )
    source = (
        "import parkit, sys; parkit.set_default_site(sys.argv[1]); sys.path.insert(0, sys.argv[2])\n"
        "import mod; mod.f(1); mod.g()(2); print(mod.f.cache_key(1)[1])\n"
    )
    seen = {script(source, site, str(tmp_path), PYTHONHASHSEED=str(seed)).stdout for seed in range(3)}
    assert len(seen) == 1
    assert len(d) == 2


class Shop(Plain):
    """Methods of all kinds."""

    calls = 0

    def price(self, what: str) -> int:
        type(self).calls += 1
        return self.n * len(what)


def test_methods(d: Dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shop, "calls", 0)
    monkeypatch.setattr(Shop, "price", d.memoize()(Shop.price))
    assert Shop(2).price("ab") == Shop(2).price(what="ab") == 4
    assert Shop(3).price("ab") == 6
    assert Shop.calls == 2
    assert Shop.price.cache_key(Shop(2), "ab") in d  # type: ignore[attr-defined]


def test_methods_of_persistent_objects_and_of_classes(d: Dict[Any, Any]) -> None:
    calls = []

    class Lamp(parkit.Object):
        @d.memoize()
        def watts(self, hours: int) -> int:
            calls.append(hours)
            return hours * 40

        @staticmethod
        @d.memoize()
        def twice(n: int) -> int:
            calls.append(n)
            return 2 * n

    one, two = Lamp("one", create=True), Lamp("two", create=True)
    assert one.watts(2) == Lamp("one").watts(2) == two.watts(2) == 80
    assert Lamp.twice(4) == one.twice(4) == 8
    assert calls == [2, 2, 4]


def test_what_cannot_be_memoized(d: Dict[Any, Any]) -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def agenerator() -> Any:
        yield 1

    for function in (generator, agenerator):
        with pytest.raises(TypeError, match="is a generator"):
            d.memoize()(function)
    for thing in (len, Plain(1)):
        with pytest.raises(TypeError, match="takes a function written in Python"):
            d.memoize()(thing)  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"write @cache.memoize\(\)"):
        d.memoize(generator)  # type: ignore[arg-type]


class Upper(Dict[Any, Any]):
    """A Dict whose class replaces the hooks."""

    def encode_key(self, key: Any) -> bytes:
        return pickle.dumps(key)[::-1]

    def decode_key(self, data: bytes) -> Any:
        return pickle.loads(data[::-1])

    def encode_value(self, value: Any) -> bytes:
        return pickle.dumps(value)[::-1]

    def decode_value(self, data: bytes) -> Any:
        return pickle.loads(data[::-1])


def test_a_dict_with_hooks() -> None:
    function, calls = counted(Upper("upper", create=True))
    assert function(1) == function(1) == (1, 2, (), 3, {})
    assert len(calls) == 1
    assert function.cache_info().currsize == 1
    function.cache_clear()
    assert function.cache_info().currsize == 0


# ---- Recursion and scopes ----


def test_a_recursive_function(d: Dict[Any, Any]) -> None:
    calls = []

    @d.memoize()
    def fib(n: int) -> int:
        calls.append(n)
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(50) == 12586269025
    assert len(calls) == 51


def test_a_function_that_asks_for_itself_ends(d: Dict[Any, Any]) -> None:
    depth = []

    @d.memoize()
    def again(n: int) -> int:
        depth.append(n)
        return len(depth) if len(depth) == 3 else again(n)

    assert again(1) == 3
    assert again(1) == 3
    assert len(depth) == 3


def test_in_a_transaction_it_computes_itself(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)
    with pytest.raises(ZeroDivisionError), transaction(d):
        function(1)
        function(1)
        raise ZeroDivisionError
    assert len(calls) == 1
    function(1)  # it was undone with the rest
    assert len(calls) == 2
    with snapshot(d):
        function(2)
    assert function.cache_key(2) in d


# ---- At once ----


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Run functions in threads, all at once, and give their results, exceptions among them."""
    results: list[Any] = [None] * len(functions)
    barrier = threading.Barrier(len(functions))

    def run(place: int, function: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            results[place] = function()
        except ZeroDivisionError as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


def test_threads_wait_for_the_one_that_computes(d: Dict[Any, Any]) -> None:
    calls = []
    others = threading.Semaphore(0)

    @d.memoize()
    def slow(n: int) -> int:
        calls.append(n)
        assert others.acquire(timeout=60)
        return n * 2

    def ask() -> int:
        others.release()
        return slow(4)

    assert together(*[ask] * 8) == [8] * 8
    assert calls == [4]


def test_when_it_raises_the_next_one_computes(d: Dict[Any, Any]) -> None:
    calls = []
    started = threading.Event()

    @d.memoize()
    def fails_once() -> str:
        calls.append(1)
        if len(calls) == 1:
            started.wait(60)
            raise ZeroDivisionError
        return "done"

    def second() -> str:
        started.set()
        return fails_once()

    results = together(fails_once, second)
    assert sorted(map(repr, results)) == ["'done'", "ZeroDivisionError()"]
    assert len(calls) == 2


def test_two_that_would_wait_for_one_another_both_compute(d: Dict[Any, Any]) -> None:
    inside = threading.Barrier(2)
    calls = []

    @d.memoize()
    def left(n: int) -> int:
        calls.append("left")
        if n:
            inside.wait(60)
            return right(0) + 1
        return 1

    @d.memoize()
    def right(n: int) -> int:
        calls.append("right")
        if n:
            inside.wait(60)
            return left(0) + 1
        return 1

    assert together(lambda: left(1), lambda: right(1)) == [2, 2]
    assert sorted(calls) == ["left", "left", "right", "right"]


WORKER = """
import os, parkit, sys, time
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('memo')
log, ready = parkit.Queue('log'), parkit.Queue('ready')
go = parkit.Dict('go')

@d.memoize(name='work')
def work(n):
    log.put((os.getpid(), n))
    parkit.wait(go, lambda: n in go, timeout=60)
    if go.get(n) == 'raise':
        del go[n]
        raise ZeroDivisionError
    return os.getpid()

ready.put(1)
try:
    print(work(int(sys.argv[2])))
except ZeroDivisionError:
    print('raised')
"""


class Processes:
    """Processes that all run WORKER."""

    def __init__(self, site: str) -> None:
        self._site = site
        self.log: Queue[Any] = Queue("log", create=True)
        self.ready: Queue[int] = Queue("ready", create=True)
        self.go: Dict[Any, Any] = Dict("go", create=True)
        self.running: list[subprocess.Popen[str]] = []

    def start(self, n: int, source: str = WORKER) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", source, self._site, str(n)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        assert self.ready.get(timeout=60)
        return process

    def answer(self, process: subprocess.Popen[str]) -> str:
        return process.communicate(timeout=60)[0].strip()


@pytest.fixture
def processes(site: str, d: Dict[Any, Any]) -> Iterator[Processes]:
    started = Processes(site)
    yield started
    for process in started.running:
        process.kill()
        process.communicate()


def test_processes_wait_for_the_one_that_computes(d: Dict[Any, Any], processes: Processes) -> None:
    first = processes.start(5)
    assert processes.log.get(timeout=60) == (first.pid, 5)
    others = [processes.start(5) for _ in range(3)]
    processes.go[5] = True
    assert {processes.answer(process) for process in [first, *others]} == {str(first.pid)}
    assert processes.log.empty()
    assert len(d) == 1


def test_a_process_that_is_killed_is_taken_over_from_at_once(processes: Processes) -> None:
    first = processes.start(5)
    assert processes.log.get(timeout=60) == (first.pid, 5)
    others = [processes.start(5) for _ in range(2)]
    first.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    heir = processes.log.get(timeout=60)
    assert time.monotonic() - killed < 1
    assert heir[0] in [process.pid for process in others]
    processes.go[5] = True
    assert {processes.answer(process) for process in others} == {str(heir[0])}
    assert processes.log.empty()


def test_a_claim_that_nobody_waited_for_is_taken_over(processes: Processes) -> None:
    first = processes.start(5)
    assert processes.log.get(timeout=60) == (first.pid, 5)
    first.kill()
    first.wait()
    second = processes.start(5)
    assert processes.log.get(timeout=60) == (second.pid, 5)
    processes.go[5] = True
    assert processes.answer(second) == str(second.pid)


def test_when_a_process_raises_the_next_one_computes(processes: Processes) -> None:
    first = processes.start(5)
    assert processes.log.get(timeout=60) == (first.pid, 5)
    second = processes.start(5)
    processes.go[5] = "raise"
    assert processes.answer(first) == "raised"
    assert processes.log.get(timeout=60) == (second.pid, 5)
    processes.go[5] = True
    assert processes.answer(second) == str(second.pid)


CIRCLE = """
import os, parkit, sys
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('memo')
log, ready = parkit.Queue('log'), parkit.Queue('ready')
go = parkit.Dict('go')

@d.memoize(name='ring')
def ring(n, deep):
    log.put(os.getpid())
    parkit.wait(go, lambda: 'on' in go, timeout=60)
    return 1 if deep else ring(1 - n, deep=False) + 1 if entered(n) else 1

seen = []
def entered(n):
    # Each process enters the other one's number once.
    seen.append(n)
    return len(seen) == 1

ready.put(1)
print(ring(int(sys.argv[2]), deep=False))
"""


def test_two_processes_that_would_wait_for_one_another_both_end(d: Dict[Any, Any], processes: Processes) -> None:
    one, two = processes.start(0, CIRCLE), processes.start(1, CIRCLE)
    assert {processes.log.get(timeout=60), processes.log.get(timeout=60)} == {one.pid, two.pid}
    processes.go["on"] = True  # now each asks for what the other one is computing
    assert {processes.answer(one), processes.answer(two)} <= {"2", "3"}
    assert len(d) == 2


def test_a_forked_child_computes_for_itself(d: Dict[Any, Any], site: str, script: Script) -> None:
    script(
        "import os, parkit, sys, threading\n"
        "parkit.set_default_site(sys.argv[1])\n"
        "d = parkit.Dict('memo')\n"
        "inside, out = threading.Event(), threading.Event()\n"
        "@d.memoize(name='f', ignore='here')\n"
        "def f(n, here):\n"
        "    if not here: inside.set(); out.wait(60)\n"
        "    return os.getpid()\n"
        "thread = threading.Thread(target=f, args=(1, False)); thread.start(); inside.wait(60)\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    assert f(2, True) == os.getpid()\n"
        "    os._exit(0 if f(1, True) == os.getppid() else 1)\n"  # it waits for the parent's thread
        "parkit.wait(d, lambda: len(d) == 1, timeout=60)\n"
        "out.set()\n"
        "thread.join()\n"
        "assert os.waitpid(pid, 0)[1] == 0\n",
        site,
    )


# ---- Coroutines ----


def test_coroutines_wait_for_the_one_that_computes(d: Dict[Any, Any]) -> None:
    calls = []

    async def main() -> None:
        release = asyncio.Event()

        @d.memoize()
        async def slow(n: int) -> int:
            """Its own text."""
            calls.append(n)
            await release.wait()
            return n * 2

        assert slow.__doc__ == "Its own text."
        tasks = [asyncio.create_task(slow(4)) for _ in range(10)]
        await asyncio.sleep(0)
        release.set()
        assert await asyncio.gather(*tasks) == [8] * 10
        assert await slow(n=4) == 8
        assert slow.cache_info()[:2] == (1, 10)  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(main(), 60))
    assert calls == [4]


def test_a_cancelled_coroutine_leaves_it_to_the_next(d: Dict[Any, Any]) -> None:
    calls = []

    async def main() -> None:
        started = asyncio.Event()
        release = asyncio.Event()

        @d.memoize()
        async def slow() -> str:
            calls.append(1)
            started.set()
            await release.wait()
            return "done"

        first = asyncio.create_task(slow())
        await started.wait()
        second, third = asyncio.create_task(slow()), asyncio.create_task(slow())
        await asyncio.sleep(0)
        started.clear()
        third.cancel()
        first.cancel()
        await started.wait()
        release.set()
        assert await second == "done"
        for task in (first, third):
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(asyncio.wait_for(main(), 60))
    assert len(calls) == 2


ASYNC_WORKER = """
import asyncio, os, parkit, sys
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('memo')
log, ready = parkit.Queue('log'), parkit.Queue('ready')
go = parkit.Dict('go')

@d.memoize(name='awork')
async def work(n):
    log.put((os.getpid(), n))
    parkit.wait(go, lambda: n in go, timeout=60)
    return os.getpid()

async def main(n):
    task = asyncio.create_task(work(n))
    for _ in range(20):
        await asyncio.sleep(0)
    log.put('the loop goes on')
    print(await task)

ready.put(1)
asyncio.run(main(int(sys.argv[2])))
"""


def test_a_coroutine_waits_for_another_process_and_its_loop_goes_on(processes: Processes) -> None:
    first = processes.start(5, ASYNC_WORKER)
    assert processes.log.get(timeout=60) == (first.pid, 5)
    second, third = processes.start(5, ASYNC_WORKER), processes.start(5, ASYNC_WORKER)
    assert [processes.log.get(timeout=60) for _ in range(2)] == ["the loop goes on"] * 2
    first.send_signal(signal.SIGKILL)
    heir, n = processes.log.get(timeout=60)
    assert n == 5
    processes.go[5] = True
    assert {processes.answer(second), processes.answer(third)} == {str(heir)}
    while not processes.log.empty():
        assert processes.log.get() == "the loop goes on"


def test_recursion_of_coroutines(d: Dict[Any, Any]) -> None:
    calls = []

    @d.memoize()
    async def fib(n: int) -> int:
        calls.append(n)
        if n < 2:
            return n
        left, right = await asyncio.gather(fib(n - 1), fib(n - 2))
        return int(left + right)

    assert asyncio.run(asyncio.wait_for(fib(40), 60)) == 102334155
    assert sorted(calls) == list(range(41))


# ---- Pickled, and in tasks ----


def test_a_memoized_function_can_be_pickled_by_value(d: Dict[Any, Any]) -> None:
    import cloudpickle

    @d.memoize()
    def function(n: int) -> int:
        return n + 1

    function(1)
    twin: Any = pickle.loads(cloudpickle.dumps(function))
    assert twin.cache_key(1) == function.cache_key(1)  # type: ignore[attr-defined]
    assert twin(1) == function(1)
    assert twin.cache_info()[:2] == (1, 0)


def test_in_tasks_one_computes_for_all(d: Dict[Any, Any], pool: str) -> None:
    calls: Dict[Any, Any] = Dict("calls", create=True)

    @d.memoize(name="square")
    def square(n: int) -> int:
        with transaction(calls):
            calls[n] = calls.get(n, 0) + 1
        return n * n

    @parkit.asyncable
    def total(numbers: Any) -> int:
        return sum(square(n) for n in numbers)

    assert square(3) == 9
    tasks = [total(range(10)) for _ in range(4)]
    for submitted in tasks:
        assert submitted.wait(timeout=60).error is None, submitted.error
    assert [submitted.result for submitted in tasks] == [285] * 4
    assert dict(calls) == dict.fromkeys(range(10), 1)
