"""Lines of coroutines that wait for the same thing of a queue, of which each event loop has its own.

An item can be taken by one only. Were all who wait woken when it comes, each item would cost a look by each of
them. So they stand in line: the first one waits for changes of the queue (:mod:`._bridge`), the others for their
turn. Whoever leaves, for whatever reason, gives the turn to the next one, who looks before it waits. So there is
always one who has yet to look or hears of what comes after its look, and nothing is slept through.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

__all__ = ["Line", "Place"]


class Line:
    """Those who wait, the longest first. Used in the loop's thread only."""

    __slots__ = ("__weakref__", "_places")

    def __init__(self) -> None:
        # Not a dict, which takes the longer to find its first the more have left.
        self._places: OrderedDict[Place, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def first(self) -> Place | None:
        return next(iter(self._places), None)

    def add(self, place: Place) -> None:
        self._places[place] = None

    def remove(self, place: Place) -> None:
        was_first = self.first() is place
        del self._places[place]
        following = self.first()
        if was_first and following is not None:
            following.call()


class Place:
    """That of one coroutine in a line, from when it is made until it leaves."""

    __slots__ = ("_called", "_line")

    def __init__(self, line: Line) -> None:
        self._line = line
        self._called: asyncio.Future[None] | None = None
        line.add(self)

    def is_first(self) -> bool:
        return self._line.first() is self

    def call(self) -> None:
        """Tell that it is the first one now."""
        called = self._called
        # In a loop that was closed nobody hears of it.
        if called is not None and not called.done() and not called.get_loop().is_closed():
            called.set_result(None)

    async def turn(self, timeout: float | None) -> None:
        """Wait until it is the first one, or the time is over."""
        loop = asyncio.get_running_loop()
        self._called = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, self.call)
        try:
            await self._called
        finally:
            self._called = None
            if timer is not None:
                timer.cancel()

    def leave(self) -> None:
        self._line.remove(self)
