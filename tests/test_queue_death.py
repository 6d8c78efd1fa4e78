"""Queues whose takers die: leased items come back, whoever waits is woken, nothing is lost or doubled."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, LifoQueue, PriorityQueue, Queue

Begin = Callable[..., "subprocess.Popen[str]"]

BOTH = pytest.mark.parametrize("memory", [True, False], ids=["memory", "durable"])


@pytest.fixture
def q(site: str) -> Queue[Any]:
    return Queue("q", create=True)


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Begin a process that runs the source in a site; its end of a line is our signal. Killed with the test."""
    begun: list[subprocess.Popen[str]] = []

    def start(site: str, source: str, *args: str) -> subprocess.Popen[str]:
        head = "import os, sys, time, parkit\nfrom parkit import *\nset_default_site(sys.argv[1])\n"
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", head + source, site, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 30)[0], "it said nothing"
    return process.stdout.readline().strip()


def killed(process: subprocess.Popen[str]) -> float:
    """Kill the process and wait for its end; when it was killed."""
    at = time.monotonic()
    process.kill()
    process.wait(30)
    return at


# ---- Processes that die ----


@BOTH
@pytest.mark.parametrize("kind", [Queue, LifoQueue, PriorityQueue])
def test_items_of_a_killed_process_are_back_at_once(
    begin: Begin, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, site: str, kind: type[Queue[Any]], memory: bool
) -> None:
    path = "memory/x/q" if memory else "x/q"
    parkit.set_default_site(str(tmp_path / "s"), create=True, memory=False)
    q = kind(path, create=True)
    for item in range(5):
        q.put(item)
    holder = begin(
        str(tmp_path / "s"),
        "q = Namespace(sys.argv[2])['q']\nleases = [q.get(lease=True) for _ in range(3)]\n"
        "print(*[lease.item for lease in leases], flush=True)\nsys.stdin.read()",
        path[:-2],
    )
    order = list(range(5)) if kind is not LifoQueue else list(range(4, -1, -1))
    assert line(holder) == " ".join(map(str, order[:3]))
    assert (q.qsize(), q.leased_count, q.unfinished_tasks) == (2, 3, 5)
    lease = q.get(lease=True)
    assert (lease.item, lease.attempts) == (order[3], 1)
    lease.release()
    killed(holder)
    assert (q.qsize(), q.leased_count) == (5, 0)
    leases = [q.get(lease=True, block=False) for _ in range(5)]
    assert [(lease.item, lease.attempts) for lease in leases] == list(zip(order, [2, 2, 2, 1, 1], strict=True))


def test_those_who_wait_are_woken_by_a_death(begin: Begin, site: str, q: Queue[Any]) -> None:
    """Three wait in processes of their own; the two items of the dead go to two of them, in less than a second."""
    q.put("a")
    q.put("b")
    hold = "q = Queue('q')\na, b = q.get(lease=True), q.get(lease=True)\nprint('held', flush=True)\nsys.stdin.read()"
    holder = begin(site, hold)
    assert line(holder) == "held"
    waits = (
        "q = Queue('q')\nprint('waiting', flush=True)\nlease = q.lease()\n"
        "print(lease.item, lease.attempts, time.monotonic(), flush=True)\nsys.stdin.read()"
    )
    waiting = [begin(site, waits) for _ in range(3)]
    for process in waiting:
        assert line(process) == "waiting"
    for process in waiting:
        assert not select.select([process.stdout], [], [], 0.05)[0], "an item that is held was given away"
    at = killed(holder)
    got: dict[str, subprocess.Popen[str]] = {}
    while len(got) < 2:
        rest = {process.stdout: process for process in waiting if process not in got.values()}
        ready = select.select(list(rest), [], [], 30)[0]
        assert ready, "nobody was woken"
        item, attempts, when = line(rest[ready[0]]).split()
        assert (attempts, float(when) - at < 1) == ("2", True)
        got[item] = rest[ready[0]]
    assert sorted(got) == ["a", "b"]
    third = next(process for process in waiting if process not in got.values())
    killed(got["b"])  # a getter dies in its turn
    assert line(third).split()[:2] == ["b", "3"]
    killed(got["a"])
    assert q.get(timeout=30) == "a"


def test_other_waits_hear_of_a_death_too(begin: Begin, site: str, q: Queue[Any]) -> None:
    import asyncio

    from parkit import aio

    q.put("a")
    hold = "x = Queue('q').get(lease=True)\nprint('held', flush=True)\nsys.stdin.read()"
    holder = begin(site, hold)
    assert line(holder) == "held"
    timer = threading.Timer(0.05, holder.kill)
    timer.start()
    parkit.wait(q, lambda: q.qsize() == 1, timeout=30)
    timer.join()
    holder = begin(site, hold)
    assert line(holder) == "held"

    async def main() -> Any:
        waiting = asyncio.create_task(aio.get(q, timeout=30))
        await asyncio.sleep(0)
        holder.kill()
        return await waiting

    assert asyncio.run(main()) == "a"


def test_a_process_that_ends_gives_back_what_it_held(begin: Begin, site: str, q: Queue[Any]) -> None:
    q.put("a")
    process = begin(site, "Queue('q').get(lease=True)\nprint('held', flush=True)")
    assert line(process) == "held"
    assert q.get(timeout=30) == "a"


def test_a_death_ends_a_join_when_it_was_the_last_attempt(begin: Begin, site: str, q: Queue[Any]) -> None:
    q.max_attempts = 1
    q.put("a")
    holder = begin(site, "x = Queue('q').get(lease=True)\nprint('held', flush=True)\nsys.stdin.read()")
    assert line(holder) == "held"
    joiner = threading.Thread(target=q.join)
    joiner.start()
    killed(holder)
    joiner.join(30)
    assert not joiner.is_alive()
    assert [(d.item, d.attempts, d.why) for d in q.dead_letters()] == [("a", 1, "the process that held it ended")]


def test_an_item_that_kills_each_process_becomes_a_dead_letter(begin: Begin, site: str) -> None:
    q: Queue[Any] = Queue("q", create=True, max_attempts=3)
    q.put("poison")
    q.put("good")
    for attempt in (1, 2, 3):
        holder = begin(site, "x = Queue('q').get(lease=True)\nprint(x.attempts, flush=True)\nsys.stdin.read()")
        assert line(holder) == str(attempt)
        killed(holder)
    assert q.get() == "good"
    assert (q.dead_count, q.qsize(), q.unfinished_tasks) == (1, 0, 1)
    (letter,) = q.dead_letters()
    assert (letter.item, letter.attempts) == ("poison", 3)


# ---- Forks ----


def test_across_a_fork(script: Script, tmp_path: Any) -> None:
    script(
        """
import os, signal, sys, parkit
from parkit import *
set_default_site(sys.argv[1], create=True, memory=True)
q = Queue('q', create=True)
for item in 'abc':
    q.put(item)
mine = q.get(lease=True)
def child(function):
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]
def leaves():
    with mine:          # it is the parent's: leaving the block here is nothing
        assert q.qsize() == 2
def dies():
    lease = q.get(lease=True)
    assert lease.item == 'b'
    os.kill(os.getpid(), signal.SIGKILL)
with mine:
    assert child(leaves) == 0
    assert (q.qsize(), q.leased_count) == (2, 1)
    assert child(dies) == signal.SIGKILL
    assert (q.qsize(), q.leased_count) == (2, 1)
    assert q.get() == 'b'
assert q.leased_count == 0
held = q.get(lease=True)
def refused():
    for settle in (held.ack, held.nack, held.reject, held.release, lambda: held.extend(5)):
        try:
            settle()
        except LeaseLostError as error:
            assert str(os.getppid()) in str(error) and error.subject == q.path, error
        else:
            raise AssertionError('settled in the child')
assert child(refused) == 0
assert (q.leased_count, q.unfinished_tasks) == (1, 2)
held.ack()
assert (q.leased_count, q.unfinished_tasks) == (0, 1)
# A child's item does not come back while a grandchild lives that inherited its files.
q.put('d')
read, write = os.pipe()
def has_a_child():
    q.get(lease=True)
    if os.fork() == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
child(has_a_child)
assert q.get(timeout=30) == 'd'
os.close(write)
""",
        str(tmp_path / "forks"),
    )


# ---- At random ----


CRASHING = """
import os, random, signal, sys, parkit
parkit.set_default_site(sys.argv[1])
chance = random.Random(int(sys.argv[2]))
q, done = parkit.Queue('q'), parkit.Dict('done')
while True:
    lease = q.lease()
    if chance.random() < 0.02:
        os.kill(os.getpid(), signal.SIGKILL)
    with lease as item, parkit.transaction(q):
        if chance.random() < 0.02:
            os.kill(os.getpid(), signal.SIGKILL)
        done[item] = done.get(item, 0) + 1
        lease.ack()
        if chance.random() < 0.02:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@BOTH
@pytest.mark.parametrize("items", [300, pytest.param(5_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_processes_that_die_at_random_lose_and_double_nothing(
    tmp_path: Any, site: str, items: int, memory: bool
) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    chance = random.Random(seed)
    where = str(tmp_path / "s")
    parkit.set_default_site(where, create=True, memory=memory)
    q: Queue[Any] = Queue("q", create=True, max_attempts=0)
    done: Dict[int, int] = Dict("done", create=True)
    for item in range(items):
        q.put(item)

    def worker() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", CRASHING, where, str(chance.randrange(2**32))])

    read, write = os.pipe()
    joiner = threading.Thread(target=lambda: (q.join(), os.close(write)))
    joiner.start()
    workers = {os.pidfd_open(process.pid): process for process in (worker(), worker(), worker())}
    try:
        while read not in (ended := select.select([read, *workers], [], [])[0]):
            for descriptor in ended:
                os.close(descriptor)
                assert workers.pop(descriptor).wait() == -9
                process = worker()
                workers[os.pidfd_open(process.pid)] = process
    finally:
        for descriptor, process in workers.items():
            process.kill()
            process.wait()
            os.close(descriptor)
    joiner.join()
    os.close(read)
    assert dict(done.items()) == dict.fromkeys(range(items), 1)
