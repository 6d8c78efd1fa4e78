"""Many coroutines that wait for the items of one queue, or for its room."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import queue
import random
import subprocess
import sys
import threading
from typing import Any

import pytest

from parkit import Queue, _native, aio

pytestmark = pytest.mark.usefixtures("site")

PATIENCE = 60.0


@pytest.fixture
def q() -> Queue[Any]:
    return Queue("q", create=True)


def in_line() -> int:
    """How many coroutines of this thread's loop stand in lines."""
    from parkit import _bridge

    return sum(map(len, _bridge._of(asyncio.get_running_loop()).lines.values()))


async def until_in_line(count: int) -> None:
    while in_line() != count:
        await asyncio.sleep(0)


async def end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert in_line() == 0


def test_an_item_wakes_one_of_those_who_wait(q: Queue[int], monkeypatch: pytest.MonkeyPatch) -> None:
    looks, consumers = 0, 200
    sequence = _native.lane.sequence

    def look(obj: Any) -> Any:
        nonlocal looks
        looks += 1
        return sequence(obj)

    async def main() -> None:
        nonlocal looks
        got: list[int] = []

        async def consume() -> None:
            got.append(await aio.get(q))

        tasks = []
        for n in range(consumers):
            tasks.append(asyncio.create_task(consume()))
            await until_in_line(n + 1)
        monkeypatch.setattr(_native.lane, "sequence", look)
        for n in range(consumers):
            q.put(n)
            while len(got) <= n:
                await asyncio.sleep(0)
        assert got == list(range(consumers))
        assert [task.done() for task in tasks] == [True] * consumers
        assert in_line() == 0

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert looks <= 4 * consumers  # were all woken, it would be half of the square


def test_many_items_at_once_go_to_as_many(q: Queue[int]) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(aio.get(q)) for _ in range(50)]
        leases = [asyncio.create_task(aio.lease(q)) for _ in range(50)]
        await until_in_line(100)
        for n in range(100):
            q.put(n)
        got = await asyncio.gather(*tasks)
        for leased in await asyncio.gather(*leases):
            with leased as item:
                got.append(item)
        assert sorted(got) == list(range(100))

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_room_goes_to_one_who_waits_for_it_and_a_greater_bound_to_more(q: Queue[int]) -> None:
    async def main() -> None:
        q.maxsize = 1
        q.put(0)
        tasks = [asyncio.create_task(aio.put(q, n)) for n in range(1, 21)]
        await until_in_line(20)
        got = [q.get()]
        await until_in_line(19)
        q.maxsize = 10
        await until_in_line(10)
        assert q.qsize() == 10
        got += [await aio.get(q) for _ in range(20)]
        await asyncio.gather(*tasks)
        assert got == list(range(21))  # the longest first

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize("how", ["shutdown", "drop"])
def test_what_concerns_all_reaches_all(q: Queue[int], how: str) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(aio.get(q)) for _ in range(30)]
        await until_in_line(30)
        getattr(q, how)()
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(error).__name__ for error in errors} == {
            {"shutdown": "ShutDown", "drop": "ObjectNotFoundError"}[how]
        }
        assert in_line() == 0

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_who_is_cancelled_when_the_turn_comes_passes_it_on(q: Queue[int], which: int) -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[int]] = []
        for n in range(3):
            tasks.append(asyncio.create_task(aio.get(q)))
            await until_in_line(n + 1)
        if which:
            tasks[0].cancel()
            await asyncio.sleep(0)  # the second is called, and has not run yet
        tasks[which].cancel()
        q.put(1)
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
        while not any(not task.cancelled() for task in done):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
        assert [task.result() for task in done if not task.cancelled()] == [1]
        await end(tasks)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_each_waits_for_as_long_as_it_wants(q: Queue[int]) -> None:
    async def main() -> None:
        patient = asyncio.create_task(aio.get(q))
        await until_in_line(1)
        with pytest.raises(queue.Empty):
            await aio.get(q, timeout=0.01)
        hasty = asyncio.create_task(aio.get(q, timeout=0.01))
        patient.cancel()
        with pytest.raises(queue.Empty):
            await hasty
        assert in_line() == 0

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_queues_do_not_wait_for_one_another(q: Queue[int]) -> None:
    async def main() -> None:
        other: Queue[int] = Queue("other", create=True, maxsize=1)
        other.put(0)
        tasks = [asyncio.create_task(aio.get(q)), asyncio.create_task(aio.put(other, 1))]
        await until_in_line(2)
        assert other.get() == 0
        await tasks[1]
        assert other.get() == 1
        again = asyncio.create_task(aio.get(other))
        await until_in_line(2)
        other.put(2)
        assert await again == 2
        await end(tasks)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_under_a_line(q: Queue[int], caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(aio.get(q)) for _ in range(3)]
    loop.run_until_complete(until_in_line(3))
    loop.close()
    del tasks
    gc.collect()
    assert caplog.text.count("Task was destroyed but it is pending") == 3
    q.put(1)
    assert asyncio.run(aio.get(q, timeout=PATIENCE)) == 1


OTHER = """
import sys, parkit
from parkit import aio
import asyncio
parkit.set_default_site(sys.argv[1])
q = parkit.Queue('q')

async def consume():
    while True:
        item = await aio.get(q)
        print(item, flush=True)
        q.task_done()

async def main():
    tasks = [asyncio.create_task(consume()) for _ in range(20)]
    print('ready', flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()

asyncio.run(main())
"""


def test_a_thousand_consumers_in_two_loops_and_another_process_lose_nothing(site: str, q: Queue[int]) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    items, over, ready = 1500, threading.Event(), threading.Barrier(3)
    got: list[int] = []
    failed: list[BaseException] = []

    async def consume(chance: random.Random) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                got.append(await aio.get(q, timeout=chance.choice([None, None, 0.05])))
                q.task_done()

    async def main(seed: int) -> None:
        chance = random.Random(seed)
        tasks = [asyncio.create_task(consume(chance)) for _ in range(500)]
        await asyncio.sleep(0)
        ready.wait(PATIENCE)
        while not over.is_set():
            # Of the longest in line too, as those get the turn.
            place = chance.choice([0, chance.randrange(len(tasks))])
            tasks.pop(place).cancel()
            tasks.append(asyncio.create_task(consume(chance)))
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
        await end(tasks)

    def loop(seed: int) -> None:
        try:
            asyncio.run(main(seed))
        except BaseException as error:  # noqa: BLE001 (it is raised below)
            failed.append(error)

    other = subprocess.Popen([sys.executable, "-c", OTHER, site], stdin=-1, stdout=-1, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    threads = [threading.Thread(target=loop, args=(seed + n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    ready.wait(PATIENCE)
    chance, put = random.Random(seed - 1), 0
    try:
        while put < items:
            # All sleep before the next burst: whose wake-up were lost would stay so.
            for _ in range(min(chance.choice([1, 1, 2, 30]), items - put)):
                q.put(put)
                put += 1
            q.join(timeout=PATIENCE)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        theirs, _ = other.communicate("", timeout=PATIENCE)
    assert not failed, failed
    assert sorted(got + [int(line) for line in theirs.split()]) == list(range(items))
