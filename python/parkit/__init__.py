"""Persistent shared objects, transactions and durable tasks."""

from typing import TYPE_CHECKING, Any

from .array import Array
from .asyncable import Asyncable, asyncable
from .dict import Dict
from .environment import (
    Timer,
    checkenv,
    create_string_digest,
    envexists,
    get_memory_size,
    get_pagesize,
    getenv,
    polling_loop,
    setenv,
)
from .errors import (
    LeaseLostError,
    ObjectExistsError,
    ObjectNotFoundError,
    SiteNotFoundError,
    SiteNotSpecifiedError,
    StoragePathError,
    TransactionError,
)
from .namespace import Directory, Namespace, directories
from .object import Object
from .pidtable import pidtable
from .pool import disable_tasks, enable_tasks, get_concurrency, set_concurrency
from .queue import LifoQueue, PriorityQueue, Queue
from .site import get_default_site, get_site_uuid, import_site, set_default_site
from .stream import stream
from .symbols import bind_symbol, bind_symbols
from .syslog import log_to_syslog, syslog
from .task import Task, task, tasks
from .transaction import snapshot, transaction
from .wait import wait

if TYPE_CHECKING:
    from . import aio as aio
    from . import cli as cli
    from . import convert as convert
    from . import demo as demo
    from . import file as file
    from . import keep as keep
    from . import lease as lease
    from . import profile as profile
    from . import report as report
    from .convert import convert_site
    from .file import File, FileIO
    from .keep import Report, backup, check, compactify, restore
    from .lease import DeadLetter, Leased, Unreadable

__version__ = "0.1.0"

# Submodules that are loaded when they are asked for, so that a program that does not need them imports parkit sooner;
# the others are loaded by the imports above.
_LATER = frozenset({"aio", "cli", "convert", "demo", "file", "keep", "lease", "profile", "report"})

# Names that are in one of these.
_WHERE = {
    "DeadLetter": "lease",
    "File": "file",
    "FileIO": "file",
    "Leased": "lease",
    "Report": "keep",
    "Unreadable": "lease",
    "backup": "keep",
    "check": "keep",
    "compactify": "keep",
    "convert_site": "convert",
    "restore": "keep",
}

__all__ = [
    "Array",
    "Asyncable",
    "DeadLetter",
    "Dict",
    "Directory",
    "File",
    "FileIO",
    "LeaseLostError",
    "Leased",
    "LifoQueue",
    "Namespace",
    "Object",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "PriorityQueue",
    "Queue",
    "Report",
    "SiteNotFoundError",
    "SiteNotSpecifiedError",
    "StoragePathError",
    "Task",
    "Timer",
    "TransactionError",
    "Unreadable",
    "asyncable",
    "backup",
    "bind_symbol",
    "bind_symbols",
    "check",
    "checkenv",
    "compactify",
    "convert_site",
    "create_string_digest",
    "directories",
    "disable_tasks",
    "enable_tasks",
    "envexists",
    "get_concurrency",
    "get_default_site",
    "get_memory_size",
    "get_pagesize",
    "get_site_uuid",
    "getenv",
    "import_site",
    "log_to_syslog",
    "pidtable",
    "polling_loop",
    "restore",
    "set_concurrency",
    "set_default_site",
    "setenv",
    "snapshot",
    "stream",
    "syslog",
    "task",
    "tasks",
    "transaction",
    "wait",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_WHERE})
