"""Support that every test may use."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from converting import convert, module  # noqa: F401 (fixtures)

Script = Callable[..., subprocess.CompletedProcess[str]]


# Where the machine-wide site of the tests and of their children is: they leave the user's alone. Set before
# anything is collected, as pytest asks what it finds in modules for attributes, which opens persistent objects.
_machine = tempfile.TemporaryDirectory(prefix="parkit-tests-")
os.environ["PARKIT_GLOBAL_SITE_STORAGE_PATH"] = os.path.join(_machine.name, "site")
os.environ.pop("PARKIT_SYSLOG", None)


@pytest.fixture
def machine_site() -> str:
    """The path of the machine-wide site."""
    return os.environ["PARKIT_GLOBAL_SITE_STORAGE_PATH"]


@pytest.fixture
def script() -> Script:
    """Run Python source in a process of its own: what a test does there cannot harm the others.

    The run fails the test if it ends with another code than ``code`` or hangs.
    """

    def run(
        source: str, *args: str, code: int = 0, timeout: float = 60, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", source, *args],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The path of a new site, the default of every thread until the test ends; memory, so that it is fast."""
    yield from _new_site(tmp_path, monkeypatch, memory=True)


@pytest.fixture
def durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """As ``site``, of namespaces that are flushed and whose files are as long as their content."""
    yield from _new_site(tmp_path, monkeypatch, memory=False)


def _new_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, memory: bool) -> Iterator[str]:
    import parkit
    from parkit import _native
    from parkit import site as sites

    monkeypatch.delenv("PARKIT_DEFAULT_SITE_PATH", raising=False)
    monkeypatch.setattr(sites, "_shared", None)
    monkeypatch.setattr(sites, "_thread", sites._ThreadDefault())
    before = set(sites._paths)
    path = str(tmp_path / "site")
    parkit.set_default_site(path, create=True, memory=memory)
    yield path
    for uuid in set(sites._paths) - before:
        _native.call(_native.ctl.SiteClose, uuid)
        del sites._paths[uuid]


def processes_of(path: str) -> list[str]:
    """The command lines of the processes, of whomever, that name the path."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = entry.read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if os.fsencode(path) in arguments:
            found.append(b" ".join(arguments).decode(errors="replace"))
    return found


@pytest.fixture
def pool(site: str) -> Iterator[str]:
    """The same site, with two workers; afterwards no process of the pool may be left."""
    import parkit

    parkit.set_concurrency(2)
    parkit.enable_tasks()
    yield site
    parkit.disable_tasks()
    assert processes_of(site) == []


def all_workers_are_ready(workers: int) -> None:
    """Wait until so many are: one that was started, and is not known yet, ends only when it finds no monitor."""
    from parkit.pool import pool_status

    end = time.monotonic() + 30
    while sum(worker["alive"] for worker in pool_status()["workers"]) < workers:
        assert time.monotonic() < end, "the workers did not come up"
        os.sched_yield()


def kill(pid: int, how: int = signal.SIGKILL) -> None:
    """Send a signal to a process, and wait until it has ended."""
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, how)
        assert select.select([process], [], [], 30)[0], f"process {pid} did not end"
    finally:
        os.close(process)
