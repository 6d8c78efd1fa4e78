"""Tasks: how far they are, how they end, what is kept of them."""

from __future__ import annotations

import os
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
from conftest import all_workers_are_ready, kill
from parkit import Asyncable, Task, asyncable, task, tasks, transaction
from parkit.errors import IllegalTransitionError, ObjectNotFoundError, TransactionError, WaitTimeout
from parkit.task import (
    TaskCancelledError,
    TaskCrashedError,
    TaskError,
    TaskFailedError,
    TaskNotFoundError,
    WorkerTraceback,
)

LIMIT = 30.0


class Gate:
    """A task that has begun and does not end until it is let go."""

    def __init__(self, folder: Path) -> None:
        self.begun, self.end = str(folder / "begun"), str(folder / "end")
        os.mkfifo(self.begun)
        os.mkfifo(self.end)

        @asyncable
        def held(begun: str, end: str) -> str:
            with open(begun, "w") as told:
                told.write("begun")
            with open(end) as gate:
                return gate.read()

        self.task = held(self.begun, self.end)

    def wait(self) -> Gate:
        with open(self.begun) as told:
            assert told.read() == "begun"
        return self

    def open(self, text: str = "done") -> None:
        with open(self.end, "w") as gate:
            gate.write(text)


@pytest.fixture
def gate(pool: str, tmp_path: Path) -> Gate:
    return Gate(tmp_path)


class TestHowFarItIs:
    def test_while_it_waits(self, site: str) -> None:
        @asyncable
        def f(a: int, b: int = 0) -> int:
            return a + b

        before = time.time_ns()
        mine = f(1, b=2)
        assert (mine.status, mine.done, mine.running) == ("submitted", False, False)
        assert (mine.result, mine.error, mine.pid, mine.start, mine.end) == (None, None, None, None, None)
        assert (mine.args, mine.kwargs) == ((1,), {"b": 2})
        assert mine.asyncable == f
        assert before <= mine.created <= time.time_ns()
        assert mine.attempts == 0
        assert mine.exists

    def test_while_it_runs(self, gate: Gate) -> None:
        running = gate.wait().task
        assert (running.status, running.done, running.running) == ("running", False, True)
        assert running.start is not None
        assert running.created <= running.start
        assert running.pid not in (None, os.getpid())
        assert running.result is None
        gate.open()
        assert running.wait(LIMIT).result == "done"
        assert running.end is not None
        assert running.end >= running.start
        assert (running.status, running.done, running.running) == ("finished", True, False)

    def test_none_is_a_result(self, pool: str) -> None:
        @asyncable
        def nothing() -> None: ...

        ended = nothing().wait(LIMIT)
        assert (ended.status, ended.result, ended.error) == ("finished", None, None)
        assert ended.get() is None

    def test_reading_deletes_nothing_and_gives_each_its_own(self, pool: str) -> None:
        @asyncable
        def values() -> list[int]:
            return [1]

        ended = values().wait(LIMIT)
        assert ended.result is not None
        ended.result.append(2)
        assert ended.result == [1]
        assert ended.result is not ended.result

    def test_large_results(self, pool: str) -> None:
        @asyncable
        def large(n: int) -> bytes:
            return b"x" * n

        assert len(large(50_000_000).get(LIMIT)) == 50_000_000

    def test_waiting_takes_as_long_as_it_was_told(self, site: str) -> None:
        @asyncable
        def f() -> None: ...

        mine = f()
        begun = time.monotonic()
        with pytest.raises(WaitTimeout):
            mine.wait(0.05)
        assert 0.05 <= time.monotonic() - begun < 5
        with pytest.raises(TimeoutError):
            mine.get(0)

    def test_many_wait_for_one(self, gate: Gate) -> None:
        results: list[str] = []
        threads = [threading.Thread(target=lambda: results.append(gate.task.get(LIMIT))) for _ in range(8)]
        for thread in threads:
            thread.start()
        gate.wait().open()
        for thread in threads:
            thread.join(LIMIT)
        assert results == ["done"] * 8

    def test_ctrl_c_ends_the_wait_and_not_the_task(self, gate: Gate) -> None:
        gate.wait()
        done = threading.Event()

        def interrupt() -> None:
            done.wait(0.2)
            nonlocal sent
            sent = time.monotonic()
            os.kill(os.getpid(), signal.SIGINT)

        sent = 0.0
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            gate.task.wait()
        assert time.monotonic() - sent < 0.5  # the promise is 0.1 s, which test_interrupt.py measures
        thread.join()
        assert gate.task.running
        gate.open()
        assert gate.task.get(LIMIT) == "done"

    def test_waiting_in_a_transaction_on_the_tasks_is_refused(self, pool: str) -> None:
        @asyncable
        def f() -> int:
            return 1

        with transaction("__task__"), pytest.raises(TransactionError):
            f().wait(LIMIT)


class Picky(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("picky")


class Unfriendly(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("not this one")

    def __str__(self) -> str:
        raise RuntimeError("nor that")


def raise_it(what: str) -> None:
    if what == "key":
        raise KeyError("a key")
    if what == "picky":
        raise Picky(1, 2)
    if what == "unfriendly":
        raise Unfriendly
    if what == "chained":
        try:
            {}["x"]
        except KeyError:
            raise ValueError("chained") from None
    if what == "exit":
        sys.exit(3)
    if what == "interrupt":
        raise KeyboardInterrupt
    if what == "deep":
        raise_it(what)


@pytest.fixture
def failing(pool: str) -> Callable[[str], Task[None]]:
    function = asyncable(raise_it)
    return lambda what: function(what).wait(LIMIT)


class TestErrors:
    def test_the_exception_with_the_workers_traceback(self, failing: Callable[[str], Task[None]]) -> None:
        failed = failing("key")
        assert (failed.status, failed.done, failed.result) == ("failed", True, None)
        error = failed.error
        assert isinstance(error, KeyError)
        assert error.args == ("a key",)
        assert isinstance(error.__cause__, WorkerTraceback)
        text = str(error.__cause__)
        assert 'raise KeyError("a key")' in text
        assert "in raise_it" in text
        assert "parkit/daemons" not in text
        with pytest.raises(KeyError, match="a key"):
            failed.get()

    def test_exceptions_that_cannot_be_pickled(self, failing: Callable[[str], Task[None]]) -> None:
        error = failing("picky").error
        assert isinstance(error, TaskFailedError)
        assert str(error) == "test_task.Picky: picky"
        assert "raise Picky(1, 2)" in str(error.__cause__)
        error = failing("unfriendly").error
        assert isinstance(error, TaskFailedError)
        assert str(error) == "test_task.Unfriendly: <its text cannot be had: RuntimeError>"

    def test_what_else_a_function_may_raise(self, failing: Callable[[str], Task[None]]) -> None:
        pids = set()
        for what, kind in [
            ("chained", ValueError),
            ("exit", SystemExit),
            ("interrupt", KeyboardInterrupt),
            ("deep", RecursionError),
        ]:
            failed = failing(what)
            assert isinstance(failed.error, kind)
            pids.add(failed.pid)
        # Two workers, which all of that left alive.
        assert len(pids) <= 2

    def test_a_result_that_cannot_be_pickled(self, pool: str) -> None:
        @asyncable(retries=5)
        def lock() -> Any:
            return threading.Lock()

        failed = lock().wait(LIMIT)
        assert failed.status == "failed"
        assert isinstance(failed.error, TypeError)
        assert "the result of module/lock, lock, cannot be pickled" in str(failed.error)
        assert failed.attempts == 1

    def test_arguments_that_cannot_be_had_in_a_worker(self, pool: str) -> None:
        class Bad:
            def __reduce__(self) -> Any:
                return eval, ("1 / 0",)

        @asyncable
        def f(x: Any) -> None: ...

        assert isinstance(f(Bad()).wait(LIMIT).error, ZeroDivisionError)

    def test_a_result_that_cannot_be_had_here(self, pool: str) -> None:
        @asyncable
        def f() -> Any:
            class Bad:
                def __reduce__(self) -> Any:
                    return eval, ("1 / 0",)

            return Bad()

        ended = f().wait(LIMIT)
        assert ended.status == "finished"
        with pytest.raises(ZeroDivisionError):
            _ = ended.result

    def test_failures_are_retried(self, pool: str) -> None:
        attempts: parkit.Dict[int, int] = parkit.Dict("attempts", create=True)

        @asyncable(retries=2)
        def flaky(good_at: int) -> int:
            me = task()
            assert me is not None
            attempts[me.attempts] = os.getpid()
            if me.attempts < good_at:
                raise OSError("not yet")
            return me.attempts

        assert flaky(3).get(LIMIT) == 3
        failed = flaky(4).wait(LIMIT)
        assert (failed.status, failed.attempts) == ("failed", 3)
        assert isinstance(failed.error, OSError)
        assert sorted(attempts) == [1, 2, 3]


class TestCancel:
    def test_one_that_waits(self, site: str) -> None:
        @asyncable
        def f() -> None: ...

        mine = f()
        assert mine.cancel() is True
        assert mine.status == "cancelled"
        assert isinstance(mine.error, TaskCancelledError)
        assert mine.cancel() is False
        with pytest.raises(TaskError, match="it was cancelled"):
            mine.get()

    def test_one_that_runs(self, gate: Gate) -> None:
        pid = gate.wait().task.pid
        assert pid is not None
        assert gate.task.cancel() is True
        assert gate.task.wait(LIMIT).status == "cancelled"

        @asyncable
        def who() -> int:
            return os.getpid()

        assert {who().get(LIMIT) for _ in range(20)}.isdisjoint({pid})

    def test_one_that_runs_where_there_is_no_monitor(self, gate: Gate) -> None:
        from parkit.pool import pool_status

        gate.wait()
        all_workers_are_ready(2)
        kill(pool_status()["monitor"])
        assert gate.task.cancel() is True
        assert gate.task.wait(LIMIT).status == "cancelled"

    def test_the_function_may_clean_up(self, pool: str, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "begun")
        left = tmp_path / "left"

        @asyncable
        def f(begun: str, left: str) -> None:
            try:
                with open(begun, "w") as told:
                    told.write("begun")
                signal.pause()
            finally:
                open(left, "w").close()

        mine = f(str(tmp_path / "begun"), str(left))
        (tmp_path / "begun").read_text()
        mine.cancel()
        assert mine.wait(LIMIT).status == "cancelled"
        assert left.exists()

    def test_a_function_that_will_not_end_keeps_its_result(self, pool: str, tmp_path: Path) -> None:
        """SIGTERM from outside, not a cancel: the task is done, so it is recorded."""
        os.mkfifo(tmp_path / "begun")

        @asyncable
        def f(begun: str) -> str:
            try:
                with open(begun, "w") as told:
                    told.write("begun")
                signal.pause()
            except SystemExit:
                return "done all the same"
            return ""

        mine = f(str(tmp_path / "begun"))
        (tmp_path / "begun").read_text()
        assert mine.pid is not None
        kill(mine.pid, signal.SIGTERM)
        assert mine.get(LIMIT) == "done all the same"

    def test_one_that_has_ended_stays_what_it_is(self, pool: str) -> None:
        @asyncable
        def f() -> int:
            return 1

        mine = f().wait(LIMIT)
        assert mine.cancel() is False
        assert mine.get() == 1


class TestDrop:
    def test_an_ended_one(self, pool: str) -> None:
        @asyncable
        def f() -> int:
            return 1

        mine = f().wait(LIMIT)
        again = pickle.loads(pickle.dumps(mine))
        mine.drop()
        assert not mine.exists
        for look in (lambda: mine.status, lambda: again.result, lambda: mine.wait(LIMIT), lambda: mine.drop()):
            with pytest.raises(TaskNotFoundError):
                look()
        with pytest.raises(ObjectNotFoundError):
            _ = mine.args
        assert "TaskNotFoundError" in repr(mine)
        assert "TaskNotFoundError" in mine._repr_html_()
        assert list(tasks()) == []

    def test_one_that_runs_is_not_dropped(self, gate: Gate) -> None:
        with pytest.raises(IllegalTransitionError):
            gate.wait().task.drop()
        gate.open()
        assert gate.task.get(LIMIT) == "done"

    def test_one_that_waits_ends_who_waits_for_it(self, site: str) -> None:
        @asyncable
        def f() -> None: ...

        mine = f()
        errors: list[BaseException] = []

        def wait() -> None:
            try:
                mine.wait(LIMIT)
            except TaskNotFoundError as error:
                errors.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        task_again = next(tasks())
        task_again.drop()
        thread.join(LIMIT)
        assert len(errors) == 1


class TestIdentity:
    def test_equal_and_hash(self, site: str) -> None:
        @asyncable
        def f() -> None: ...

        one, two = f(), f()
        assert one == next(tasks())
        assert one != two
        assert one != 1
        assert {one, two, next(tasks())} == {one, two}
        assert one.uuid != two.uuid
        assert one.site_uuid == f.site_uuid

    def test_it_pickles_as_a_reference(self, site: str) -> None:
        @asyncable
        def f(x: int) -> None: ...

        one = f(5)
        again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(one))))
        assert again == one
        assert again.args == (5,)

    def test_one_of_another_life_of_a_memory_site(self, site: str) -> None:
        @asyncable
        def f() -> None: ...

        one = f()
        function, (site_uuid, uuid, path) = one.__reduce__()
        other = function(site_uuid, uuid[:10] + "0000" + uuid[14:], path)
        with pytest.raises(TaskNotFoundError, match="from before the machine was started"):
            _ = other.status

    def test_it_is_not_made_by_hand(self) -> None:
        with pytest.raises(TypeError, match="by calling an asyncable"):
            Task()

    def test_tasks_as_arguments_and_results(self, pool: str) -> None:
        @asyncable
        def one() -> int:
            return 1

        @asyncable
        def of(other: Task[int]) -> tuple[int, Task[int]]:
            return other.get(LIMIT) + 1, other

        first = one()
        assert of(first).get(LIMIT) == (2, first)

    def test_how_it_shows(self, pool: str) -> None:
        @asyncable
        def f(x: int) -> float:
            return 1 / x

        good, bad = f(1).wait(LIMIT), f(0).wait(LIMIT)
        assert repr(good).startswith("<Task 1 of f: finished in ")
        assert "<b style='color:seagreen'>finished in" in good._repr_html_()
        assert "ZeroDivisionError: division by zero" in bad._repr_html_()


class TestListing:
    def test_by_status(self, pool: str) -> None:
        @asyncable
        def f(x: int) -> float:
            return 1 / x

        assert list(tasks()) == []
        good = [f(n).wait(LIMIT) for n in range(1, 4)]
        bad = f(0).wait(LIMIT)
        assert list(tasks("finished")) == good
        assert list(tasks("failed")) == [bad]
        assert list(tasks("submitted")) == list(tasks("crashed")) == []
        assert list(tasks()) == [*good, bad]
        with pytest.raises(ValueError, match="'ended' is no status of a task"):
            tasks("ended")

    def test_more_than_fit_one_look(self, site: str) -> None:
        @asyncable
        def f(x: int) -> None: ...

        made = [f(n) for n in range(1500)]
        assert list(tasks()) == made
        assert list(f.tasks()) == made
        assert list(tasks("submitted")) == made

    def test_of_a_site_that_has_none(self, site: str) -> None:
        assert list(tasks()) == []
        assert "__task__" not in os.listdir(os.path.join(site, "ns"))

    def test_the_task_of_this_worker(self, pool: str) -> None:
        @asyncable
        def me() -> Task[Any] | None:
            return task()

        mine = me()
        assert mine.get(LIMIT) == mine
        assert task() is None


def test_ten_thousand_are_all_run_once(pool: str) -> None:
    @asyncable
    def f(x: int) -> int:
        return x

    made = [f(n) for n in range(10_000)]
    assert [one.get(LIMIT) for one in made] == list(range(10_000))
    assert {one.attempts for one in made[::97]} == {1}


def test_several_programs_submit_at_once(pool: str) -> None:
    source = """
from parkit import *
@asyncable
def f(x): return x
made = [f(n) for n in range(500)]
print(sum(one.get(60) for one in made))
"""
    environment = {**os.environ, "PARKIT_DEFAULT_SITE_PATH": pool}
    programs = [
        subprocess.Popen([sys.executable, "-c", source], env=environment, stdout=subprocess.PIPE) for _ in range(4)
    ]
    assert [int(program.communicate(timeout=60)[0]) for program in programs] == [124750] * 4
    assert len(list(Asyncable("module/f").tasks())) == 2000


def test_the_examples(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import doctest
    import importlib

    parkit.disable_tasks()
    names: dict[str, Any] = {name: getattr(parkit, name) for name in parkit.__all__}
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for module in ("asyncable", "task", "pool"):
        for test in _examples(importlib.import_module(f"parkit.{module}"), names, parser):
            if "enable_tasks()" not in test.docstring:
                parkit.enable_tasks()
            runner.run(test)
            parkit.disable_tasks()
    assert runner.failures == 0
    assert runner.tries > 25


def _examples(module: Any, names: dict[str, Any], parser: Any) -> Iterator[Any]:
    import doctest

    finder = doctest.DocTestFinder(parser=parser)
    for test in finder.find(module, globs=dict(names)):
        if test.examples:
            yield test


def test_crashed_tasks_have_an_error(pool: str) -> None:
    @asyncable
    def f() -> None:
        os._exit(7)

    crashed = f().wait(LIMIT)
    assert crashed.status == "crashed"
    assert isinstance(crashed.error, TaskCrashedError)
    assert "exit status 7" in str(crashed.error)


def test_what_would_end_the_caller_is_a_failure_of_the_task(pool: str) -> None:
    @asyncable
    def leaves() -> None:
        raise SystemExit(3)

    task = leaves()
    with pytest.raises(TaskFailedError, match="SystemExit") as caught:
        task.get(LIMIT)
    assert isinstance(caught.value.__cause__, SystemExit)
    assert isinstance(task.error, SystemExit)
