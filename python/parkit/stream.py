"""Reading along while others append to an Array."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, Literal, TypeVar, overload

from . import _native, _open
from .array import Array
from .errors import ObjectNotFoundError, TransactionError
from .transaction import scoped

__all__ = ["Stream", "stream"]

T = TypeVar("T")

# Instead of an item: there is none now.
_NOTHING: Any = object()


@overload
def stream(array: Array[T], /, *, batch: Literal[False] = False) -> Stream[T]: ...
@overload
def stream(array: Array[T], /, *, batch: Literal[True]) -> Stream[list[T]]: ...
@overload
def stream(array: Array[T], /, *, batch: bool) -> Stream[Any]: ...
def stream(array: Array[T], /, *, batch: bool = False) -> Stream[Any]:
    """What is appended to an Array from now on, by whichever process, for as long as the Array exists.

    :param batch: give lists of what has come meanwhile, instead of items

    "Now" is when it is called, not when the first item is asked for. It waits for the next item without polling, and
    ends when the Array is dropped; Ctrl-C ends the wait. It does not take anything away, so that any number of
    processes can each see all items. In a coroutine, ``async for`` over it lets the event loop run meanwhile.

    It gives each item once, in order. What is gone before it was asked for, because a full array dropped it or by
    ``pop``, ``popleft`` or ``clear``, is passed over; so is an item that took the place of a popped one before it was
    noticed that that one was gone.

    :raises TransactionError: while iterating: it would have to wait inside a transaction or a snapshot of the
        namespace, where nothing that others append is seen

    >>> log = Array('house/news', create=True)
    >>> news = stream(log)
    >>> other = threading.Thread(target=log.extend, args=(['rain', 'sun'],))
    >>> other.start()
    >>> next(news), next(news)
    ('rain', 'sun')
    """
    if not isinstance(array, Array):
        raise TypeError(f"stream() takes an Array, not {type(array).__name__}")
    return Stream(array, batch)


class Stream(Iterator[T], AsyncIterator[T], Generic[T]):
    """What :func:`stream` gives: an iterator for ``for`` and for ``async for`` alike.

    Threads and coroutines that share one share its items: each gets others.
    """

    __slots__ = ("_array", "_batch", "_found", "_lock", "_position")

    def __init__(self, array: Array[Any], batch: bool) -> None:
        self._array, self._batch = array, batch
        #: Where the next item to be fetched is; None when the stream has ended.
        self._position: int | None = _native.lane.sequence(array)[1]
        self._found: Iterator[Any] = iter(())  # what was fetched and not given yet
        # Held while something is fetched, never while it waits. To unpickle a value may use the stream itself.
        self._lock = threading.RLock()

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        item = self._buffered()
        while item is _NOTHING:
            item = self._fetch()
            position = self._position
            if item is not _NOTHING:
                break
            if position is None:
                raise StopIteration
            self._must_not_be_scoped()
            try:
                _native.lane.array_wait(self._array, position, None)
            except ObjectNotFoundError:
                self.close()
        return item  # type: ignore[no-any-return]

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        import asyncio

        from . import _bridge

        item, rested = self._buffered(), False
        while item is _NOTHING:
            if not rested:
                # Else who reads a long array would keep the loop from all else. Now, as what is
                # fetched before an await could be lost by a cancellation.
                await asyncio.sleep(0)
            try:
                space, channel = _open.space_of(self._array), _native.lane.channel(self._array)
                seen = _native.lane.change_count(space, channel)  # before the look
            except ObjectNotFoundError:
                self.close()
            item = self._fetch()
            if item is not _NOTHING:
                break
            if self._position is None:
                raise StopAsyncIteration
            self._must_not_be_scoped()
            rested = await _bridge.moved(space, [(channel, seen)])
        return item  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the stream: it gives nothing more. One that waits ends when something is appended."""
        with self._lock:
            self._position, self._found = None, iter(())

    async def aclose(self) -> None:
        """The same, for ``contextlib.aclosing``."""
        self.close()

    def _buffered(self) -> Any:
        with self._lock:
            return _NOTHING if self._batch else next(self._found, _NOTHING)

    def _fetch(self) -> Any:
        """The next item, or all of them; _NOTHING where there is none now, or the stream has ended."""
        with self._lock:
            item = self._buffered()
            if item is not _NOTHING or self._position is None:
                return item
            try:
                found, following = self._array._parkit_tail(self._position)
                items = list(found)
            except ObjectNotFoundError:
                self.close()
                return _NOTHING
            self._position = following
            if self._batch:
                return items or _NOTHING
            self._found = iter(items)
            return next(self._found, _NOTHING)

    def _must_not_be_scoped(self) -> None:
        if scoped(_open.space_of(self._array)):
            raise TransactionError(
                f"stream {self._array.path}: inside a transaction or a snapshot of the namespace nothing that others "
                "append is seen; read on outside of it"
            )
