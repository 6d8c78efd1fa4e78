"""What ``parkit doctor`` looks at."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from . import __version__, _native, _tasks, pool, site
from .errors import ParkitError

#: Packages that parts of parkit use where they are installed.
_OPTIONAL = ("numpy", "pandas", "pyarrow", "polars")


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    ok: bool
    text: str


def examine(path: str | None) -> list[Finding]:
    """Look at all of it; what fails is a finding, not an error."""
    findings = [Finding("versions", True, _versions()), _tried("library", _library), _tried("fork", _fork)]
    if findings[1].ok:
        findings += [_tried("settings", _settings)]
        findings += _site(path)
    return findings


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (ParkitError, OSError, ImportError, ValueError) as error:
        return Finding(what, False, " ".join(str(error).split()))


def _versions() -> str:
    found = [f"parkit {__version__}", f"Python {platform.python_version()}", platform.platform()]
    for name in ("cloudpickle", *_OPTIONAL):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _library() -> str:
    version = _native.call(_native.ctl.Version)
    if version != __version__:
        raise ValueError(f"{_native.LIBRARY} is of version {version}, the package of {__version__}: build it again")
    return f"{_native.LIBRARY} loads"


def _fork() -> str:
    """A forked child loads the library from a memfd."""
    if not sys.platform.startswith("linux"):
        raise ValueError(f"parkit works on Linux; this is {sys.platform}")
    os.close(os.memfd_create("parkit", os.MFD_CLOEXEC))
    return "memory files can be made, so forked processes can use parkit"


def _settings() -> str:
    request = json.dumps({"memory": False, "environment": site.settings()})
    profile = json.loads(_native.call(_native.ctl.SiteProfile, request))
    if profile["warnings"]:
        raise ValueError("; ".join(profile["warnings"]))
    return "no setting of the environment weakens a promise"


def _site(path: str | None) -> Iterator[Finding]:
    if not path:
        yield Finding("site", True, f"none was named, nor is {site.DEFAULT_SITE_PATH} set")
        return
    found: list[str] = []

    def look() -> str:
        found.append(site.open_site(path))
        free = os.statvfs(path)
        room = _size(free.f_bavail * free.f_frsize)
        return f"{site.path_of(found[0])} is a site, on a file system that can keep one; {room} free"

    yield _tried("site", look)
    if found:
        yield _tried("pool", lambda: _pool(found[0]))


def _pool(uuid: str) -> str:
    if _tasks.number_if_any(uuid) is None:
        return "the site never had a task"
    status = pool.pool_status(site_uuid=uuid)
    if status["failure"]:
        raise ValueError(status["failure"])
    if not status["monitor"]:
        return "it is not running; enable_tasks() starts it"
    return f"monitor {status['monitor']}, {len(status['workers'])} of {status['concurrency']} workers"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
