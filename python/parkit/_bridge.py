"""How event loops hear of changes: one eventfd a loop, and a goroutine of the library a namespace.

The goroutine sleeps until something that is watched has changed, and writes to the eventfds of those who
watch it; each loop has its own among the descriptors that it sleeps on. So a coroutine that waits costs a
future and an entry in a table, and no thread; and as no thread of Python sleeps for it, there is none to be
ended when the loop or the interpreter ends, and none that the loop would have to wait for to get the GIL.

Whoever wants to await something reads the count of its channel, looks, and if it is not there yet awaits
:func:`moved`; then looks again.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Iterable

from . import _native, _open
from ._line import Line, Place

__all__ = ["moved", "stand"]


class _Bridge:
    """What one event loop has to do with the library. Used in the loop's thread only."""

    __slots__ = ("__weakref__", "_descriptor", "_futures", "_last", "_number", "generation", "lines")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.generation = _native.generation
        self._futures: dict[int, asyncio.Future[bool]] = {}
        self._last = 0
        #: Who waits for the same thing, by what it is; as the futures they know the loop, so they belong here.
        self.lines: weakref.WeakValueDictionary[tuple[int, str, str], Line] = weakref.WeakValueDictionary()
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._number = _native.lane.bridge_open(self._descriptor)
        # Nothing is to be done when the interpreter ends: nothing of this outlives the process.
        weakref.finalize(self, _close, self._number, self._descriptor, self.generation).atexit = False
        # The loop keeps this, and lets go of it when it is closed. Nothing else must.
        loop.add_reader(self._descriptor, self._hear)

    def watch(self, future: asyncio.Future[bool], space: int, channel: int, seen: int) -> int | None:
        """Have True put into the future when the channel has moved on; None if it has already."""
        self._last += 1
        if not _native.lane.bridge_watch(self._number, self._last, space, channel, seen):
            return None
        self._futures[self._last] = future
        return self._last

    def forget(self, token: int) -> None:
        if self._futures.pop(token, None) is not None and self.generation == _native.generation:
            _native.lane.bridge_forget(self._number, token)

    def _hear(self) -> None:
        for token, failure in _native.lane.bridge_take(self._number):
            future = self._futures.pop(token, None)
            if future is None or future.done():
                continue
            if failure is None:
                future.set_result(True)
            else:
                future.set_exception(_open.make_error(*failure))


def _close(number: int, descriptor: int, generation: int) -> None:
    if generation == _native.generation:
        _native.lane.bridge_close(number)
    os.close(descriptor)


# Of each loop, for as long as there is one. Weak on both sides: the futures of a bridge know the loop.
_bridges: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[_Bridge]] = weakref.WeakKeyDictionary()


def _of(loop: asyncio.AbstractEventLoop) -> _Bridge:
    known = _bridges.get(loop)
    bridge = None if known is None else known()
    if bridge is None or bridge.generation != _native.generation:
        bridge = _Bridge(loop)
        _bridges[loop] = weakref.ref(bridge)
    return bridge


async def moved(space: int, seen: Iterable[tuple[int, int]], timeout: float | None = None) -> bool:
    """Wait until the count of one of the channels of a namespace is no longer what was seen.

    :param seen: channels of the namespace, with their counts
    :param timeout: for how many seconds; None is for ever
    :return: False when the time ran out

    :raises StaleHandleError, StorageFailedError: the namespace can no longer be waited on
    """
    loop = asyncio.get_running_loop()
    bridge = _of(loop)
    future: asyncio.Future[bool] = loop.create_future()
    tokens = []
    timer = None
    try:
        for channel, count in seen:
            token = bridge.watch(future, space, channel, count)
            if token is None:
                return True
            tokens.append(token)
        if timeout is not None:
            timer = loop.call_later(timeout, _give_up, future)
        return await future
    finally:
        if timer is not None:
            timer.cancel()
        for token in tokens:
            bridge.forget(token)


def stand(what: tuple[int, str, str]) -> Place:
    """A new place, the last one, in the running loop's line of those who wait for something.

    :param what: the namespace, the uuid of the object, and what of it
    """
    lines = _of(asyncio.get_running_loop()).lines
    line = lines.get(what)
    if line is None:
        lines[what] = line = Line()
    return Place(line)


def _give_up(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(False)
