"""Persistent shared objects, transactions and durable tasks."""

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
    ObjectExistsError,
    ObjectNotFoundError,
    SiteNotFoundError,
    SiteNotSpecifiedError,
    StoragePathError,
    TransactionError,
)
from .namespace import Directory, Namespace, directories
from .object import Object
from .site import get_default_site, get_site_uuid, import_site, set_default_site
from .symbols import bind_symbol, bind_symbols
from .transaction import snapshot, transaction
from .wait import wait

__version__ = "0.1.0"

__all__ = [
    "Dict",
    "Directory",
    "Namespace",
    "Object",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "SiteNotFoundError",
    "SiteNotSpecifiedError",
    "StoragePathError",
    "Timer",
    "TransactionError",
    "bind_symbol",
    "bind_symbols",
    "checkenv",
    "create_string_digest",
    "directories",
    "envexists",
    "get_default_site",
    "get_memory_size",
    "get_pagesize",
    "get_site_uuid",
    "getenv",
    "import_site",
    "polling_loop",
    "set_default_site",
    "setenv",
    "snapshot",
    "transaction",
    "wait",
]
