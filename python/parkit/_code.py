"""The code of an asyncable as it is stored, and back to a function in a worker.

A function of a module that others can import is stored by reference: the module, the name in it
and a digest of the source file, by which a worker sees that the file has changed. Any other (of a
script or a notebook, a lambda, a closure) is stored by value, with the globals that it uses.

With either goes where the program imports from (``sys.path`` without the interpreter's own part)
and its working directory, so that a worker finds the same modules and files.
"""

from __future__ import annotations

import _imp
import importlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from . import _tasks
from .errors import ParkitError

Function = Callable[..., Any]

#: What is a function's, or is fit for being one, but is not of a module that others can import.
_SCRIPTS = ("__main__", "__mp_main__")

# Up to this size a pickled function is pickled again at a call to see whether what it refers to has
# changed inside.
_SMALL = 64 * 1024

_MISSING: Any = object()
_PLAIN = frozenset(
    {int, float, complex, bool, str, bytes, type(None), type(...), range, ModuleType, BuiltinFunctionType}
)


class Code(NamedTuple):
    """Code as it is stored. The version is a digest of the data: the same code is the same version."""

    data: bytes
    version: int


class CodeError(ParkitError):
    """The code of an asyncable cannot be had in this process."""


def digest(data: bytes) -> int:
    """64 bits by SipHash, which Python has without an import. Never 0."""
    return int.from_bytes(_imp.source_hash(0x7061726B, data), "little") or 1


# ---- Storing ----


def is_importable(function: Function, owner: object = None) -> bool:
    """Whether another process gets this function by importing its module.

    With ``owner``, what a decorator has made of the function, the name must lead to either by now.
    """
    name, module = getattr(function, "__qualname__", "<"), getattr(function, "__module__", None)
    if "<" in name or module is None or module in _SCRIPTS:
        return False
    found = sys.modules.get(module)
    if not getattr(found, "__file__", None):
        return False
    return owner is None or any(thing in (function, owner) for thing in _unwrapped(_find(found, name)))


def _find(module: Any, name: str) -> Any:
    thing = module
    for part in name.split("."):
        # Not getattr: a class hands out other things than it holds.
        thing = vars(thing).get(part) if hasattr(thing, "__dict__") else None
    return thing


def _unwrapped(thing: Any) -> Iterator[Any]:
    """What decorators have put around a function, outermost first, and the function."""
    while thing is not None:
        yield thing
        thing = getattr(thing, "__wrapped__", None)


def capture(function: Function, *, by_reference: bool, what: str) -> Code:
    """The code of a function for storing.

    :raises TypeError: it, or a global that it uses, cannot be pickled
    """
    source: dict[str, Any]
    if by_reference:
        module = sys.modules[function.__module__]
        source = {"module": function.__module__, "name": function.__qualname__, "digest": _source_digest(module)}
    else:
        source = {"value": _tasks.by_value(function, what), "text": _text(function)}
    data = pickle.dumps({**source, "path": import_path(), "cwd": _working_directory()}, 5)
    return Code(data, digest(data))


def _text(function: Function) -> tuple[str, str] | None:
    """The name and the text of a source that is no file, a notebook's cell: for tracebacks in workers."""
    import linecache

    name = getattr(getattr(function, "__code__", None), "co_filename", None)
    if not isinstance(name, str) or os.path.exists(name):
        return None
    text = "".join(linecache.getlines(name))
    return (name, text) if 0 < len(text) <= _SMALL else None


def import_path() -> list[str]:
    """Where this program imports from, without what every process of this interpreter has."""
    library = os.path.dirname(os.__file__)
    own = []
    for entry in sys.path:
        if not isinstance(entry, str) or entry.startswith(library) or entry.endswith(".zip"):
            continue
        if os.path.basename(entry.rstrip(os.sep)) not in ("site-packages", "dist-packages"):
            entry = os.path.abspath(entry) if entry else _working_directory()
            if entry and entry not in own:
                own.append(entry)
    return own


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _source_digest(module: ModuleType) -> int:
    """A digest of a module's source file; 0 where it cannot be read, as in a zip."""
    path = getattr(module, "__file__", None)
    if not path:
        return 0
    try:
        with open(path, "rb") as source:
            return digest(source.read())
    except OSError:
        return 0


class Watch:
    """Notices that what a function stored by value refers to is no longer what it was.

    Names that are bound anew are noticed, at about 0.1 µs a name; so is a change inside an object, if
    the function with all that it refers to is small enough to be pickled again at each call.
    """

    def __init__(self, function: Function, size: int) -> None:
        self._globals: list[tuple[dict[str, Any], str, Any]] = []
        self._cells: list[tuple[Any, Any]] = []
        self._loose = False
        self._seen: set[int] = set()
        self._look(function)
        self.pickle_again = self._loose and size <= _SMALL

    def changed(self) -> bool:
        """Whether a name is bound to something else than it was."""
        for names, name, value in self._globals:
            if names.get(name, _MISSING) is not value:
                return True
        return any(_content(cell) is not value for cell, value in self._cells)

    def _look(self, value: Any) -> None:
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        kind = type(value)
        if kind is FunctionType:
            if not is_importable(value):
                self._look_into(value)
        elif kind in (tuple, frozenset):
            for item in value:
                self._look(item)
        elif isinstance(value, type):
            if value.__module__ in _SCRIPTS or "<" in value.__qualname__:
                for item in vars(value).values():
                    self._look(getattr(item, "__func__", item))
        elif kind not in _PLAIN and value is not _MISSING and not _is_reference(value):
            self._loose = True

    def _look_into(self, function: Any) -> None:
        for name in _names(function.__code__):
            value = function.__globals__.get(name, _MISSING)
            self._globals.append((function.__globals__, name, value))
            self._look(value)
        for cell in function.__closure__ or ():
            value = _content(cell)
            self._cells.append((cell, value))
            self._look(value)
        for value in (function.__defaults__, *(function.__kwdefaults__ or {}).values()):
            self._look(value)


def _is_reference(value: Any) -> bool:
    """Whether an object goes as its name: a persistent object, or what a module that can be imported holds."""
    if hasattr(type(value), "_parkit_kind"):
        return True
    name, module = (
        getattr(value, "__qualname__", None) or getattr(value, "__name__", None),
        getattr(value, "__module__", None),
    )
    if not isinstance(name, str) or not isinstance(module, str) or module in _SCRIPTS:
        return False
    return _find(sys.modules.get(module), name) is value


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


# ---- Loading ----


class Loaded(NamedTuple):
    """A function, and the working directory of the program that stored it; empty where it had none."""

    function: Function
    directory: str


# The digests of the modules that load imported or found imported.
_loaded: dict[str, int] = {}


def load(data: bytes) -> Loaded:
    """The function of stored code.

    :raises CodeError: its module has no such function
    :raises Exception: whatever importing its module, or unpickling it, raises
    """
    code: dict[str, Any] = pickle.loads(data)
    use_path(code["path"])
    if "value" in code:
        if code["text"] is not None:
            _know_text(*code["text"])
        return Loaded(pickle.loads(code["value"]), code["cwd"])
    module = _import(code["module"], code["digest"])
    whole = _find(module, code["name"])
    if not callable(whole):
        raise CodeError(
            f"{module.__name__} ({module.__file__}) has no function {code['name']}, which it had when the "
            "asyncable was stored"
        )
    for thing in _unwrapped(whole):
        if hasattr(type(thing), "_parkit_kind"):
            whole = thing.__wrapped__
    return Loaded(whole, code["cwd"])


def _know_text(name: str, text: str) -> None:
    import linecache

    # Without a time it is kept when linecache looks for changed files.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)


def use_path(path: list[str]) -> None:
    """Import from where the program does that stored a function, before anywhere else."""
    if sys.path[: len(path)] != path:
        sys.path[:] = path + [entry for entry in sys.path if entry not in path]
        importlib.invalidate_caches()


def _import(name: str, wanted: int) -> ModuleType:
    """The module, loaded again if its source is not what this process has loaded."""
    module = sys.modules.get(name)
    if module is None:
        module = importlib.import_module(name)
        _loaded[name] = _source_digest(module)
        return module
    have = _loaded.get(name)
    if have is None:
        # Imported by another module, in this process's life: take what it is now for what was loaded.
        have = _loaded[name] = _source_digest(module)
        if _older_than_source(module):
            have = 0
    if wanted not in (0, have):
        now = _source_digest(module)
        if now != have:
            importlib.invalidate_caches()
            module = importlib.reload(module)
            _loaded[name] = now
    return module


def _older_than_source(module: ModuleType) -> bool:
    """Whether the source file was written after this process began, and so maybe after the import."""
    try:
        return os.stat(module.__file__ or "").st_mtime_ns > _begun
    except OSError:
        return False


def _now() -> int:
    import time

    return time.time_ns()


_begun = _now()
