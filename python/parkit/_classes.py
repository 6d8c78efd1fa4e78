"""Names of persistent classes, as they are stored, and back to the classes.

A class is stored as ``module:qualname``. It is looked up only when an object of it is wanted:
nothing is imported by listing.
"""

from __future__ import annotations

import importlib
import sys
import weakref
from typing import Any

from .errors import ClassNotFoundError

#: The base of all persistent classes; parkit.object sets it.
root: type[Any] = object

# The latest class of each name, for those that cannot be imported: of functions and of __main__.
_defined: weakref.WeakValueDictionary[str, type[Any]] = weakref.WeakValueDictionary()


def name_of(cls: type[Any]) -> str:
    """The name under which objects of the class are stored."""
    module = cls.__module__
    if module in ("__main__", "__mp_main__"):
        # Of `python -m package.module`, other processes can import the module by its name.
        spec = getattr(sys.modules.get("__main__"), "__spec__", None)
        module = spec.name if spec is not None else "__main__"
    return f"{module}:{cls.__qualname__}"


def dotted(name: str) -> str:
    """A stored name as people, and the original's descriptors, write it."""
    return name.replace(":", ".", 1)


def base_names(cls: type[Any]) -> list[str]:
    """The names of the persistent classes that the class derives from, nearest first."""
    return [
        name_of(base)
        for base in cls.__mro__[1:]
        if issubclass(base, root) and not base.__dict__.get("_parkit_internal", False)
    ]


def define(cls: type[Any]) -> None:
    """Note a class that was defined; a later one of the same name takes its place."""
    _defined[name_of(cls)] = cls


def find(name: str) -> type[Any]:
    """The class of a stored name.

    Imports its module if need be; ClassNotFoundError says what is missing.
    """
    found = _defined.get(name)
    if found is not None:
        return found
    module, _, qualname = name.partition(":")
    if module == "__main__" or "<locals>" in qualname:
        raise ClassNotFoundError(
            f"the class {dotted(name)} is not of a module that can be imported: define it in this process too"
        )
    try:
        thing: Any = importlib.import_module(module)
    except ImportError as error:
        raise ClassNotFoundError(f"the class {dotted(name)} cannot be imported: {error}") from error
    for part in qualname.split("."):
        thing = getattr(thing, part, None)
    if not (isinstance(thing, type) and issubclass(thing, root)):
        raise ClassNotFoundError(f"{module} has no persistent class {qualname}; it was there when the object was made")
    return thing


def accepts(asked: type[Any], stored: str, bases: list[str]) -> bool:
    """Whether an object of the stored class (with the names of its bases) may be bound as ``asked``."""
    name = name_of(asked)
    if asked is root or name == stored or name in bases:
        return True
    # One class may be stored by two names: a script's own module is __main__ there and not elsewhere.
    try:
        return issubclass(find(stored), asked)
    except ClassNotFoundError:
        return False
