"""Functions that run as tasks."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic, Literal, NamedTuple, ParamSpec, TypeVar, overload

from . import _code, _native, _open, _tasks, site
from .errors import NamespaceNotFoundError, ObjectNotFoundError, SiteNotFoundError
from .object import Object
from .task import Task, task_of, tasks_of

__all__ = ["Asyncable", "asyncable"]

P = ParamSpec("P")
R = TypeVar("R")

# Attributes in which the object keeps its options and, for each version, its code.
_CURRENT = "__parkit_asyncable__"
_CODE = "__parkit_code_{:016x}__"
_HIDDEN = "__parkit_"

# How many versions of its code an asyncable keeps besides those that tasks wait for.
_VERSIONS = 8

# gocore/tasks.Spec as the lane takes it, before the name; see readSpec in parkit_go/lane_task.go.
_SPEC = struct.Struct("<16sQqIIHbH")
_RETRY_ON_CRASH, _RETRY_ON_FAILURE = 1, 2


class _Options(NamedTuple):
    """What the decorator was given that is stored with the code."""

    default_sync: bool = False
    async_limit: int = 0
    disable_sync: bool = False
    retries: int = 0
    on_crash: Literal["retry", "fail"] = "retry"


class _Made(NamedTuple):
    """What a decorator made an asyncable of: a function, and where it is to be kept."""

    function: Callable[..., Any]
    path: str
    site_uuid: str | None
    metadata: Mapping[str, Any] | None
    options: _Options


class _Ready(NamedTuple):
    """What a submission needs, as long as nothing has changed."""

    generation: int
    version: int
    number: int
    spec: bytes
    options: _Options


class Asyncable(Object, Generic[P, R]):
    """A function that can be called as a task: what :func:`asyncable` makes of one.

    It is a persistent object: another process, or a notebook, binds it by its path and calls it without
    having the function's source, and so does a task.

    :param path: ``'module/<function name>'``, where the decorator puts it
    :param site_uuid: the site; None is the default site of this thread
    :raises ObjectNotFoundError: there is no such asyncable

    >>> @asyncable
    ... def double(number):
    ...     return 2 * number
    >>> Asyncable('module/double')(21).get()
    42
    """

    _parkit_kind: ClassVar[int] = 5

    # What is the class's own stays in this process.
    _made: _Made | None = None
    _site: str | None = None
    _ready: _Ready | None = None
    # The code as it was last stored from here, and what tells whether it still is the function's.
    _stored: _code.Code | None = None
    _by_reference: bool = False
    _watch: _code.Watch | None = None
    _bound: Callable[..., Any] | None = None
    __wrapped__: Any

    def __init__(self, path: str, /, *, site_uuid: str | None = None) -> None:
        super().__init__(path, site_uuid=site_uuid)

    # ---- Calling ----

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Task[R]: ...
    @overload
    def __call__(self, *args: Any, sync: Literal[True], **kwargs: Any) -> R: ...
    @overload
    def __call__(self, *args: Any, sync: Literal[False] | None, **kwargs: Any) -> Task[R]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Submit a call as a task, or with ``sync=True`` call the function here and return its value.

        :param sync: None is what the decorator's ``default_sync`` says, without which it is False
        :return: the task; None while ``async_limit`` tasks of this asyncable are submitted or running
        :raises TypeError: an argument cannot be pickled; nothing is submitted
        :raises ObjectNotFoundError: the asyncable was dropped
        """
        sync = kwargs.pop("sync", None)
        if sync is None:
            made = self._made
            sync = (made.options if made is not None else self._prepare().options).default_sync
        if sync and not self._options().disable_sync:
            return self.function(*args, **kwargs)
        return self._submit(args, kwargs)

    def invoke(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Call with the arguments as a tuple and a dictionary.

        >>> @asyncable
        ... def power(base, exponent):
        ...     return base**exponent
        >>> power.invoke((2,), {'exponent': 5}).get()
        32
        """
        if self._options().default_sync:
            return self(*args, **(kwargs or {}))
        return self._submit(tuple(args), dict(kwargs or {}))

    def tasks(self) -> Iterator[Task[R]]:
        """The tasks of this asyncable, those submitted first before the others."""
        return tasks_of(self.site_uuid, self.uuid)

    @property
    def function(self) -> Callable[P, R]:
        """The function itself; one that was bound by name is loaded from the site."""
        if self._made is not None:
            return self._made.function
        if self._bound is None:
            version = self._current()["version"]
            self._bound = _code.load(code_of(self, version)).function
        return self._bound

    @property
    def attributes(self) -> list[str]:
        """The names of the shared attributes, sorted."""
        return [name for name in super().attributes if not name.startswith(_HIDDEN)]

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        # As a function in a class does: instance.method(x) is called with the instance.
        return self if instance is None else functools.partial(self, instance)

    # ---- How it is done ----

    def _submit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task[R] | None:
        ready = self._prepare()
        payload = _tasks.dumps((args, kwargs), "an argument")
        number = _native.lane.task_submit(ready.number, ready.spec, payload)
        return None if number is None else task_of(self._parkit.site_uuid, number)

    def _options(self) -> _Options:
        return self._made.options if self._made is not None else self._prepare().options

    def _prepare(self) -> _Ready:
        """What a submission needs. Whether something has changed is asked each time: it must be quick."""
        ready = self._ready
        if (
            ready is not None
            and ready.generation == _native.generation
            and ready.version == _native.lane.version(self)
            and (self._watch is None or not (self._watch.changed() or self._watch.pickle_again))
        ):
            return ready
        reference = self._parkit
        made = self._made
        if made is None or (_tasks.in_worker and self._is_stored(made)):
            # In a worker the source may be newer, or older, than what was submitted: what is stored holds.
            current = self._current()
            version, options = current["version"], _Options(**current["options"])
        else:
            code = self._capture(made, defined=True)
            self._store(code, made.options)
            version, options = code.version, made.options
        # In a transaction that may yet be undone, what is seen says nothing about afterwards.
        seen = -1 if _native.lane.scope(_open.space_of(self)) == 2 else _native.lane.version(self)
        spec = _pack(reference, version, options)
        self._ready = ready = _Ready(_native.generation, seen, _tasks.number(reference.site_uuid), spec, options)
        self._bound = None
        return ready

    def _current(self) -> dict[str, Any]:
        try:
            current: dict[str, Any] = _native.lane.attr_get(self, _CURRENT)
        except AttributeError:
            error = ObjectNotFoundError(
                f"{self.path}: its function has not been stored yet; call it once where it is defined"
            )
            error.subject = self.path
            raise error from None
        return current

    def _is_stored(self, made: _Made) -> bool:
        if not _code.is_importable(made.function, self):
            return False
        try:
            self._current()
        except ObjectNotFoundError:
            return False
        return True

    def _capture(self, made: _Made, *, defined: bool) -> _code.Code:
        """The code of the function as it is now; what was stored, if nothing has changed.

        While the decorator runs the function is not ``defined`` yet: its name does not lead to it.
        """
        by_reference = _code.is_importable(made.function, self if defined else None)
        watch = self._watch
        if (
            self._stored is not None
            and self._by_reference == by_reference
            and (watch is None or not (watch.changed() or watch.pickle_again))
        ):
            return self._stored
        code = _code.capture(made.function, by_reference=by_reference, what=f"the function {made.path}")
        self._by_reference = by_reference
        self._watch = None if by_reference else _code.Watch(made.function, len(code.data))
        return code

    def _store(self, code: _code.Code, options: _Options) -> None:
        """Make the code and the options those of the object, unless they are already."""
        if not self._is_current(code, options):
            with _open.writing(_open.space_of(self)):
                self._write(code, options)
        self._stored = code

    def _is_current(self, code: _code.Code, options: _Options) -> bool:
        try:
            current = _native.lane.attr_get(self, _CURRENT)
            return bool(
                current["version"] == code.version
                and current["options"] == options._asdict()
                and _native.lane.attr_get(self, _CODE.format(code.version))
            )
        except AttributeError:
            return False

    def _write(self, code: _code.Code, options: _Options) -> None:
        """In a transaction on the object's namespace."""
        lane = _native.lane
        try:
            recent = lane.attr_get(self, _CURRENT)["recent"]
        except AttributeError:
            recent = []
        recent = [*(version for version in recent if version != code.version), code.version]
        if len(recent) > 2 * _VERSIONS:
            recent = self._prune(recent)
        lane.attr_set(self, _CODE.format(code.version), code.data)
        lane.attr_set(self, _CURRENT, {"version": code.version, "options": options._asdict(), "recent": recent})

    def _prune(self, versions: list[int]) -> list[int]:
        """Remove old versions of the code that no task waits for; returns those that are left."""
        wanted = _tasks.versions_in_use(self._parkit.site_uuid, self._parkit.uuid)
        keep = [version for version in versions[:-_VERSIONS] if version in wanted] + versions[-_VERSIONS:]
        for version in set(versions) - set(keep):
            try:
                _native.lane.attr_del(self, _CODE.format(version))
            except AttributeError:
                continue
        return keep

    # ---- Being made, at the latest when it is used ----

    def __getattr__(self, name: str) -> Any:
        # The slot is empty until the object is there, so whoever looks for the reference comes here.
        if name == "_parkit" and self._made is not None:
            return self._make(self._made)
        return super().__getattr__(name)

    def _make(self, made: _Made) -> _open.Reference:
        """Bind the object in the site, or create it."""
        site_uuid = site.resolve(made.site_uuid)
        namespace, name = _open.parse_path(made.path)
        opened = _open.open_object(
            type(self), site_uuid, namespace, name, create=True, bind=True, metadata=_metadata(made.metadata)
        )
        object.__setattr__(self, "_handle", opened.handle)
        object.__setattr__(self, "_parkit", opened.reference)
        return opened.reference

    @classmethod
    def _of(cls, made: _Made) -> Asyncable[..., Any]:
        """What the decorator gives back. The object is made now if there is a site to make it in."""
        self = cls.__new__(cls)
        self._made = made
        object.__setattr__(self, "_handle", None)
        functools.update_wrapper(self, made.function)
        if not _tasks.in_worker and _has_site(made.site_uuid):
            self._make(made)
            try:
                self._store(self._capture(made, defined=False), made.options)
            except TypeError:
                # Perhaps it can be pickled by the time it is called, or is called here only. Else
                # the call says this.
                self._stored = None
        return self


def _has_site(site_uuid: str | None) -> bool:
    try:
        return site_uuid is not None or site.get_default_site() is not None
    except SiteNotFoundError:  # the environment names one that is not there yet
        return False


def _metadata(metadata: Mapping[str, Any] | None) -> str:
    import json

    return json.dumps(dict(metadata)) if metadata else ""


def _pack(reference: _open.Reference, version: int, options: _Options) -> bytes:
    flags = 0
    if options.retries:
        flags = _RETRY_ON_FAILURE | (_RETRY_ON_CRASH if options.on_crash == "retry" else 0)
    name = reference.path.encode()
    uuid = bytes.fromhex(reference.uuid.replace("-", ""))
    head = _SPEC.pack(uuid, version, 0, options.retries, options.async_limit, flags, 0, len(name))
    return head + name


def code_of(asyncable: Asyncable[..., Any], version: int) -> bytes:
    """The code of that version, from the store.

    :raises CodeError: it was removed
    """
    try:
        data: bytes = _native.lane.attr_get(asyncable, _CODE.format(version))
    except AttributeError:
        raise _code.CodeError(
            f"the code of {asyncable.path} that the task was submitted with was replaced long ago; submit it again"
        ) from None
    return data


def asyncable_of(site_uuid: str, path: str, uuid: bytes) -> Asyncable[..., Any]:
    """The asyncable that a task names.

    :raises ObjectNotFoundError: it was dropped
    """
    namespace, _, name = path.rpartition("/")
    try:
        opened = _open.find_object(site_uuid, namespace, name)
    except (ObjectNotFoundError, NamespaceNotFoundError):
        opened = None
    if opened is None or bytes.fromhex(opened.reference.uuid.replace("-", "")) != uuid:
        error = ObjectNotFoundError(f"{path}: the asyncable was dropped")
        error.subject = path
        raise error
    found: Asyncable[..., Any] = _open.instance(Asyncable, opened.reference, opened.handle)
    return found


@overload
def asyncable(function: Callable[P, R], /) -> Asyncable[P, R]: ...
@overload
def asyncable(
    path: str | None = None,
    /,
    *,
    fullpath: bool = False,
    metadata: Mapping[str, Any] | None = None,
    default_sync: bool | None = None,
    async_limit: int | None = None,
    disable_sync: bool | None = None,
    site_uuid: str | None = None,
    retries: int = 0,
    on_crash: Literal["retry", "fail"] = "retry",
) -> Callable[[Callable[P, R]], Asyncable[P, R]]: ...
@overload
def asyncable(
    *,
    path: str | None = None,
    fullpath: bool = False,
    metadata: Mapping[str, Any] | None = None,
    default_sync: bool | None = None,
    async_limit: int | None = None,
    disable_sync: bool | None = None,
    site_uuid: str | None = None,
    retries: int = 0,
    on_crash: Literal["retry", "fail"] = "retry",
) -> Callable[[Callable[P, R]], Asyncable[P, R]]: ...
def asyncable(
    function: Any = None,
    /,
    *,
    path: str | None = None,
    fullpath: bool = False,
    metadata: Mapping[str, Any] | None = None,
    default_sync: bool | None = None,
    async_limit: int | None = None,
    disable_sync: bool | None = None,
    site_uuid: str | None = None,
    retries: int = 0,
    on_crash: Literal["retry", "fail"] = "retry",
) -> Any:
    """Make a function callable as a task: a decorator, with or without arguments.

    The function is stored in the site as an :class:`Asyncable`: now if a site is set, else at its first
    call. One of a module that can be imported is stored by reference, and workers load the module again
    when its source has changed. Any other (of a script or a notebook, a lambda, one defined inside a
    function) is stored by value together with the globals that it uses, as they are at the call. A
    task runs the code that it was submitted with.

    :param path: where it is kept; without it ``'module/<function name>'``
    :param fullpath: ``'module/<module's path>/<function name>'`` instead
    :param metadata: what is stored with the object
    :param default_sync: calls run here unless they say ``sync=False``
    :param async_limit: at most so many tasks are submitted or running; a call beyond gives None
    :param disable_sync: calls never run here
    :param site_uuid: the site; None is the default site
    :param retries: how often a task may run again after an exception or the death of its worker
    :param on_crash: with ``'fail'``, not after the death of its worker

    >>> @asyncable
    ... def greet(name):
    ...     return f'hello {name}'
    >>> greet.path
    'module/greet'
    >>> greet('you', sync=True)
    'hello you'
    >>> @asyncable(retries=2, async_limit=10)
    ... def fetch(address):
    ...     return len(address)
    >>> fetch('parkit').get()
    6
    """
    if isinstance(function, str):
        function, path = None, function
    options = _Options(
        bool(default_sync),
        _count("async_limit", async_limit or 0),
        bool(disable_sync),
        _count("retries", retries),
        on_crash,
    )
    if on_crash not in ("retry", "fail"):
        raise ValueError(f"on_crash is 'retry' or 'fail', not {on_crash!r}")

    def decorate(function: Callable[..., Any]) -> Asyncable[..., Any]:
        if not callable(function):
            raise TypeError(f"expected a function, not {type(function).__name__}")
        return Asyncable._of(_Made(function, path or _path_of(function, fullpath), site_uuid, metadata, options))

    return decorate if function is None else decorate(function)


def _count(what: str, number: int) -> int:
    if not 0 <= number < 2**32:
        raise ValueError(f"{what} is a number from 0 on, not {number}")
    return number


def _path_of(function: Callable[..., Any], fullpath: bool) -> str:
    name: str | None = getattr(function, "__name__", None)
    if name is None:
        raise ValueError(f"{function!r} has no name of its own: give it a path=")
    if fullpath:
        return "/".join((_tasks.ASYNCABLES, *function.__module__.split("."), name))
    return f"{_tasks.ASYNCABLES}/{name}"
