"""Waiting in asyncio: ``await aio.wait(…)``, ``await aio.get(queue)``; and ``async for item in stream(array)``.

Each is the operation of the same name, but for that the event loop runs on while it waits. Any number of
coroutines can wait, in any number of loops: a loop needs one descriptor for all of them, the process one thread
for each namespace that is waited on. Cancelling one that waits takes nothing and loses nothing.

What does not have to wait for others, such as ``d[k] = v``, has no form of its own here: it takes microseconds,
in a durable namespace the time of a flush. Where that is too long for the loop, or where the turn to write may be
held by somebody for long: ``await asyncio.to_thread(d.update, much)``. A transaction cannot span an ``await``.

>>> import asyncio
>>> from parkit import aio
>>> async def main():
...     jobs, log = Queue('house/jobs', create=True), Array('house/log', create=True)
...     jobs.put('sweep')
...     news = stream(log)
...     log.append(await aio.get(jobs) + ' done')
...     async for entry in news:
...         return entry
>>> asyncio.run(main())
'sweep done'
"""

from __future__ import annotations

import queue as _queue
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, TypeVar

from . import _native, _open
from .errors import TransactionError, WaitTimeout
from .lease import Leased
from .queue import _SHUT, Queue
from .transaction import scoped
from .wait import asked, attend, deadline_of, holds, left, pauses, too_late, watched

# asyncio is imported when it is used: to import parkit must not take that long.

__all__ = ["get", "join", "lease", "put", "wait"]

T = TypeVar("T")


async def wait(*objects: Any, condition: Callable[[], Any] | None = None, timeout: float | None = None) -> None:
    """Wait until ``condition()`` is true: :func:`parkit.wait` for coroutines.

    :param objects: persistent objects of one namespace; the condition may also be given as the last one
    :param condition: a function, not a coroutine function; called in a :func:`snapshot` of the namespace in the
        loop's thread, at once and whenever one of the objects was changed by a commit, and now and then for no reason
    :param timeout: how many seconds to wait; None is for ever

    Without a condition it returns at once. Without objects the condition is looked at every 1 to 50 ms, in no
    snapshot.

    :raises WaitTimeout: it did not become true in time; a TimeoutError
    :raises TransactionError: called inside a transaction or snapshot of the namespace, where nothing that others
        do is seen, unless the condition is true already
    :raises ObjectNotFoundError: one of the objects was dropped, and the condition is not true; also while it waits
    :raises TypeError: the condition is an async function
    :raises ValueError: objects of several namespaces

    >>> import asyncio
    >>> from parkit import aio
    >>> async def main():
    ...     todo = Dict('todo', create=True)
    ...     waiting = asyncio.create_task(aio.wait(todo, lambda: 'milk' in todo))
    ...     await asyncio.sleep(0)
    ...     todo['milk'] = 2
    ...     await waiting
    ...     return todo['milk']
    >>> asyncio.run(main())
    2
    """
    import asyncio

    objects, condition, deadline = asked(objects, condition, timeout)
    if condition is None:
        return
    if not objects:
        for pause in pauses(condition, deadline):
            await asyncio.sleep(pause)
        return
    from . import _bridge

    space, channels = watched(objects)
    while True:
        seen = _counts(space, channels)
        if holds(objects, condition, space):
            return
        attend(objects)
        if not await _bridge.moved(space, seen, left(deadline)):
            raise too_late(objects)


async def get(queue: Queue[T], timeout: float | None = None) -> T:
    """Remove and return the next item of a queue: its ``get`` for coroutines.

    :param timeout: for how many seconds to wait for an item; None is for ever, 0 not at all
    :raises queue.Empty: there was none in time
    :raises ShutDown: the queue is empty and was shut down
    :raises TransactionError: it would have to wait inside a transaction or snapshot of the namespace

    >>> import asyncio
    >>> from parkit import aio
    >>> rooms = Queue('house/rooms', create=True)
    >>> async def main():
    ...     waiting = asyncio.create_task(aio.get(rooms))
    ...     await asyncio.sleep(0)
    ...     rooms.put('kitchen')
    ...     return await waiting
    >>> asyncio.run(main())
    'kitchen'
    """
    return await _whenever(queue, timeout, _has_item, queue.get_nowait, _queue.Empty, "take")


def lease(queue: Queue[T], timeout: float | None = None, wait: float | None = None) -> Leasing[T]:
    """Take the next item of a queue by a lease: its ``lease`` for coroutines.

    It can be awaited for a :class:`Leased`; ``async with aio.lease(queue) as item:`` is ``with await aio.lease(queue)
    as item:``. If the block is cancelled, the item is back in its place, and the attempt does not count.

    :param timeout: for how many seconds the item may be held; None is for as long as the process lives
    :param wait: for how many seconds to wait for an item; None is for ever, 0 not at all
    :raises queue.Empty: there was none in time
    :raises ShutDown: the queue is empty and was shut down
    :raises TransactionError: it would have to wait inside a transaction or snapshot of the namespace

    >>> import asyncio
    >>> from parkit import aio
    >>> stairs = Queue('house/stairs', create=True)
    >>> stairs.put('sweep')
    >>> async def main():
    ...     async with aio.lease(stairs) as job:
    ...         await asyncio.sleep(0)
    ...         return job
    >>> asyncio.run(main()), stairs.leased_count
    ('sweep', 0)
    """
    return Leasing(
        _whenever(
            queue,
            wait,
            _has_item,
            lambda: queue.lease(timeout, block=False),
            _queue.Empty,
            "take",
        )
    )


class Leasing(Coroutine[Any, Any, Leased[T]], Generic[T]):
    """What :func:`lease` gives: a coroutine that is an async context manager, too."""

    __slots__ = ("_leased", "_taking")

    def __init__(self, taking: Coroutine[Any, Any, Leased[T]]) -> None:
        self._taking = taking

    def __await__(self) -> Generator[Any, Any, Leased[T]]:
        return self._taking.__await__()

    def send(self, value: Any) -> Any:
        return self._taking.send(value)

    def throw(self, *error: Any) -> Any:
        return self._taking.throw(*error)

    def close(self) -> None:
        self._taking.close()

    async def __aenter__(self) -> T:
        self._leased = await self._taking
        return self._leased.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leased.__exit__(kind, error, trace)


async def put(queue: Queue[T], item: T, timeout: float | None = None) -> None:
    """Add an item to a queue when there is room: its ``put`` for coroutines.

    :param timeout: for how many seconds to wait for room; None is for ever, 0 not at all
    :raises queue.Full: there was no room in time
    :raises ShutDown: the queue was shut down
    :raises TransactionError: it would have to wait inside a transaction or snapshot of the namespace
    """
    await _whenever(
        queue,
        timeout,
        lambda length, limit, pending: limit == 0 or length < limit,
        lambda: queue.put_nowait(item),
        _queue.Full,
        "put",
    )


async def join(queue: Queue[Any], timeout: float | None = None) -> None:
    """Wait until all items that were put to a queue are done with: its ``join`` for coroutines.

    :param timeout: for how many seconds; None is for ever
    :raises WaitTimeout: they were not in time; a TimeoutError
    :raises TransactionError: it would have to wait inside a transaction or snapshot of the namespace
    """
    over = WaitTimeout(f"join {queue.path}: items are still pending")
    over.operation, over.subject = "join", queue.path

    def done() -> None:
        if queue.unfinished_tasks:
            raise over

    await _whenever(queue, timeout, lambda length, limit, pending: pending == 0, done, WaitTimeout)


async def _whenever(
    queue: Queue[Any],
    timeout: float | None,
    ready: Callable[[int, int, int], bool],
    attempt: Callable[[], T],
    refused: type[Exception],
    line: str | None = None,
) -> T:
    """Try when it may succeed, until it does or the time is over; what it was refused with is raised then.

    :param line: what those wait for of whom only one can have it
    """
    from . import _bridge

    deadline, place = deadline_of(timeout), None
    try:
        while True:
            space = _open.space_of(queue)
            seen = _counts(space, [_native.lane.channel(queue)])
            # Of many who wait for one item only some should ask for the turn to write.
            length, _, limit, pending, flags = _native.lane.sequence(queue)
            rest = left(deadline)
            if rest == 0 or ready(length, limit, pending) or flags & _SHUT:
                try:
                    return attempt()
                except refused:  # another one was faster
                    if rest == 0:
                        raise
            if scoped(space):
                raise TransactionError(
                    f"wait {queue.path}: inside a transaction or a snapshot of the namespace nothing that others do "
                    "is seen; wait outside of it"
                )
            if line is not None and place is None:
                place = _bridge.stand((space, queue.uuid, line))
            if place is None or place.is_first():
                attend((queue,))
                await _bridge.moved(space, seen, left(deadline))
            else:
                await place.turn(left(deadline))
    finally:
        if place is not None:
            place.leave()


def _has_item(length: int, limit: int, pending: int) -> bool:
    return length > 0


def _counts(space: int, channels: list[int]) -> list[tuple[int, int]]:
    return [(channel, _native.lane.change_count(space, channel)) for channel in channels]
