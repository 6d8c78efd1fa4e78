"""The examples in the documentation of the package."""

from __future__ import annotations

import doctest
import importlib
import os
import threading
from pathlib import Path

import pytest

import original_site
import parkit

#: The modules with examples for users. One line each: later parts add theirs.
MODULES = [
    "parkit.aio",
    "parkit.array",
    "parkit.convert",
    "parkit.dict",
    "parkit.environment",
    "parkit.keep",
    "parkit.namespace",
    "parkit.object",
    "parkit.pidtable",
    "parkit.profile",
    "parkit.queue",
    "parkit.report",
    "parkit.site",
    "parkit.stream",
    "parkit.symbols",
    "parkit.syslog",
    "parkit.transaction",
    "parkit.wait",
]


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path) -> None:
    module = importlib.import_module(name)
    names = {name: getattr(parkit, name) for name in parkit.__all__}
    names |= {"folder": str(tmp_path), "os": os, "threading": threading}
    names |= {name: value for name, value in vars(module).items() if name in getattr(module, "__all__", ())}
    if name == "parkit.convert":
        original_site.small_site().write(tmp_path / "original")
    examples = 0
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, globs=dict(names)):
        test.globs = dict(names)  # of its own: an example may set globals
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
        assert result.failed == 0, f"{test.name}: see above"
        examples += result.attempted
    assert examples > 0
