"""Support of the tests that convert sites of the original parkit."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import parkit
from original_site import OriginalSite
from parkit import _open, convert_site
from parkit.convert import Converted, Report

Convert = Callable[..., "Result"]


class Result:
    """A conversion, with its site open."""

    def __init__(self, report: Report, path: Path) -> None:
        self.report = report
        self.path = path
        self.uuid = parkit.import_site(str(path))

    def object(self, path: str) -> Converted:
        (found,) = (item for item in self.report.objects if item.path == path)
        return found

    def results(self) -> dict[str, str]:
        return {item.path: item.result for item in self.report.objects}


@pytest.fixture
def convert(site: str, tmp_path: Path) -> Iterator[Convert]:
    """Write a site of the original and convert it; the new one is the default."""
    assert site
    opened = []

    def run(original: OriginalSite, **keywords: Any) -> Result:
        old = original.write(tmp_path / f"old{len(opened)}")
        new = tmp_path / f"new{len(opened)}"
        result = Result(convert_site(old, new, **keywords), new)
        parkit.set_default_site(str(new))
        opened.append(result.uuid)
        return result

    yield run
    for uuid in opened:
        _open.close_site(uuid)


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    """A module that classes of a test can be imported from."""
    made = types.ModuleType("shop_of_test")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def in_module(module: types.ModuleType, cls: type[Any]) -> type[Any]:
    """Have a class that a test defines be one of the module."""
    cls.__module__, cls.__qualname__ = module.__name__, cls.__name__
    setattr(module, cls.__name__, cls)
    return cls
