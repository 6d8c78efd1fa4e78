"""What submitting, reading and running tasks share: a site's tasks, and pickling to and from them."""

from __future__ import annotations

import json
import pickle
import sys
from typing import Any

from . import _native, _open, site
from .errors import NamespaceNotFoundError

#: The states of a task by the core's numbers (gocore/tasks).
STATES = ("", "submitted", "running", "finished", "failed", "crashed", "cancelled")
SUBMITTED, RUNNING, FINISHED, FAILED, CRASHED, CANCELLED = range(1, 7)

#: The namespace that asyncables are in.
ASYNCABLES = "module"

# What the lane knows a site's tasks by, in this process.
_numbers: dict[str, int] = {}

#: In a worker: the site and the id of the task that it runs.
current: tuple[str, int] | None = None
#: Whether this process is a worker.
in_worker = False


def number(site_uuid: str) -> int:
    """What the lane knows the tasks of a site by; makes their namespace if need be."""
    found = _numbers.get(site_uuid)
    return _number(site_uuid, create=True) if found is None else found


def number_if_any(site_uuid: str) -> int | None:
    """The same; None if the site never had a task, so that a look writes nothing."""
    try:
        return _numbers.get(site_uuid) or _number(site_uuid, create=False)
    except NamespaceNotFoundError:
        return None


def _number(site_uuid: str, *, create: bool) -> int:
    site.path_of(site_uuid)
    request = json.dumps({"site": site_uuid, "create": create})
    found: int = json.loads(_open.with_site(site_uuid, lambda: _native.call(_native.ctl.TasksOpen, request)))
    _numbers[site_uuid] = found
    return found


_native.in_child(_numbers.clear)


# ---- Pickling ----

loads = pickle.loads


def dumps(value: Any, what: str) -> bytes:
    """Pickle what goes to another process or comes back: by C where that will do, else by cloudpickle.

    What is of ``__main__`` must go by value, as another process has another ``__main__``; a pickle
    that refers to it holds its name.

    :raises TypeError: not even cloudpickle can do it; the text begins with ``what``
    """
    try:
        data = pickle.dumps(value, 5)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError):
        return by_value(value, what)
    if b"__main__" in data or b"__mp_main__" in data or _chosen_by_value():
        return by_value(value, what)
    return data


def by_value(value: Any, what: str) -> bytes:
    """Pickle by cloudpickle: functions and classes that cannot be imported elsewhere go by value."""
    import cloudpickle  # type: ignore[import-untyped]

    script = sys.modules.get("__mp_main__")
    if script is not None and script.__name__ == "__mp_main__":
        # A child that multiprocessing spawned has its parent's script under this name; nobody else has.
        cloudpickle.register_pickle_by_value(script)
    try:
        data: bytes = cloudpickle.dumps(value, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
        raise TypeError(f"{what} cannot be pickled: {error}") from error
    return data


def _chosen_by_value() -> bool:
    """Whether the user had cloudpickle pickle some module by value."""
    cloudpickle = sys.modules.get("cloudpickle")
    return cloudpickle is not None and bool(cloudpickle.list_registry_pickle_by_value())


def versions_in_use(site_uuid: str, asyncable: str) -> set[int]:
    """The versions of its code that tasks of an asyncable wait to be run with."""
    number = number_if_any(site_uuid)
    if number is None:
        return set()
    request = json.dumps({"tasks": number, "asyncable": asyncable})
    return {int(version) for version in json.loads(_native.call(_native.ctl.TaskVersions, request))}
