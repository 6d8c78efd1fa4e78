"""The Array of classes that replace a hook: each value goes through the class's own functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from . import _native
from ._value_hooks import CodedValues
from .array import Array

T = TypeVar("T")


class CodedArray(Array[T], CodedValues):
    """What Array.__init_subclass__ puts between Array and a class that replaces a hook."""

    __slots__ = ()

    _parkit_internal = True

    def __setitem__(self, index: int, value: T) -> None:
        if isinstance(index, slice):
            super().__setitem__(index, value)
        _native.lane.array_set(self, index, self._stored_value(value))

    def append(self, value: T, /) -> None:
        _native.lane.array_append(self, self._stored_value(value))

    def _parkit_get(self, index: int) -> T:
        return self._value_of(_native.lane.array_get(self, index))  # type: ignore[no-any-return]

    def _parkit_pop(self, last: bool) -> T:
        return _native.lane.array_pop(self, last, self._value_of)  # type: ignore[no-any-return]

    def _parkit_extend(self, values: list[T]) -> None:
        _native.lane.array_extend(self, [self._stored_value(value) for value in values])

    def _parkit_tail(self, position: int) -> tuple[Iterator[T], int]:
        found, following = _native.lane.array_tail(self, position)
        return map(self._value_of, found), following

    def _parkit_iter(self, part: slice) -> Iterator[T]:
        return map(self._value_of, _native.lane.array_iter(self, part))
