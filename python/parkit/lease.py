"""What is leased from a queue, and what a queue has given up."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from . import _native, _taken
from .errors import LeaseLostError

if TYPE_CHECKING:
    from .queue import Queue

__all__ = ["DeadLetter", "Leased", "Unreadable"]

T = TypeVar("T")

# What queue_settle does: the enum of parkit_go/lane.h.
_ACK, _NACK, _UNLEASE, _BURY, _EXTEND = range(5)


class Leased(Generic[T]):
    """An item that was taken from a queue by a lease: by ``queue.lease()`` or ``queue.get(lease=…)``.

    It is settled once: by :meth:`ack` if it is done with, by :meth:`nack` if it is to be taken again, by
    :meth:`reject` if it is not. As a context manager it gives the item. Leaving the block acknowledges it; an
    exception puts it back in its place and goes on. If what leaves the block is no error of the work but its end
    (``KeyboardInterrupt``, ``SystemExit``), the attempt does not count.

    Until it is settled nobody else gets the item, unless the process ends or the time given for it is over: then the
    item is back in its place, and whatever is tried with this lease raises LeaseLostError.
    To settle it inside a :func:`transaction` of the namespace is part of that: the item is done with if, and only
    if, the rest of the transaction is stored.

    A lease is the process's that took it. In a forked child all that is tried with it raises LeaseLostError, and
    leaving the block settles nothing; the child may take leases of its own.

    >>> jobs = Queue('house/jobs', create=True)
    >>> done = Dict('house/done', create=True)
    >>> jobs.put('sweep')
    >>> with jobs.get(lease=60) as job:
    ...     print(job, jobs.qsize(), jobs.leased_count)
    sweep 0 1
    >>> jobs.put('dust')
    >>> lease = jobs.get(lease=True)
    >>> with transaction(jobs):
    ...     done[lease.item] = 'yes'
    ...     lease.ack()
    >>> jobs.leased_count
    0
    """

    __slots__ = {
        "__weakref__": None,
        "_ended": None,
        "_lease": None,
        "_pid": None,
        "_queue": None,
        "item": "The item.",
    }

    item: T

    def __init__(self, queue: Queue[T], item: T, lease: tuple[int, int, int, int]) -> None:
        self._queue, self.item, self._lease = queue, item, lease
        self._pid = os.getpid()
        # What was asked for at last: a transaction that failed may have undone it.
        self._ended: tuple[int, float | None, str] | None = None

    def __repr__(self) -> str:
        return f"<Leased {self.item!r} of {self._queue.path!r}, attempt {self.attempts}>"

    @property
    def attempts(self) -> int:
        """How often the item was leased, with this time: 1 is the first."""
        return self._lease[2]

    @property
    def deadline(self) -> float | None:
        """When the lease ends by itself, as of ``time.time()``; None if only with its process."""
        return self._lease[3] / 1e9 or None

    def ack(self) -> None:
        """Say that the item is done with; it counts for ``join()`` as ``task_done()`` does.

        :raises LeaseLostError: this lease does not hold the item any more, and nothing was changed
        """
        self._settle(_ACK)

    def nack(self, delay: float | None = None, why: str = "it was put back") -> None:
        """Put the item back in its place, to be taken again; if this was the last attempt, to the dead letters.

        :param delay: for how many seconds it is not to be taken; None is not at all
        :param why: what to note in a dead letter
        :raises LeaseLostError: this lease does not hold the item any more, and nothing was changed
        """
        self._settle(_NACK, delay, why)

    def release(self) -> None:
        """Put the item back in its place as if it had not been taken: the attempt does not count.

        :raises LeaseLostError: this lease does not hold the item any more, and nothing was changed
        """
        self._settle(_UNLEASE)

    def reject(self, why: str = "it was rejected") -> None:
        """Give the item up: put it to the dead letters, however often it was tried.

        :param why: what to note in the dead letter
        :raises LeaseLostError: this lease does not hold the item any more, and nothing was changed
        """
        self._settle(_BURY, None, why)

    def extend(self, seconds: float | None) -> None:
        """Have the lease end so many seconds from now; None is only with its process.

        :raises LeaseLostError: this lease does not hold the item any more, and nothing was changed
        """
        self._refuse_child()
        self._lease = _native.lane.queue_settle(self._queue, _EXTEND, self._lease, seconds, "")

    def _refuse_child(self) -> None:
        if os.getpid() != self._pid:
            error = LeaseLostError(
                f"settle lease of {self._queue.path}: process {self._pid} took it, and this process was forked from "
                "that one; settle it there, or take a lease of its own here"
            )
            error.subject = self._queue.path
            raise error

    def _settle(self, how: int, seconds: float | None = None, why: str = "") -> None:
        self._refuse_child()
        _native.lane.queue_settle(self._queue, how, self._lease, seconds, _taken.cut(why))
        self._ended = how, seconds, why

    def __enter__(self) -> T:
        return self.item

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() != self._pid:
            return
        settled = self._ended
        if error is None:
            how = settled or (_ACK, None, "")
        elif settled is not None:
            # Of what raised, only a transaction can have undone it.
            how = settled if settled[0] != _ACK else (_NACK, None, _taken.text(error))
        elif isinstance(error, Exception):
            how = _NACK, None, _taken.text(error)
        else:
            how = _UNLEASE, None, ""
        try:
            self._settle(*how)
        except LeaseLostError:
            # Settled before, as was asked for; or an exception goes on that says more.
            if error is None and settled is None:
                raise


class Unreadable(NamedTuple):
    r"""What stands for the item of a dead letter that cannot be read: its class is gone, say, or refuses its state.

    Whoever mends the cause gets the item itself, by listing the dead letters again or by ``retry_dead()``.

    >>> class Letters(Queue):
    ...     key = 13
    ...     def decode_value(self, data, metadata=None):
    ...         return {13: data.decode()}[self.key]
    ...     encode_value = staticmethod(str.encode)
    >>> letters = Letters('house/letters', create=True, max_attempts=1)
    >>> letters.put('dear')
    >>> Letters.key = 12
    >>> try:
    ...     letters.get(lease=True)
    ... except KeyError:
    ...     print(letters.dead_letters()[0].item)
    Unreadable(error=KeyError(12), data=b'\xc4\x04dear')
    >>> Letters.key = 13
    >>> letters.dead_letters()[0].item
    'dear'
    """

    #: What reading it raised.
    error: Exception
    #: The item as it is stored.
    data: bytes


class DeadLetter(NamedTuple):
    """An item that a queue has given up.

    >>> jobs = Queue('house/attic', create=True)
    >>> jobs.put('tidy')
    >>> jobs.get(lease=True).reject('there is no attic')
    >>> jobs.dead_letters()[0].why
    'there is no attic'
    """

    #: The item; an :class:`Unreadable` if it cannot be read.
    item: Any
    #: How often it was leased.
    attempts: int
    #: When it was given up, as of ``time.time()``.
    when: float
    #: Why: what the last holder said, or what became of it.
    why: str
    #: What the queue knows it by.
    number: int


def dead_letters(queue: Queue[Any], item_of: Any) -> list[DeadLetter]:
    """All dead letters of a queue; ``item_of`` makes an item of what is stored."""
    letters: list[DeadLetter] = []
    while True:
        after = letters[-1].number if letters else 0
        batch = _native.lane.queue_dead(queue, after)
        if not batch:
            return letters
        letters += [
            DeadLetter(_read(data, item_of), attempts, when / 1e9, why, number)
            for number, attempts, when, why, data in batch
        ]


def _read(data: bytes, item_of: Any) -> Any:
    try:
        return item_of(_native.lane.decode_value(data))
    except Exception as error:  # noqa: BLE001 (unpickling and hooks run anything)
        return Unreadable(error, data)
