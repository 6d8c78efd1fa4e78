"""Workers die: nothing is lost, each result is there once, another worker stands."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import parkit
from conftest import all_workers_are_ready, kill, processes_of
from parkit import Dict, asyncable, task, transaction
from parkit.errors import PoolError
from parkit.pool import pool_status
from parkit.task import TaskCrashedError

LIMIT = 30.0


def who() -> int:
    return os.getpid()


def die(how: str) -> None:
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        os._exit(3)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("killed", "killed by SIGKILL"),
        ("exit", "exit status 3"),
        ("segfault", "SIGSEGV|SIGABRT|exit status 2"),
        ("abort", "SIGABRT|exit status 2"),
    ],
)
def test_a_task_that_kills_its_worker_is_crashed(pool: str, how: str, said: str) -> None:
    function, alive = asyncable(die), asyncable(who)
    before = alive().get(LIMIT)
    crashed = function(how).wait(LIMIT)
    assert (crashed.status, crashed.attempts, crashed.result) == ("crashed", 1, None)
    assert isinstance(crashed.error, TaskCrashedError)
    assert any(part in str(crashed.error) for part in said.split("|")), crashed.error
    assert crashed.pid not in (before, os.getpid()) or before == crashed.pid
    assert alive().get(LIMIT) != crashed.pid


def test_a_segfault_leaves_a_traceback_in_the_log(pool: str) -> None:
    asyncable(die)("segfault").wait(LIMIT)
    logs = "".join(path.read_text() for path in Path(pool, "log").glob("worker-*.log"))
    assert "Fatal Python error: Segmentation fault" in logs
    assert "test_worker_death.py" in logs


def test_it_is_run_again_where_the_asyncable_says_so(pool: str) -> None:
    pids: Dict[int, int] = Dict("pids", create=True)

    @asyncable(retries=2)
    def unlucky(good_at: int) -> int:
        me = task()
        assert me is not None
        pids[me.attempts] = os.getpid()
        if me.attempts < good_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return me.attempts

    assert unlucky(3).get(LIMIT) == 3
    assert len(set(pids.values())) == 3
    poison = unlucky(4).wait(LIMIT)
    assert (poison.status, poison.attempts) == ("crashed", 3)


def test_not_where_it_says_fail(pool: str) -> None:
    @asyncable(retries=5, on_crash="fail")
    def f() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    crashed = f().wait(LIMIT)
    assert (crashed.status, crashed.attempts) == ("crashed", 1)


def test_another_worker_stands_within_two_seconds(site: str, record_property: Any) -> None:
    parkit.set_concurrency(1)
    parkit.enable_tasks()
    function = asyncable(who)
    old = function().get(LIMIT)
    begun = time.monotonic()
    os.kill(old, signal.SIGKILL)
    new = function().get(LIMIT)
    took = time.monotonic() - begun
    record_property("seconds", took)
    assert new != old
    assert took < 2
    parkit.disable_tasks()
    assert processes_of(site) == []


def test_a_worker_that_dies_while_it_is_idle(pool: str) -> None:
    """It may have been counted on: it looks for a while before it sleeps."""
    function = asyncable(who)
    for _ in range(10):
        for worker in pool_status()["workers"]:
            if worker["alive"]:
                os.kill(worker["pid"], signal.SIGKILL)
                break
        assert [task.get(LIMIT) for task in [function() for _ in range(4)]]


def test_what_a_task_started_dies_with_its_worker(pool: str) -> None:
    @asyncable
    def start() -> None:
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        started["pid"] = child.pid
        os.kill(os.getpid(), signal.SIGKILL)

    started: Dict[str, int] = Dict("started", create=True)
    start().wait(LIMIT)
    child = os.pidfd_open(started["pid"]) if os.path.exists(f"/proc/{started['pid']}") else None
    if child is not None:
        import select

        assert select.select([child], [], [], LIMIT)[0]
        os.close(child)


def test_sigterm_from_outside_ends_the_task_that_runs(pool: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")

    @asyncable
    def held(begun: str) -> None:
        open(begun, "w").close()
        signal.pause()

    running = held(str(tmp_path / "begun"))
    open(tmp_path / "begun").close()
    pid = running.pid
    assert pid is not None
    kill(pid, signal.SIGTERM)
    crashed = running.wait(LIMIT)
    assert crashed.status == "crashed"
    assert asyncable(who)().get(LIMIT) != pid


def test_sigterm_to_an_idle_worker(pool: str) -> None:
    function = asyncable(who)
    for _ in range(3):
        pid = function().get(LIMIT)
        kill(pid, signal.SIGTERM)
        assert function().get(LIMIT) != pid


def test_the_monitor_dies_and_the_next_one_goes_on(pool: str) -> None:
    function = asyncable(who)
    pids = {function().get(LIMIT) for _ in range(20)}
    all_workers_are_ready(2)
    kill(pool_status()["monitor"])
    assert {function().get(LIMIT) for _ in range(20)} & pids  # workers go on
    assert parkit.enable_tasks() is True
    assert {worker["pid"] for worker in pool_status()["workers"] if worker["alive"]} >= pids


def test_a_worker_dies_while_there_is_no_monitor(pool: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")

    @asyncable(retries=1)
    def held(begun: str) -> int:
        me = task()
        assert me is not None
        if me.attempts == 1:
            open(begun, "w").close()
            signal.pause()
        return me.attempts

    running = held(str(tmp_path / "begun"))
    open(tmp_path / "begun").close()
    pid = running.pid
    assert pid is not None
    all_workers_are_ready(2)
    kill(pool_status()["monitor"])
    kill(pid)
    assert running.status == "running"  # nobody is there to see it
    parkit.enable_tasks()
    assert running.get(LIMIT) == 2


def test_a_worker_that_was_starting_when_the_monitor_died_ends(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knew of it when the pool was stopped."""
    os.mkfifo(tmp_path / "begun")
    os.mkfifo(tmp_path / "go")
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'parkit.daemons.worker' in sys.orig_argv:\n"
        f"    open({str(tmp_path / 'begun')!r}, 'w').close()\n"
        f"    open({str(tmp_path / 'go')!r}).close()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    parkit.set_concurrency(1)
    errors: list[BaseException] = []

    def enable() -> None:
        try:
            parkit.enable_tasks()
        except PoolError as error:
            errors.append(error)

    thread = threading.Thread(target=enable)
    thread.start()
    open(tmp_path / "begun").close()
    kill(pool_status()["monitor"])
    thread.join(LIMIT)
    assert len(errors) == 1
    parkit.disable_tasks()
    assert len(processes_of(site)) == 1
    open(tmp_path / "go", "w").close()
    end = time.monotonic() + LIMIT
    while processes_of(site):
        assert time.monotonic() < end, "the worker did not end"
        os.sched_yield()


def test_workers_killed_at_random_lose_nothing(site: str) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    counts: Dict[int, int] = Dict("counts", create=True)

    @asyncable(retries=1000)
    def count(number: int) -> int:
        # The effect and the note that it was done are one commit: it happens once however often this runs.
        with transaction(counts):
            if number not in counts:
                counts[number] = os.getpid()
                counts[-1] = counts.get(-1, 0) + 1
        return number

    parkit.set_concurrency(3)
    parkit.enable_tasks()
    ended = threading.Event()
    kills: list[int] = []

    def killer() -> None:
        while not ended.wait(chance.uniform(0.01, 0.1)):
            alive = [worker["pid"] for worker in pool_status()["workers"] if worker["alive"] and worker["pid"]]
            if alive:
                try:
                    os.kill(chance.choice(alive), signal.SIGKILL)
                    kills.append(1)
                except ProcessLookupError:
                    continue

    thread = threading.Thread(target=killer)
    thread.start()
    made: list[parkit.Task[int]] = []
    try:
        while len(kills) < 20:
            made += [count(number) for number in range(len(made), len(made) + 100)]
            assert [one.get(60) for one in made[-100:]] == list(range(len(made) - 100, len(made)))
    finally:
        ended.set()
        thread.join()
        parkit.disable_tasks()
    assert counts[-1] == len(made)
    assert len(counts) == len(made) + 1
    assert {one.status for one in made} == {"finished"}
    print(f"{len(kills)} kills, {len(made)} tasks, {sum(one.attempts for one in made)} attempts")
    assert processes_of(site) == []
