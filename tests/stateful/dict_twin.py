"""Dict beside a dict in the order of its keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from kind import SMALL, VALUES, Kind, Op, of_these, ops

import parkit

# Of many kinds, some too long for the store, and numbers that are one key. Long ones that agree in their first
# 490 bytes have no order that Python agrees with, nor has what is only pickled.
KEYS = [None, -3, 0, True, 1, 1.0, 2.5, 2**80, "", "a", "b\0", "é", "k" * 600, "l" * 601, b"", b"a", b"z" * 1000]
KEYS += [(), (1,), (1, "a"), (1, ("b", None)), (True, "x" * 600), frozenset({1})]


def place(key: Any) -> Any:
    """What sorts as parkit sorts keys."""
    if key is None:
        return (0,)
    if isinstance(key, (int, float)):
        return 1, key
    if isinstance(key, (str, bytes)):
        return 2 + isinstance(key, bytes), key.encode() if isinstance(key, str) else key
    if isinstance(key, tuple):
        return 4, tuple(map(place, key))
    return 5, repr(sorted(key))


class OrderedDict(dict[Any, Any]):
    """A dict in the order of its keys, with what Dict has beside a dict."""

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__(), key=place))

    def __reversed__(self) -> Iterator[Any]:
        return iter(list(self)[::-1])

    def items(self) -> Any:
        return [(key, self[key]) for key in self]

    def values(self) -> Any:
        return [self[key] for key in self]

    def irange(self, low: Any, high: Any, inclusive: tuple[bool, bool], reverse: bool) -> Iterator[Any]:
        found = [
            key
            for key in self
            if (low is None or place(low) < place(key) or (inclusive[0] and low == key))
            and (high is None or place(key) < place(high) or (inclusive[1] and high == key))
        ]
        return iter(found[::-1] if reverse else found)

    def islice(self, start: int | None, stop: int | None, reverse: bool) -> Iterator[Any]:
        return iter(list(self)[start:stop][:: -1 if reverse else 1])

    def peekitem(self, index: int) -> Any:
        return self.items()[index]

    def popitem(self, index: int = -1) -> Any:
        try:
            key, value = self.peekitem(index)
        except IndexError:
            raise KeyError(index) from None
        del self[key]
        return key, value


class DictOperations:
    def get(d: Any, key: Any) -> Any:
        return d[key], d.get(key), key in d

    def get_or(d: Any, key: Any) -> Any:
        return d.get(key, "none"), key in d

    def set(d: Any, key: Any, value: Any) -> None:
        d[key] = value

    def delete(d: Any, key: Any) -> None:
        del d[key]

    def pop(d: Any, key: Any) -> Any:
        return d.pop(key)

    def pop_or(d: Any, key: Any, default: Any) -> Any:
        return d.pop(key, default)

    def setdefault(d: Any, key: Any, value: Any) -> Any:
        return d.setdefault(key, value)

    def update(d: Any, pairs: list[tuple[Any, Any]]) -> None:
        d.update(pairs)

    def update_with_many(d: Any, first: int, many: int) -> None:
        d.update((("many", n * 7919 % many), first) for n in range(many))

    def update_that_fails(d: Any, pairs: list[tuple[Any, Any]], many: int) -> None:
        # The twin's update is not all or nothing: so it is tried on a copy.
        target = d.copy() if type(d) is OrderedDict else d
        target.update([*pairs, *((("many", n), n) for n in range(many)), (1, 2, 3)])

    def edit(d: Any, key: Any, value: Any) -> None:
        if type(d) is OrderedDict:
            d[key] = [*d.get(key, []), value]
            return
        with d.edit(key, default=[]) as found:
            found.append(value)

    def popitem(d: Any, index: int) -> Any:
        return d.popitem(index)

    def clear(d: Any) -> None:
        d.clear()

    def peekitem(d: Any, index: int) -> Any:
        return d.peekitem(index)

    def irange(d: Any, low: Any, high: Any, inclusive: tuple[bool, bool], reverse: bool) -> Any:
        return list(d.irange(low, high, inclusive, reverse))

    def islice(d: Any, start: int | None, stop: int | None, reverse: bool) -> Any:
        return list(d.islice(start, stop, reverse))

    def content(d: Any) -> Any:
        return len(d), list(d.items())

    def keys(d: Any) -> Iterator[Any]:
        return iter(d)

    def backwards(d: Any) -> Iterator[Any]:
        return reversed(d)

    def items(d: Any) -> Iterator[Any]:
        return iter(d.items())


# Keys that are shortened sort by a hash where they agree: no ranges between them.
_keys = of_these(KEYS)
_bounds = st.none() | _keys.filter(lambda key: not isinstance(key, frozenset))
_pairs = st.lists(st.tuples(_keys, VALUES), max_size=30)

DICT = Kind(
    parkit.Dict,
    OrderedDict,
    DictOperations,
    writes=st.one_of(
        ops("set", _keys, VALUES),
        ops("set", _keys, VALUES),
        ops("delete", _keys),
        ops("pop", _keys),
        ops("pop_or", _keys, SMALL),
        ops("setdefault", _keys, VALUES),
        ops("update", _pairs),
        ops("update", _pairs),
        ops("update_with_many", SMALL, st.sampled_from([20, 20, 300, 4500])),
        ops("update_that_fails", _pairs, st.sampled_from([0, 300])),
        ops("popitem", st.sampled_from([0, -1, -1, 1, -3])),
        ops("clear"),
    ),
    reads=st.one_of(
        ops("get", _keys),
        ops("get_or", _keys),
        ops("peekitem", st.sampled_from([0, -1, 2])),
        ops("irange", _bounds, _bounds, st.tuples(st.booleans(), st.booleans()), st.booleans()),
        ops("islice", st.none() | SMALL, st.none() | SMALL, st.booleans()),
    ),
    iterators=(Op("keys"), Op("backwards"), Op("items")),
)

EDITED = DICT._replace(
    writes=st.one_of(
        ops("edit", st.sampled_from("abc"), SMALL),
        ops("update", st.lists(st.tuples(st.sampled_from("abc"), st.lists(SMALL)))),
        ops("popitem", st.sampled_from([0, -1])),
    )
)
