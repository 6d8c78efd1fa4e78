"""Stored objects as global variables of the calling module."""

from __future__ import annotations

import sys
from typing import Any

from .errors import NamespaceNotFoundError, ObjectNotFoundError
from .namespace import Directory, Namespace, directories

__all__ = ["bind_symbol", "bind_symbols"]


def bind_symbol(
    namespace: str | Namespace | None, name: str, /, *, overwrite: bool = False, site_uuid: str | None = None
) -> bool:
    """Set the object ``name`` of a namespace as a global variable of the module that calls.

    :param namespace: its path, or the :class:`Namespace`
    :param overwrite: also if the module has a global of that name
    :returns: whether it was set; False also if there is no such object
    :raises NamespaceNotFoundError: there is no such namespace; a StoragePathError
    :raises ClassNotFoundError: its class cannot be imported in this process

    >>> crew = Dict('ship/crew', create=True)
    >>> del crew
    >>> bind_symbol('ship', 'crew')
    True
    >>> crew
    <Dict 'ship/crew'>
    """
    return _bind(_globals(), _place(namespace, site_uuid), name, overwrite)


def bind_symbols(
    namespace: str | Namespace | None,
    /,
    *,
    overwrite: bool = False,
    site_uuid: str | None = None,
    recursive: bool = False,
) -> list[str]:
    """Set all objects of a namespace as global variables of the module that calls; hidden ones are left out.

    :param namespace: its path, or the :class:`Namespace`
    :param overwrite: also those of which the module has a global of that name
    :param recursive: also those of the namespaces below it
    :returns: the names that were set

    >>> cargo = Dict('boat/cargo', create=True)
    >>> bind_symbols('boat', overwrite=True)
    ['cargo']
    """
    variables = _globals()
    first = _place(namespace, site_uuid)
    places: list[Namespace] = [first]
    if recursive:
        places += directories(first.path, site_uuid=first.site_uuid)
    return [name for place in places for name in list(place.names()) if _bind(variables, place, name, overwrite)]


def _place(namespace: str | Namespace | None, site_uuid: str | None) -> Namespace:
    return namespace if isinstance(namespace, Namespace) else Namespace(namespace, site_uuid=site_uuid)


def _bind(variables: dict[str, Any], place: Namespace | Directory, name: str, overwrite: bool) -> bool:
    if name in variables and not overwrite:
        return False
    try:
        variables[name] = place[name]
    except NamespaceNotFoundError:
        raise
    except ObjectNotFoundError:
        return False
    return True


def _globals() -> dict[str, Any]:
    """Those of the caller's caller; in a notebook, where cells have __main__'s, these."""
    return sys._getframe(2).f_globals
