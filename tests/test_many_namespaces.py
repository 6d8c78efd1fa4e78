"""More namespaces than a process may have open at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, _native, _open, snapshot, transaction

COUNT = 60
FEW = """
import resource, sys, os
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
import parkit
from parkit import cli
parkit.set_default_site(sys.argv[1])
first = len(os.listdir("/proc/self/fd"))
def descriptors():
    return len(os.listdir("/proc/self/fd")) - first
"""


@pytest.fixture
def many(site: str, script: Script) -> str:
    """A site of many namespaces, which this process has not open."""
    make = "for name in ('d', '__x__'): parkit.Dict(f'n{n:03}/{name}', create=True)['k'] = n"
    script(
        f"import sys, parkit; parkit.set_default_site(sys.argv[1])\nfor n in range({COUNT}):\n    {make}",
        site,
    )
    return site


@pytest.mark.parametrize(
    "work",
    [
        "assert sum(len(list(n)) for n in parkit.directories()) == 60",
        "assert all(n.sizes()['d'] > 0 and n.statistics().entries for n in parkit.directories())",
        "assert parkit.compactify().objects == 60",
        "assert parkit.check().namespaces == 60 and parkit.check(sys.argv[1], repair=True).ok",
        "assert parkit.backup(sys.argv[1] + '-copy', memory=True).namespaces == 60",
        "assert cli.main(['ls', '-l', sys.argv[1]]) == 0",
        "assert cli.main(['compactify', sys.argv[1]]) == 0",
    ],
)
def test_what_walks_over_all_namespaces_needs_no_descriptors_for_all(work: str, many: str, script: Script) -> None:
    again = work.replace("== 60", ">= 0").replace("-copy", "-again")
    script(f"{FEW}\n{work}\n{again}\nassert descriptors() <= 60, descriptors()", many)


def test_too_many_open_namespaces_are_told_with_what_to_do(many: str, script: Script) -> None:
    done = script(
        f"{FEW}\ntry:\n    held = [parkit.Dict(f'n{{n:03}}/d') for n in range(60)]\n"
        "except parkit.errors.StorageIOError as error:\n    print(error)\n"
        "else:\n    raise SystemExit('no error')",
        many,
    )
    assert "ulimit -n" in done.stdout


# ---- Who uses a namespace keeps it ----


def opened() -> set[str]:
    """The namespaces of the tests that this process has open."""
    links = [os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]
    paths = [os.readlink(link) for link in links if os.path.lexists(link)]
    found = {path.split("/ns/")[1].split("/@env")[0] for path in paths if path.endswith("@env/data.mdb")}
    return {name for name in found if not name.startswith("memory/")}  # those are of the machine's own site


def walk() -> None:
    for namespace in parkit.directories():
        assert len(list(namespace.names())) == 1


def test_what_is_used_stays_open(many: str) -> None:
    used: Dict[Any, Any] = Dict("n001/d")
    walk()
    assert "n001" in opened()
    assert len(opened()) <= 10
    walk()
    places = {
        "object": lambda: next(iter(parkit.Namespace("n002")))["k"],
        "of a directory": lambda: next(o for n in parkit.directories("") if n.path == "n003" for o in n)["k"],
    }
    assert [read() for read in places.values()] == [2, 3]
    walk()
    assert {"n001", "n002", "n003"} <= opened()
    assert used["k"] == 1


@pytest.mark.parametrize("scope", [snapshot, transaction])
def test_a_scope_and_an_iteration_survive_a_walk(scope: Callable[..., Any], many: str) -> None:
    found = next(n for n in parkit.directories() if n.path == "n005")
    with scope(found):
        walk()
        assert Dict("n005/d")["k"] == 5
    objects = [thing for n in parkit.directories() for thing in n if n.path == "n006"]
    iterator = iter(objects[0])
    walk()
    assert list(iterator) == ["k"]


def test_objects_of_a_walk_can_be_used_after_it(many: str) -> None:
    objects = [thing for n in parkit.directories() for thing in n]
    walk()
    assert [thing["k"] for thing in objects] == list(range(COUNT))
    for thing in objects:
        thing["k"] = 0
    assert parkit.check().ok


def test_a_namespace_that_was_let_go_of_has_its_number_again(many: str) -> None:
    uuid = parkit.get_site_uuid(many)
    number = _open.open_space(uuid, "n007", passing=True)[0]
    handle = _open.find_object(uuid, "n007", "d").handle
    for _ in range(3):
        _open._spaces.pop((uuid, "n007"))
        assert json.loads(_native.call(_native.ctl.SpaceLetGo, json.dumps({"site": uuid, "namespace": "n007"})))
        with pytest.raises(parkit.errors.StaleHandleError):
            _native.call(_native.ctl.SpaceStats, number)
        assert _open.open_space(uuid, "n007", passing=True)[0] == number
        assert _open.find_object(uuid, "n007", "d").handle != handle
        assert Dict("n007/d")["k"] == 7
