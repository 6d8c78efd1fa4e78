"""Array beside a list that drops its first items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from kind import SMALL, VALUES, Kind, Op, ops

import parkit


class BoundedList(list[Any]):
    """A list that drops its first items, as a deque of a maxlen does, and gives up items at its ends."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__()
        self.maxsize = maxsize

    def append(self, value: Any) -> None:
        self.extend([value])

    def extend(self, values: Any) -> None:
        super().extend(values)
        if self.maxsize:
            del self[: -self.maxsize]

    def popleft(self) -> Any:
        return self.pop(0)


class ArrayOperations:
    def append(a: Any, value: Any) -> None:
        a.append(value)

    def extend(a: Any, values: list[Any]) -> None:
        a.extend(values)

    def extend_with_many(a: Any, many: int) -> None:
        a.extend(range(many))

    def extend_that_fails(a: Any, many: int) -> None:
        def values() -> Iterator[int]:
            yield from range(many)
            raise KeyError("broken")

        if type(a) is BoundedList:
            raise KeyError("broken")
        a.extend(values())

    def pop(a: Any) -> Any:
        return a.pop()

    def popleft(a: Any) -> Any:
        return a.popleft()

    def set(a: Any, index: int, value: Any) -> None:
        a[index] = value

    def clear(a: Any) -> None:
        a.clear()

    def get(a: Any, index: int) -> Any:
        return a[index]

    def slice(a: Any, part: slice) -> Any:
        found = a[part]
        return len(found), list(found), list(reversed(found))

    def find(a: Any, value: Any) -> Any:
        return value in a, a.count(value), a.index(value)

    def content(a: Any) -> Any:
        return len(a), list(a)

    def forwards(a: Any) -> Iterator[Any]:
        return iter(a)

    def backwards(a: Any) -> Iterator[Any]:
        return reversed(a)

    def every_third(a: Any) -> Iterator[Any]:
        return iter(a[1::3])


_indexes = st.integers(-6, 6)

ARRAY = Kind(
    parkit.Array,
    BoundedList,
    ArrayOperations,
    writes=st.one_of(
        ops("append", VALUES),
        ops("append", VALUES),
        ops("extend", st.lists(VALUES, max_size=6)),
        ops("extend_with_many", st.sampled_from([5, 5, 300, 4500])),
        ops("extend_that_fails", st.sampled_from([3, 4500])),
        ops("pop"),
        ops("popleft"),
        ops("set", _indexes, VALUES),
        ops("clear"),
    ),
    reads=st.one_of(ops("get", _indexes), ops("slice", st.slices(8)), ops("find", SMALL)),
    iterators=(Op("forwards"), Op("backwards"), Op("every_third")),
    bounded=True,
)
