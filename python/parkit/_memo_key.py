"""The keys under which memoized results are kept: which function it is, in which version, and its arguments."""

from __future__ import annotations

import hashlib
import inspect
import pickle
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from . import _native
from ._code import digest
from .object import Object, encode_key_pickle

Function = Callable[..., Any]

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})

# From this size on a digest stands for a pickle in a key.
_LONG = 256

_PARAMETERS = frozenset({inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD})


# ---- The version of a function ----


def version_of(function: Function) -> int:
    """A digest of what a function does, as far as it says so itself: the same in every process of one Python version.

    Its bytecode and constants, those of functions within it, its defaults, and the values that it closes over, with
    those of functions among them. Not its globals.
    """
    parts: list[bytes] = []
    _Walk(parts.append).function(function)
    return digest(b"\0".join(parts))


class _Walk:
    def __init__(self, add: Callable[[bytes], object]) -> None:
        self._add = add
        self._seen: set[int] = set()

    def function(self, function: Any) -> None:
        function = inspect.unwrap(function)
        if id(function) in self._seen:  # it closes over itself
            self._text("again", function.__qualname__)
            return
        self._seen.add(id(function))
        self._code(function.__code__)
        self.value(function.__defaults__)
        self.value(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                self.value(cell.cell_contents)
            except ValueError:  # bound later than the function was made
                self._text("empty")

    def value(self, value: Any) -> None:
        kind = type(value)
        if kind in _PLAIN or value is ...:
            self._text(kind.__name__, repr(value))
        elif kind is CodeType:
            self._code(value)
        elif isinstance(inspect.unwrap(value) if callable(value) else value, FunctionType):
            self.function(value)
        elif kind in (tuple, list):
            self._text(kind.__name__, len(value))
            for item in value:
                self.value(item)
        elif kind in (frozenset, set):
            self._text(kind.__name__, *sorted(_digest_of(item) for item in value))
        elif kind is dict:
            self._text("dict", *sorted((_digest_of(key), _digest_of(item)) for key, item in value.items()))
        elif isinstance(value, Object):
            self._text("parkit", value.uuid)
        elif isinstance(value, (type, ModuleType, BuiltinFunctionType)):
            self._text(getattr(value, "__module__", ""), getattr(value, "__qualname__", value.__name__))
        else:
            try:
                self._add(encode_key_pickle(value))
            except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError):
                self._text(kind.__module__, kind.__qualname__)

    def _code(self, code: CodeType) -> None:
        counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        self._add(code.co_code)
        self._add(getattr(code, "co_exceptiontable", b""))
        self._text(counts, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        for constant in code.co_consts:
            self.value(constant)

    def _text(self, *parts: Any) -> None:
        self._add(repr(parts).encode("utf-8", "surrogatepass"))


def _digest_of(value: Any) -> int:
    parts: list[bytes] = []
    _Walk(parts.append).value(value)
    return digest(b"\0".join(parts))


# ---- Arguments ----


class Arguments:
    """From the arguments of a call to what of them is in its key: the same however they are given."""

    def __init__(self, function: Function, ignore: Iterable[str | int], typed: bool) -> None:
        self._signature = inspect.signature(function)
        self._typed = typed
        names = list(self._signature.parameters)
        ignored = set()
        for which in (ignore,) if isinstance(ignore, (str, int)) else ignore:
            if isinstance(which, int) and -len(names) <= which < len(names):
                which = names[which]
            if which not in names:
                raise ValueError(f"ignore: {function.__qualname__}() has no parameter {which!r}")
            ignored.add(which)
        self._kept = [name not in ignored for name in names]
        self._names = names
        self._kinds = [parameter.kind for parameter in self._signature.parameters.values()]
        # Where every parameter has a place of its own, a call without keywords need not be bound.
        self._places = len(names) if _PARAMETERS.issuperset(self._kinds) else -1

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The values in the order of the parameters, and their types where they count.

        :raises TypeError: the function does not take these arguments, or one cannot be part of a key
        """
        if not kwargs and len(args) == self._places:
            values: Iterable[Any] = args
        else:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            values = bound.arguments.values()
        key = []
        types = []
        for name, kept, kind, value in zip(self._names, self._kept, self._kinds, values, strict=True):
            if not kept:
                continue
            try:
                key.append(
                    tuple((word, frozen(value[word])) for word in sorted(value))
                    if kind is inspect.Parameter.VAR_KEYWORD
                    else frozen(value)
                )
            except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError) as error:
                raise TypeError(
                    f"the argument {name} cannot be part of a key ({error}); leave it out with ignore=, or say with "
                    "key= what the result depends on"
                ) from error
            if self._typed:
                types.append(_types_of(value, kind))
        return (tuple(key), tuple(types)) if self._typed else (tuple(key),)


def _types_of(value: Any, kind: Any) -> Any:
    if kind is inspect.Parameter.VAR_POSITIONAL:
        return tuple(type(item).__qualname__ for item in value)
    if kind is inspect.Parameter.VAR_KEYWORD:
        return tuple(type(value[word]).__qualname__ for word in sorted(value))
    return type(value).__qualname__


def frozen(value: Any) -> Any:
    """A key that is equal where the values are, as far as a Dict's keys are: by value, or by the pickle."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Object):
        return "\0parkit", value.uuid
    if kind is tuple:
        return tuple(map(frozen, value))
    if kind is list:
        return ("\0list", *map(frozen, value))
    if kind in (set, frozenset):
        return "\0set", frozenset(map(frozen, value))
    try:
        encoded = _native.lane.encode_key(value)[0]
    except TypeError:  # it has no hash
        pickled = encode_key_pickle(value)
        return "\0pickle", pickled if len(pickled) < _LONG else hashlib.sha256(pickled).digest()
    return value if len(encoded) < _LONG else ("\0key", hashlib.sha256(encoded).digest())
