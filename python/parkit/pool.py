"""The pool: the daemons that run a site's tasks."""

from __future__ import annotations

import json
import operator
import os
import sys
from typing import Any

from . import _native, _tasks, site
from .errors import PoolError

__all__ = ["disable_tasks", "enable_tasks", "get_concurrency", "set_concurrency"]

#: How many workers a pool has unless set_concurrency said otherwise.
CONCURRENCY = "PARKIT_CLUSTER_CONCURRENCY"
#: From SIGTERM to SIGKILL, in seconds.
TERMINATION_TIMEOUT = "PARKIT_PROCESS_TERMINATION_TIMEOUT"


def enable_tasks(*, site_uuid: str | None = None) -> bool:
    """Have workers run the tasks of the site, and wait until one is ready.

    A monitor process keeps :func:`get_concurrency` workers alive until :func:`disable_tasks`; they
    outlive this program. Their output is in the site's directory ``log``.

    :return: whether this call began it; False if there was a pool
    :raises PoolError: no worker came up; the text says why

    >>> enable_tasks()
    True
    >>> enable_tasks()
    False
    """
    uuid = site.resolve(site_uuid)
    started: bool = _native.lane.pool_start(_tasks.number(uuid), json.dumps(request_for(uuid)))
    return started


def disable_tasks(grace: float = 0, *, site_uuid: str | None = None) -> bool:
    """End the pool. When this returns, none of its processes is left.

    Workers get no further task. What they run is ended after the grace: it is then treated as the
    death of a worker always is. What waits stays until the next :func:`enable_tasks`.

    :param grace: for how many seconds tasks that run may go on
    :return: whether there was anything to end

    >>> disable_tasks()
    True
    >>> disable_tasks()
    False
    """
    number = _tasks.number_if_any(site.resolve(site_uuid))
    if number is None:
        return False
    stopped: bool = _native.lane.pool_stop(number, grace)
    return stopped


def set_concurrency(workers: int, /, *, site_uuid: str | None = None) -> None:
    """Say how many workers the pool has, now and when it is begun again.

    A running pool follows at once: new workers are started, or idle ones ended before busy ones, which
    finish their task.

    :raises ValueError: not a number from 0 to 4096

    >>> set_concurrency(3)
    >>> get_concurrency()
    3
    """
    workers = operator.index(workers)
    number = _tasks.number(site.resolve(site_uuid))
    _native.call(_native.ctl.PoolSetConcurrency, json.dumps({"tasks": number, "workers": workers}))


def get_concurrency(*, site_uuid: str | None = None) -> int:
    """How many workers the pool has, or will have.

    It is what was set last, else the environment's ``PARKIT_CLUSTER_CONCURRENCY``, else the number of
    processors.
    """
    number = _tasks.number_if_any(site.resolve(site_uuid))
    if number is None:
        return _default_concurrency() or len(os.sched_getaffinity(0))
    request = {"tasks": number, "concurrency": _default_concurrency()}
    workers: int = json.loads(_native.call(_native.ctl.PoolConcurrency, json.dumps(request)))
    return workers


def pool_status(*, site_uuid: str | None = None) -> dict[str, Any]:
    """What can be seen of the pool: its monitor's pid (0 for none), and its workers."""
    request = json.dumps({"tasks": _tasks.number(site.resolve(site_uuid))})
    seen = json.loads(_native.call(_native.ctl.PoolStatus, request))
    workers = [{name.lower(): value for name, value in worker.items()} for worker in seen["Workers"] or ()]
    return {
        "monitor": seen["Monitor"],
        "concurrency": seen["Concurrency"],
        "failure": seen["Failure"],
        "workers": workers,
    }


def request_for(site_uuid: str) -> dict[str, Any]:
    """What the core needs to know to start the pool's processes, or to be its monitor."""
    path = site.path_of(site_uuid)
    return {
        "tasks": _tasks.number(site_uuid),
        "monitor": _command("monitor", path),
        "worker": _command("worker", path),
        "env": _environment(),
        "concurrency": _default_concurrency(),
        "grace": int(_seconds(TERMINATION_TIMEOUT) * 1e9),
    }


def _command(daemon: str, site_path: str) -> list[str]:
    if not sys.executable:
        raise PoolError("this program does not know its Python (sys.executable is empty): set it to start workers")
    return [sys.executable, "-m", f"parkit.daemons.{daemon}", site_path]


def _environment() -> list[str]:
    environment = dict(os.environ)
    # Of an installed package, and in a virtual environment, the daemons find it by themselves.
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.basename(package) not in ("site-packages", "dist-packages"):
        there = environment.get("PYTHONPATH", "")
        if package not in there.split(os.pathsep):
            environment["PYTHONPATH"] = there + os.pathsep + package if there else package
    # What is not UTF-8 they inherit as it is.
    return [f"{name}={value}" for name, value in environment.items() if _is_text(name + value)]


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _default_concurrency() -> int:
    text = os.environ.get(CONCURRENCY, "")
    if not text:
        return 0
    if not text.isdigit() or not 0 < int(text) <= 4096:
        raise ValueError(f"the environment variable {CONCURRENCY} is a number from 1 to 4096, not {text!r}")
    return int(text)


def _seconds(name: str) -> float:
    text = os.environ.get(name, "")
    try:
        return float(text) if text else 0.0
    except ValueError:
        raise ValueError(f"the environment variable {name} is a number of seconds, not {text!r}") from None
