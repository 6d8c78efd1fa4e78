"""Changing a value of a Dict in place."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Script
from parkit import Dict

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def d() -> Dict[Any, Any]:
    return Dict("d", create=True)


# ---- Edit ----


def test_editing_stores_what_was_changed_in_place(d: Dict[Any, Any]) -> None:
    d["x"] = {"n": [1]}
    with d.edit("x") as value:
        value["n"].append(2)
        assert d["x"] == {"n": [1]}
    assert d["x"] == {"n": [1, 2]}


def test_editing_what_is_not_there(d: Dict[Any, Any]) -> None:
    with pytest.raises(KeyError, match="x"), d.edit("x"):
        raise AssertionError
    with d.edit("x", default=[]) as value:
        value.append(1)
    with d.edit("y", []):
        pass
    assert d == {"x": [1], "y": []}
    with d.edit("z", None) as value:
        assert value is None
    assert d["z"] is None


def test_what_was_not_changed_is_not_written(d: Dict[Any, Any]) -> None:
    d["x"] = {"n": [1, "a", (2.5, None)], "m": {1, 2}}
    version = d.version
    with d.edit("x") as value:
        value["n"].append(0)
        value["n"].pop()
    assert d.version == version


def test_an_exception_undoes_an_edit_and_all_in_it(d: Dict[Any, Any]) -> None:
    d["x"] = [1]
    with pytest.raises(ZeroDivisionError), d.edit("x") as value:
        value.append(2)
        d["y"] = 1
        _ = 1 / 0
    assert d == {"x": [1]}


def test_an_edit_that_cannot_be_pickled_undoes_all_in_it(d: Dict[Any, Any]) -> None:
    d["x"] = [1]
    with pytest.raises(TypeError, match="generator"), d.edit("x") as value:
        d["y"] = 1
        value.append(n for n in ())
    assert d == {"x": [1]}


def test_edits_of_several_processes_lose_nothing(site: str, script: Script, d: Dict[Any, Any]) -> None:
    script(
        """
import multiprocessing, parkit, sys
def add(site, who):
    parkit.set_default_site(site)
    d = parkit.Dict('d')
    for n in range(50):
        with d.edit('list', default=[]) as values:
            values.append((who, n))
if __name__ == '__main__':
    context = multiprocessing.get_context('fork')
    workers = [context.Process(target=add, args=(sys.argv[1], who)) for who in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
""",
        site,
        timeout=100,
    )
    values = d["list"]
    assert sorted(values) == [(who, n) for who in range(4) for n in range(50)]
    for who in range(4):
        assert [n for name, n in values if name == who] == list(range(50))
