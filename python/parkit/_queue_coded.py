"""Queues of classes that replace a hook: each item goes through the class's own functions."""

from __future__ import annotations

from typing import Any, TypeVar

from . import _native, _value_hooks
from ._value_hooks import CodedValues
from .queue import Queue

T = TypeVar("T")


class CodedQueue(Queue[T], CodedValues):
    """What Queue.__init_subclass__ adds to a class that replaces a hook."""

    __slots__ = ()

    _parkit_internal = True

    def put(self, item: T, block: bool | None = None, timeout: float | None = None) -> None:
        if block is None and not self.default_block:
            block = timeout is not None
        _native.lane.queue_put(self, self._stored_value(item), None, block, timeout)

    def get(self, block: bool | None = None, timeout: float | None = None, lease: float | None = None) -> Any:
        if lease is not None and lease is not False:
            return self._parkit_lease(block, timeout, None if lease is True else lease)
        if block is None and not self.default_block:
            block = timeout is not None
        return _native.lane.queue_get(self, block, timeout, self._value_of)

    def _parkit_taken(self, block: bool | None, timeout: float | None, hold: float | None) -> Any:
        return _native.lane.queue_lease(self, block, timeout, hold, self._value_of)

    def _parkit_item(self, stored: Any) -> Any:
        return self._value_of(stored)


def install(cls: type[Any]) -> None:
    """As _value_hooks.install: a class that derives from LifoQueue or PriorityQueue gets it before Queue."""
    _value_hooks.install(cls, Queue, CodedQueue)
