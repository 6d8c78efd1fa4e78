"""Reading along while others append to an Array."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeVar, overload

from . import _native, _open
from .array import Array
from .errors import ObjectNotFoundError, TransactionError
from .transaction import scoped

__all__ = ["stream"]

T = TypeVar("T")


@overload
def stream(array: Array[T], /, *, batch: Literal[False] = False) -> Iterator[T]: ...
@overload
def stream(array: Array[T], /, *, batch: Literal[True]) -> Iterator[list[T]]: ...
@overload
def stream(array: Array[T], /, *, batch: bool) -> Iterator[Any]: ...
def stream(array: Array[T], /, *, batch: bool = False) -> Iterator[Any]:
    """What is appended to an Array from now on, by whichever process, for as long as the Array exists.

    :param batch: give lists of what has come meanwhile, instead of items

    "Now" is when it is called, not when the first item is asked for. It waits for the next item without polling, and
    ends when the Array is dropped; Ctrl-C ends the wait. It does not take anything away, so that any number of
    processes can each see all items.

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
    position = _native.lane.sequence(array)[1]
    batches = _batches(array, position)
    return batches if batch else (item for found in batches for item in found)


def _batches(array: Array[T], position: int) -> Iterator[list[T]]:
    try:
        while True:
            found, position = array._parkit_tail(position)
            items = list(found)
            if items:
                yield items
                continue
            if scoped(_open.space_of(array)):
                raise TransactionError(
                    f"stream {array.path}: inside a transaction or a snapshot of the namespace nothing that others "
                    "append is seen; read on outside of it"
                )
            _native.lane.array_wait(array, position, None)
    except ObjectNotFoundError:
        return
