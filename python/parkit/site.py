"""Sites: the directories that hold namespaces, and which one a thread uses.

What a site is, and what makes a path one, is decided by the core; kept here are the paths of the
sites that this process knows, and each thread's default.
"""

from __future__ import annotations

import json
import os
import threading
import warnings
from typing import Any

from . import _native
from .errors import ParkitError, SiteNotFoundError, SiteNotSpecifiedError, WeakPromiseWarning

__all__ = ["get_default_site", "get_site_uuid", "import_site", "set_default_site"]

#: The environment variable that presets the default site of every thread.
DEFAULT_SITE_PATH = "PARKIT_DEFAULT_SITE_PATH"

_SETTINGS = ("PARKIT_", "DEFAULT_LMDB_", "MEMORY_LMDB_")

#: A path as it may be given.
AnyPath = str | os.PathLike[str]


class _ThreadDefault(threading.local):
    uuid: str | None = None


_thread = _ThreadDefault()
# What threads without a default of their own use.
_shared: str | None = None
# The paths of the sites that were opened in this process or in the one it was forked from.
_paths: dict[str, str] = {}
_warned: set[str] = set()


def set_default_site(
    path: AnyPath, /, *, create: bool = False, overwrite_thread_local: bool = True, memory: bool = False
) -> None:
    """Make the site at ``path`` the default of this thread.

    Set in the main thread it also becomes the default of the threads that have set none. With
    ``overwrite_thread_local=False`` it becomes only that: a thread that has a default keeps it.

    :param path: the directory of the site
    :param create: make the site if there is none; a directory that exists becomes one
    :param memory: of a site that is made by this call, all namespaces are memory ones: they survive
        every process, but not a reboot. A site that exists stays what it is.
    :raises SiteNotFoundError: there is no site, and ``create`` is not set
    :raises OriginalSiteError: the original parkit wrote what is there: :func:`convert_site` makes a site of it
    :raises StoragePathError: the path cannot be a site's; subclasses say why

    >>> set_default_site(folder + '/site', create=True)
    >>> get_default_site()[0] == folder + '/site'
    True
    """
    global _shared
    uuid = open_site(path, create=create, memory=memory)
    if not overwrite_thread_local:
        _shared = uuid
        return
    _set_default(uuid)


def get_default_site() -> tuple[str, str] | None:
    """The path and the uuid of the site that this thread uses by default; None if there is none.

    It is the one that this thread has set, else the one that the main thread has set, else the one
    at the path in the environment variable ``PARKIT_DEFAULT_SITE_PATH``.

    :raises SiteNotFoundError: there is no site at the path in the environment variable

    >>> path, uuid = get_default_site()
    >>> get_site_uuid(path) == uuid
    True
    """
    uuid = _default()
    return None if uuid is None else (_paths[uuid], uuid)


def import_site(path: AnyPath, /, *, create: bool = False, memory: bool = False) -> str:
    """Open the site at ``path``, so that its uuid is known here, and return the uuid.

    It becomes the default site as by :func:`set_default_site` if there is none. For the arguments
    and errors see there.

    >>> uuid = import_site(folder + '/another', create=True)
    >>> uuid == get_default_site()[1]
    False
    """
    uuid = open_site(path, create=create, memory=memory)
    if _default() is None:
        _set_default(uuid)
    return uuid


def get_site_uuid(path: AnyPath, /, *, create: bool = False) -> str:
    """The uuid of the site at ``path``, which is open from then on.

    :param create: make the site if there is none
    :raises SiteNotFoundError: there is no site, and ``create`` is not set

    >>> len(get_site_uuid(folder + '/third', create=True))
    36
    """
    return open_site(path, create=create)


# ---- For the other modules ----


def open_site(path: AnyPath, *, create: bool = False, memory: bool = False, uuid: str = "") -> str:
    """Open the site, and return its uuid; one that is made gets the uuid that is given."""
    request = {
        "path": as_path(path),
        "create": bool(create),
        "memory": bool(memory),
        "uuid": uuid,
        "environment": settings(),
    }
    answer: dict[str, Any] = json.loads(_native.call(_native.ctl.SiteOpen, json.dumps(request)))
    uuid = str(answer["uuid"])
    _paths[uuid] = answer["path"]
    if uuid not in _warned:
        _warned.add(uuid)
        for text in answer["warnings"] or ():
            warnings.warn(text, WeakPromiseWarning, stacklevel=3)
    return uuid


def as_path(path: AnyPath) -> str:
    """The path of a site, or of a copy of one, as the core takes it."""
    place = os.fspath(path)
    if not isinstance(place, str):
        raise TypeError(f"the path of a site is a str or os.PathLike of one, not {type(place).__name__}")
    place.encode()  # what cannot be UTF-8 would reach the core as something else
    return place


def site_around(path: str) -> str:
    """The path of the site whose directory a path is in; empty where it is in none."""
    path.encode()
    return str(_native.call(_native.ctl.SiteAround, path))


def place_of(path: str) -> dict[str, str]:
    """What control functions that keep a site take: its uuid if this process knows the site there, else the path."""
    for uuid, known in _paths.items():
        if os.path.exists(known) and os.path.samefile(known, path):
            return {"site": uuid}
    return {"path": path}


def settings() -> dict[str, str]:
    """The environment variables that the core reads; it cannot see a change of os.environ by itself."""
    found = {name: value for name, value in os.environ.items() if name.startswith(_SETTINGS)}
    for name, value in found.items():
        try:
            (name + value).encode()
        except UnicodeEncodeError:
            raise ValueError(f"the environment variable {name!a} is not UTF-8: {value!a}") from None
    return found


def resolve(site_uuid: object) -> str:
    """The uuid of a site that this process knows: the one named, or the default for None."""
    if site_uuid is None:
        uuid = _default()
        if uuid is None:
            raise SiteNotSpecifiedError(
                "no site is set for this thread: call parkit.set_default_site(path), set the environment "
                f"variable {DEFAULT_SITE_PATH}, or give site_uuid="
            )
        return uuid
    uuid = str(site_uuid)
    path_of(uuid)
    return uuid


def path_of(uuid: str) -> str:
    """The path of a site that this process knows."""
    try:
        return _paths[uuid]
    except KeyError:
        error = SiteNotFoundError(
            f"no site of the uuid {uuid} is known in this process: call parkit.import_site(path) first"
        )
        error.subject = uuid
        raise error from None


def hint_of(uuid: str) -> str:
    """What a reference says of where its site is: nothing where this process does not know."""
    return _paths.get(uuid, "")


def learn(uuid: str, path: str) -> None:
    """Open the site of a reference that came from another process, if it still is where it was."""
    if uuid in _paths or not path:
        return
    try:
        open_site(path)
    except ParkitError:
        # It has moved or is another user's. Who uses the reference gets SiteNotFoundError by the uuid.
        return


def moved(uuid: str, path: str) -> None:
    """Say where a site that is open will be, for the references to it."""
    _paths[uuid] = path


def forget(uuid: str) -> None:
    """Take a site that was closed out of those that are known; it is nobody's default any more, here."""
    global _shared
    _paths.pop(uuid, None)
    if _shared == uuid:
        _shared = None
    if _thread.uuid == uuid:
        _thread.uuid = None


def _default() -> str | None:
    uuid = _thread.uuid or _shared
    if uuid is None:
        path = os.environ.get(DEFAULT_SITE_PATH)
        if path:
            return open_site(path)
    return uuid


def _set_default(uuid: str) -> None:
    global _shared
    _thread.uuid = uuid
    if threading.current_thread() is threading.main_thread():
        _shared = uuid
