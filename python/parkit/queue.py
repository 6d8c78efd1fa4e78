"""Queue, LifoQueue and PriorityQueue: those of Python's queue module, kept in a namespace and shared by processes."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, overload

from . import _native
from ._value_hooks import CodedValues, ValueHooks
from .array import as_limit

if TYPE_CHECKING:
    from .lease import DeadLetter, Leased

__all__ = ["LifoQueue", "PriorityQueue", "Queue", "ShutDown"]

T = TypeVar("T")

# Bits of the state's flags, those of gocore/object.
_LIFO, _RANKED, _SHUT, _QUICK = 1 << 11, 1 << 12, 1 << 13, 1 << 16

# What queue_revive does: the enum of parkit_go/lane.h.
_RETRY, _FORGET = range(2)

_SWITCH = "PARKIT_QUEUE_BLOCK"


class _ShutDown(Exception):
    """A queue was put to, or an empty one taken from, after it was shut down."""


_ShutDown.__name__ = _ShutDown.__qualname__ = "ShutDown"

#: What queues that were shut down raise: ``queue.ShutDown`` where Python has it, from 3.13.
ShutDown: type[Exception] = getattr(queue, "ShutDown", _ShutDown)


class Queue(ValueHooks, Generic[T]):
    """A persistent queue that any number of processes put to and take from: first in, first out.

    :param maxsize: how many items it holds at most (:attr:`maxsize`), 0 for no bound. Given when the queue is created,
        and not looked at when one is bound.
    :param blocking: False to have it never wait where neither ``block`` nor ``timeout`` is given, in any process
        (:attr:`blocking`). Given when the queue is created
    :param max_attempts: how often an item is leased before it is given up (:attr:`max_attempts`), 10 if it is not
        given, 0 for no bound. Given when the queue is created

    It has the whole of ``queue.Queue``, whose exceptions it raises; waiting costs no time and polls nothing. What
    cannot be done at once waits, as there, unless ``block=False`` is given, or neither
    ``block`` nor ``timeout`` is given and

    - the thread is inside a :func:`transaction` of the namespace, where nobody else can put or take;
    - or :attr:`blocking` is False, for this queue in every process;
    - or :attr:`default_block` is False, for this class or, by ``PARKIT_QUEUE_BLOCK=0``, for the process.

    In these cases it raises ``queue.Full`` or ``queue.Empty`` at once. Who says ``block=True``, or gives a timeout,
    inside a transaction gets TransactionError where it would have to wait.

    An item is taken when ``get`` has returned, or by the commit of the transaction that it is in: taking an item
    and storing what came of it can be one transaction. An exception in it puts the item back in its place. Where the
    work takes longer than a transaction should, take the item by a :meth:`lease`.

    For the other arguments and the errors see :class:`Object`.

    >>> jobs = Queue('house/jobs', create=True)
    >>> jobs.put('sweep')
    >>> jobs.put('dust')
    >>> jobs.get(), jobs.qsize()
    ('sweep', 1)
    >>> with transaction(jobs):
    ...     jobs.put('iron ' + jobs.get())
    >>> jobs.get(timeout=1)
    'iron dust'
    """

    __slots__ = ()

    _parkit_kind = 3

    #: What ``block`` is outside of transactions if it is not given.
    default_block: ClassVar[bool] = os.environ.get(_SWITCH, "1").strip().lower() not in ("0", "false", "no", "off")

    def __init__(
        self,
        path: str | None = None,
        /,
        *,
        maxsize: int | None = 0,
        blocking: bool | None = None,
        max_attempts: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        site_uuid: str | None = None,
        create: bool = False,
        bind: bool = True,
        on_init: Callable[[bool], object] | None = None,
    ) -> None:
        limit = as_limit(maxsize)
        flags = _QUICK if blocking is not None and not blocking else 0
        attempts = None if max_attempts is None else as_limit(max_attempts, "max_attempts")
        self._parkit_open(path, metadata, site_uuid, create, bind, on_init, limit=limit, flags=flags, attempts=attempts)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if not cls.__dict__.get("_parkit_internal", False):
            from . import _queue_coded

            _queue_coded.install(cls)

    @property
    def maxsize(self) -> int:
        """How many items there may be to take for ``put`` to add one; 0 for no bound.

        When it is lowered, items beyond it stay. Leased items are not counted, and come back even where others have
        taken their room: then there are more until they are taken.
        """
        return _native.lane.sequence(self)[2]

    @maxsize.setter
    def maxsize(self, value: int) -> None:
        _native.lane.queue_limit(self, as_limit(value))

    @property
    def blocking(self) -> bool:
        """Whether ``put`` and ``get`` wait, outside of transactions, where neither ``block`` nor ``timeout`` is given.

        It is stored with the queue, so every process goes by it. False is for scripts that try until ``queue.Full``
        or ``queue.Empty`` comes, as those for the original do.

        >>> import queue
        >>> letters = Queue('house/letters', create=True, blocking=False)
        >>> try:
        ...     letters.get()
        ... except queue.Empty:
        ...     print('none')
        none
        """
        return self.default_block and not _native.lane.sequence(self)[4] & _QUICK

    @blocking.setter
    def blocking(self, value: bool) -> None:
        _native.lane.queue_blocking(self, value)

    @property
    def max_attempts(self) -> int:
        """How often an item is leased before it goes to the dead letters; 0 for no bound. Every process goes by it."""
        return _native.lane.queue_state(self)[5]

    @max_attempts.setter
    def max_attempts(self, value: int | None) -> None:
        _native.lane.queue_attempts(self, as_limit(value, "max_attempts"))

    # ---- Putting and taking ----

    def put(self, item: T, block: bool | None = None, timeout: float | None = None) -> None:
        """Add an item.

        :param block: whether to wait for room; for None see the class
        :param timeout: for how many seconds, the wait for the turn to write among them; None is for ever
        :raises queue.Full: there is no room, or was none in time
        :raises ShutDown: the queue was shut down
        :raises TransactionError: it would have to wait inside a transaction
        """
        if block is None and not self.default_block:
            block = timeout is not None
        _native.lane.queue_put(self, item, None, block, timeout)

    @overload
    def get(
        self, block: bool | None = None, timeout: float | None = None, lease: Literal[False] | None = None
    ) -> T: ...

    @overload
    def get(self, block: bool | None = None, timeout: float | None = None, *, lease: float) -> Leased[T]: ...

    def get(self, block: bool | None = None, timeout: float | None = None, lease: float | None = None) -> T | Leased[T]:
        """Remove and return the next item.

        If it cannot be read (its module is missing, say), it is back in its place when the exception comes, as if it
        had not been taken. It stays the next one: a :meth:`lease` gets past it, after :attr:`max_attempts` times.

        :param block: whether to wait for one; for None see the class
        :param timeout: for how many seconds, the wait for the turn to write among them; None is for ever
        :param lease: take it by a lease, and return a :class:`Leased`: for so many seconds, or, if True, for as long
            as this process lives
        :raises queue.Empty: there is none, or was none in time
        :raises ShutDown: the queue is empty and was shut down
        :raises TransactionError: it would have to wait inside a transaction
        """
        if lease is not None and lease is not False:
            return self._parkit_lease(block, timeout, None if lease is True else lease)
        if block is None and not self.default_block:
            block = timeout is not None
        return _native.lane.queue_get(self, block, timeout)  # type: ignore[no-any-return]

    def lease(self, timeout: float | None = None, block: bool | None = None, wait: float | None = None) -> Leased[T]:
        """Take the next item by a lease: nobody else gets it until it is settled, or this process ends.

        ``with queue.lease() as item:`` acknowledges the item at the end of the block. An exception puts it back in
        its place, before all that came after it, and goes on. If the process ends or is killed, the item is back at
        once, and whoever waits for one is woken. After :attr:`max_attempts` leases it goes to the
        :meth:`dead_letters` instead.

        An item that cannot be read (:meth:`get`) is back at once, and that was an attempt.

        Until then the item is in no ``qsize()``, but among :attr:`leased_count` and :attr:`unfinished_tasks`; to
        acknowledge it is to say ``task_done()``, too.

        :param timeout: for how many seconds it may be held; None is for as long as the process lives. When the time
            is over, by the wall clock, the item is back, and acknowledging it is refused
        :param block: whether to wait for an item, as of :meth:`get`
        :param wait: for how many seconds; None is for ever
        :raises queue.Empty: there is none, or was none in time
        :raises ShutDown: the queue is empty and was shut down
        :raises LeaseLostError: at the end of the block: the time was over. Others may have the item
        :raises TransactionError: it would have to wait inside a transaction

        >>> jobs = Queue('house/windows', create=True)
        >>> jobs.put('clean')
        >>> try:
        ...     with jobs.lease() as job:
        ...         raise ConnectionError('it rains')
        ... except ConnectionError:
        ...     print(jobs.qsize())
        1
        >>> with jobs.lease(timeout=60) as job:
        ...     print(job)
        clean
        >>> jobs.qsize(), jobs.leased_count
        (0, 0)
        """
        return self._parkit_lease(block, wait, timeout)

    def _parkit_lease(self, block: bool | None, timeout: float | None, hold: float | None) -> Leased[T]:
        lasts = "a lease is for a number of seconds above zero, or for None: as long as the process lives"
        try:
            sound = hold is None or hold > 0
        except TypeError:
            raise TypeError(f"{lasts}; not {type(hold).__name__}") from None
        if not sound:
            raise ValueError(lasts)
        if block is None and not self.default_block:
            block = timeout is not None
        from .lease import Leased

        return Leased(self, *self._parkit_taken(block, timeout, hold))

    def _parkit_taken(self, block: bool | None, timeout: float | None, hold: float | None) -> Any:
        return _native.lane.queue_lease(self, block, timeout, hold)

    def _parkit_item(self, stored: Any) -> Any:
        """An item from what is stored of it."""
        return stored

    def put_nowait(self, item: T) -> None:
        """``put(item, block=False)``"""
        self.put(item, False)

    def get_nowait(self) -> T:
        """``get(block=False)``"""
        return self.get(False)

    # ---- What there is ----

    def qsize(self) -> int:
        """How many items there are to take. Leased ones are not among them."""
        return _native.lane.queue_length(self)

    __len__ = qsize

    def __bool__(self) -> bool:
        # As queue.Queue, which has no length: `if q` asks whether there is a queue.
        return True

    def empty(self) -> bool:
        """Whether there is no item, at this moment."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether there is no room, at this moment."""
        length, limit, *_ = _native.lane.queue_state(self)
        return 0 < limit <= length

    def clear(self) -> None:
        """Remove all items that there are to take. They count as done with. What is leased stays so."""
        _native.lane.queue_clear(self)

    # ---- Being done ----

    @property
    def unfinished_tasks(self) -> int:
        """How many items were put and not yet said to be done with, by whichever process."""
        return _native.lane.queue_state(self)[2]

    def task_done(self) -> None:
        """Say that an item that was taken is done with; when it was the last, :meth:`join` returns.

        :raises ValueError: there is no such item
        """
        _native.lane.queue_done(self)

    def join(self, timeout: float | None = None) -> None:
        """Wait until all items that were put are done with.

        :param timeout: for how many seconds; None is for ever
        :raises WaitTimeout: they were not in time; a TimeoutError
        :raises TransactionError: it would have to wait inside a transaction

        >>> jobs = Queue('house/rooms', create=True)
        >>> jobs.put('sweep')
        >>> worker = threading.Thread(target=lambda: (jobs.get(), jobs.task_done()))
        >>> worker.start()
        >>> jobs.join()
        >>> jobs.unfinished_tasks
        0
        """
        _native.lane.queue_join(self, timeout)

    def shutdown(self, immediate: bool = False) -> None:
        """Have the queue take no more items, for every process, until :meth:`reopen`.

        What is there can still be taken; after it, ``get`` raises ShutDown, also where it waits already.

        :param immediate: remove what is there; it counts as done with

        >>> jobs = Queue('house/chores', create=True)
        >>> jobs.put('sweep')
        >>> jobs.shutdown()
        >>> jobs.get()
        'sweep'
        >>> try:
        ...     jobs.get()
        ... except ShutDown:
        ...     print('closed')
        closed
        """
        if not immediate:
            _native.lane.queue_shut(self, True)
            return
        from .transaction import transaction

        with transaction(self):
            _native.lane.queue_shut(self, True)
            _native.lane.queue_clear(self)

    @property
    def is_shutdown(self) -> bool:
        """Whether the queue was shut down."""
        return bool(_native.lane.sequence(self)[4] & _SHUT)

    def reopen(self) -> None:
        """Have a queue that was shut down take items again."""
        _native.lane.queue_shut(self, False)

    # ---- Leases and dead letters ----

    @property
    def leased_count(self) -> int:
        """How many items are leased, or were put back for later."""
        return _native.lane.queue_state(self)[3]

    @property
    def dead_count(self) -> int:
        """How many dead letters there are."""
        return _native.lane.queue_state(self)[4]

    def dead_letters(self) -> list[DeadLetter]:
        """The items that were given up, in the order in which that happened.

        They are items that were leased :attr:`max_attempts` times, and each time put back by an error or by the end of
        their process; and those that were rejected. They count as done with.

        >>> jobs = Queue('house/drains', create=True, max_attempts=1)
        >>> jobs.put('clear')
        >>> try:
        ...     with jobs.lease() as job:
        ...         raise ConnectionError('no water')
        ... except ConnectionError:
        ...     pass
        >>> [(letter.item, letter.attempts, letter.why) for letter in jobs.dead_letters()]
        [('clear', 1, 'ConnectionError: no water')]
        >>> jobs.retry_dead()
        1
        >>> jobs.get()
        'clear'
        """
        self.qsize()  # what nobody has taken note of yet is among them
        from .lease import dead_letters

        return dead_letters(self, self._parkit_item)

    def retry_dead(self, *letters: DeadLetter) -> int:
        """Put dead letters back into the queue, as if they were put now, with no attempts made.

        The bound on the queue's length is not looked at.

        :param letters: which; all if none is given. Those that are no longer dead letters are left out
        :return: how many were put back
        :raises ShutDown: the queue was shut down
        """
        return self._revive(_RETRY, letters)

    def clear_dead(self, *letters: DeadLetter) -> int:
        """Remove dead letters for good.

        :param letters: which; all if none is given
        :return: how many were removed
        """
        return self._revive(_FORGET, letters)

    def _revive(self, what: int, letters: tuple[DeadLetter, ...]) -> int:
        if not letters:
            self.qsize()
            return _native.lane.queue_revive(self, what, 0)
        from .transaction import transaction

        with transaction(self):
            return sum(_native.lane.queue_revive(self, what, letter.number) for letter in letters)


class LifoQueue(Queue[T]):
    """A :class:`Queue` that gives the item that was put last: a stack.

    >>> plates = LifoQueue('house/plates', create=True)
    >>> plates.put('blue')
    >>> plates.put('white')
    >>> plates.get()
    'white'
    """

    __slots__ = ()

    _parkit_flags: ClassVar[int] = _LIFO


class PriorityQueue(Queue[T]):
    """A :class:`Queue` that gives the smallest item first.

    As with ``queue.PriorityQueue``, items are often tuples such as ``(priority, what)``. How far an item counts for
    the order is what :meth:`rank` makes of it; items of the same rank come in the order in which they were put.

    >>> calls = PriorityQueue('house/calls', create=True)
    >>> calls.put((2, {'who': 'plumber'}))
    >>> calls.put((1, {'who': 'doctor'}))
    >>> calls.put((2, {'who': 'aunt'}))
    >>> [calls.get()[1]['who'] for _ in range(3)]
    ['doctor', 'plumber', 'aunt']
    """

    __slots__ = ()

    _parkit_flags: ClassVar[int] = _RANKED

    def rank(self, item: T, /) -> Any:
        """What the order of an item is, for subclasses to replace: a plain value, or a tuple of plain values.

        Plain are None, bool, int, float, str, bytes and tuples of these. By default it is the item if it is plain;
        of a tuple or a list the part before the first member that is not; of a dataclass with ``order=True`` its
        fields that are compared. The rank is compared as the keys of a :class:`Dict` are, in the first 450 bytes or so.

        :raises TypeError: the item has no order
        """
        if isinstance(item, (tuple, list)):
            members: list[Any] = list(item)
        elif getattr(getattr(type(item), "__dataclass_params__", None), "order", False):
            import dataclasses

            members = [getattr(item, f.name) for f in dataclasses.fields(item) if f.compare]  # type: ignore[arg-type]
        else:
            members = [item]
        plain = 0
        while plain < len(members) and _is_plain(members[plain]):
            plain += 1
        if members and not plain:
            raise TypeError(
                f"an item of type {type(item).__name__} has no order that other processes would share: put tuples "
                "that begin with the priority, or replace rank() in a subclass"
            )
        return tuple(members[:plain])

    def put(self, item: T, block: bool | None = None, timeout: float | None = None) -> None:
        if block is None and not self.default_block:
            block = timeout is not None
        rank = self.rank(item)
        stored = self._stored_value(item) if isinstance(self, CodedValues) else item
        _native.lane.queue_put(self, stored, rank if type(rank) is tuple else (rank,), block, timeout)

    put.__doc__ = Queue.put.__doc__


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, bytes))


def _tell(lane: Any, _: Any) -> None:
    lane.queue_errors(queue.Full, queue.Empty, ShutDown)


_native.on_load(_tell)
