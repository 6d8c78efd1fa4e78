"""Large values, many keys, many objects: they work, and what one operation touches does not grow with them.

What it costs is measured by benchmarks/; here the number of pages is counted, which no busy machine changes.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable

import pytest

import parkit
from parkit import _native, _open


def _pages_written(space: int, change: object) -> int:
    """By how many pages the end of the file moves: new pages are taken from there, or from freed ones."""
    before = json.loads(_native.call(_native.ctl.SpaceStats, space))
    change()  # type: ignore[operator]
    after = json.loads(_native.call(_native.ctl.SpaceStats, space))
    return (after["used"] - before["used"]) // before["page_size"]  # type: ignore[no-any-return]


def test_a_transaction_costs_the_same_among_many_objects(site: str) -> None:
    few = parkit.Dict("memory/few/d", create=True)
    for number in range(1000):
        parkit.Dict(f"memory/many/d{number}", create=True)[number] = number
    many = parkit.Dict("memory/many/d500")

    def grown(d: parkit.Dict[int, int]) -> int:
        def change() -> None:
            for number in range(50):
                d[number] = number

        return _pages_written(_open.space_of(d), change)

    assert grown(many) <= grown(few) + 20


@pytest.mark.long
def test_a_million_keys(site: str) -> None:
    d: parkit.Dict[int, int] = parkit.Dict("memory/large/d", create=True)
    for start in range(0, 1_000_000, 50_000):
        d.update({number: -number for number in range(start, start + 50_000)})
    assert len(d) == 1_000_000
    assert d[999_999] == -999_999
    assert sum(1 for _ in d) == 1_000_000
    assert list(d.irange(500_000, 500_003)) == [500_000, 500_001, 500_002, 500_003]
    assert d.peekitem(-1) == (999_999, -999_999)

    def change() -> None:
        for number in range(0, 1_000_000, 10_000):
            d[number] = number

    # A hundred commits to different leaves of a deep tree: a handful of pages each, most of them reused.
    assert _pages_written(_open.space_of(d), change) < 2000
    d.clear()
    assert len(d) == 0
    assert list(d) == []


@pytest.mark.long
def test_ten_thousand_objects(site: str) -> None:
    for number in range(10_000):
        parkit.Dict(f"memory/many/d{number:05}", create=True)["n"] = number
    assert len(list(parkit.Directory("memory/many").names())) == 10_000
    assert parkit.Dict("memory/many/d07777")["n"] == 7777
    parkit.Dict("memory/many/d07777").drop()
    assert len(list(parkit.Directory("memory/many").names())) == 9_999


@pytest.mark.long
@pytest.mark.parametrize("namespace", ["memory/huge", "huge"])
def test_a_value_of_a_gigabyte(site: str, namespace: str) -> None:
    size = 1 << 30
    d: parkit.Dict[str, bytes] = parkit.Dict(f"{namespace}/d", create=True)
    value = b"\x5a" * size
    d["huge"] = value
    found = d["huge"]
    assert len(found) == size
    assert found == value
    del found
    with parkit.transaction(d):
        d["huge"] = b"small"
        assert d["huge"] == b"small"
    d["again"] = value  # the pages of the first are free for it
    assert len(d["again"]) == size


_READS: dict[str, Callable[[parkit.Object, parkit.Dict, parkit.Array, parkit.Queue], object]] = {  # type: ignore[type-arg]
    "d[k]": lambda o, d, a, q: d[1],
    "d.get(k)": lambda o, d, a, q: d.get(1),
    "k in d": lambda o, d, a, q: 1 in d,
    "d.pop(k)": lambda o, d, a, q: d.pop(1),
    "a[i]": lambda o, d, a, q: a[-1],
    "a.pop()": lambda o, d, a, q: a.pop(),
    "q.get()": lambda o, d, a, q: q.get(),
    "attribute": lambda o, d, a, q: o.large,
}


@pytest.mark.parametrize("space", ["memory/large", "large"])
@pytest.mark.parametrize("read", _READS)
def test_other_threads_run_while_a_large_value_is_read(site: str, read: str, space: str) -> None:
    o = parkit.Object(f"{space}/o", create=True)
    d: parkit.Dict[int, bytes] = parkit.Dict(f"{space}/d", create=True)
    a: parkit.Array[bytes] = parkit.Array(f"{space}/a", create=True)
    q: parkit.Queue[bytes] = parkit.Queue(f"{space}/q", create=True)
    value = bytes(range(256)) * (4 << 12)  # 4 MiB
    o.large = value
    turns, done = 0, False

    def run() -> None:
        nonlocal turns
        while not done:
            turns += 1
            time.sleep(0)  # lets go of the GIL

    def ran(length: int) -> bool:
        d[1], _, _ = value[:length], a.append(value[:length]), q.put(value[:length])
        before = turns
        found = _READS[read](o, d, a, q)
        after = turns
        assert read == "k in d" or (found == value[: len(found)] and len(found) >= length)  # type: ignore[arg-type]
        return after != before

    interval, thread = sys.getswitchinterval(), threading.Thread(target=run)
    # From here a thread has the GIL until it lets go of it by itself.
    sys.setswitchinterval(1000)
    try:
        thread.start()
        assert any(ran(len(value)) for _ in range(100))
        if space.startswith("memory") and read != "attribute":
            assert not any(ran(10) for _ in range(20)), "a small value costs no turn"
    finally:
        done = True
        sys.setswitchinterval(interval)
        thread.join()
