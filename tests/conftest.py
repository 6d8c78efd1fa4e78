"""Support that every test may use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Script = Callable[..., subprocess.CompletedProcess[str]]


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
    import parkit
    from parkit import _native
    from parkit import site as sites

    monkeypatch.delenv("PARKIT_DEFAULT_SITE_PATH", raising=False)
    monkeypatch.setattr(sites, "_shared", None)
    monkeypatch.setattr(sites, "_thread", sites._ThreadDefault())
    before = set(sites._paths)
    path = str(tmp_path / "site")
    parkit.set_default_site(path, create=True, memory=True)
    yield path
    for uuid in set(sites._paths) - before:
        _native.call(_native.ctl.SiteClose, uuid)
        del sites._paths[uuid]
