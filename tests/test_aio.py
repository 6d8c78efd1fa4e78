"""Waiting in asyncio: parkit.aio, and streams in `async for`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from conftest import Script
from parkit import Array, Dict, Object, Queue, TransactionError, aio, errors, snapshot, stream, transaction
from parkit.queue import ShutDown
from parkit.stream import Stream

pytestmark = pytest.mark.usefixtures("site")

T = TypeVar("T")
PATIENCE = 60.0


def run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(main, PATIENCE))


def watches() -> int:
    """How many watches this thread's loop has, and how many coroutines stand in line behind one."""
    from parkit import _bridge

    known = _bridge._bridges.get(asyncio.get_running_loop())
    bridge = None if known is None else known()
    return 0 if bridge is None else len(bridge._futures) + sum(len(line) - 1 for line in bridge.lines.values() if line)


async def until_watching(count: int) -> None:
    """Wait until so many wait: each has looked by then, and found nothing."""
    while watches() != count:
        await asyncio.sleep(0)


def in_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


@pytest.fixture
def d() -> Dict[Any, Any]:
    return Dict("d", create=True)


@pytest.fixture
def q() -> Queue[Any]:
    return Queue("q", create=True)


@pytest.fixture
def a() -> Array[Any]:
    return Array("a", create=True)


# ---- wait ----


def test_it_ends_when_a_change_makes_the_condition_true(d: Dict[Any, Any]) -> None:
    asked = 0

    def enough() -> bool:
        nonlocal asked
        asked += 1
        assert threading.current_thread() is threading.main_thread()
        return len(d) == 3

    async def main() -> None:
        waiting = asyncio.create_task(aio.wait(d, enough))
        await until_watching(1)
        writer = in_thread(lambda: [d.setdefault(n, n) for n in range(3)])
        await waiting
        writer.join()
        assert watches() == 0

    run(main())
    assert asked <= 5


def test_who_changes_it_may_be_in_the_same_loop(d: Dict[Any, Any]) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(aio.wait(d, condition=lambda: "x" in d))
        await until_watching(1)
        d["x"] = 1
        await waiting

    run(main())


def test_a_thousand_wait_without_a_thread_each(d: Dict[Any, Any]) -> None:
    async def main() -> None:
        others = [Object(f"o{n}", create=True) for n in range(100)]
        elsewhere = Dict("other/d", create=True)
        d["n"], elsewhere["n"] = 0, 0
        threads, tasks = threading.active_count(), len(os.listdir("/proc/self/task"))
        waiting = [
            asyncio.create_task(aio.wait(where, others[n % 100], lambda: d["n"] == 1))
            if where is d
            else asyncio.create_task(aio.wait(where, lambda: elsewhere["n"] == 1))
            for n in range(500)
            for where in (d, elsewhere)
        ]
        await until_watching(1500)  # of each pair of objects, both
        assert threading.active_count() == threads
        # One that sleeps for each namespace; the others are Go's, as ever, as many as have something to run.
        assert len(os.listdir("/proc/self/task")) <= tasks + 12
        d["n"] = 1
        elsewhere["n"] = 1
        await asyncio.gather(*waiting)
        assert watches() == 0

    run(main())


def test_any_of_several_objects_wakes_it(d: Dict[Any, Any]) -> None:
    async def main() -> None:
        others = [Object(f"o{n}", create=True) for n in range(3)]
        for changed in (d, *others):
            waiting = asyncio.create_task(aio.wait(d, *others, lambda changed=changed: hasattr(changed, "done")))
            await until_watching(4)
            changed.done = True
            await waiting

    run(main())


def test_the_condition_is_asked_in_a_snapshot(d: Dict[Any, Any]) -> None:
    d["x"] = 0

    def look() -> bool:
        before = d["x"]
        d["x"] = before + 1
        return bool(d["x"] == before)

    run(aio.wait(d, look))
    assert d["x"] == 1


def test_ping_pong_with_another_process_misses_nothing(site: str, d: Dict[Any, Any]) -> None:
    rounds = 400
    d["turn"] = 0
    code = """
import asyncio, sys, parkit
from parkit import aio
parkit.set_default_site(sys.argv[1])
d, rounds = parkit.Dict('d'), int(sys.argv[2])

async def main():
    for n in range(1, rounds, 2):
        await aio.wait(d, lambda: d['turn'] == n, timeout=60)
        d['turn'] = n + 1

asyncio.run(main())
"""

    async def main() -> None:
        for n in range(0, rounds, 2):
            await aio.wait(d, lambda n=n: d["turn"] == n, timeout=PATIENCE)
            d["turn"] = n + 1

    other = subprocess.Popen([sys.executable, "-c", code, site, str(rounds)])
    run(main())
    assert other.wait(60) == 0
    assert d["turn"] == rounds


def test_the_time_runs_out(d: Dict[Any, Any]) -> None:
    async def main() -> None:
        for arguments in ((d, lambda: False), (lambda: False,), (d, Object("o", create=True), lambda: 0)):
            for timeout in (0, 0.02):
                begin = time.monotonic()
                with pytest.raises(errors.WaitTimeout, match="did not become true"):
                    await aio.wait(*arguments, timeout=timeout)
                assert time.monotonic() - begin >= timeout
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(aio.wait(d, lambda: False), 0.01)
        assert watches() == 0

    run(main())


def test_what_needs_no_wait(d: Dict[Any, Any]) -> None:
    seen: list[int] = []

    async def main() -> None:
        await aio.wait()
        await aio.wait(d)
        await aio.wait(d, lambda: True, timeout=0)
        await aio.wait(lambda: seen.append(1) or len(seen) == 4)
        with snapshot(d), transaction(d):
            await aio.wait(d, lambda: True)

    run(main())
    assert len(seen) == 4


def test_what_cannot_be_waited_for(d: Dict[Any, Any]) -> None:
    async def never() -> bool:
        raise AssertionError

    async def main() -> None:
        wrong: list[tuple[type[Exception], tuple[Any, ...], dict[str, Any]]] = [
            (TypeError, ("d", lambda: True), {}),
            (TypeError, (d, never), {}),
            (TypeError, (never,), {}),
            (TypeError, (d, lambda: never()), {}),
            (TypeError, (d,), {"condition": 3}),
            (ValueError, (d, lambda: False), {"timeout": -1}),
            (ValueError, (d, Dict("other/d", create=True), lambda: True), {}),
            (ZeroDivisionError, (d, lambda: 1 / 0), {}),
            (ZeroDivisionError, (lambda: 1 / 0,), {}),
        ]
        for kind, arguments, keywords in wrong:
            with pytest.raises(kind):
                await aio.wait(*arguments, **keywords)
        for scope in transaction, snapshot:
            with scope(d), pytest.raises(TransactionError, match="wait outside"):
                await aio.wait(d, lambda: False)

    run(main())


def test_a_dropped_object_is_an_error(d: Dict[Any, Any]) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(aio.wait(d, lambda: len(d) > 5))
        await until_watching(1)
        d.drop()
        with pytest.raises(errors.ObjectNotFoundError):
            await waiting

    run(main())


def test_a_drop_ends_it_if_the_condition_does_not_look_at_the_object(d: Dict[Any, Any]) -> None:
    async def main() -> None:
        other = Object("o", create=True)
        waiting = [asyncio.create_task(aio.wait(d, *others, lambda: False)) for others in ((), (other,))]
        await until_watching(3)
        d.drop()
        for task in waiting:
            with pytest.raises(errors.ObjectNotFoundError):
                await task
        await aio.wait(d, lambda: not d.exists)

    run(main())


def test_a_namespace_that_is_closed_is_an_error(d: Dict[Any, Any], tmp_path: Path) -> None:
    import parkit
    from parkit import _native, site

    other = str(tmp_path / "other")
    uuid = parkit.get_site_uuid(other, create=True)
    there = Dict("memory/there", create=True, site_uuid=uuid)

    async def main() -> None:
        here = asyncio.create_task(aio.wait(d, lambda: "x" in d))
        waiting = asyncio.create_task(aio.wait(there, lambda: "x" in there))
        await until_watching(2)
        _native.call(_native.ctl.SiteClose, uuid)
        with pytest.raises(errors.StaleHandleError):
            await waiting
        d["x"] = 1
        await here

    run(main())
    site._paths.pop(uuid, None)


# ---- Loops, threads, processes ----


def test_loops_in_several_threads(d: Dict[Any, Any]) -> None:
    players, rounds = 3, 60
    d["turn"] = 0

    async def play(me: int) -> None:
        for n in range(me, rounds, players):
            await aio.wait(d, lambda n=n: d["turn"] == n, timeout=PATIENCE)
            d["turn"] = n + 1

    threads = [in_thread(lambda me=me: run(play(me))) for me in range(players)]
    for thread in threads:
        thread.join()
    assert d["turn"] == rounds


def test_loops_that_end_leave_nothing(d: Dict[Any, Any]) -> None:
    def once() -> None:
        async def main() -> None:
            waiting = asyncio.create_task(aio.wait(d, lambda: False))
            await until_watching(1)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting

        run(main())

    from parkit import _bridge

    once()
    gc.collect()
    descriptors, bridges = len(os.listdir("/proc/self/fd")), len(_bridge._bridges)
    for _ in range(30):
        once()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    gc.collect()
    assert len(_bridge._bridges) <= bridges


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_under_a_waiter(d: Dict[Any, Any], caplog: pytest.LogCaptureFixture) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))

    def leave() -> None:
        loop = asyncio.new_event_loop()
        waiting = loop.create_task(aio.wait(d, lambda: False))
        loop.run_until_complete(until_watching(1))
        loop.close()
        d["x"] = 1  # nobody hears of it
        del waiting

    leave()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert "Task was destroyed but it is pending" in caplog.text
    run(aio.wait(d, lambda: "x" in d))


def test_a_forked_child_has_its_own(script: Script, tmp_path: Path) -> None:
    script(
        """
import asyncio, os, sys, parkit
from parkit import aio
parkit.set_default_site(sys.argv[1], create=True)
d = parkit.Dict('memory/d', create=True)

async def turn(me, rounds=50):
    for n in range(me, rounds, 2):
        await aio.wait(d, lambda: d.get('turn', 0) == n, timeout=60)
        d['turn'] = n + 1

async def main():
    waiting = asyncio.create_task(aio.wait(d, lambda: d.get('turn') == 50, timeout=60))
    await asyncio.sleep(0)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(turn(1))
            code = 0
        finally:
            os._exit(code)
    await turn(0)
    await waiting
    assert os.waitpid(child, 0)[1] == 0

asyncio.run(main())
""",
        str(tmp_path / "s"),
    )


@pytest.mark.parametrize("how", ["run", "abandoned", "daemon"])
def test_a_program_that_ends_while_somebody_waits(how: str, script: Script, tmp_path: Path) -> None:
    # A loop in a daemon thread is stopped by the end of the interpreter wherever it is.
    done = script(
        """
import asyncio, sys, threading, parkit
from parkit import aio
parkit.set_default_site(sys.argv[1], create=True)
d, a = parkit.Dict('memory/d', create=True), parkit.Array('memory/a', create=True)
ready = threading.Event()

async def main(loop_runs_on):
    waiting = [asyncio.create_task(aio.wait(d, lambda: False)), asyncio.create_task(anext(parkit.stream(a)))]
    await asyncio.sleep(0.01)
    ready.set()
    if loop_runs_on:
        await asyncio.gather(*waiting)
    return waiting

how = sys.argv[2]
if how == 'run':
    asyncio.run(main(False))
elif how == 'abandoned':
    loop = asyncio.new_event_loop()
    kept = loop.run_until_complete(main(False))
else:
    threading.Thread(target=lambda: asyncio.run(main(True)), daemon=True).start()
    ready.wait(30)
print('end', flush=True)
""".replace("anext(parkit.stream(a))", "parkit.stream(a).__anext__()"),
        str(tmp_path / "s"),
        how,
        timeout=20,
    )
    assert done.stdout == "end\n"
    if how != "abandoned":  # of which asyncio tells, with reason
        assert done.stderr == ""


@pytest.mark.parametrize("what", ["aio.wait(d, lambda: False)", "parkit.stream(a).__anext__()", "aio.get(q)"])
def test_ctrl_c_ends_it(what: str, tmp_path: Path) -> None:
    source = """
import asyncio, sys, parkit
from parkit import aio
parkit.set_default_site(sys.argv[1], create=True)
d, a, q = (kind('memory/' + kind.__name__, create=True) for kind in (parkit.Dict, parkit.Array, parkit.Queue))

async def main():
    waiting = asyncio.ensure_future(WHAT)
    await asyncio.sleep(0.01)
    print('ready', flush=True)
    await waiting

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print('interrupted')
""".replace("WHAT", what)
    child = subprocess.Popen([sys.executable, "-c", source, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    assert (out, child.returncode) == ("interrupted\n", 0)


# ---- Queues ----


def test_each_item_goes_to_one_who_waits(q: Queue[int]) -> None:
    async def main() -> None:
        getters = [asyncio.create_task(aio.get(q)) for _ in range(200)]
        await until_watching(200)
        putter = in_thread(lambda: [q.put(n) for n in range(200)])
        assert sorted(await asyncio.gather(*getters)) == list(range(200))
        putter.join()

    run(main())


def test_who_is_cancelled_takes_nothing_with_them(q: Queue[int]) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    items = 300
    got: list[int] = []

    async def taker() -> None:
        while True:
            got.append(await aio.get(q))

    async def main() -> None:
        putter = in_thread(lambda: [q.put(n) for n in range(items)])
        takers = [asyncio.create_task(taker()) for _ in range(10)]
        while len(got) < items:
            await asyncio.sleep(0)
            place = chance.randrange(10)
            takers[place].cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await takers[place]
            takers[place] = asyncio.create_task(taker())
        for one in takers:
            one.cancel()
        await asyncio.gather(*takers, return_exceptions=True)
        putter.join()
        assert watches() == 0

    run(main())
    assert sorted(got) == list(range(items))


def test_put_waits_for_room(q: Queue[int]) -> None:
    async def main() -> None:
        q.maxsize = 1
        await aio.put(q, 1)
        with pytest.raises(queue.Full):
            await aio.put(q, 2, timeout=0)
        with pytest.raises(queue.Full):
            await aio.put(q, 2, timeout=0.01)
        waiting = asyncio.create_task(aio.put(q, 2, timeout=PATIENCE))
        await until_watching(1)
        assert await aio.get(q) == 1
        await waiting
        assert await aio.get(q, timeout=0) == 2
        for timeout in (0, 0.01):
            with pytest.raises(queue.Empty):
                await aio.get(q, timeout=timeout)

    run(main())


def test_join_and_shutdown(q: Queue[str]) -> None:
    async def main() -> None:
        await aio.join(q)
        q.put("a")
        with pytest.raises(errors.WaitTimeout, match="pending"):
            await aio.join(q, timeout=0.01)
        joining = asyncio.create_task(aio.join(q))
        await until_watching(1)
        q.get()
        q.task_done()
        await joining
        getting = asyncio.create_task(aio.get(q))
        await until_watching(1)
        q.shutdown()
        with pytest.raises(ShutDown):
            await getting
        with pytest.raises(ShutDown):
            await aio.put(q, "b")

    run(main())


def test_an_item_whose_holder_dies_comes_to_who_waits(site: str, q: Queue[str]) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys, parkit; parkit.set_default_site(sys.argv[1])\n"
         "lease = parkit.Queue('q').lease(); print('held', flush=True); sys.stdin.read()", site],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    q.put("a")
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"

    async def main() -> None:
        getting = asyncio.create_task(aio.get(q))
        await until_watching(1)
        holder.kill()
        assert await getting == "a"
        assert watches() == 0

    run(main())
    holder.communicate()


def test_a_lease_is_waited_for(q: Queue[str]) -> None:
    async def main() -> None:
        with pytest.raises(queue.Empty):
            await aio.lease(q, wait=0)
        waiting = asyncio.create_task(aio.lease(q, timeout=PATIENCE))
        await until_watching(1)
        q.put("a")
        with await waiting as item:
            assert (item, q.leased_count) == ("a", 1)
        assert (q.leased_count, q.unfinished_tasks) == (0, 0)
        q.put("b")
        with pytest.raises(ZeroDivisionError), await aio.lease(q):
            raise ZeroDivisionError
        assert q.get() == "b"

    run(main())


def test_a_lease_is_an_async_context_manager(q: Queue[str]) -> None:
    async def use() -> None:
        async with aio.lease(q, timeout=PATIENCE) as item:
            await asyncio.sleep(0)
            assert (item, q.leased_count) == ("a", 1)

    async def main() -> None:
        using = asyncio.create_task(use())
        await until_watching(1)
        q.put("a")
        await using
        assert (q.leased_count, q.unfinished_tasks) == (0, 0)
        q.put("b")
        with pytest.raises(ZeroDivisionError):
            async with aio.lease(q):
                raise ZeroDivisionError
        async with aio.lease(q) as item:
            assert item == "b"
        with pytest.raises(queue.Empty):
            async with aio.lease(q, wait=0.01):
                raise AssertionError

    run(main())


def test_a_cancellation_ends_a_lease_that_is_held(q: Queue[str]) -> None:
    async def use() -> None:
        async with aio.lease(q) as item:
            assert item == "a"
            await asyncio.Event().wait()

    async def main() -> None:
        q.put("a")
        using = asyncio.create_task(use())
        while not q.leased_count:
            await asyncio.sleep(0)
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        with await aio.lease(q) as item:
            assert item == "a"
        taken = aio.lease(q, wait=0)
        taken.close()  # it was not begun

    run(main())


def test_an_item_whose_lease_is_over_comes_to_who_waits(q: Queue[str]) -> None:
    q.put("a")
    held = q.lease(timeout=0.05)

    async def main() -> None:
        assert await aio.get(q, timeout=PATIENCE) == "a"

    run(main())
    del held


def test_a_queue_in_a_transaction(q: Queue[str]) -> None:
    async def main() -> None:
        with transaction(q):
            await aio.put(q, "a")
            assert await aio.get(q) == "a"
            with pytest.raises(TransactionError, match="outside"):
                await aio.get(q)
            with pytest.raises(queue.Empty):
                await aio.get(q, timeout=0)

    run(main())


# ---- Streams ----


async def take(items: Stream[T], count: int) -> list[T]:
    return [await items.__anext__() for _ in range(count)]


def test_a_stream_follows_across_the_wrap_of_a_bounded_array() -> None:
    log: Array[int] = Array("log", create=True, maxsize=10)

    async def main() -> None:
        news = stream(log)
        for n in range(95):
            waiting = asyncio.create_task(news.__anext__())
            if n % 10 == 0:
                await until_watching(1)
            log.append(n)
            assert await waiting == n
        log.extend(range(100, 125))  # more than it holds: the first are gone
        assert await take(news, 10) == list(range(115, 125))

    run(main())


def test_a_stream_of_batches(a: Array[int]) -> None:
    async def main() -> None:
        batches = stream(a, batch=True)
        a.extend([1, 2])
        async for batch in batches:
            assert batch == [1, 2]
            break
        waiting = asyncio.create_task(batches.__anext__())
        await until_watching(1)
        writer = in_thread(lambda: a.extend([3, 4, 5]))
        assert await waiting == [3, 4, 5]
        writer.join()

    run(main())


def test_a_drop_ends_a_stream(a: Array[int]) -> None:
    async def main() -> None:
        news = stream(a)
        got = []

        async def read() -> None:
            async for item in news:
                got.append(item)

        reading = asyncio.create_task(read())
        a.append(1)
        await until_watching(1)
        a.drop()
        await reading
        assert got == [1]
        assert [item async for item in news] == []
        assert list(news) == []

    run(main())


def test_a_stream_may_be_shared_and_cancelled_and_loses_nothing(a: Array[int]) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    news, got = stream(a), []

    async def read() -> None:
        async for item in news:
            got.append(item)

    async def main() -> None:
        writer = in_thread(lambda: [a.append(n) for n in range(300)])
        readers = [asyncio.create_task(read()) for _ in range(5)]
        while len(got) < 300:
            await asyncio.sleep(0)
            place = chance.randrange(5)
            readers[place].cancel()
            readers[place] = asyncio.create_task(read())
        for one in readers:
            one.cancel()
        writer.join()

    run(main())
    assert got == list(range(300))
    a.append(300)
    assert next(news) == 300  # and threads may go on with it


def test_who_reads_a_long_array_lets_others_run(a: Array[int]) -> None:
    async def main() -> None:
        news, turns = stream(a), 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        running = asyncio.create_task(other())
        for n in range(20):
            a.append(n)  # always something there
            assert await news.__anext__() == n
        assert turns >= 20
        running.cancel()

    run(main())


def test_a_stream_in_a_scope_does_not_wait(a: Array[int]) -> None:
    async def main() -> None:
        news = stream(a)
        a.append(1)
        with snapshot(a):
            assert await news.__anext__() == 1
            with pytest.raises(TransactionError, match="outside"):
                await news.__anext__()

    run(main())


def test_a_closed_stream_gives_nothing(a: Array[int]) -> None:
    async def main() -> None:
        async with contextlib.aclosing(stream(a)) as news:
            a.extend([1, 2])
            assert await news.__anext__() == 1
        assert [item async for item in news] == []
        with contextlib.closing(stream(a)) as more:
            a.append(3)
        assert list(more) == []

    run(main())


def test_another_process_is_followed(site: str, a: Array[int]) -> None:
    code = """
import sys, parkit
parkit.set_default_site(sys.argv[1])
a = parkit.Array('a')
for n in range(500):
    a.append(n)
"""

    async def main() -> None:
        news = stream(a)
        writer = await asyncio.create_subprocess_exec(sys.executable, "-c", code, site)
        assert await take(news, 500) == list(range(500))
        assert await writer.wait() == 0

    run(main())
