"""Support that every test may use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

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
