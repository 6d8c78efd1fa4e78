"""The only importer of the shared library, and where its errors become exceptions.

``lane`` (the fast lane) and ``ctl`` (what gopy binds) are modules of one library. Importing this
file loads nothing: both names stand for the library until something of it is asked for, then they
*are* its modules, so an operation pays for a global and an attribute and no more. Therefore always
write ``_native.lane.x``; whoever keeps ``lane`` or ``x`` keeps it across a fork, after which it
must never be called again.

A forked child cannot use the Go runtime it inherits: its threads are gone, and a call hangs. So in
the child both names stand for the library again, and the first use loads a second copy of it. The
dynamic linker answers with the dead copy for any file it knows, hence the copy is of a file that
it cannot know, a memfd. What a parent has opened through the library does not exist in the copy:
handles are opened again by whoever sees that ``generation`` has changed.
"""

from __future__ import annotations

import atexit
import functools
import importlib.machinery
import importlib.util
import os
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

__all__ = ["LIBRARY", "call", "ctl", "generation", "in_child", "lane", "load", "on_load", "translate"]

P = ParamSpec("P")
T = TypeVar("T")

LIBRARY = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "_parkit_go", "_parkit" + importlib.machinery.EXTENSION_SUFFIXES[0]
)


class _Unloaded:
    """Stands for a module of the library until something of it is asked for."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # inspect, doctest and copy ask everything they meet for names like this; the library has none.
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(load()[self._name], attribute)

    def __repr__(self) -> str:
        return f"<{self._name} of parkit's library, not loaded yet>"


def _unloaded() -> tuple[Any, Any]:
    return _Unloaded("lane"), _Unloaded("ctl")


if TYPE_CHECKING:
    # There are no such files: these are stubs, which say what is in the library's modules.
    from . import _ctl as ctl
    from . import _lane as lane
else:
    lane, ctl = _unloaded()

#: How many copies of the library this process can no longer use: those that its ancestors began to load.
generation = 0

# Held while the library is loaded, and over a fork, so that no child starts with half of it.
_lock = threading.RLock()
_modules: dict[str, ModuleType] | None = None
_configuring = False
_callbacks: list[Callable[[Any, Any], object]] = []
# Whether a process that this one was forked from has begun to load the library.
_inherited = False
# All copies that this process and its ancestors used. Kept: to free their modules would run their code.
_copies: list[dict[str, ModuleType]] = []
# What is different here in a forked child.
_child: dict[str, Any] = {}


class _Source:
    """The library's file, open since it was first loaded, so that children copy the very same bytes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.identity = self._identify(self.descriptor)

    @staticmethod
    def _identify(descriptor: int) -> tuple[int, ...]:
        found = os.fstat(descriptor)
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def usable(self) -> int:
        """The open file. A program that closes every descriptor (a daemon does) has closed it too."""
        try:
            if self._identify(self.descriptor) == self.identity:
                return self.descriptor
        except OSError:
            pass
        again = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        if self._identify(again) != self.identity:
            os.close(again)
            raise _forked("the library's file was replaced since the parent loaded it")
        self.descriptor = again
        return again


_source: _Source | None = None


def load() -> dict[str, Any]:
    """The library's modules by name; loads them if need be.

    Raises ForkedProcessError where a forked child can have no copy, ImportError where the library
    was not built, OSError where too few descriptors are left for it.
    """
    global lane, ctl, _modules, _configuring
    with _lock:
        if _modules is None:
            _modules = _open()
        if not _configuring and lane is not _modules["lane"]:
            _configuring = True
            try:
                for callback in _callbacks:
                    callback(_modules["lane"], _modules["ctl"])
            finally:
                _configuring = False
            # Only now: no other thread may see a library that is not configured.
            lane, ctl = _modules["lane"], _modules["ctl"]
        return _modules


def on_load(callback: Callable[[Any, Any], object]) -> None:
    """Have ``callback(lane, ctl)`` called whenever the library has been loaded, in a child also.

    It runs before anyone else can use the library and holds the lock of loading, so it must not
    wait for another thread. If the library is loaded already, it runs at once.
    """
    with _lock:
        _callbacks.append(callback)
        if _modules is not None and lane is _modules["lane"]:
            callback(lane, ctl)


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of ``ctl``; an error of the core is raised as the exception of its code."""
    try:
        return function(*args, **kwargs)
    except RuntimeError as error:
        raise translate(error) from None


def translate(error: RuntimeError) -> Exception:
    """The exception for an error that came over the boundary; any other RuntimeError stays itself."""
    code, *rest = str(error).split("|", 3)
    if len(rest) != 3 or not code.isdigit():
        return error
    from urllib.parse import unquote  # half of what importing this file would take

    from . import errors

    return errors.from_code(int(code), unquote(rest[0]), unquote(rest[1]), rest[2])


#: The library's file, a child's copy of it, what Go's runtime starts with and keeps, and some for other threads.
_DESCRIPTORS = 8


def _open() -> dict[str, ModuleType]:
    global _source
    _want_descriptors()
    if not _inherited:
        try:
            _source = _Source(LIBRARY)
        except FileNotFoundError:
            raise ImportError(
                f"parkit's library was not built: {LIBRARY} is not there. "
                "In a checkout run `make build`; else install parkit with pip.",
                name="parkit",
                path=LIBRARY,
            ) from None
        return _load_from(LIBRARY)
    assert _source is not None, "what was inherited was loaded from somewhere"
    copy = _copy(_source.usable())
    try:
        # The dots make a name that neither the linker nor Python's import has met, should the number
        # have been an ancestor's.
        return _load_from("/proc/self/fd/" + "./" * generation + str(copy))
    except ImportError as error:
        raise _forked(str(error)) from error
    finally:
        os.close(copy)  # the mapping keeps the memory


def _want_descriptors() -> None:
    """Refuse to load the library where it could not start: Go's runtime would end the process."""
    spare: list[int] = []
    try:
        while len(spare) < _DESCRIPTORS:
            spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise OSError(
            error.errno,
            f"load parkit's library: {error.strerror}, and it needs {_DESCRIPTORS} descriptors to start; "
            "close files, or raise the limit (ulimit -n)",
        ) from None
    finally:
        for descriptor in spare:
            os.close(descriptor)


def _load_from(path: str) -> dict[str, ModuleType]:
    # First, as a fork may come while it loads: by another thread, or by what an import runs.
    child = {"generation": generation + 1, "_inherited": True, "_modules": None, "_configuring": False}
    _child.update(child | dict(zip(("lane", "ctl"), _unloaded(), strict=True)))
    modules = {"lane": _import("parkit._parkit_go.lane", path), "ctl": _import("parkit._parkit_go._ctl", path)}
    _copies.append(modules)
    control = vars(modules["ctl"])
    # gopy puts the Go package's name before each of its functions.
    control.update({name.removeprefix("parkit_go_"): value for name, value in list(control.items())})
    return modules


def _import(name: str, path: str) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader(name, path)
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None, "a spec with a loader is always found"
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _copy(source: int) -> int:
    """A new memfd with the bytes of the file ``source``."""
    if not hasattr(os, "memfd_create"):
        raise _forked("this system has no memfd_create")
    try:
        memory = os.memfd_create("parkit", os.MFD_CLOEXEC)
    except OSError as error:
        raise _forked(f"memfd_create was refused: {error.strerror}") from error
    try:
        size, done = os.fstat(source).st_size, 0
        while done < size:
            sent = os.sendfile(memory, source, done, size - done)
            if sent == 0:
                raise _forked("the library's file was cut short since the parent loaded it")
            done += sent
    except OSError as error:
        os.close(memory)
        raise _forked(f"the library could not be copied: {error.strerror}") from error
    return memory


def _forked(reason: str) -> Exception:
    from .errors import ForkedProcessError

    return ForkedProcessError(
        f"parkit was used before this process was forked and cannot be loaded again in it ({reason}). "
        "Start the process by spawn or forkserver (multiprocessing.get_context) or by subprocess, "
        "or use parkit for the first time after the fork."
    )


# For how many milliseconds an exit waits for the turn to write.
_PATIENCE = 100


def _at_exit() -> None:
    # What a forked child inherited is its parent's to write.
    if _modules is not None and lane is _modules["lane"]:
        call(ctl.SitesSettle, _PATIENCE)


atexit.register(_at_exit)


def in_child(function: Callable[..., object], *args: object) -> None:
    """Have every child that is forked from now on call ``function(*args)`` before anything else.

    Python looks for signals when it runs bytecode, and drops what a handler at a fork raises: a Ctrl-C there would
    leave the child with half of its parent's state, for good. So this must be a function in C that runs no Python code.
    """
    assert not hasattr(getattr(function, "__func__", function), "__code__"), f"{function!r} is written in Python"
    os.register_at_fork(after_in_child=functools.partial(function, *args))


os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release)
in_child(_lock._at_fork_reinit)  # type: ignore[attr-defined]
in_child(globals().update, _child)
