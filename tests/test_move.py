"""Renaming, copying and moving objects."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Array, Dict, Directory, LifoQueue, Namespace, Object, PriorityQueue, Queue

pytestmark = pytest.mark.usefixtures("site")


class Ranked(PriorityQueue[Any]):
    """Of a module that other processes can import."""


class Shelf(Dict[Any, Any]):
    """With attributes of its own."""

    def note(self) -> str:
        return f"{self.colour} {self.__owner}"

    def own(self, owner: str) -> None:
        self.__owner = owner


def filled(place: str) -> dict[str, Any]:
    """One object of each kind, and what each holds."""
    shelf: Any = Shelf(f"{place}/shelf", create=True, metadata={"unit": "m"})
    shelf.update({None: 0, 1: "one", 2.5: b"x", "long " * 200: "long", (True, "y" * 600): [1, 2], "big": "z" * 100_000})
    shelf.colour = "red"
    shelf.own("me")
    array = Array(f"{place}/array", maxsize=50, create=True)
    array.extend(range(70))
    for kind, name in (Queue, "queue"), (LifoQueue, "lifo"), (Ranked, "ranked"):
        queue: Any = kind(f"{place}/{name}", maxsize=40, create=True)
        for i in range(30):
            queue.put((-i % 7, i))
        queue.get()
    plain: Any = Object(f"{place}/plain", create=True)
    plain.raw_binary = b"raw"
    return {
        "shelf": dict(shelf),
        "array": list(range(20, 70)),
        **{name: order(place, name) for name in ("queue", "lifo", "ranked")},
    }


def order(place: str, name: str) -> list[Any]:
    """What a queue would give, without taking it."""
    queue = Namespace(place)[name]
    with pytest.raises(ZeroDivisionError), parkit.transaction(place):  # undone
        items = [queue.get(block=False) for _ in range(len(queue))]
        raise ZeroDivisionError
    return items


def holds(place: str, suffix: str, contents: dict[str, Any]) -> None:
    shelf = Namespace(place)["shelf" + suffix]
    assert type(shelf) is Shelf
    assert dict(shelf) == contents["shelf"]
    assert len(shelf) == len(contents["shelf"])
    assert shelf.note() == "red me"
    assert shelf.metadata == {"unit": "m"}
    array = Array(f"{place}/array{suffix}")
    assert list(array) == contents["array"]
    assert array.maxsize == 50
    for name in "queue", "lifo", "ranked":
        queue = Namespace(place)[name + suffix]
        assert len(queue) == 29
        assert queue.maxsize == 40
        assert order(place, name + suffix) == contents[name]
    assert bytes(Object(f"{place}/plain{suffix}").raw_binary) == b"raw"  # type: ignore[attr-defined]
    assert parkit.check(place).problems == []


NAMES = ["shelf", "array", "queue", "lifo", "ranked", "plain"]


# ---- Copying ----


@pytest.mark.parametrize("target", ["here", "there/deep", "memory/there"])
def test_a_copy_has_all_that_the_object_has_and_is_another(target: str) -> None:
    contents = filled("here")
    for name in NAMES:
        Namespace("here").copy(name, f"{target}/{name} copy")
        original, copy = Namespace("here")[name], Namespace(target)[f"{name} copy"]
        assert copy != original
        assert copy.uuid != original.uuid
        assert copy.version == 0
        assert copy.descriptor["created"] >= original.descriptor["created"]
    holds(target, " copy", contents)
    holds("here", "", contents)
    Shelf(f"{target}/shelf copy")["more"] = 1
    Array(f"{target}/array copy").append(70)
    assert "more" not in Shelf("here/shelf")
    assert len(Array("here/array")) == 50
    assert Array(f"{target}/array copy")[-1] == 70


def test_a_copy_to_another_site(tmp_path: Path) -> None:
    contents = filled("here")
    other = parkit.import_site(tmp_path / "other", create=True)
    for name in NAMES:
        Directory("here").copy(name, f"far/{name}", site_uuid=other)
        parkit.Namespace("here").move(name, f"far/{name} moved", site_uuid=other)
    assert list(Namespace("here").names()) == []
    parkit.set_default_site(tmp_path / "other")
    holds("far", "", contents)
    holds("far", " moved", contents)


def test_what_cannot_be_copied() -> None:
    filled("here")
    here = Namespace("here")
    for call in here.copy, here.move:
        with pytest.raises(parkit.ObjectNotFoundError, match="here/none"):
            call("none", "new/x")
        with pytest.raises(parkit.ObjectExistsError, match="here/array"):
            call("shelf", "here/array")
        for path in "", "memory", "a b/c":
            with pytest.raises(ValueError):  # noqa: PT011
                call("shelf", path)
        with pytest.raises(TypeError):
            call(1, "new/x")  # type: ignore[arg-type]
        with pytest.raises(parkit.SiteNotFoundError):
            call("shelf", "new/x", site_uuid="none")
        with pytest.raises(parkit.ObjectNotFoundError):
            call("", "new/x")
    with pytest.raises(ValueError, match="of the object itself"):
        here.copy("shelf", "here/shelf", overwrite=True)
    assert [place.path for place in parkit.directories()] == ["here"]
    assert sorted(here.names()) == sorted(NAMES)


def test_overwriting() -> None:
    contents = filled("here")
    old = Dict("there/shelf", create=True)
    Namespace("here").copy("shelf", "there/shelf", overwrite=True)
    assert not old.exists
    assert dict(Shelf("there/shelf")) == contents["shelf"]
    uuid = Shelf("here/shelf").uuid
    Namespace("here").move("shelf", "there/shelf", overwrite=True)
    assert Shelf("there/shelf").uuid == uuid
    assert "shelf" not in Namespace("here")
    Namespace("there").rename("shelf", "only")
    Namespace("here").rename("array", "queue", overwrite=True)
    assert list(Array("here/queue")) == contents["array"]
    assert "array" not in Namespace("here")
    assert parkit.check().problems == []


def test_a_copy_is_part_of_a_transaction_that_is_open() -> None:
    filled("here")
    with pytest.raises(ZeroDivisionError), parkit.transaction("here"):
        Shelf("here/shelf")["new"] = 1
        Namespace("here").copy("shelf", "here/copy")
        assert Shelf("here/copy")["new"] == 1
        Namespace("here").rename("array", "renamed")
        raise ZeroDivisionError
    assert sorted(Namespace("here").names()) == sorted(NAMES)
    with parkit.snapshot("here"):
        frozen = len(Shelf("here/shelf"))
        thread = threading.Thread(target=Shelf("here/shelf").clear)
        thread.start()
        thread.join()
        Namespace("here").copy("shelf", "there/copy")
    assert len(Shelf("there/copy")) == frozen > 0
    assert len(Shelf("here/shelf")) == 0


def test_a_large_object_is_copied_in_batches(tmp_path: Path) -> None:
    big: Any = Dict("here/big", create=True)
    value = bytes(300_000)
    big.update(dict.fromkeys(range(64), value))  # more than a batch, many times
    big.update({f"small {i}": i for i in range(5000)})
    for path in "here/copy", "there/copy":
        Namespace("here").copy("big", path)
        copy: Any = Dict(path)
        assert len(copy) == 5064
        assert copy[63] == value
        assert copy["small 4999"] == 4999
    assert parkit.check().problems == []


@pytest.mark.parametrize("kind", [Queue, LifoQueue, PriorityQueue])
@pytest.mark.parametrize("target", ["here", "there"])
def test_items_that_are_leased_are_items_of_the_copy(kind: Any, target: str) -> None:
    jobs: Any = kind("here/jobs", create=True)
    for i in range(4):
        jobs.put(i)
    leased = jobs.get(lease=60)
    dead = jobs.get(lease=60)
    dead.reject()
    Namespace("here").copy("jobs", f"{target}/copy")
    copy: Any = kind(f"{target}/copy")
    assert len(jobs) == 2
    assert len(copy) == 3
    assert leased.item in [copy.get() for _ in range(3)]
    assert [letter.item for letter in copy.dead_letters()] == [dead.item]
    leased.ack()  # it is the original's still
    assert parkit.check().problems == []


def test_a_cache_keeps_its_limit_and_its_ends(tmp_path: Path) -> None:
    cache: Any = Dict("here/cache", create=True, max_entries=5)
    for i in range(5):
        cache.set(i, i, expire=3600)
    Namespace("here").copy("cache", "there/cache")
    copy: Any = Dict("there/cache")
    copy[5] = 5
    assert len(copy) == 5
    assert len(cache) == 5
    assert parkit.check().problems == []


# ---- Renaming ----


def test_handles_and_references_follow_a_renamed_object(script: Script, site: str) -> None:
    shelf: Any = Dict("here/shelf", create=True)
    shelf["k"] = 1
    reference = pickle.dumps(shelf)
    holder: Any = Dict("elsewhere/holder", create=True)
    holder["shelf"] = shelf
    Namespace("here").rename("shelf", "rack")
    shelf["l"] = 2
    assert dict(Dict("here/rack")) == {"k": 1, "l": 2}
    assert Dict("here/rack") == shelf
    Dict("here/shelf", create=True)["other"] = 1  # takes the old name
    for found in pickle.loads(reference), holder["shelf"]:
        assert dict(found) == {"k": 1, "l": 2}
        assert found.exists
        assert found.name == "rack"  # after its first use
    script(
        """
import sys, pickle, parkit
parkit.set_default_site(sys.argv[1])
found = pickle.loads(bytes.fromhex(sys.argv[2]))
assert dict(found) == {'k': 1, 'l': 2}
""",
        site,
        reference.hex(),
    )
    with pytest.raises(parkit.ObjectExistsError):
        Namespace("here").rename("rack", "shelf")
    with pytest.raises(parkit.ObjectNotFoundError):
        Namespace("here").rename("none", "x")
    with pytest.raises(ValueError, match="name of an object"):
        Namespace("here").rename("rack", "a/b")
    Namespace("here").rename("rack", "rack")
    shelf.drop()
    with pytest.raises(parkit.ObjectNotFoundError):
        len(pickle.loads(reference))


def test_a_process_that_has_it_open_goes_on_using_a_renamed_object(script: Script, site: str) -> None:
    script(
        """
import os, subprocess, sys
import parkit
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('here/d', create=True)
d['a'] = 1
subprocess.run([sys.executable, '-c', '''
import sys, parkit
parkit.set_default_site(sys.argv[1])
parkit.Namespace('here').rename('d', 'e')
parkit.Dict('here/d', create=True)
''', sys.argv[1]], check=True)
d['b'] = 2
assert dict(d) == {'a': 1, 'b': 2}
assert d.exists and d.version > 0
child = os.fork()
if child == 0:
    ok = dict(d) == {'a': 1, 'b': 2} and d.name == 'e'
    os._exit(0 if ok else 1)
assert os.waitpid(child, 0)[1] == 0
""",
        site,
    )


# ---- Moving ----


def test_a_moved_object_is_the_same_at_another_place() -> None:
    contents = filled("here")
    for name in NAMES:
        before = Namespace("here")[name]
        uuid, version = before.uuid, before.version
        Namespace("here").move(name, f"there/{name}")
        after = Namespace("there")[name]
        assert (after.uuid, after == before) == (uuid, True)
        assert after.version >= version
        with pytest.raises(parkit.ObjectNotFoundError):
            before.version  # noqa: B018
        assert not before.exists
    holds("there", "", contents)
    assert list(Namespace("here").names()) == []


def test_a_move_is_refused_where_it_might_be_undone() -> None:
    filled("here")
    Namespace("there", create=True)
    for scope in parkit.transaction, parkit.snapshot:
        with scope("there"), pytest.raises(parkit.TransactionError, match="stored for good"):
            Namespace("here").move("shelf", "there/shelf")
    assert "shelf" in Namespace("here")
    assert "shelf" not in Namespace("there")
    with pytest.raises(ZeroDivisionError), parkit.transaction("here"):
        Namespace("here").move("shelf", "there/shelf")
        raise ZeroDivisionError
    assert "shelf" in Namespace("here")
    assert "shelf" in Namespace("there")


def test_moves_in_opposite_directions_come_to_an_end() -> None:
    for place in "here", "there":
        for i in range(5):
            Dict(f"{place}/{place} {i}", create=True)["from"] = place
    failures: list[BaseException] = []

    def move(source: str, target: str) -> None:
        try:
            for i in range(5):
                Namespace(source).move(f"{source} {i}", f"{target}/{source} {i}")
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=move, args=pair) for pair in (("here", "there"), ("there", "here"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(Namespace("here").names()) == [f"there {i}" for i in range(5)]
    assert sorted(Namespace("there").names()) == [f"here {i}" for i in range(5)]


def test_what_others_write_while_an_object_is_moved_is_not_lost() -> None:
    counter: Any = Dict("here/counter", create=True)
    counter["n"] = 0
    written = [0, 0]
    started = threading.Barrier(3)

    def count(which: int) -> None:
        mine: Any = Dict("here/counter")
        started.wait()
        while True:
            try:
                with parkit.transaction("here"):
                    mine["n"] += 1
                written[which] += 1
            except parkit.ObjectNotFoundError:
                return

    threads = [threading.Thread(target=count, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    started.wait()
    Namespace("here").move("counter", "there/counter")
    for thread in threads:
        thread.join()
    moved: Any = Dict("there/counter")
    assert moved["n"] == sum(written)


def test_a_crash_in_the_middle_of_a_move_leaves_a_copy(script: Script, site: str) -> None:
    filled("here")
    script(
        """
import os, sys
import parkit
from parkit import _native
parkit.set_default_site(sys.argv[1])
_native.load()
whole = _native.call
def die(function, *args):
    if function is _native.ctl.ObjectDrop:
        os._exit(7)
    return whole(function, *args)
_native.call = die
parkit.Namespace('here').move('array', 'there/array')
""",
        site,
        code=7,
    )
    assert list(Array("here/array")) == list(Array("there/array")) == list(range(20, 70))
    assert parkit.check().problems == []
    Namespace("here").move("array", "there/array", overwrite=True)
    assert "array" not in Namespace("here")
