"""Snapshots: a frozen view of one namespace."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, Namespace, snapshot, transaction

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def d() -> Dict[Any, Any]:
    d = Dict("d", create=True)
    d["x"] = 1
    return d


def test_it_sees_one_moment(d: Dict[Any, Any], site: str, script: Script) -> None:
    with snapshot(d):
        script("import parkit, sys; parkit.set_default_site(sys.argv[1]); parkit.Dict('d').update(x=2, y=3)", site)
        assert d == {"x": 1}
        assert (len(d), d.version) == (1, 1)
        assert list(d.items()) == [("x", 1)]
    assert d == {"x": 2, "y": 3}


def test_writes_in_it_go_through_and_are_not_seen(d: Dict[Any, Any]) -> None:
    with pytest.raises(KeyError), snapshot(d):
        d["x"] = 2
        d.colour = "red"
        assert d == {"x": 1}
        assert d.attributes == []
        raise KeyError
    assert d == {"x": 2}
    assert d.colour == "red"


def test_a_transaction_in_it_is_a_new_one(d: Dict[Any, Any]) -> None:
    with snapshot(d):
        d["x"] = 2
        with transaction(d):
            assert d["x"] == 2
            d["x"] += 1
        assert d["x"] == 1
        with pytest.raises(KeyError), transaction(d):
            d["x"] = 9
            raise KeyError
    assert d["x"] == 3


def test_in_a_transaction_it_sees_what_that_wrote(d: Dict[Any, Any]) -> None:
    with transaction(d):
        d["x"] = 2
        with snapshot(d):
            assert d["x"] == 2
            d["x"] = 3
            assert d["x"] == 3
    assert d["x"] == 3


def test_in_another_snapshot_it_is_part_of_that(d: Dict[Any, Any]) -> None:
    with snapshot(d):
        d["x"] = 2
        with snapshot(d):
            assert d["x"] == 1
        assert d["x"] == 1
    assert d["x"] == 2


def test_it_is_of_its_thread_and_namespace(d: Dict[Any, Any]) -> None:
    other = Dict("other/d", create=True)
    seen: list[Any] = []
    with snapshot(d):
        d["x"] = 2
        other["x"] = 2
        thread = threading.Thread(target=lambda: seen.append(d["x"]))
        thread.start()
        thread.join()
        assert other["x"] == 2
    assert seen == [2]


def test_what_it_can_be_opened_on(d: Dict[Any, Any]) -> None:
    for target in (d, "default", Namespace(), None):
        with snapshot(target):
            old = d["x"]
            d["x"] += 1
            assert d["x"] == old
    with snapshot():
        pass


def test_a_namespace_that_is_not_there() -> None:
    with pytest.raises(parkit.StoragePathError), snapshot("nowhere"):
        raise AssertionError
    assert [place.path for place in parkit.directories()] == []


def test_objects_made_after_it_began(d: Dict[Any, Any]) -> None:
    with snapshot(d):
        made = Dict("late", create=True)
        assert not made.exists
        assert "late" not in Namespace()
        with pytest.raises(parkit.ObjectNotFoundError):
            len(made)
        d.drop()
        assert d.exists
        assert d == {"x": 1}
    assert made == {}
    assert not d.exists


def test_as_a_decorator(d: Dict[Any, Any]) -> None:
    @snapshot(d)
    def look() -> Any:
        d["x"] = 7
        return d["x"]

    assert look() == 1
    assert look() == 7


def test_a_child_has_a_snapshot_of_its_own(site: str, script: Script) -> None:
    script(
        """
import os, parkit, sys
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('d', create=True)
with parkit.snapshot(d):
    d['x'] = 1
    assert d == {}
    pid = os.fork()
    if pid == 0:
        ok = d == {'x': 1}
if pid == 0:
    os._exit(0 if ok else 1)
assert os.waitpid(pid, 0)[1] == 0
""",
        site,
    )
