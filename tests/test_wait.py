"""Waiting for a change."""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import parkit
from parkit import Dict, Object, errors, snapshot, transaction, wait

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def d() -> Dict[Any, Any]:
    return Dict("d", create=True)


class Calls:
    """A condition that counts how often it is asked, and says when it is asked first."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.count, self.begun = answer, 0, threading.Event()

    def __call__(self) -> Any:
        self.count += 1
        result = self.answer()
        self.begun.set()
        return result


def test_it_ends_when_a_change_makes_the_condition_true(d: Dict[Any, Any]) -> None:
    condition = Calls(lambda: len(d) == 3)

    def write() -> None:
        condition.begun.wait(60)
        for n in range(3):
            d[n] = n

    writer = threading.Thread(target=write)
    writer.start()
    wait(d, condition)
    writer.join()
    assert len(d) == 3
    assert condition.count < 10


def test_a_change_of_another_process_wakes_it(d: Dict[Any, Any], site: str) -> None:
    condition = Calls(lambda: d.get("n") == 100)
    code = """
import parkit, sys
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('d')
for n in range(101):
    d['n'] = n
"""
    writer = subprocess.Popen([sys.executable, "-c", code, site])
    wait(d, condition=condition)
    assert writer.wait(60) == 0
    assert d["n"] == 100


def test_ping_pong_misses_nothing(d: Dict[Any, Any]) -> None:
    rounds = 300
    d["turn"] = 0

    def play(me: int) -> None:
        for n in range(me, rounds, 2):
            wait(d, lambda n=n: d["turn"] == n, timeout=60)
            d["turn"] = n + 1

    players = [threading.Thread(target=play, args=(me,)) for me in range(2)]
    for player in players:
        player.start()
    for player in players:
        player.join()
    assert d["turn"] == rounds


def test_a_condition_that_is_true_ends_it_at_once(d: Dict[Any, Any]) -> None:
    condition = Calls(lambda: "yes")
    assert wait(d, condition) is None
    assert condition.count == 1


def test_without_a_condition_it_returns_at_once(d: Dict[Any, Any]) -> None:
    assert wait(d) is None
    assert wait() is None
    assert wait(d, d, timeout=0) is None


def test_any_of_several_objects_wakes_it(d: Dict[Any, Any]) -> None:
    others = [Object(f"o{n}", create=True) for n in range(3)]
    for changed in (d, *others):
        condition = Calls(lambda changed=changed: hasattr(changed, "done"))

        def change(condition: Calls = condition, changed: Any = changed) -> None:
            condition.begun.wait(60)
            changed.done = True

        writer = threading.Thread(target=change)
        writer.start()
        wait(d, *others, condition, timeout=60)
        writer.join()


def test_the_condition_is_asked_in_a_snapshot(d: Dict[Any, Any]) -> None:
    d["x"] = 0

    def look() -> bool:
        before = d["x"]
        d["x"] = before + 1
        return bool(d["x"] == before)

    wait(d, look)
    assert d["x"] == 1


def test_the_time_runs_out(d: Dict[Any, Any]) -> None:
    for arguments in ((d, lambda: False), (lambda: False,), (d, Object("o", create=True), lambda: 0)):
        for timeout in (0, 0.02):
            begin = time.monotonic()
            with pytest.raises(TimeoutError) as caught:
                wait(*arguments, timeout=timeout)
            assert type(caught.value) is errors.WaitTimeout
            assert time.monotonic() - begin >= timeout


def test_a_timeout_of_zero_looks_once(d: Dict[Any, Any]) -> None:
    wait(d, lambda: True, timeout=0)
    wait(lambda: True, timeout=0)


def test_without_objects_the_condition_is_looked_at_now_and_then() -> None:
    seen: list[int] = []
    wait(lambda: seen.append(1) or len(seen) == 4)
    assert len(seen) == 4


def test_an_exception_of_the_condition_goes_on(d: Dict[Any, Any]) -> None:
    with pytest.raises(ZeroDivisionError):
        wait(d, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        wait(lambda: 1 / 0)
    d["x"] = 1  # no scope was left open
    assert d["x"] == 1


def test_objects_of_two_namespaces(d: Dict[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"default/d, other/d"):
        wait(d, Dict("other/d", create=True), lambda: True)


@pytest.mark.parametrize("wrong", [("d",), (3,), (None,), (None, lambda: True), ("d", lambda: True)])
def test_what_cannot_be_waited_for(wrong: Any) -> None:
    with pytest.raises(TypeError):
        wait(*wrong)


@pytest.mark.parametrize("objects", [0, 1])
def test_an_async_function_is_no_condition(d: Dict[Any, Any], objects: int) -> None:
    # What it returns is a coroutine, which counts as true.
    async def never() -> bool:
        raise AssertionError

    for condition in never, lambda: never(), functools.partial(never):
        with pytest.raises(TypeError, match=r"parkit\.aio\.wait"):
            wait(*[d][:objects], condition)
        d["x"] = 1  # no scope was left open


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan")])
def test_what_is_no_timeout(d: Dict[Any, Any], timeout: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        wait(d, lambda: False, timeout=timeout)


def test_what_is_no_condition(d: Dict[Any, Any]) -> None:
    with pytest.raises(TypeError, match="callable"):
        wait(d, condition=3)  # type: ignore[arg-type]


def test_a_callable_object_is_not_taken_for_the_condition() -> None:
    class Called(Object):
        def __call__(self) -> bool:
            raise AssertionError

    called = Called("called", create=True)
    assert wait(called) is None
    wait(called, condition=lambda: True)


def test_inside_a_scope_it_would_never_end(d: Dict[Any, Any]) -> None:
    for scope in transaction, snapshot:
        with scope(d):
            wait(d, lambda: True)
            with pytest.raises(parkit.TransactionError, match="wait outside"):
                wait(d, lambda: False)
    with transaction("other"), pytest.raises(TimeoutError):
        wait(d, lambda: False, timeout=0.01)


def test_a_dropped_object(d: Dict[Any, Any]) -> None:
    condition = Calls(lambda: len(d) > 5)

    def drop() -> None:
        condition.begun.wait(60)
        d.drop()

    dropper = threading.Thread(target=drop)
    dropper.start()
    with pytest.raises(parkit.ObjectNotFoundError):
        wait(d, condition, timeout=60)
    dropper.join()


@pytest.mark.parametrize("dropped", [0, 1])
def test_a_drop_ends_it_if_the_condition_does_not_look_at_the_object(d: Dict[Any, Any], dropped: int) -> None:
    objects = d, Object("o", create=True)
    condition = Calls(lambda: False)

    def drop() -> None:
        condition.begun.wait(60)
        objects[dropped].drop()

    dropper = threading.Thread(target=drop)
    dropper.start()
    with pytest.raises(parkit.ObjectNotFoundError):
        wait(*objects, condition, timeout=60)
    dropper.join()
    with pytest.raises(parkit.ObjectNotFoundError):
        wait(*objects, condition, timeout=60)
    wait(*objects, lambda: not objects[dropped].exists)  # to wait for the drop itself


@pytest.mark.parametrize("objects", [1, 2, 0])
def test_ctrl_c_ends_it(d: Dict[Any, Any], objects: int) -> None:
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(0.05, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        wait(*[d, Object("o", create=True)][:objects], lambda: False, timeout=30)
    late = time.monotonic() - sent[0]
    timer.join()
    assert late < 0.5  # the promise is 0.1 s, on a machine that has nothing else to do


def test_it_lets_other_threads_run(d: Dict[Any, Any]) -> None:
    # One that held the GIL would wait for ever.
    ready = threading.Event()

    def look() -> bool:
        ready.set()
        return "go" in d

    waiter = threading.Thread(target=wait, args=(d, look))
    waiter.start()
    ready.wait(60)
    d["go"] = True
    waiter.join(60)
    assert not waiter.is_alive()
