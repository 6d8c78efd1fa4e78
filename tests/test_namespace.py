"""Namespaces, and walking over a site."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, Directory, Namespace, Object, directories, errors

pytestmark = pytest.mark.usefixtures("site")

KINDS = [Namespace, Directory]


class Special(Dict[Any, Any]):
    def __init__(self, *needed: object) -> None:
        super().__init__(str(needed[0]), create=True)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def shop() -> Namespace:
    for name in ("b", "a", "__hidden__", "c"):
        Dict(f"shop/{name}", create=True, metadata={"is": name})
    Object("shop/o", create=True)
    Special("shop/s")
    return Namespace("shop")


def test_a_namespace_that_is_not_there(kind: Any) -> None:
    with pytest.raises(parkit.StoragePathError, match="nowhere"):
        kind("nowhere")
    with pytest.raises(parkit.StoragePathError):
        kind()
    assert kind("nowhere", create=True).path == "nowhere"
    assert kind("nowhere").path == "nowhere"


@pytest.mark.parametrize(
    ("path", "spelling"), [(None, "default"), ("", "default"), ("a//b/", "a/b"), ("memory/x", "memory/x")]
)
def test_paths(kind: Any, path: str | None, spelling: str, site: str) -> None:
    namespace = kind(path, create=True)
    assert namespace.path == spelling
    assert (namespace.storage_path, namespace.site_uuid) == (site, parkit.get_site_uuid(site))
    assert namespace == kind(spelling)
    assert hash(namespace) == hash(kind(spelling))
    assert namespace != kind("other", create=True)
    assert repr(namespace) == f"<{kind.__name__} '{spelling}'>"


@pytest.mark.parametrize("path", ["a b", "ä", ".", "..", "a/../b", "x" * 256, "a\0", "\udcff"])
def test_texts_that_cannot_be_a_path(kind: Any, path: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        kind(path, create=True)
    with pytest.raises(ValueError):  # noqa: PT011
        directories(path)


@pytest.mark.parametrize("path", [b"a", 1])
def test_what_is_no_path(kind: Any, path: Any) -> None:
    with pytest.raises(TypeError):
        kind(path, create=True)


def test_getting_an_object_of_its_stored_class(shop: Namespace) -> None:
    assert type(shop["a"]) is Dict
    assert type(shop.get("o")) is Object
    assert type(shop["s"]) is Special  # although its __init__ takes other arguments
    assert shop["a"] == Dict("shop/a")
    assert shop["__hidden__"].name == "__hidden__"


@pytest.mark.parametrize("name", ["none", "", "\0"])
def test_getting_what_is_not_there(shop: Namespace, name: str) -> None:
    for get in shop.get, shop.__getitem__, shop.__delitem__:
        with pytest.raises(parkit.ObjectNotFoundError):
            get(name)
    assert shop.get(name, None) is None
    assert name not in shop


def test_containing(shop: Namespace) -> None:
    assert "a" in shop
    assert "__hidden__" in shop
    assert 3 not in shop
    assert "a/b" not in shop


def test_deleting(shop: Namespace) -> None:
    a = shop["a"]
    del shop["a"]
    assert not a.exists
    assert list(shop.names()) == ["b", "c", "o", "s"]


def test_listings_leave_out_what_is_hidden(shop: Namespace) -> None:
    assert list(shop.names()) == ["a", "b", "c", "o", "s"]
    everything = Namespace("shop", include_hidden=True)
    assert list(everything.names()) == ["__hidden__", "a", "b", "c", "o", "s"]
    assert [obj.name for obj in everything] == list(everything.names())


def test_iterating_gives_objects_of_their_stored_class(shop: Namespace) -> None:
    assert [(type(obj), obj.name) for obj in shop] == [
        (Dict, "a"),
        (Dict, "b"),
        (Dict, "c"),
        (Object, "o"),
        (Special, "s"),
    ]
    assert next(iter(shop)) == Dict("shop/a")
    assert list(Directory("shop").objects()) == list(shop)
    for obj in shop:
        assert obj.exists


def test_descriptors_and_metadata(shop: Namespace) -> None:
    assert dict(shop.descriptors())["a"] == Dict("shop/a").descriptor
    assert dict(shop.metadata()) == {"a": {"is": "a"}, "b": {"is": "b"}, "c": {"is": "c"}, "o": {}, "s": {}}


def test_entities_are_plain_objects(shop: Namespace) -> None:
    assert [(type(obj), obj.name) for obj in shop.entities()] == [(Object, name) for name in shop.names()]
    assert next(shop.entities()).metadata == {"is": "a"}


def test_listing_imports_nothing(site: str, script: Script, tmp_path: Any) -> None:
    (tmp_path / "gone_tomorrow.py").write_text("import parkit\nclass Thing(parkit.Dict): pass\n")
    script(
        "import gone_tomorrow, parkit, sys\nparkit.set_default_site(sys.argv[1])\n"
        "gone_tomorrow.Thing('x/thing', create=True)['n'] = 1\n",
        site,
        PYTHONPATH=str(tmp_path),
    )
    place = Directory("x")
    assert list(place.names()) == ["thing"]
    assert [name for name, _ in place.metadata()] == ["thing"]
    assert next(place.descriptors())[1]["type"] == "gone_tomorrow.Thing"
    assert next(place.entities()).exists
    assert "gone_tomorrow" not in sys.modules
    for use in (lambda: place["thing"], lambda: list(place)):
        with pytest.raises(errors.ClassNotFoundError, match=r"gone_tomorrow\.Thing cannot be imported"):
            use()
    assert Dict("x/thing")["n"] == 1


def test_a_class_that_its_module_no_longer_has(site: str, script: Script, tmp_path: Any) -> None:
    (tmp_path / "shapes.py").write_text("import parkit\nclass Old(parkit.Dict): pass\n")
    make = "import shapes, parkit, sys; parkit.set_default_site(sys.argv[1]); shapes.Old('x/old', create=True)"
    script(make, site, PYTHONPATH=str(tmp_path))
    (tmp_path / "shapes.py").write_text("import parkit\nOld = 3\n")
    script(
        """
import parkit, sys
from parkit.errors import ClassNotFoundError
parkit.set_default_site(sys.argv[1])
try:
    parkit.Directory('x')['old']
except ClassNotFoundError as error:
    assert 'shapes has no persistent class Old' in str(error), error
else:
    raise AssertionError
""",
        site,
        PYTHONPATH=str(tmp_path),
    )


def test_listing_more_objects_than_are_read_at_once() -> None:
    with parkit.transaction("many"):
        for n in range(1100):
            Object(f"many/{n:04}", create=True)
    many = Namespace("many")
    assert list(many.names()) == [f"{n:04}" for n in range(1100)]
    assert sum(1 for _ in many) == 1100
    with parkit.snapshot(many):
        names = many.names()
        next(names)
        Object("many/0000a", create=True)
        del many["0999"]
        assert len(list(names)) == 1099
    assert len(list(many.names())) == 1100


def test_the_maximum_size(kind: Any) -> None:
    namespace = kind("a", create=True)
    page = parkit.get_pagesize()
    assert namespace.maxsize % page == 0
    larger = namespace.maxsize + page
    namespace.maxsize = larger
    assert namespace.maxsize >= larger
    for wrong in (larger + 1, 0, -page):
        with pytest.raises(ValueError, match="multiple of the page size"):
            namespace.maxsize = wrong


def test_directories_of_the_whole_site(shop: Namespace) -> None:
    Object("shop/west/pond/x", create=True)
    Object("__task__/x", create=True)
    Object("a/__b__/x", create=True)
    assert [place.path for place in directories()] == ["shop", "shop/west/pond"]
    assert [place.path for place in directories(include_hidden=True)] == [
        "__task__",
        "a/__b__",
        "shop",
        "shop/west/pond",
    ]
    assert all(type(place) is Directory for place in directories())


def test_directories_below_a_path(shop: Namespace) -> None:
    for place in ("shop/west/pond", "shop/east", "shopping/east", "shop/__x__"):
        Object(f"{place}/x", create=True)
    assert [place.path for place in directories("shop")] == ["shop/east", "shop/west/pond"]
    assert [place.path for place in directories("/shop/")] == ["shop/east", "shop/west/pond"]
    assert list(directories("shop/west/pond")) == []
    assert list(directories("nowhere")) == []
    hidden = next(directories("shop", include_hidden=True))
    assert hidden.path == "shop/__x__"
    assert [obj.name for obj in hidden] == ["x"]


def test_a_reference_can_be_pickled(kind: Any, shop: Namespace) -> None:
    place = pickle.loads(pickle.dumps(kind("shop", include_hidden=True)))
    assert type(place) is kind
    assert place == shop
    assert "__hidden__" in list(place.names())
