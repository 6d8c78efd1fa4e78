"""Following an Array while others append to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Script
from parkit import Array, TransactionError, snapshot, stream, transaction

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def a() -> Array[Any]:
    return Array("a", create=True)


def take(items: Iterator[Any], n: int) -> list[Any]:
    return [next(items) for _ in range(n)]


def test_it_begins_where_it_was_called(a: Array[int]) -> None:
    a.extend(range(5))
    news, batches = stream(a), stream(a, batch=True)
    a.extend(range(5, 2000))
    assert take(news, 1995) == list(range(5, 2000))
    assert next(batches) == list(range(5, 2000))
    a.append(1)
    assert (next(batches), next(news)) == ([1], 1)


def test_across_the_wrap_of_a_bounded_array() -> None:
    a: Array[int] = Array("log", create=True, maxsize=10)
    news = stream(a)
    for i in range(95):
        a.append(i)
        assert next(news) == i
    a.extend(range(100, 125))  # more than it holds: the first are gone
    assert take(news, 10) == list(range(115, 125))
    a.clear()
    a.append(7)
    assert next(news) == 7


def test_what_was_popped_is_passed_over(a: Array[str]) -> None:
    news = stream(a)
    a.extend("abc")
    a.popleft()
    a.pop()
    assert next(news) == "b"
    a.pop()
    thread = threading.Thread(target=lambda: a.extend("de"))
    thread.start()
    assert next(news) in "de"
    thread.join()


def test_a_drop_ends_it(a: Array[int]) -> None:
    news, batches = stream(a), stream(a, batch=True)
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.extend(news))
    thread.start()
    a.extend([1, 2])
    assert next(batches)[0] == 1
    a.drop()
    thread.join(10)
    assert not thread.is_alive()
    assert got in ([1, 2], [1], [])  # what was dropped before it was read is gone
    assert list(batches) == []


def test_in_a_scope_it_gives_what_is_there_and_does_not_wait(a: Array[int]) -> None:
    for scope in (transaction, snapshot):
        news = stream(a)
        a.append(1)
        with scope(a):  # type: ignore[operator]
            assert next(news) == 1
            with pytest.raises(TransactionError, match="outside"):
                next(news)
    with pytest.raises(TypeError):
        stream([1])  # type: ignore[call-overload]


def test_hooks() -> None:
    class Hooked(Array[Any]):
        encode_value = None  # type: ignore[assignment]

        def decode_value(self, data: bytes, metadata: Any = None, /) -> Any:
            return data + b"!"

    h = Hooked("hooked", create=True)
    news = stream(h)
    h.append(b"a")
    assert next(news) == b"a!"


def test_another_process_follows(script: Script, tmp_path: Path) -> None:
    script(
        """
import os, sys, parkit
parkit.set_default_site(sys.argv[1], create=True)
for namespace in ('durable', 'memory/m'):
    log = parkit.Array(namespace + '/log', create=True, maxsize=1000)
    ready = parkit.Array(namespace + '/ready', create=True)
    news, begun = parkit.stream(log), parkit.stream(ready)
    child = os.fork()
    if child == 0:
        ready.append(1)
        got = [next(news) for _ in range(300)]
        os._exit(got != list(range(300)))
    assert next(begun) == 1
    for i in range(300):
        log.append(i)
    assert os.waitpid(child, 0)[1] == 0
""",
        str(tmp_path / "other"),
    )


def test_ctrl_c_ends_the_wait(tmp_path: Path) -> None:
    source = """
import sys, parkit
parkit.set_default_site(sys.argv[1], create=True)
a = parkit.Array('memory/a', create=True)
news = parkit.stream(a)
try:
    print('ready', flush=True)
    next(news)
except KeyboardInterrupt:
    print('interrupted')
"""
    child = subprocess.Popen([sys.executable, "-c", source, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    assert (out, child.returncode) == ("interrupted\n", 0)
