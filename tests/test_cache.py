"""Dict as a cache: entries that end, and a limit on its size. test_memoize.py has what is built on it."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, snapshot, transaction, wait
from parkit.errors import StorageFullError, TooBigError

pytestmark = pytest.mark.usefixtures("site")

SOON = 0.03


@pytest.fixture
def d() -> Dict[Any, Any]:
    return Dict("cache", create=True)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come to that"


def ended(d: Dict[Any, Any], key: Any, value: Any = "old") -> None:
    """Store an entry and let it end."""
    d.set(key, value, expire=SOON)
    until(lambda: key not in d)


# ---- Entries that end ----


def test_an_entry_is_there_until_its_end(d: Dict[Any, Any]) -> None:
    before = time.time()
    assert d.set("a", 1, expire=60) is True
    assert d.set("b", 2, expire=timedelta(minutes=1)) is True
    d["c"] = 3
    assert d == {"a": 1, "b": 2, "c": 3}
    for key in "ab":
        assert before + 60 <= (d.expire_time(key) or 0) + 1e-6 <= time.time() + 60.001
    assert d.expire_time("c") is None
    with pytest.raises(KeyError):
        d.expire_time("z")


def test_every_reader_sees_at_once_that_it_has_ended(d: Dict[Any, Any]) -> None:
    d["stays"] = 1
    d.set("a", 1, expire=0.4)
    d.set("z", 1, expire=0.4)
    with snapshot(d) as _:
        assert len(d) == 3
    # Nobody can write, so nothing is swept: what has ended is still stored.
    with transaction(d):
        stored = len(d)
        until(lambda: reads_in_another_thread(d) == [None, KeyError, False, 1, ["stays"], ["stays"], [("stays", 1)]])
        assert stored == 3


def reads_in_another_thread(d: Dict[Any, Any]) -> list[Any]:
    import threading

    answers: list[Any] = []

    def read() -> None:
        answers.append(d.get("a"))
        try:
            answers.append(d["a"])
        except KeyError:
            answers.append(KeyError)
        answers.extend(("z" in d, len(d), list(d), list(reversed(d)), list(d.items())))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    return answers


def test_writes_take_an_entry_that_has_ended_for_absent(d: Dict[Any, Any]) -> None:
    ended(d, "a")
    assert d.setdefault("a", "new") == "new"
    ended(d, "a")
    assert d.add("a", "newer") is True
    assert d.add("a", "newest") is False
    ended(d, "b")
    with pytest.raises(KeyError):
        del d["b"]
    assert d.pop("b", None) is None
    with pytest.raises(KeyError):
        d.pop("b")
    assert d.touch("b") is False
    assert d.popitem() == ("a", "newer")
    with pytest.raises(KeyError):
        d.popitem()
    ended(d, "c")
    d.update(c=1)
    with d.edit("c") as value:
        assert value == 1
    ended(d, "e")
    with d.edit("e", default=[]) as items:
        items.append(1)
    assert d == {"c": 1, "e": [1]}


def test_an_ended_key_that_is_stored_again_is_the_key_that_was_given(d: Dict[Any, Any]) -> None:
    ended(d, True)
    d[1] = "one"
    assert [type(key) for key in d] == [int]


def test_storing_without_an_end_takes_it_away(d: Dict[Any, Any]) -> None:
    for store in (
        lambda: d.set("a", 1),
        lambda: d.__setitem__("a", 1),
        lambda: d.update(a=1),
        lambda: d.touch("a"),
    ):
        d.set("a", 0, expire=60)
        store()
        assert d.expire_time("a") is None


def test_touch_gives_another_end(d: Dict[Any, Any]) -> None:
    d.set("a", 1, expire=60)
    assert d.touch("a", expire=3600) is True
    assert (d.expire_time("a") or 0) > time.time() + 3000
    assert d["a"] == 1
    assert d.touch("a", expire=SOON) is True
    until(lambda: "a" not in d)


@pytest.mark.parametrize("expire", [0, -1, 0.0, math.nan, math.inf, timedelta(0), timedelta(-1), 1e12, 10**20])
def test_an_end_that_cannot_be_is_refused(d: Dict[Any, Any], expire: Any) -> None:
    d["a"] = 1
    for change in (lambda: d.set("a", 2, expire=expire), lambda: d.touch("a", expire=expire)):
        with pytest.raises(ValueError, match="expire is above zero"):
            change()
    with pytest.raises(TypeError, match="expire is a number"):
        d.set("a", 2, expire="soon")  # type: ignore[arg-type]
    assert d == {"a": 1}
    assert d.expire_time("a") is None


def test_an_end_is_a_change_that_wakes_who_waits(d: Dict[Any, Any]) -> None:
    d.set("a", 1, expire=SOON)
    version = d.version
    wait(d, lambda: "a" not in d, timeout=20)
    until(lambda: d.version == version + 1)


def test_what_has_ended_is_removed_without_anybody_asking(d: Dict[Any, Any]) -> None:
    for n in range(600):  # more than one transaction takes
        d.set(n, "x", expire=SOON)
    d["stays"] = "x"
    wait(d, lambda: d.volume() < 100, timeout=20)
    assert d.expire() == 0
    assert list(d) == ["stays"]


def test_expire_removes_what_has_ended_now(d: Dict[Any, Any]) -> None:
    for n in range(700):
        d.set(n, "x", expire=3600)
    assert d.expire() == 0
    with transaction(d):
        for n in range(700):
            d.touch(n, expire=0.001)
        end = time.time() + 0.002
        until(lambda: time.time() > end)
        assert len(d) == 700  # time stands still in a transaction
    removed = d.expire()  # together with this process's own sweeping
    assert 0 <= removed <= 700
    assert len(d) == 0


def test_a_scope_sees_the_time_stand_still(d: Dict[Any, Any]) -> None:
    d.set("a", 1, expire=SOON)
    with snapshot(d):
        assert "a" in d
        end = time.time() + 2 * SOON
        until(lambda: time.time() > end)
        assert d["a"] == 1
        assert len(d) == 1
        assert list(d) == ["a"]
    until(lambda: "a" not in d)


def test_an_abort_undoes_the_end(d: Dict[Any, Any]) -> None:
    d["a"] = 1
    with pytest.raises(ZeroDivisionError), transaction(d):
        d.set("a", 2, expire=SOON)
        raise ZeroDivisionError
    assert d.expire_time("a") is None
    end = time.time() + 2 * SOON
    until(lambda: time.time() > end)
    assert d == {"a": 1}


def test_another_process_sees_the_end_and_removes_what_has_ended(d: Dict[Any, Any], site: str, script: Script) -> None:
    script(
        "import parkit, sys; parkit.set_default_site(sys.argv[1])\nparkit.Dict('cache').set('a', 1, expire=0.5)\n",
        site,
    )
    # The process that set it is gone: this one sees the end, and its first look has it removed.
    version = d.version
    until(lambda: "a" not in d)
    until(lambda: d.version > version)
    assert d.volume() == 0


def test_binding_sees_to_what_ends(site: str, script: Script) -> None:
    script(
        "import parkit, sys; parkit.set_default_site(sys.argv[1])\n"
        "parkit.Dict('other', create=True).set('a', 1, expire=0.3)\n",
        site,
    )
    bound: Dict[str, int] = Dict("other")
    wait(bound, lambda: "a" not in bound, timeout=20)


def test_a_forked_child_sees_to_it_too(d: Dict[Any, Any], site: str, script: Script) -> None:
    script(
        "import os, parkit, sys\n"
        "parkit.set_default_site(sys.argv[1])\n"
        "d = parkit.Dict('cache')\n"
        "d.set('a', 1, expire=60)\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    d.set('b', 1, expire=0.05)\n"
        "    parkit.wait(d, lambda: 'b' not in d, timeout=20)\n"
        "    os._exit(0 if list(d) == ['a'] else 1)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "d.set('c', 1, expire=0.05)\n"
        "parkit.wait(d, lambda: 'c' not in d, timeout=20)\n",
        site,
    )
    assert list(d) == ["a"]


class Upper(Dict[str, str]):
    """A class that replaces hooks of both kinds."""

    def encode_key(self, key: str) -> bytes:
        return key.upper().encode()

    def decode_key(self, data: bytes) -> str:
        return data.decode()

    def encode_value(self, value: str) -> bytes:
        return value.encode()

    def decode_value(self, data: bytes) -> str:
        return data.decode()


def test_a_class_with_hooks_has_it_as_well() -> None:
    u = Upper("upper", create=True)
    assert u.set("a", "x", expire=60)
    assert not u.add("A", "y")
    assert u["a"] == "x"
    assert (u.expire_time("a") or 0) > time.time()
    assert u.touch("A")
    assert u.expire_time("a") is None
    with pytest.raises(KeyError, match="zz"):
        u.expire_time("zz")


# ---- Counting ----


def test_counting(d: Dict[Any, Any]) -> None:
    assert d.incr("n") == 1
    assert d.incr("n", 5) == 6
    assert d.decr("n", 2) == 4
    assert d.incr("new", 1, default=10) == 11
    assert d.incr("n", 0.5) == 4.5
    with pytest.raises(KeyError, match="absent"):
        d.incr("absent", default=None)
    d["text"] = "a"
    with pytest.raises(TypeError):
        d.incr("text")
    assert d.incr("text", "b") == "ab"
    d["big"] = 2**63 - 1
    assert d.incr("big") == 2**63
    assert d.incr("big", 2**70) == 2**63 + 2**70
    assert d.decr("big", 2**70 + 1) == 2**63 - 1
    d["flag"] = True
    assert d.incr("flag") == 2
    d["none"] = None
    with pytest.raises(TypeError):
        d.incr("none")
    assert d == {"n": 4.5, "new": 11, "text": "ab", "big": 2**63 - 1, "flag": 2, "none": None}


def test_counting_keeps_the_end(d: Dict[Any, Any]) -> None:
    for value, delta in ((1, 1), ("a", "b")):
        d.set("n", value, expire=60)
        due = d.expire_time("n")
        d.incr("n", delta)
        assert d.expire_time("n") == due
    ended(d, "n", 5)
    assert d.incr("n") == 1
    assert d.expire_time("n") is None


def test_counting_in_several_processes_loses_none(d: Dict[Any, Any], site: str) -> None:
    source = (
        "import parkit, sys; parkit.set_default_site(sys.argv[1])\n"
        "d = parkit.Dict('cache')\n"
        "for n in range(500): d.incr('n'); d.incr('text', 'x', default='')\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", source, site]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in running] == [0] * 3
    assert d["n"] == len(d["text"]) == 1500


def test_counting_through_hooks() -> None:
    u = Upper("upper", create=True)
    u["a"] = "x"
    assert u.incr("A", "y") == "xy"
    assert u["a"] == "xy"


# ---- The size ----


def test_the_least_recently_used_entries_give_way() -> None:
    d: Dict[int, int] = Dict("small", create=True, max_entries=3)
    d.update({1: 1, 2: 2, 3: 3})
    assert d[1] == 1
    assert d.get(2) == 2
    d[4] = 4
    assert list(d) == [1, 2, 4]
    d[1] = 11  # storing is a use
    d[5] = 5
    assert d == {1: 11, 4: 4, 5: 5}
    assert (d.max_entries, d.max_bytes, d.eviction) == (3, None, "least-recently-used")


READ_AND_END = """
import parkit, sys
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('small')
assert [d[n] for n in range(50)] == list(range(50))
"""


CLOSE = """
import os
from parkit import _native
assert _native.call(_native.ctl.SiteClose, d.site_uuid)
os._exit(0)  # without what runs at an exit
"""


@pytest.mark.parametrize("end", ["", "sys.exit(0)", CLOSE], ids=["end", "exit", "close"])
def test_what_a_process_read_that_ended_at_once_was_used(site: str, script: Script, end: str) -> None:
    d: Dict[int, int] = Dict("small", create=True, max_entries=100)
    d.update({n: n for n in range(100)})
    script(READ_AND_END + end, site)
    d.update({n: n for n in range(100, 150)})
    assert sorted(d) == [*range(50), *range(100, 150)]


def test_a_process_that_ends_waits_for_no_writer(site: str, script: Script) -> None:
    d: Dict[int, int] = Dict("small", create=True, max_entries=100)
    d.update({n: n for n in range(100)})
    with transaction(d):
        script(READ_AND_END, site, timeout=30)
    assert len(d) == 100


def test_a_forked_child_leaves_alone_what_its_parent_has_read(site: str, script: Script) -> None:
    Dict("small", create=True, max_entries=100).update({n: n for n in range(100)})
    forked = """
import os
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    script(READ_AND_END + forked, site)


def test_the_least_recently_stored_entries_give_way() -> None:
    d: Dict[int, int] = Dict("small", create=True, max_entries=3, eviction="least-recently-stored")
    d.update({1: 1, 2: 2, 3: 3})
    assert d[1] == 1
    d[2] = 22
    d[4] = 4
    d[5] = 5
    assert d == {2: 22, 4: 4, 5: 5}


def test_without_eviction_a_write_beyond_the_limit_is_refused() -> None:
    d: Dict[Any, Any] = Dict("small", create=True, max_entries=2, eviction="none")
    d["a"] = 1
    with pytest.raises(StorageFullError, match="holds as much as it may"):
        d.update(b=1, c=2)
    assert d == {"a": 1}
    d.set("b", 2, expire=SOON)
    d["a"] = 10
    until(lambda: "b" not in d)
    d["c"] = 3  # what has ended makes room
    assert d == {"a": 10, "c": 3}


def test_what_has_ended_gives_way_first() -> None:
    d: Dict[Any, Any] = Dict("small", create=True, max_entries=2)
    d["old"] = 1
    ended(d, "young")
    d["new"] = 2
    assert list(d) == ["new", "old"]


def test_the_size_in_bytes_is_never_exceeded_at_a_commit() -> None:
    d: Dict[Any, Any] = Dict("small", create=True, max_bytes=5000)
    import random

    rng = random.Random(7)
    for n in range(500):
        d[rng.randrange(50)] = b"x" * rng.randrange(1000)
        assert d.volume() <= 5000, n
    assert len(d) > 4
    with pytest.raises(TooBigError, match="raise its max_bytes"):
        d["large"] = b"x" * 5000
    with transaction(d):
        for n in range(100):
            d[n] = b"y" * 100
    assert d.volume() <= 5000
    d.clear()
    assert d.volume() == 0
    d["a"] = 1
    assert 0 < d.volume() < 100


def test_the_limit_holds_for_every_process(site: str, script: Script) -> None:
    d: Dict[int, int] = Dict("small", create=True, max_entries=5)
    d.update(dict.fromkeys(range(5), 0))
    assert d[0] == 0
    script(
        "import parkit, sys; parkit.set_default_site(sys.argv[1])\n"
        "d = parkit.Dict('small', create=True, max_entries=100)\n"
        "assert d.max_entries == 5\n"
        "for n in range(10, 14): d[n] = n\n"
        "assert len(d) == 5\n",
        site,
    )
    assert len(d) == 5
    assert pickle.loads(pickle.dumps(d)).max_entries == 5


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_entries": 0}, ValueError),
        ({"max_entries": -1}, ValueError),
        ({"max_bytes": 1.5}, TypeError),
        ({"max_bytes": True}, TypeError),
        ({"max_entries": 1, "eviction": "random"}, ValueError),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Dict("refused", create=True, **options)
    with pytest.raises(parkit.ObjectNotFoundError):
        Dict("refused")


def test_a_dict_without_limits_says_so(d: Dict[Any, Any]) -> None:
    assert (d.max_entries, d.max_bytes, d.eviction) == (None, None, "none")
    d.update(a=1, b="x" * 100)
    assert 100 < d.volume() < 150
