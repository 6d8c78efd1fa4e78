"""Waiting until something that is shared has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from . import _native, _open
from .errors import TransactionError, WaitTimeout
from .object import Object
from .transaction import scoped, snapshot

__all__ = ["wait"]

# Without an object to wait for, the condition is looked at again after these pauses, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


def wait(*objects: Any, condition: Callable[[], Any] | None = None, timeout: float | None = None) -> None:
    """Wait until ``condition()`` is true.

    :param objects: persistent objects of one namespace; the condition may also be given as the last one
    :param condition: called in a :func:`snapshot` of the namespace, at once and whenever one of the objects
        was changed by a commit, here or in another process, and now and then for no reason
    :param timeout: how many seconds to wait; None is for ever

    Without a condition it returns at once. Without objects the condition is looked at every 1 to 50 ms,
    in no snapshot.

    :raises WaitTimeout: it did not become true in time; a TimeoutError
    :raises TransactionError: called inside a transaction or snapshot of the namespace, where nothing that
        others do is seen, unless the condition is true already
    :raises ValueError: objects of several namespaces

    >>> todo = Dict('todo', create=True)
    >>> other = threading.Thread(target=todo.setdefault, args=('milk', 2))
    >>> other.start()
    >>> wait(todo, lambda: 'milk' in todo)
    >>> todo['milk']
    2
    """
    # An object may be callable too (an asyncable is), but it is no condition.
    if condition is None and objects and callable(objects[-1]) and not isinstance(objects[-1], Object):
        objects, condition = objects[:-1], objects[-1]
    for obj in objects:
        if not isinstance(obj, Object):
            raise TypeError(f"wait() takes persistent objects and a condition, not {type(obj).__name__}")
    if condition is None:
        return
    if not callable(condition):
        raise TypeError(f"the condition must be callable, not {type(condition).__name__}")
    if timeout is not None and not timeout >= 0:
        raise ValueError("a timeout is a number of seconds, not below zero")
    deadline = None if timeout is None else time.monotonic() + timeout
    if objects:
        _wait_for_change(objects, condition, deadline)
    else:
        _poll(condition, deadline)


def _wait_for_change(objects: tuple[Object, ...], condition: Callable[[], Any], deadline: float | None) -> None:
    if len({(obj.site_uuid, obj.namespace) for obj in objects}) > 1:
        raise ValueError("wait() takes objects of one namespace: " + ", ".join(obj.path for obj in objects))
    space = _open.space_of(objects[0])
    channels = {_native.lane.channel(obj) for obj in objects}
    # Of several objects, any change in the namespace is looked at.
    channel = channels.pop() if len(channels) == 1 else 0
    while True:
        # The count before the look: a change in between is then not slept through.
        seen = _native.lane.change_count(space, channel)
        with snapshot(objects[0]):
            if condition():
                return
        if scoped(space):
            raise TransactionError(
                "wait: inside a transaction or a snapshot of the namespace nothing that others do is seen; "
                "wait outside of it"
            )
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if _native.lane.wait_change(space, channel, seen, left) < 0:
            raise _too_late(objects)


def _poll(condition: Callable[[], Any], deadline: float | None) -> None:
    pause = _FIRST_PAUSE
    while not condition():
        left = _LONGEST_PAUSE if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise _too_late(())
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _too_late(objects: tuple[Object, ...]) -> WaitTimeout:
    where = ", ".join(obj.path for obj in objects)
    error = WaitTimeout(f"wait {where}: the condition did not become true in time".replace("wait :", "wait:"))
    error.operation, error.subject = "wait", where
    return error
