"""Who computes what in this process, and who may wait for whom, so that nobody waits in a circle.

A computation is a *flight*. It needs others: those that it has begun itself, within its own, and those of other
threads or coroutines that it waits for. Before it waits it looks whether the other one needs it in turn; then it had
better compute by itself.

What other processes need is not known here. So a flight waits for another process's only if all that need it, here,
sort before it. Along a circle of such waits, over however many processes, keys would have to rise and come back to
where they began: there is none.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable

from . import _native

__all__ = ["Flight", "Place", "flights"]

#: A key of a Dict as all processes order them: the Dict's uuid and the encoded key.
Place = tuple[str, bytes]


class Flight:
    """A computation by a thread or a coroutine, or its wait for another one."""

    __slots__ = ("abroad", "landed", "needed_by", "needs", "place", "thread", "waits")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.thread = threading.get_ident()
        self.landed: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.landed.set_running_or_notify_cancel()  # nobody who waits can cancel it
        self.needs: list[Flight] = []
        self.needed_by: list[Flight] = []
        #: Whether it waits for another process.
        self.abroad = False
        #: Which flight needs which, while it waits for one that it does not lead.
        self.waits: tuple[Flight, Flight] | None = None


class _Flights:
    """All flights of this process. A forked child has none: the threads are the parent's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Place, Flight] = {}

    def join(self, mine: Flight, parent: Flight | None, *, blocks: bool) -> Flight | None:
        """The flight to wait for: ``mine`` if there was none, which is to be led then. None: do without.

        :param parent: the flight that this is part of
        :param blocks: the wait would block the thread, and whatever else is led by it
        """
        if parent is not None and parent.landed.done():
            parent = None  # this has outlived it
        with self._lock:
            flight = self._flights.setdefault(mine.place, mine)
            if flight is mine:
                if parent is not None:
                    _link(parent, mine)
                return mine
            if blocks and flight.thread == mine.thread:
                return None
            if parent is not None:
                below = _closure(flight, lambda f: f.needs)
                if parent in below:
                    return None
                above = _closure(parent, lambda f: f.needed_by)
                if any(_any_behind(above, other.place) for other in below if other.abroad):
                    return None
                mine.waits = parent, flight
                _link(parent, flight)
            return flight

    def leave(self, mine: Flight) -> None:
        """Undo :meth:`join`, whatever came of it; a flight that was led has landed."""
        with self._lock:
            if mine.waits is not None:
                _unlink(*mine.waits)
                mine.waits = None
            if self._flights.get(mine.place) is not mine:
                return
            del self._flights[mine.place]
            for parent in list(mine.needed_by):
                if mine in parent.needs:
                    parent.needs.remove(mine)
            mine.needed_by.clear()
        mine.landed.set_result(None)

    def go_abroad(self, mine: Flight) -> bool:
        """Whether a flight may wait for the same one of another process; if so, :meth:`come_back` afterwards."""
        with self._lock:
            above = _closure(mine, lambda f: f.needed_by) - {mine}
            mine.abroad = not _any_behind(above, mine.place)
            return mine.abroad

    def come_back(self, mine: Flight) -> None:
        with self._lock:
            mine.abroad = False


def _link(parent: Flight, child: Flight) -> None:
    parent.needs.append(child)
    child.needed_by.append(parent)


def _unlink(parent: Flight, child: Flight) -> None:
    if child in parent.needs:
        parent.needs.remove(child)
    if parent in child.needed_by:
        child.needed_by.remove(parent)


def _closure(flight: Flight, next_of: Callable[[Flight], list[Flight]]) -> set[Flight]:
    found = {flight}
    ahead = [flight]
    while ahead:
        for other in next_of(ahead.pop()):
            if other not in found:
                found.add(other)
                ahead.append(other)
    return found


def _any_behind(all_flights: set[Flight], place: Place) -> bool:
    return any(flight.place >= place for flight in all_flights)


flights = _Flights()
_native.in_child(flights._flights.clear)
_native.in_child(flights._lock._at_fork_reinit)  # type: ignore[attr-defined]
