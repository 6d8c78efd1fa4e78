"""Array: a list that grows at its end, kept in a namespace and shared by processes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar, overload

from . import _native, _value_hooks
from ._value_hooks import ValueHooks
from .object import Object
from .transaction import snapshot, transaction

__all__ = ["Array", "ArraySlice"]

T = TypeVar("T")

# How many items of an iterable are stored at once.
_BATCH = 4096

_ALL = slice(None)
_BACKWARDS = slice(None, None, -1)


class Array(ValueHooks, Sequence[T]):
    """A persistent list that grows at its end and gives up items at either end.

    :param maxsize: how many items it holds at most, 0 for no bound; appending to a full array drops its
        first item. It is fixed when the array is created, and not looked at when one is bound.

    Items are of any type that can be pickled. Reading an item, replacing it, appending and popping cost
    the same wherever in the array it is and however long the array. An item is a copy of what is stored:
    assign a changed one to store it.

    It has no ``insert``, ``remove`` or ``del a[i]``, and a slice cannot be assigned: they would move the items
    behind, under the feet of every process that reads along (:func:`stream`). ``list(a)`` gives a list to work on.

    A slice is a view, which reads the array when it is used. An iterator goes through the array as it was
    when the loop began. An Array is equal to a list of the same items; like every persistent object it is equal to
    another Array, and hashes like it, only if both are the same stored object.

    For the other arguments and the errors see :class:`Object`.

    >>> log = Array('house/log', create=True, maxsize=3)
    >>> log.extend(['one', 'two', 'three'])
    >>> log.append('four')
    >>> log[0], log[-1], len(log)
    ('two', 'four', 3)
    >>> log == ['two', 'three', 'four']
    True
    >>> list(log[-2:]), list(reversed(log))
    (['three', 'four'], ['four', 'three', 'two'])
    """

    __slots__ = ()

    _parkit_kind = 2

    def __init__(
        self,
        path: str | None = None,
        /,
        *,
        maxsize: int | None = 0,
        metadata: Mapping[str, Any] | None = None,
        site_uuid: str | None = None,
        create: bool = False,
        bind: bool = True,
        on_init: Callable[[bool], object] | None = None,
    ) -> None:
        limit = as_limit(maxsize)
        self._parkit_open(path, metadata, site_uuid, create, bind, on_init, limit=limit)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if not cls.__dict__.get("_parkit_internal", False):
            from ._array_coded import CodedArray

            _value_hooks.install(cls, Array, CodedArray)

    @property
    def maxsize(self) -> int | None:
        """How many items the array holds at most; None for no bound."""
        return _native.lane.sequence(self)[2] or None

    # ---- One item ----

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> ArraySlice[T]: ...
    def __getitem__(self, index: Any) -> Any:
        if type(index) is slice:
            return ArraySlice(self, index)
        return self._parkit_get(index)

    def __setitem__(self, index: int, value: T) -> None:
        if isinstance(index, slice):
            raise TypeError(
                "an Array's slice cannot be assigned, since items would move that other processes read by their "
                "index: assign the items one by one, or append to it"
            )
        _native.lane.array_set(self, index, value)

    def append(self, value: T, /) -> None:
        """Add an item at the end. A full array drops its first one."""
        _native.lane.array_append(self, value)

    def pop(self, index: int = -1, /) -> T:
        """Remove and return the last item, or with ``pop(0)`` the first.

        If it cannot be read (its module is missing, say), it is back when the exception comes: in front, or at the
        end, which is behind what others have appended meanwhile. The array may be over its bound by it until the
        next item is appended.

        :raises IndexError: the array is empty
        :raises TypeError: an index in between

        >>> todo = Array('todo', create=True)
        >>> todo.extend('abc')
        >>> todo.pop(), todo.popleft(), list(todo)
        ('c', 'a', ['b'])
        """
        if index != -1 and index != 0:
            raise TypeError("an Array gives up items at its ends only: pop(), or pop(0) and popleft()")
        return self._parkit_pop(index == -1)

    def popleft(self) -> T:
        """Remove and return the first item.

        :raises IndexError: the array is empty
        """
        return self._parkit_pop(False)

    def insert(self, index: int, value: T, /) -> None:
        """Refused: an Array grows at its end only. See the class.

        :raises TypeError: always
        """
        raise TypeError(
            "an Array grows at its end only, since inserting would move items that other processes read by "
            "their index: append() it, or keep what needs an order in a Dict"
        )

    def __delitem__(self, index: Any, /) -> None:
        raise TypeError(
            "an Array gives up items at its ends only, since others would move that other processes read by "
            "their index: pop(), popleft() or clear()"
        )

    # ---- The whole ----

    def __len__(self) -> int:
        return _native.lane.length(self)

    def extend(self, values: Iterable[T], /) -> None:
        """Add the items of an iterable at the end.

        It is one transaction: if it fails, nothing is changed. Items of an iterator are written as they come;
        while it runs, nobody else can write to the namespace.
        """
        rest = iter(values)
        batch = list(islice(rest, _BATCH))
        if len(batch) < _BATCH:
            self._parkit_extend(batch)
            return
        with transaction(self):
            while batch:
                self._parkit_extend(batch)
                batch = list(islice(rest, _BATCH))

    def __iadd__(self, values: Iterable[T], /) -> Array[T]:  # type: ignore[misc]
        self.extend(values)
        return self

    def clear(self) -> None:
        """Remove all items."""
        _native.lane.array_clear(self)

    def copy(self) -> list[T]:
        """A plain list of the items, as they are now."""
        return list(self._parkit_iter(_ALL))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Object):
            return self._parkit.uuid == other._parkit.uuid
        if not isinstance(other, (list, ArraySlice)):
            return NotImplemented
        return len(self) == len(other) and self.copy() == list(other)

    __hash__ = Object.__hash__

    def __add__(self, other: Iterable[Any], /) -> list[Any]:
        if not isinstance(other, (list, Array, ArraySlice)):
            return NotImplemented
        return [*self, *other]

    def __radd__(self, other: Iterable[Any], /) -> list[Any]:
        if not isinstance(other, (list, ArraySlice)):
            return NotImplemented
        return [*other, *self]

    def __mul__(self, times: int, /) -> list[T]:
        return self.copy() * times

    __rmul__ = __mul__

    # ---- In order ----

    def __iter__(self) -> Iterator[T]:
        return self._parkit_iter(_ALL)

    def __reversed__(self) -> Iterator[T]:
        return self._parkit_iter(_BACKWARDS)

    def __contains__(self, value: object) -> bool:
        found: Iterator[Any] = self._parkit_iter(_ALL)
        return value in found

    def count(self, value: Any, /) -> int:
        """How many items are equal to ``value``."""
        return operator.countOf(self._parkit_iter(_ALL), value)

    def index(self, value: Any, start: int = 0, stop: int | None = None, /) -> int:
        """The index of the first item that is equal to ``value``, from ``start`` to before ``stop``.

        :raises ValueError: there is none
        """
        part = slice(start, stop)
        with snapshot(self):  # an index from the end needs the length that the search sees
            first = part.indices(len(self))[0] if start else 0
            found = self._parkit_iter(part)
        try:
            return first + operator.indexOf(found, value)
        except ValueError:
            raise ValueError(f"{value!r} is not in the array") from None

    # ---- What a class that replaces hooks does otherwise ----

    def _parkit_get(self, index: int) -> T:
        return _native.lane.array_get(self, index)  # type: ignore[no-any-return]

    def _parkit_pop(self, last: bool) -> T:
        return _native.lane.array_pop(self, last)  # type: ignore[no-any-return]

    def _parkit_extend(self, values: list[T]) -> None:
        _native.lane.array_extend(self, values)

    def _parkit_tail(self, position: int) -> tuple[Iterator[T], int]:
        return _native.lane.array_tail(self, position)

    def _parkit_iter(self, part: slice) -> Iterator[T]:
        return _native.lane.array_iter(self, part)


class ArraySlice(Sequence[T]):
    """A slice of an :class:`Array`: a view, which reads the array anew whenever it is used.

    A slice of a view is a list.

    >>> log = Array('house/log', create=True)
    >>> newest = log[:-4:-1]
    >>> log.extend(range(10))
    >>> newest == [9, 8, 7], newest[0], len(newest), list(reversed(newest))
    (True, 9, 3, [7, 8, 9])
    """

    __slots__ = ("_array", "_part")

    def __init__(self, array: Array[T], part: slice) -> None:
        start, stop, step = (None if i is None else operator.index(i) for i in (part.start, part.stop, part.step))
        if step == 0:
            raise ValueError("slice step cannot be zero")
        self._array, self._part = array, slice(start, stop, step)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(self)[index]
        with snapshot(self._array):
            try:
                place = range(*self._part.indices(len(self._array)))[index]
            except IndexError:
                raise IndexError("array slice index out of range") from None
            return self._array[place]

    def __len__(self) -> int:
        return _native.lane.array_slice_length(self._array, self._part)

    def __iter__(self) -> Iterator[T]:
        return self._array._parkit_iter(self._part)

    def __reversed__(self) -> Iterator[T]:
        with snapshot(self._array):
            places = range(*self._part.indices(len(self._array)))[::-1]
            stop: int | None = places.stop
            if places.stop < 0:
                stop = None  # from here, -1 would be the last item
            part = slice(places.start, stop, places.step) if places else slice(0, 0)
            return self._array._parkit_iter(part)

    def __contains__(self, value: object) -> bool:
        found: Iterator[Any] = iter(self)
        return value in found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, ArraySlice, Array)):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        bounds = ["" if i is None else repr(i) for i in (self._part.start, self._part.stop, self._part.step)]
        return f"{self._array!r}[{':'.join(bounds if bounds[2] else bounds[:2])}]"


def as_limit(limit: int | None, name: str = "maxsize") -> int:
    """The bound that a maxsize, or a number of attempts, means: as in queue.Queue, zero and less are none."""
    bound = 0 if limit is None else max(0, operator.index(limit))
    if bound >= 1 << 63:
        raise ValueError(f"{name} is below 2**63, not {bound}; 0 or None is no bound")
    return bound


# While the library is loaded, append is a method in C, which saves a frame. A forked child must not call
# the one it inherits, so there the one above stands in again until it has its own.
_append = Array.__dict__["append"]

_native.on_load(lambda lane, _: lane.array_install(Array))
_native.in_child(setattr, Array, "append", _append)
