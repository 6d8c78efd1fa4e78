"""Dict.memoize by several at once, threads, processes and coroutines: one computes, the others wait."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conftest import Script
from parkit import Dict, Queue

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def d() -> Dict[Any, Any]:
    return Dict("memo", create=True)


# ---- Threads and processes ----


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
