"""Transactions: one commit, nesting, threads, forks, timeouts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, Namespace, Object, errors, transaction

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def d() -> Dict[Any, Any]:
    return Dict("d", create=True)


def in_thread(function: Callable[[], Any]) -> Any:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function())
        except Exception as error:  # noqa: BLE001 (handed to the caller)
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def test_others_see_all_of_it_or_nothing(d: Dict[Any, Any]) -> None:
    other = Object("o", create=True)
    with transaction(d):
        d["x"] = 1
        other.y = 2
        assert in_thread(lambda: (dict(d), other.attributes)) == ({}, [])
        assert (d, other.y) == ({"x": 1}, 2)
    assert in_thread(lambda: (dict(d), other.y)) == ({"x": 1}, 2)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_undoes_it_and_goes_on(d: Dict[Any, Any], error: type[BaseException]) -> None:
    d["x"] = 1
    with pytest.raises(error), transaction(d):
        d["x"] = 2
        del d["x"]
        Dict("new", create=True)
        d.colour = "red"
        raise error
    assert d == {"x": 1}
    assert d.attributes == []
    assert list(Namespace().names()) == ["d"]


@pytest.mark.parametrize(
    "target", [lambda d: d, lambda d: d.namespace, lambda d: Namespace(d.namespace), lambda d: "//some/place/"]
)
def test_what_it_can_be_opened_on(target: Callable[[Any], Any]) -> None:
    d = Dict("some/place/d", create=True)
    with pytest.raises(ZeroDivisionError), transaction(target(d)):
        d["x"] = 1
        raise ZeroDivisionError
    assert d == {}


def test_by_default_it_is_on_the_namespace_default(d: Dict[Any, Any]) -> None:
    for target in ((), (None,)):
        with pytest.raises(ZeroDivisionError), transaction(*target):
            d["x"] = 1
            raise ZeroDivisionError
    assert d == {}


def test_a_namespace_that_is_not_there_is_made() -> None:
    with transaction("some/new"):
        Dict("some/new/d", create=True)["x"] = 1
    assert Dict("some/new/d") == {"x": 1}


@pytest.mark.parametrize("target", [3, b"default", [], object()])
def test_what_it_cannot_be_opened_on(target: Any) -> None:
    with pytest.raises(TypeError, match="namespace"):
        transaction(target)


def test_another_site(d: Dict[Any, Any], tmp_path: Any) -> None:
    uuid = parkit.import_site(tmp_path / "other", create=True)
    there = Dict("d", create=True, site_uuid=uuid)
    with pytest.raises(ZeroDivisionError), transaction(site_uuid=uuid):
        there["x"] = d["x"] = 1
        raise ZeroDivisionError
    assert there == {}
    assert d == {"x": 1}


def test_other_namespaces_are_not_concerned(d: Dict[Any, Any]) -> None:
    other = Dict("other/d", create=True)
    with pytest.raises(ZeroDivisionError), transaction(d):
        d["x"] = other["x"] = 1
        raise ZeroDivisionError
    assert d == {}
    assert other == {"x": 1}


# ---- Nesting ----


def test_an_inner_one_that_fails_undoes_exactly_its_own_part(d: Dict[Any, Any]) -> None:
    with transaction(d):
        d["outer"] = 1
        with pytest.raises(KeyError), transaction(d):
            d["inner"] = 1
            d["outer"] = 2
            with transaction(d):
                d["innermost"] = 1
            raise KeyError
        assert d == {"outer": 1}
        assert len(d) == 1
        with transaction(d):
            d["second"] = 1
    assert d == {"outer": 1, "second": 1}
    assert d.version == 1


def test_an_outer_one_that_fails_undoes_the_inner_ones(d: Dict[Any, Any]) -> None:
    with pytest.raises(KeyError), transaction(d):
        with transaction(d):
            d["inner"] = 1
        raise KeyError
    assert d == {}


def test_nesting_deep(d: Dict[Any, Any]) -> None:
    def nest(depth: int) -> None:
        with transaction(d):
            d[depth] = 1
            if depth:
                nest(depth - 1)
            if depth % 2:
                raise ZeroDivisionError

    def outer(depth: int) -> None:
        try:
            nest(depth)
        except ZeroDivisionError:
            pass

    outer(50)
    assert d == {}  # 49 fails, and with it each one around it
    with transaction(d):
        for n in range(50):
            with transaction(d):
                d[n] = n
    assert len(d) == 50


def test_one_object_may_be_entered_again_and_again(d: Dict[Any, Any]) -> None:
    scope = transaction(d)
    for n in range(3):
        with scope:
            d[n] = 1
            with pytest.raises(KeyError), scope:
                d[n] = 2
                raise KeyError
    assert d == {0: 1, 1: 1, 2: 1}


def test_entering_gives_the_scope(d: Dict[Any, Any]) -> None:
    scope = transaction(d)
    with scope as entered:
        assert entered is scope


def test_as_a_decorator(d: Dict[Any, Any]) -> None:
    @transaction(d)
    def add(key: str, *, fail: bool = False) -> int:
        """Adds."""
        d[key] = 1
        if fail:
            raise KeyError(key)
        if key == "a":
            with pytest.raises(KeyError):
                add("nested", fail=True)
        return len(d)

    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert add("a") == 1
    with pytest.raises(KeyError):
        add("b", fail=True)
    assert d == {"a": 1}
    assert in_thread(lambda: add("c")) == 2


# ---- Threads and processes ----


def test_a_transaction_is_of_its_thread(d: Dict[Any, Any]) -> None:
    with transaction(d):
        d["x"] = 1
        with pytest.raises(errors.LockTimeout):
            raise in_thread(lambda: transaction(d, timeout=0.01).__enter__())
    assert in_thread(lambda: d.update(y=1)) is None
    assert d == {"x": 1, "y": 1}


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_the_turn_to_write_does_not_come_in_time(d: Dict[Any, Any], timeout: float) -> None:
    with transaction(d):
        error = in_thread(lambda: transaction(d, timeout=timeout).__enter__())
        assert isinstance(error, parkit.TransactionError)
        assert isinstance(error, TimeoutError)
        assert type(error) is errors.LockTimeout
        assert str(os.getpid()) in str(error)
    with transaction(d, timeout=0):
        d["x"] = 1


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan")])
def test_what_is_no_timeout(d: Dict[Any, Any], timeout: Any) -> None:
    with pytest.raises((ValueError, TypeError)), transaction(d, timeout=timeout):
        raise AssertionError
    with transaction(d):
        pass


def test_the_error_names_the_holder(d: Dict[Any, Any], script: Script, site: str) -> None:
    with transaction(d):
        done = script(
            """
import parkit, sys
from parkit.errors import LockTimeout
parkit.set_default_site(sys.argv[1])
try:
    with parkit.transaction(parkit.Dict('d'), timeout=0.05):
        raise AssertionError
except LockTimeout as error:
    print(error)
""",
            site,
        )
    assert str(os.getpid()) in done.stdout


def test_ending_it_in_another_thread_is_refused(d: Dict[Any, Any]) -> None:
    scope = transaction(d)
    with scope:
        d["x"] = 1
        error = in_thread(lambda: scope.__exit__(None, None, None))
        assert isinstance(error, parkit.TransactionError)
        assert "thread" in str(error)
    assert d == {"x": 1}
    with pytest.raises(parkit.TransactionError):
        scope.__exit__(None, None, None)


def test_a_thread_that_ends_inside_leaves_the_turn_to_others(d: Dict[Any, Any]) -> None:
    def leave() -> None:
        transaction(d).__enter__()
        d["x"] = 1

    in_thread(leave)
    with transaction(d, timeout=30):
        assert d == {}


def test_scopes_ended_out_of_order_are_undone(d: Dict[Any, Any]) -> None:
    other = Dict("other/d", create=True)
    outer, inner = transaction(d), transaction(d)
    outer.__enter__()
    d["x"] = 1
    with transaction(other):  # of another namespace: has nothing to do with it
        inner.__enter__()
        d["y"] = 1
        other["z"] = 1
        with pytest.raises(parkit.TransactionError, match="still open"):
            outer.__exit__(None, None, None)
        with pytest.raises(parkit.TransactionError):
            inner.__exit__(None, None, None)
    assert d == {}
    assert other == {"z": 1}
    with transaction(d):
        d["x"] = 2
    assert d == {"x": 2}


def test_the_parents_transaction_does_not_exist_in_a_child(site: str, script: Script) -> None:
    script(
        """
import os, parkit, sys
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('d', create=True)
looked, look = os.pipe()
with parkit.transaction(d):
    d['parent'] = 1
    pid = os.fork()
    if pid == 0:
        assert d == {}
        with parkit.snapshot(d):
            assert d == {}
        try:
            with parkit.transaction(d, timeout=0.05):
                raise AssertionError
        except parkit.TransactionError:
            os.write(look, b'x')
    else:
        os.close(look)
        assert os.read(looked, 1) == b'x'
        assert d == {'parent': 1}
# The child comes here too: the end of the scope did nothing there.
if pid == 0:
    d['child'] = 1
    os._exit(0)
assert d['parent'] == 1
assert os.waitpid(pid, 0)[1] == 0
assert d == {'parent': 1, 'child': 1}
""",
        site,
    )


def test_writers_of_several_processes_take_turns(site: str, script: Script, d: Dict[Any, Any]) -> None:
    d["n"] = 0
    script(
        """
import multiprocessing, parkit, sys
def add(site):
    parkit.set_default_site(site)
    d = parkit.Dict('d')
    for _ in range(100):
        with parkit.transaction(d):
            d['n'] += 1
if __name__ == '__main__':
    context = multiprocessing.get_context('fork')
    workers = [context.Process(target=add, args=(sys.argv[1],)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
""",
        site,
        timeout=100,
    )
    assert d["n"] == 200


def test_ctrl_c_leaves_no_scope_open_wherever_it_comes(site: str, script: Script) -> None:
    done = script(
        """
import random, signal, sys
import parkit
from parkit import _native, _open
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('d', create=True)
space = _open.space_of(d)
seed = random.randrange(1 << 32)
print('seed', seed)
choice = random.Random(seed)

class Stop(BaseException):
    pass

def stop(*_):
    raise Stop

signal.signal(signal.SIGALRM, stop)
stopped = 0
for n in range(6000):
    scope = choice.choice((parkit.transaction, parkit.snapshot, None))
    try:
        signal.setitimer(signal.ITIMER_REAL, choice.uniform(1e-6, 3e-5))
        if scope is None:
            with d.edit('list', default=[]) as value:
                value.append(1)
        else:
            with scope(d):
                d['x'] = n
        for _ in range(50):
            pass
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Stop:
        stopped += 1
    assert _native.lane.scope(space) == 0, n
    if len(d.get('list', ())) > 50:
        del d['list']
print('stopped', stopped)
""",
        site,
    )
    assert int(done.stdout.split()[-1]) > 50, "the signals came too late to show anything"


def test_ctrl_c_ends_the_wait_for_the_turn(d: Dict[Any, Any]) -> None:
    import signal
    import time

    begun, ended = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction(d):
            begun.set()
            ended.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    begun.wait(60)
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(0.05, interrupt)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt), transaction(d):
            raise AssertionError
        late = time.monotonic() - sent[0]
    finally:
        ended.set()
        holder.join()
        timer.join()
    assert late < 0.5  # the promise is 0.1 s, on a machine that has nothing else to do
    with transaction(d, timeout=10):
        d["x"] = 1
