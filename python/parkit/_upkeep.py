"""The work behind :mod:`parkit.keep` and the methods of namespaces that keep them."""

from __future__ import annotations

import base64
import json
import os
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

from . import _native, _open, _tasks, site
from .errors import (
    ConflictError,
    CorruptError,
    InvalidPathError,
    LockTimeout,
    OtherPIDSpaceError,
    StorageFailedError,
    StorageFullError,
    StorageIOError,
    StoragePathError,
    TransactionError,
)
from .report import Compacted, Problem, Quarantined, Report

#: The namespace of the tasks.
TASKS = "__task__"

# What keeps one namespace from being opened or written to, and is no reason not to go on with the others.
_UNAVAILABLE = (LockTimeout, OtherPIDSpaceError, StorageFullError, StorageIOError)

# How many objects are looked at in a transaction.
_BATCH = 256
# How often a copy that finds too little room is run again, each time with more.
_RUNS = 8
# For how long a move waits for its turns, in seconds, and about how long for the second while it has the first.
_MOVE_WAIT = 60.0
_SECOND_WAIT = 0.5


def ask(function: str, request: dict[str, Any]) -> Any:
    """Call a control function that takes and gives JSON."""
    return json.loads(_native.call(getattr(_native.ctl, function), json.dumps(request)))


def ask_site(function: str, place: dict[str, str], **more: Any) -> Any:
    """The same for one that is about a site: one that is known by its uuid is opened if need be."""
    request = {**place, **more}
    if "site" in place:
        return _open.with_site(place["site"], lambda: ask(function, request))
    return ask(function, request)


# ---- Giving space back ----


def compact(uuid: str, namespaces: Iterable[str]) -> Compacted:
    """Drop what nobody can name, and ended tasks, and give the space back."""
    names = list(namespaces)
    for name in names:
        space = _open.number_of(uuid, name)
        if space is not None and _native.lane.scope(space):
            raise TransactionError(
                f"compact {name}: this thread has a transaction or snapshot open on it; end that first"
            )
    freed: dict[str, int] = {}
    skipped: dict[str, str] = {}
    objects = tasks = 0
    for name in names:
        try:
            if name == TASKS:
                tasks += _native.call(_native.ctl.TaskPurge, _tasks.number(uuid))
            else:
                objects += _drop_hidden(uuid, name)
            freed[name] = _open.on_space(
                uuid, name, lambda space: _native.call(_native.ctl.SpaceCompact, space), passing=True
            )
        except (*_UNAVAILABLE, ConflictError) as error:
            skipped[name] = str(error)
    return Compacted(freed, skipped, objects, tasks)


def await_turn(uuid: str, namespace: str) -> None:
    """Wait until nobody writes: the core's own wait, in a repair, does not hear Ctrl-C.

    What is wrong with a namespace that cannot be opened or read is for the repair to say.
    """
    try:
        space = _open.open_space(uuid, namespace, passing=True)[0]
        if not _native.lane.scope(space):
            with _open.writing(space):
                pass
    except (*_UNAVAILABLE, CorruptError, StorageFailedError, StoragePathError):
        pass


def _drop_hidden(uuid: str, namespace: str) -> int:
    dropped: int = 0
    after = ""
    while True:
        with _open.writing(_open.open_space(uuid, namespace, passing=True)[0]) as scope:
            answer = ask("SpaceDropHidden", {"space": scope.space, "after": after, "limit": _BATCH})
        dropped += answer["dropped"]
        after = answer["last"]
        if not after:
            return dropped


# ---- Copies of namespaces and sites ----


def back_up(uuid: str, namespaces: list[str], path: str | os.PathLike[str], fresh: bool) -> Report:
    return report(
        ask_site("SiteBackup", {"site": uuid}, namespaces=namespaces, target=site.as_path(path), fresh=bool(fresh))
    )


def report(answer: dict[str, Any]) -> Report:
    """A report as the library gives it."""
    return Report(
        answer["namespaces"],
        answer["objects"],
        answer["records"],
        answer["bytes"],
        [Problem(**problem) for problem in answer["problems"] or ()],
        answer["omitted"],
        answer["quarantine"] or [],
    )


def quarantined(uuid: str, namespace: str) -> list[Quarantined]:
    list_ = ask_site("Quarantined", {"site": uuid}, namespace=namespace)
    return [
        Quarantined(**{**one, "dbkey": base64.b64decode(one["dbkey"]), "record": base64.b64decode(one["record"])})
        for one in list_
    ]


# ---- Copies of objects ----


def rename(uuid: str, namespace: str, old: str, new: str, overwrite: bool) -> None:
    for name in old, new:
        check_name(name)
    with _open.writing(_open.open_space(uuid, namespace)[0]) as scope:
        ask("ObjectRename", {"space": scope.space, "name": old, "other": new, "overwrite": bool(overwrite)})


def copy(uuid: str, namespace: str, name: str, path: str, target_uuid: str, overwrite: bool) -> None:
    place, other = _destination(path)
    check_name(name)
    source = _open.find_object(uuid, namespace, name)  # before a namespace is made for it
    target, _ = _open.open_space(target_uuid, place, create=True)
    request = {"name": source.reference.name, "other": other, "overwrite": bool(overwrite)}
    _with_room(target, lambda: _copy(uuid, namespace, target, request, None))


def move(uuid: str, namespace: str, name: str, path: str, target_uuid: str, overwrite: bool) -> None:
    place, other = _destination(path)
    check_name(name)
    if (uuid, namespace) == (target_uuid, place):
        rename(uuid, namespace, name, other, overwrite)
        return
    _open.find_object(uuid, namespace, name)
    target, _ = _open.open_space(target_uuid, place, create=True)
    if _native.lane.scope(target):
        raise TransactionError(
            f"move object {namespace}/{name}: this thread has a transaction or snapshot open on {place}, where the "
            "object must be stored for good before it is dropped here; end that first, or copy the object"
        )
    request = {"name": name, "other": other, "overwrite": bool(overwrite), "moving": True}
    _with_room(target, lambda: _move(uuid, namespace, target, request))


def _move(uuid: str, namespace: str, target: int, request: dict[str, Any]) -> None:
    end = time.monotonic() + _MOVE_WAIT
    while True:
        try:
            # Held until the object is dropped: what others write to it meanwhile would be lost.
            with _open.writing(_open.open_space(uuid, namespace)[0]):
                # Two that move in opposite directions have each what the other waits for.
                _copy(uuid, namespace, target, request, _SECOND_WAIT * random.uniform(0.5, 1.5))
                _native.call(_native.ctl.ObjectDrop, _open.find_object(uuid, namespace, request["name"]).handle)
            return
        except LockTimeout:
            if time.monotonic() > end:
                raise


def _copy(uuid: str, namespace: str, target: int, request: dict[str, Any], timeout: float | None) -> None:
    with _open.writing(target, timeout) as scope:
        ask("ObjectCopy", {"space": _open.open_space(uuid, namespace)[0], "target": scope.space, **request})


def _with_room(space: int, call: Callable[[], None]) -> None:
    """Call something that may find too little room in the map, which the next transaction has."""
    for _ in range(_RUNS):
        try:
            call()
            return
        except StorageFullError:
            if _native.lane.scope(space):
                raise  # it is the caller's transaction, and must be run again by the caller
    call()


def _destination(path: str) -> tuple[str, str]:
    place, name = _open.parse_path(path)
    if not name:
        raise InvalidPathError(f"{path!r} names no object: give the path at which it is to be")
    return place, name


def check_name(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"the name of an object is a str, not {type(name).__name__}")
    name.encode()  # what cannot be UTF-8 would reach the core as something else
