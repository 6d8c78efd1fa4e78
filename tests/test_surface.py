"""What `import parkit` offers, and what it costs."""

from __future__ import annotations

import inspect
import os
from typing import Any

import pytest

import parkit
from conftest import Script

#: The names of tasks and of the pool; their examples are in tests of their own.
TASKS = {
    "Asyncable",
    "Task",
    "asyncable",
    "disable_tasks",
    "enable_tasks",
    "get_concurrency",
    "set_concurrency",
    "task",
    "tasks",
}

#: Every other name that is exported. One line each: later parts add theirs.
EXPORTED = {
    "Array",
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
    "Timer",
    "TransactionError",
    "Unreadable",
    "backup",
    "bind_symbol",
    "bind_symbols",
    "check",
    "checkenv",
    "compactify",
    "convert_site",
    "create_string_digest",
    "directories",
    "envexists",
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
    "set_default_site",
    "setenv",
    "snapshot",
    "stream",
    "syslog",
    "transaction",
    "wait",
}

#: The original's constructors and functions, as scripts call them: (name, positional only, keywords).
SIGNATURES: dict[str, tuple[int, set[str]]] = {
    "Object": (1, {"metadata", "site_uuid", "create", "bind", "on_init"}),
    "Array": (1, {"maxsize", "metadata", "site_uuid", "create", "bind", "on_init"}),
    "Queue": (1, {"maxsize", "metadata", "site_uuid", "create", "bind", "on_init"}),
    "LifoQueue": (1, {"maxsize", "metadata", "site_uuid", "create", "bind", "on_init"}),
    "Dict": (1, {"metadata", "site_uuid", "create", "bind", "on_init"}),
    "Namespace": (1, {"create", "site_uuid", "include_hidden"}),
    "Directory": (1, {"create", "site_uuid", "include_hidden"}),
    "directories": (1, {"site_uuid", "include_hidden"}),
    "set_default_site": (1, {"create", "overwrite_thread_local"}),
    "import_site": (1, {"create"}),
    "get_site_uuid": (1, {"create"}),
    "get_default_site": (0, set()),
    "stream": (1, {"batch"}),
    "transaction": (1, {"site_uuid"}),
    "snapshot": (1, {"site_uuid"}),
    "bind_symbol": (2, {"overwrite", "site_uuid"}),
    "bind_symbols": (1, {"overwrite", "site_uuid", "recursive"}),
}


def test_the_exported_names() -> None:
    assert set(parkit.__all__) == EXPORTED | TASKS
    assert sorted(parkit.__all__) == sorted(set(parkit.__all__))
    for name in parkit.__all__:
        assert hasattr(parkit, name)


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_the_originals_signatures(name: str) -> None:
    positional, keywords = SIGNATURES[name]
    parameters = inspect.signature(getattr(parkit, name)).parameters.values()
    assert sum(p.kind is p.POSITIONAL_ONLY for p in parameters) == positional
    assert keywords <= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_everything_that_is_exported_is_documented() -> None:
    """With an example where it does something; tests/test_doctests.py runs the examples."""
    for name in EXPORTED:
        thing = getattr(parkit, name)
        assert inspect.getdoc(thing), name
        if not (isinstance(thing, type) and issubclass(thing, BaseException)) and name != "Directory":
            assert ">>>" in inspect.getdoc(thing), name  # type: ignore[operator]
    for kind in (parkit.Object, parkit.Array, parkit.Dict, parkit.Queue, parkit.PriorityQueue, parkit.Namespace):
        for name, member in inspect.getmembers(kind, lambda m: inspect.isfunction(m) or isinstance(m, property)):
            if not name.startswith("_"):
                assert inspect.getdoc(member), f"{kind.__name__}.{name}"


def test_importing_loads_nothing_that_is_heavy(script: Script) -> None:
    script("""
import sys
before = set(sys.modules)
import parkit
heavy = {'asyncio', 'parkit.aio', 'uuid', 'logging', 'multiprocessing', 'subprocess', 'cloudpickle', 'datetime',
         'inspect', 'dataclasses', 'decimal', 'socket', 'tempfile', 'html', 'concurrent.futures', 'numpy'}
assert not heavy & (set(sys.modules) - before), heavy & (set(sys.modules) - before)
""")


def test_submodules_are_there_when_they_are_asked_for(script: Script) -> None:
    script("""
import sys
import parkit
assert 'aio' in dir(parkit)
parkit.aio.wait, parkit.convert.convert_site, parkit.errors.WaitTimeout, parkit.profile, parkit.demo, parkit.cli
assert parkit.aio is sys.modules['parkit.aio']
try:
    parkit.nothing
except AttributeError as error:
    assert "'parkit' has no attribute 'nothing'" in str(error), error
else:
    raise AssertionError
""")


def test_importing_prints_and_writes_nothing(script: Script, tmp_path: Any) -> None:
    done = script(f"import os; os.chdir({str(tmp_path)!r}); import parkit", PYTHONDONTWRITEBYTECODE="1")
    assert done.stdout == done.stderr == ""
    assert os.listdir(tmp_path) == []


def test_types_are_shipped() -> None:
    assert os.path.exists(os.path.join(os.path.dirname(parkit.__file__), "py.typed"))
