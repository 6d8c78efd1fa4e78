"""What every persistent object has: making, binding, properties, dropping."""

from __future__ import annotations

import re
import sys
import threading
import uuid
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, Object, errors

pytestmark = pytest.mark.usefixtures("site")

KINDS = [Object, Dict]


class Derived(Dict[Any, Any]):
    """Of a module that other processes can import."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


# ---- Making and binding ----


def test_binding_what_is_not_there(kind: Any) -> None:
    Object("shop/other", create=True)
    with pytest.raises(parkit.ObjectNotFoundError, match="shop/prices") as caught:
        kind("shop/prices")
    assert not isinstance(caught.value, parkit.StoragePathError)


@pytest.mark.parametrize("error", [parkit.ObjectNotFoundError, parkit.StoragePathError])
def test_binding_in_a_namespace_that_is_not_there(kind: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="nowhere"):
        kind("nowhere/x")
    assert list(parkit.directories()) == []


def test_creating_binds_what_is_there(kind: Any) -> None:
    first = kind("a", create=True)
    assert kind("a", create=True) == first == kind("a")


def test_flags_may_be_anything_that_is_true_or_false(kind: Any, tmp_path: Any) -> None:
    parkit.import_site(tmp_path / "other", create=1, memory="yes")  # type: ignore[arg-type]
    assert kind("a", create=1, bind=[1]) == kind("a", create=None, bind="yes")
    assert parkit.Namespace("b", create="yes", include_hidden=1).path == "b"  # type: ignore[arg-type]


def test_creating_only(kind: Any) -> None:
    kind("a", create=True, bind=False)
    with pytest.raises(parkit.ObjectExistsError, match="default/a"):
        kind("a", create=True, bind=False)


def test_neither_creating_nor_binding(kind: Any) -> None:
    with pytest.raises(ValueError, match="neither"):
        kind("a", create=False, bind=False)
    for path in None, "memory":  # those without a name are always created
        assert kind(path, create=False, bind=False).exists


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        ("c", "default", "c"),
        ("a/b/c", "a/b", "c"),
        ("/a//b/c/", "a/b", "c"),
        ("memory/x", "memory", "x"),
        ("memory/x/y", "memory/x", "y"),
        ("a/name with spaces, ünïcode\n and a NUL\0", "a", "name with spaces, ünïcode\n and a NUL\0"),
        ("__hidden__", "default", "__hidden__"),
    ],
)
def test_paths(kind: Any, path: str, namespace: str, name: str) -> None:
    made = kind(path, create=True)
    for obj in made, kind(path), parkit.Namespace(namespace, include_hidden=True)[name]:
        assert (obj.namespace, obj.name, obj.path) == (namespace, name, f"{namespace}/{name}")
        assert obj == made
    assert list(parkit.Namespace(namespace, include_hidden=True).names()) == [name]


@pytest.mark.parametrize(
    "path", ["a b/c", "ä/c", "./c", "../c", "a/../c", "x" * 256, "a\0/c", "\udcff", "\udcff/a", "a/\udcff"]
)
def test_texts_that_cannot_be_a_path(kind: Any, path: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        kind(path, create=True)


@pytest.mark.parametrize("path", [b"a", 1, ("a",)])
def test_what_is_no_path(kind: Any, path: Any) -> None:
    with pytest.raises(TypeError):
        kind(path, create=True)


@pytest.mark.parametrize("path", ["", "/", "//"])
def test_an_empty_path_is_a_mistake_and_no_anonymous_object(kind: Any, path: str) -> None:
    with pytest.raises(errors.InvalidPathError, match="None is for an anonymous object"):
        kind(path, create=True)


@pytest.mark.parametrize(("path", "namespace"), [(None, "default"), ("memory", "memory")])
def test_anonymous_objects_are_always_created(kind: Any, path: str | None, namespace: str) -> None:
    first, second = kind(path), kind(path, create=True)
    assert first != second
    assert first.namespace == namespace
    assert re.fullmatch(r"__[0-9a-f-]{36}__", first.name)
    assert kind(first.path) == first
    assert list(parkit.Namespace(namespace).names()) == []


def test_arguments_are_keywords(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind("a", {})
    with pytest.raises(TypeError):
        kind(path="a")


# ---- on_init ----


def test_on_init_is_told_whether_the_object_was_created(kind: Any) -> None:
    told: list[bool] = []
    kind("a", create=True, on_init=told.append)
    kind("a", create=True, on_init=told.append)
    kind("a", on_init=told.append)
    kind(None, on_init=told.append)
    assert told == [True, False, False, True]


def test_on_init_runs_in_the_transaction_that_creates() -> None:
    def fill(created: bool) -> None:
        Dict("a")["filled"] = created
        raise KeyError("no")

    with pytest.raises(KeyError):
        Dict("a", create=True, on_init=fill)
    with pytest.raises(parkit.ObjectNotFoundError):
        Dict("a")


def test_on_init_sees_the_object_and_others_see_it_filled(site: str, script: Script) -> None:
    seen: list[Any] = []

    class Filled(Dict[str, int]):
        def __init__(self, path: str) -> None:
            super().__init__(path, create=True, on_init=self.fill)

        def fill(self, created: bool) -> None:
            self["x"] = 1
            self.colour = "red"
            other = threading.Thread(target=lambda: seen.append("a" in parkit.Namespace()))
            other.start()
            other.join()

    filled = Filled("a")
    assert seen == [False]
    assert (filled["x"], filled.colour, filled.version) == (1, "red", 0)


def test_what_a_failed_bind_wrote_is_undone() -> None:
    made = Dict("a", create=True)

    def spoil(created: bool) -> None:
        made["spoiled"] = True
        raise KeyError("no")

    with pytest.raises(KeyError):
        Dict("a", on_init=spoil)
    assert made == {}


# ---- Classes ----


def test_binding_with_the_stored_class_or_a_base() -> None:
    Derived("a", create=True)
    for kind in Derived, Dict, Object:
        assert type(kind("a")) is kind


def test_binding_with_another_class() -> None:
    Dict("d", create=True)
    Object("o", create=True)
    for kind, path in (Derived, "d"), (Dict, "o"), (Derived, "o"):
        with pytest.raises(TypeError, match=f"default/{path} is of the class parkit") as caught:
            kind(path)
        assert isinstance(caught.value, errors.ParkitError)
        with pytest.raises(TypeError):
            kind(path, create=True)


def test_a_failed_bind_with_another_class_changes_nothing() -> None:
    made = Dict("d", create=True)
    with pytest.raises(TypeError):
        Derived("d", on_init=lambda created: made.update(x=1))
    assert made == {}


def test_a_class_of_a_script_is_known_by_the_name_of_its_module(site: str, script: Script, tmp_path: Any) -> None:
    (tmp_path / "shapes.py").write_text(
        "import parkit, sys\n"
        "class Shape(parkit.Dict): pass\n"
        "if __name__ == '__main__':\n"
        "    parkit.set_default_site(sys.argv[1])\n"
        "    Shape('round', create=True)['r'] = 1\n"
        "    assert type(parkit.Directory()['round']) is Shape\n"
    )
    script(
        "import runpy; runpy.run_module('shapes', run_name='__main__', alter_sys=True)", site, PYTHONPATH=str(tmp_path)
    )
    script(
        "import parkit, sys, shapes\nparkit.set_default_site(sys.argv[1])\n"
        "assert type(parkit.Directory()['round']) is shapes.Shape\n"
        "assert shapes.Shape('round') == {'r': 1}\n",
        site,
        PYTHONPATH=str(tmp_path),
    )


def test_a_class_of_main_is_found_in_main_only(site: str, script: Script) -> None:
    script(
        "import parkit, sys\nparkit.set_default_site(sys.argv[1])\n"
        "class Shape(parkit.Dict): pass\n"
        "Shape('round', create=True)\n"
        "assert type(parkit.Directory()['round']) is Shape\n",
        site,
    )
    with pytest.raises(errors.ClassNotFoundError, match=r"__main__\.Shape"):
        parkit.Directory()["round"]
    assert Dict("round").descriptor["type"] == "__main__.Shape"


# ---- Properties ----


def test_the_site_is_told(kind: Any, site: str) -> None:
    obj = kind("a", create=True)
    assert (obj.storage_path, obj.site_uuid) == (site, parkit.get_site_uuid(site))


def test_the_descriptor() -> None:
    made = Derived("a", create=True, metadata={"x": 1})
    assert set(made.descriptor) == {"databases", "uuid", "versioned", "created", "type", "metadata"}
    assert made.descriptor["uuid"] == made.uuid
    assert made.descriptor["type"] == f"{__name__}.Derived"
    assert made.descriptor["metadata"] == {"x": 1}
    assert made.descriptor["databases"] == []
    assert made.descriptor["versioned"] is made.versioned is True
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", made.descriptor["created"])


def test_metadata_is_stored_when_it_is_assigned(kind: Any) -> None:
    obj = kind("a", create=True, metadata={"a": [1, None, "ü\0"]})
    assert kind("a").metadata == {"a": [1, None, "ü\0"]}
    obj.metadata["b"] = 2
    assert obj.metadata == {"a": [1, None, "ü\0"]}
    obj.metadata = {"b": 2}
    assert kind("a", metadata={"ignored": True}).metadata == {"b": 2}
    assert obj.version == 1


@pytest.mark.parametrize("metadata", [[1], "text", {"x": object()}, {"x": {1, 2}}])
def test_metadata_that_json_cannot_write(kind: Any, metadata: Any) -> None:
    with pytest.raises(TypeError):
        kind("a", create=True, metadata=metadata)
    with pytest.raises(parkit.ObjectNotFoundError):
        kind("a")
    obj = kind("a", create=True)
    with pytest.raises(TypeError):
        obj.metadata = metadata
    assert obj.metadata == {}


def test_metadata_by_default_is_empty(kind: Any) -> None:
    assert kind("a", create=True).metadata == {}
    assert kind("b", create=True, metadata=None).metadata == {}


def test_properties_cannot_be_set(kind: Any) -> None:
    obj = kind("a", create=True)
    for name in ("path", "name", "uuid", "version", "exists", "descriptor", "attributes"):
        with pytest.raises(AttributeError):
            setattr(obj, name, "x")
    assert obj.attributes == []


def test_debug_says_where_it_is_stored(kind: Any) -> None:
    obj = kind("shop/a", create=True)
    about = obj.debug
    assert about["namespace"] == "shop"
    assert about["encoded_name"] == b"a"
    assert about["uuid_bytes"] == uuid.UUID(obj.uuid).bytes
    assert about["env_stat"]["entries"] > 0
    with pytest.raises(AttributeError):
        obj.debug = True


def test_objects_whose_changes_are_not_counted() -> None:
    quiet = Object("a", create=True, versioned=False)
    quiet.x = 1
    assert (quiet.versioned, quiet.version, quiet.x) == (False, 0, 1)
    assert (Object("a").versioned, Object("b", create=True).versioned) == (False, True)


def test_to_create_is_no_change() -> None:
    def fill(created: bool) -> None:
        made[0].x = 1

    class Filled(Object):
        def __init__(self, path: str) -> None:
            made[:] = [self]
            super().__init__(path, create=True, on_init=fill)

    made: list[Any] = []
    assert Dict("a", create=True).version == 0
    filled = Filled("b")
    assert (filled.version, filled.x) == (0, 1)
    Filled("b")  # bound, and changed
    assert filled.version == 1


def test_the_version_counts_commits() -> None:
    d = Dict("a", create=True)
    before = d.version
    d["x"] = 1
    d["y"] = 2
    assert d.version == before + 2
    with parkit.transaction(d):
        d["x"] = 3
        d.z = 4
        assert d.version == before + 2
    assert d.version == before + 3
    assert d["x"] == 3  # reading counts nothing
    assert d.version == before + 3


# ---- Dropping ----


def test_using_a_dropped_object(kind: Any) -> None:
    obj, other = kind("a", create=True), kind("a")
    obj.drop()
    for gone in obj, other:
        assert gone.exists is False
        for use in (
            lambda gone=gone: gone.version,
            lambda gone=gone: gone.attributes,
            lambda gone=gone: gone.metadata,
            lambda gone=gone: gone.drop(),
            lambda gone=gone: gone.x,
            lambda gone=gone: setattr(gone, "x", 1),
            lambda gone=gone: setattr(gone, "metadata", {}),
        ):
            with pytest.raises(parkit.ObjectNotFoundError, match="default/a"):
                use()
    assert repr(obj)
    assert obj == other


def test_a_new_object_of_the_name_is_another_one(kind: Any) -> None:
    old = kind("a", create=True)
    old.x = 1
    old.drop()
    new = kind("a", create=True)
    assert new != old
    assert new.uuid != old.uuid
    assert new.attributes == []
    assert not old.exists


def test_dropped_by_another_process(site: str, script: Script) -> None:
    d = Dict("a", create=True)
    d["x"] = 1
    script("import parkit, sys; parkit.set_default_site(sys.argv[1]); parkit.Dict('a').drop()", site)
    assert not d.exists
    with pytest.raises(parkit.ObjectNotFoundError):
        d["x"]


def test_dropping_can_be_undone() -> None:
    d = Dict("a", create=True)
    d["x"] = 1
    with pytest.raises(KeyError), parkit.transaction(d):
        d.drop()
        assert not d.exists
        raise KeyError
    assert d == {"x": 1}


# ---- Python's own ----


def test_equality_and_hash_are_by_uuid() -> None:
    a, b = Object("a", create=True), Object("b", create=True)
    assert a == Object("a") != b
    assert hash(a) == hash(Object("a"))
    assert {a, b, Object("a")} == {a, b}
    assert a != "a"
    assert Object("a") == parkit.Namespace()["a"]


def test_a_representation_never_fails(kind: Any) -> None:
    name = kind.__name__
    assert repr(kind("a", create=True)) == f"<{name} 'default/a'>"
    assert repr(kind.__new__(kind)) == f"<{name} not open>"


def test_an_object_that_was_not_initialised_says_so(kind: Any) -> None:
    with pytest.raises(AttributeError, match="_parkit"):
        _ = kind.__new__(kind).version


def test_in_a_notebook() -> None:
    obj = Object("<a>", create=True)
    obj.colour = "<red>"
    assert "&lt;a&gt;" in obj._repr_html_()
    assert "&lt;red&gt;" in obj._repr_html_()
    d = Dict("d", create=True)
    d.update(dict.fromkeys(range(100), "x" * 1000))
    shown = d._repr_html_()
    assert "100 entries" in shown
    assert "90 more" in shown
    assert len(shown) < 3000
    d.drop()
    assert "dropped" in d._repr_html_()


def test_completion_knows_the_shared_attributes() -> None:
    obj = Object("a", create=True)
    obj.colour = "red"
    assert {"colour", "drop", "path"} <= set(dir(obj))
    obj.drop()
    assert "drop" in dir(obj)


# ---- Fork ----


def test_objects_can_be_used_on_both_sides_of_a_fork(site: str, script: Script) -> None:
    script(
        """
import os, parkit, sys
parkit.set_default_site(sys.argv[1])
obj, d, dropped = parkit.Object('o', create=True), parkit.Dict('d', create=True), parkit.Dict('x', create=True)
obj.colour, d['n'] = 'red', 0
dropped.drop()
parkit.Dict('x', create=True)

def family(depth):
    pid = os.fork()
    if pid:
        assert os.waitpid(pid, 0)[1] == 0
        return
    assert obj.colour == 'red' and obj.metadata.get('depth', 4) == depth + 1
    assert obj.exists and obj.attributes == ['colour']
    obj.metadata = {'depth': depth}
    d['n'] += 1
    assert d == {'n': 4 - depth} and d.version == 5 - depth and isinstance(hash(d), int)
    try:
        len(dropped)
    except parkit.ObjectNotFoundError:
        pass
    else:
        raise AssertionError('another object was taken for a dropped one')
    if depth:
        family(depth - 1)
    os._exit(0)

family(3)
assert d['n'] == 4 and obj.metadata == {'depth': 0}
""",
        site,
    )


def test_the_first_use_may_be_in_a_child(site: str, script: Script) -> None:
    script(
        """
import multiprocessing, parkit, sys
def work(n):
    parkit.Dict('d', create=True)[n] = n * n
    return n
if __name__ == '__main__':
    parkit.set_default_site(sys.argv[1])
    with multiprocessing.get_context('fork').Pool(2) as pool:
        assert pool.map(work, range(10)) == list(range(10))
    assert parkit.Dict('d') == {n: n * n for n in range(10)}
""",
        site,
    )


@pytest.mark.skipif(sys.version_info < (3, 11), reason="faulthandler prints another traceback")
def test_no_object_calls_the_library_when_it_is_collected(site: str, script: Script) -> None:
    script(
        """
import gc, os, parkit, sys
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('d', create=True)
d.update({n: n for n in range(5000)})
rest = iter(d.items())
next(rest)
scope = parkit.transaction(d)
scope.__enter__()
pid = os.fork()
if pid == 0:
    del d, rest, scope
    gc.collect()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert sum(1 for _ in rest) == 4999
scope.__exit__(None, None, None)
""",
        site,
    )


def test_a_method_is_not_overwritten_by_an_attribute(site: str) -> None:
    d: Dict[str, int] = Dict("d", create=True)
    with pytest.raises(AttributeError, match="'keys' is a method"):
        d.keys = 5  # type: ignore[assignment,method-assign]
    assert list(d.keys()) == []


def test_metadata_that_json_cannot_write_are_named() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    for metadata in ({"a": {1}}, {(1, 2): 1}, endless):
        with pytest.raises(TypeError, match="metadata is a mapping that JSON can write: "):
            Object("a", create=True, metadata=metadata)  # type: ignore[arg-type]
    obj = Object("a", create=True)
    with pytest.raises(TypeError, match="metadata is a mapping that JSON can write: Object of type set"):
        obj.metadata = {"a": {1}}
    assert obj.metadata == {}
