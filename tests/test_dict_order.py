"""Dict in the order of its keys: ranges, positions, iterating, views."""

from __future__ import annotations

import math
from typing import Any

import pytest

import parkit
from parkit import Dict

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def d() -> Dict[Any, Any]:
    return Dict("d", create=True)


# ---- Order ----


def test_keys_are_sorted_as_python_sorts_them(d: Dict[Any, Any]) -> None:
    numbers = [3, -1, 2.5, -(1 << 80), 1 << 80, 0, 1e300, -2.5, math.inf]
    texts = ["b", "", "a", "ab", "ü", "Z"]
    tuples = [(1, "b"), (1,), (0, "z"), (1, "a"), ()]
    for group in (numbers, texts, tuples):
        d.clear()
        d.update((key, None) for key in group)
        assert list(d) == sorted(group)
        assert list(reversed(d)) == sorted(group, reverse=True)


def test_kinds_of_keys_have_an_order_too(d: Dict[Any, Any]) -> None:
    d.update({b"b": 0, "t": 0, None: 0, 1: 0, (): 0, frozenset(): 0})
    assert list(d) == [None, 1, "t", b"b", (), frozenset()]


RANGES = [(None, None), (3, 7), (None, 7), (3, None), (2.5, 7.5), (7, 3), (3, 3), (-9, 99), (99, None), (None, -9)]


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("inclusive", [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("reverse", [False, True])
def test_ranges(d: Dict[Any, Any], low: Any, high: Any, inclusive: tuple[bool, bool], reverse: bool) -> None:
    d.update((n, None) for n in range(10))
    expected = [
        n
        for n in range(10)
        if (low is None or n > low or (inclusive[0] and n == low))
        and (high is None or n < high or (inclusive[1] and n == high))
    ]
    if reverse:
        expected.reverse()
    assert list(d.irange(low, high, inclusive, reverse)) == expected
    assert list(d.irange(minimum=low, maximum=high, inclusive=inclusive, reverse=reverse)) == expected


@pytest.mark.parametrize("start", [None, 0, 3, -3, 99, -99])
@pytest.mark.parametrize("stop", [None, 0, 7, -2, 99, -99])
def test_slices(d: Dict[Any, Any], start: int | None, stop: int | None) -> None:
    d.update((n, None) for n in range(10))
    expected = list(range(10))[start:stop]
    assert list(d.islice(start, stop)) == expected
    assert list(d.islice(start, stop, reverse=True)) == expected[::-1]


def test_items_by_position(d: Dict[Any, Any]) -> None:
    d.update((n, str(n)) for n in range(10))
    for place in (0, 3, 9, -1, -10):
        assert d.peekitem(place) == (list(range(10))[place], str(list(range(10))[place]))
    assert d.peekitem() == (9, "9")
    for place in (10, -11):
        with pytest.raises(IndexError):
            d.peekitem(place)
        with pytest.raises(KeyError):
            d.popitem(place)
    assert d.popitem() == (9, "9")
    assert d.popitem(0) == (0, "0")
    assert d.popitem(-2) == (7, "7")
    assert list(d) == [1, 2, 3, 4, 5, 6, 8]
    d.clear()
    with pytest.raises(KeyError):
        d.popitem()
    with pytest.raises(IndexError):
        d.peekitem()


# ---- Iterating ----


def test_an_iteration_sees_nothing_of_later_writes(d: Dict[Any, Any]) -> None:
    size = 5000
    d.update((n, n) for n in range(size))
    before = list(range(size))
    for view, expected in (
        (d.keys(), before),
        (d.values(), before),
        (d.items(), list(zip(before, before, strict=True))),
    ):
        seen = []
        for element in view:
            if len(seen) == 1:
                d.update(((n, -1) for n in range(size)), extra=1)
                for n in range(1, size, 2):
                    del d[n]
            seen.append(element)
        assert seen == expected
        d.clear()
        d.update((n, n) for n in range(size))


def test_an_iteration_survives_the_scope_it_began_in(d: Dict[Any, Any]) -> None:
    d.update((n, n) for n in range(5000))
    with parkit.snapshot(d):
        rest = iter(d)
        next(rest)
    d.clear()
    assert list(rest) == list(range(1, 5000))
    with pytest.raises(KeyError), parkit.transaction(d):
        d.update((n, n) for n in range(5000))
        rest = iter(d.items())
        raise KeyError
    assert len(list(rest)) == 5000
    assert d == {}


def test_iterators_are_pythons(d: Dict[Any, Any]) -> None:
    d["a"] = 1
    iterator = iter(d.items())
    assert iter(iterator) is iterator
    assert next(iterator) == ("a", 1)
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(iterator)


def test_iterating_over_a_dropped_dict(d: Dict[Any, Any]) -> None:
    d.drop()
    for use in (lambda: list(d), lambda: list(d.items()), lambda: len(d), lambda: "x" in d, lambda: d.get("x")):
        with pytest.raises(parkit.ObjectNotFoundError):
            use()


# ---- Views ----


def test_views_follow_the_dict(d: Dict[Any, Any]) -> None:
    keys, values, items = d.keys(), d.values(), d.items()
    d.update(a=1, b=2)
    assert (len(keys), len(values), len(items)) == (2, 2, 2)
    assert (list(keys), list(values), list(items)) == (["a", "b"], [1, 2], [("a", 1), ("b", 2)])
    assert (list(reversed(keys)), list(reversed(values)), list(reversed(items))) == (
        ["b", "a"],
        [2, 1],
        [("b", 2), ("a", 1)],
    )
    assert "a" in keys
    assert "c" not in keys
    assert 2 in values
    assert 3 not in values
    assert ("a", 1) in items
    assert ("a", 2) not in items
    assert ("c", 1) not in items
    for odd in ("a", ("a",), ("a", 1, 2), 3, ["a", 1]):
        assert odd not in items
    assert "d" in repr(keys)


def test_views_are_sets(d: Dict[Any, Any]) -> None:
    d.update(a=1, b=2)
    assert d.keys() == {"a", "b"} == d.keys()
    assert d.keys() == {"a": 0, "b": 0}.keys()
    assert d.items() == {("a", 1), ("b", 2)}
    assert d.items() == {"a": 1, "b": 2}.items()
    assert d.keys() != {"a"}
    assert d.keys() & {"b", "c"} == {"b"}
    assert d.keys() | {"c"} == {"a", "b", "c"}
    assert d.keys() - {"a"} == {"b"}
    assert {"a", "c"} - d.keys() == {"c"}
    assert d.keys() ^ {"b", "c"} == {"a", "c"}
    assert d.items() & {("a", 1), ("b", 0)} == {("a", 1)}
    assert d.items() | {("c", 3)} == {("a", 1), ("b", 2), ("c", 3)}
    assert d.keys() < {"a", "b", "c"}
    assert d.keys() <= d.keys()
    assert d.keys() > {"a"}
    assert not d.keys() > {"c"}
    assert d.keys().isdisjoint({"c"})
    assert not d.items().isdisjoint([("a", 1)])
    assert type(d.keys() & {"a"}) is set
