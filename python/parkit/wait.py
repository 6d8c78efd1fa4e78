"""Waiting until something that is shared has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from . import _native, _open
from .errors import ObjectNotFoundError, TransactionError, WaitTimeout
from .object import Object
from .transaction import scoped, snapshot

__all__ = ["wait"]

# gocore/object's KindQueue.
_QUEUE = 3

# Without an object to wait for, the condition is looked at again after these pauses, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


def wait(*objects: Any, condition: Callable[[], Any] | None = None, timeout: float | None = None) -> None:
    """Wait until ``condition()`` is true.

    :param objects: persistent objects of one namespace; the condition may also be given as the last one
    :param condition: called in a :func:`snapshot` of the namespace, at once and whenever one of the objects
        was changed by a commit, here or in another process, and now and then for no reason
    :param timeout: how many seconds to wait; None is for ever

    Without a condition it returns at once. Without objects the condition is looked at every 1 to 50 ms,
    in no snapshot. A coroutine awaits :func:`parkit.aio.wait` instead, as this would hold up its event loop.

    :raises WaitTimeout: it did not become true in time; a TimeoutError
    :raises TransactionError: called inside a transaction or snapshot of the namespace, where nothing that
        others do is seen, unless the condition is true already
    :raises ObjectNotFoundError: one of the objects was dropped, and the condition is not true; also while it waits
    :raises TypeError: the condition is an async function, whose result would always count as true
    :raises ValueError: objects of several namespaces

    >>> todo = Dict('todo', create=True)
    >>> other = threading.Thread(target=todo.setdefault, args=('milk', 2))
    >>> other.start()
    >>> wait(todo, lambda: 'milk' in todo)
    >>> todo['milk']
    2
    """
    objects, condition, deadline = asked(objects, condition, timeout)
    if condition is None:
        return
    if objects:
        _wait_for_change(objects, condition, deadline)
    else:
        _poll(condition, deadline)


def _wait_for_change(objects: tuple[Object, ...], condition: Callable[[], Any], deadline: float | None) -> None:
    space, channels = watched(objects)
    # Of several objects, any change in the namespace is looked at.
    channel = channels[0] if len(channels) == 1 else 0
    while True:
        # The count before the look: a change in between is then not slept through.
        seen = _native.lane.change_count(space, channel)
        if holds(objects, condition, space):
            return
        attend(objects)
        if _native.lane.wait_change(space, channel, seen, left(deadline)) < 0:
            raise too_late(objects)


def _poll(condition: Callable[[], Any], deadline: float | None) -> None:
    for pause in pauses(condition, deadline):
        time.sleep(pause)


# ---- What parkit.aio's form of it does in the same way ----


def asked(
    objects: tuple[Any, ...], condition: Callable[[], Any] | None, timeout: float | None
) -> tuple[tuple[Object, ...], Callable[[], Any] | None, float | None]:
    """The objects, the condition and the deadline that a call means."""
    # An object may be callable too (an asyncable is), but it is no condition.
    if condition is None and objects and callable(objects[-1]) and not isinstance(objects[-1], Object):
        objects, condition = objects[:-1], objects[-1]
    for obj in objects:
        if not isinstance(obj, Object):
            raise TypeError(f"wait() takes persistent objects and a condition, not {type(obj).__name__}")
    if condition is not None and not callable(condition):
        raise TypeError(f"the condition must be callable, not {type(condition).__name__}")
    return objects, condition, deadline_of(timeout)


def deadline_of(timeout: float | None) -> float | None:
    """When a timeout is over, by time.monotonic()."""
    if timeout is None:
        return None
    if not timeout >= 0:
        raise ValueError("a timeout is a number of seconds, not below zero")
    return time.monotonic() + timeout


def left(deadline: float | None) -> float | None:
    """How many seconds there are until then."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def watched(objects: tuple[Object, ...]) -> tuple[int, list[int]]:
    """The namespace that the objects are in, and their channels."""
    if len({(obj.site_uuid, obj.namespace) for obj in objects}) > 1:
        raise ValueError("wait() takes objects of one namespace: " + ", ".join(obj.path for obj in objects))
    return _open.space_of(objects[0]), sorted({_native.lane.channel(obj) for obj in objects})


def holds(objects: tuple[Object, ...], condition: Callable[[], Any], space: int) -> bool:
    """Whether the condition is true; if not, it must be able to become so."""
    with snapshot(objects[0]):
        if is_true(condition):
            return True
        # Else nothing would come that ends the wait: who waits for the drop itself has said so in the condition.
        for obj in objects:
            if not _native.lane.exists(obj):
                raise gone(obj)
    if scoped(space):
        raise TransactionError(
            "wait: inside a transaction or a snapshot of the namespace nothing that others do is seen; "
            "wait outside of it"
        )
    return False


def is_true(condition: Callable[[], Any]) -> bool:
    """What the condition says."""
    result = condition()
    if isinstance(result, Coroutine):
        result.close()
        raise TypeError(
            "the condition is a function that is called in a snapshot, not a coroutine function; "
            "to wait in a coroutine: await parkit.aio.wait(…), whose condition is a plain function, too"
        )
    return bool(result)


def gone(obj: Object) -> ObjectNotFoundError:
    """The error of a wait for an object that was dropped."""
    error = ObjectNotFoundError(f"wait {obj.path}: it was dropped, so that nothing can change it")
    error.operation, error.subject = "wait", obj.path
    return error


def attend(objects: tuple[Object, ...]) -> None:
    """Hear also of changes that nobody makes: of items that come back to a queue from a process that died."""
    for obj in objects:
        if obj._parkit_kind == _QUEUE:
            _native.lane.queue_attend(obj)


def pauses(condition: Callable[[], Any], deadline: float | None) -> Iterator[float]:
    """How many seconds to sleep between two looks, until the condition is true."""
    pause = _FIRST_PAUSE
    while not is_true(condition):
        rest = _LONGEST_PAUSE if deadline is None else deadline - time.monotonic()
        if rest <= 0:
            raise too_late(())
        yield min(pause, rest)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def too_late(objects: tuple[Object, ...]) -> WaitTimeout:
    """The error of a wait whose time ran out."""
    where = ", ".join(obj.path for obj in objects)
    error = WaitTimeout(f"wait {where}: the condition did not become true in time".replace("wait :", "wait:"))
    error.operation, error.subject = "wait", where
    return error
