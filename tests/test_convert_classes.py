"""Objects of the user's own classes, when a site of the original parkit is converted."""

from __future__ import annotations

import math
import pickle
import types
import zlib
from typing import Any

import pytest

from converting import Convert, in_module
from original_site import OriginalSite, Reference, dump, number
from parkit import Array, Dict, Namespace, Object, Queue

# ---- Classes of the user's ----


def test_a_subclass_without_hooks(convert: Convert, module: types.ModuleType) -> None:
    @lambda cls: in_module(module, cls)
    class Prices(Dict):
        def total(self) -> Any:
            return sum(self.values())

    original = OriginalSite()
    original["a"].dict("p", {"x": 1, "y": 2}, "shop_of_test.Prices", attributes={"_Prices__private": [1]})
    assert convert(original).report.ok
    prices = Namespace("a")["p"]
    assert type(prices) is Prices
    assert prices.total() == 3
    assert prices._Prices__private == [1]
    assert Dict("a/p")["x"] == 1


def test_hooks_get_the_bytes_that_they_made(convert: Convert, module: types.ModuleType) -> None:
    @lambda cls: in_module(module, cls)
    class Packed(Dict):
        encode_key = staticmethod(str.encode)
        decode_key = staticmethod(lambda data: bytes(data).decode())
        encode_value = staticmethod(lambda text: zlib.compress(text.encode()))
        decode_value = staticmethod(lambda data: zlib.decompress(data).decode())

    @lambda cls: in_module(module, cls)
    class Raw(Array):
        encode_value = None
        decode_value = None

    original = OriginalSite()
    original["a"].add("p", "shop_of_test.Packed", [{b"key": zlib.compress(b"text"), b"\0": zlib.compress(b"")}, {}])
    original["a"].add(
        "r",
        "shop_of_test.Raw",
        [{number(5): b"\xff\0", number(6): b"b"}, {}],
        numbers=True,
        attributes={"_Array__maxsize": math.inf},
    )
    result = convert(original)
    assert result.report.ok, result.report.problems
    packed = Namespace("a")["p"]
    assert dict(packed.items()) == {"key": "text", "\0": ""}
    assert packed["key"] == "text"
    assert list(Namespace("a")["r"]) == [b"\xff\0", b"b"]


def test_one_hook_that_is_replaced_leaves_the_others_pickles(convert: Convert, module: types.ModuleType) -> None:
    @lambda cls: in_module(module, cls)
    class OwnValues(Dict):
        encode_value = staticmethod(bytes)
        decode_value = staticmethod(bytes)

    @lambda cls: in_module(module, cls)
    class OwnKeys(Dict):
        encode_key = staticmethod(str.encode)
        decode_key = staticmethod(lambda data: bytes(data).decode())

    @lambda cls: in_module(module, cls)
    class Again(Dict):
        encode_value = staticmethod(pickle.dumps)
        decode_value = staticmethod(pickle.loads)

    original = OriginalSite()
    reference = original.reference("parkit.adapters.dict.Dict", "a", "keys")
    original["a"].add("values", "shop_of_test.OwnValues", [{dump(("k", 1)): b"\1\2"}, {}])
    original["a"].add("keys", "shop_of_test.OwnKeys", [{b"k": dump([1, None])}, {}])
    original["a"].add("again", "shop_of_test.Again", [{dump("k"): dump(reference)}, {}])
    result = convert(original)
    assert result.report.ok, result.report.problems
    space = Namespace("a")
    assert space["values"]["k", 1] == b"\1\2"
    assert list(space["values"]) == [("k", 1)]
    assert dict(space["keys"].items()) == {"k": [1, None]}
    assert space["again"]["k"] == space["keys"]


def test_metadata_of_values(convert: Convert, module: types.ModuleType) -> None:
    @lambda cls: in_module(module, cls)
    class Sized(Dict):
        def encode_value(self, value: Any) -> bytes:
            return value.encode()

        def get_metadata(self, value: Any) -> Any:
            return {"length": len(value)}

        def decode_value(self, data: Any, metadata: Any = None) -> Any:
            return bytes(data).decode(), metadata

    @lambda cls: in_module(module, cls)
    class SizedLog(Array):
        encode_value = Sized.encode_value
        get_metadata = Sized.get_metadata
        decode_value = Sized.decode_value

    original = OriginalSite()
    entries = {dump(str(n)): str(n).encode() for n in range(2500)}
    meta = {dump(str(n)): dump({"length": len(str(n))}) for n in range(2500) if n != 7}
    original["a"].add("d", "shop_of_test.Sized", [entries, meta])
    items = {number(n): b"x" * n for n in range(3)}
    original["a"].add(
        "l",
        "shop_of_test.SizedLog",
        [items, {key: dump({"length": len(item)}) for key, item in items.items()}],
        numbers=True,
        attributes={"_Array__maxsize": math.inf},
    )
    result = convert(original)
    stored = Namespace("a")["d"]
    assert stored["123"] == ("123", {"length": 3})
    assert len(stored) == 2499
    assert result.results() == {"a/d": "partly", "a/l": "converted"}
    assert "metadata are missing" in result.report.problems[0]
    assert list(Namespace("a")["l"]) == [("x" * n, {"length": n}) for n in range(3)]


def test_hooks_of_attributes(convert: Convert, module: types.ModuleType) -> None:
    @lambda cls: in_module(module, cls)
    class Thing(Object):
        encode_attr_key = staticmethod(lambda name: b"\0" + name.encode())
        decode_attr_key = staticmethod(lambda data: bytes(data)[1:].decode())
        encode_attr_value = staticmethod(lambda value: str(value).encode())
        decode_attr_value = staticmethod(lambda data: int(bytes(data)))

    @lambda cls: in_module(module, cls)
    class OwnNames(Object):
        encode_attr_key = staticmethod(str.encode)
        decode_attr_key = staticmethod(lambda data: bytes(data).decode())

    @lambda cls: in_module(module, cls)
    class OwnValues(Object):
        encode_attr_value = staticmethod(lambda value: str(value).encode())
        decode_attr_value = staticmethod(lambda data: int(bytes(data)))

    @lambda cls: in_module(module, cls)
    class Bounded(Array):
        encode_attr_value = staticmethod(lambda value: str(value).encode())
        decode_attr_value = staticmethod(lambda data: int(bytes(data)))

    original = OriginalSite()
    original["a"].add("t", "shop_of_test.Thing", raw_attributes={b"\0height": b"178", b"\0x_binary": b"\0\xff"})
    original["a"].add("n", "shop_of_test.OwnNames", raw_attributes={b"height": dump([1])})
    original["a"].add("v", "shop_of_test.OwnValues", raw_attributes={dump("height"): b"178"})
    original["a"].add(
        "b",
        "shop_of_test.Bounded",
        [{number(1): dump("x")}, {}],
        numbers=True,
        raw_attributes={dump("_Array__maxsize"): b"3", dump("height"): b"4"},
    )
    result = convert(original)
    assert result.report.ok, result.report.problems
    space = Namespace("a")
    assert (space["t"].height, space["t"].x_binary, space["t"].attributes) == (178, b"\0\xff", ["height", "x_binary"])
    assert (space["n"].height, space["n"].attributes) == ([1], ["height"])
    assert (space["v"].height, space["v"].attributes) == (178, ["height"])
    assert (space["b"].maxsize, space["b"].height, list(space["b"])) == (3, 4, ["x"])


def test_a_class_that_is_not_here_keeps_its_name_and_gets_its_data(convert: Convert, module: types.ModuleType) -> None:
    original = OriginalSite()
    original["a"].dict("d", {"k": [1]}, "shop_of_test.Later", attributes={"note": "n"})
    original["a"].array("l", [1, 2], "shop_of_test.LaterLog", maxsize=5)
    original["a"].add("o", "shop_of_test.LaterThing", attributes={"note": "n"})
    original["a"].add("raw", "shop_of_test.LaterRaw", [{b"key": b"value"}, {}], raw_attributes={b"own": b"bytes"})
    result = convert(original)
    assert result.report.ok
    assert all("cannot be imported" in item.notes[0] for item in result.report.objects)
    assert Dict("a/d")["k"] == [1]
    assert Dict("a/d").note == "n"
    assert list(Array("a/l")) == [1, 2]
    assert Array("a/l").maxsize == 5
    assert Object("a/o").note == "n"
    assert dict(Dict("a/raw")) == {b"key": b"value"}
    assert Dict("a/raw").descriptor["type"] == "shop_of_test.LaterRaw"
    assert "kept as they are" in result.object("a/raw").notes[1]

    class LaterRaw(Dict):
        encode_key = staticmethod(str.encode)
        decode_key = staticmethod(lambda data: bytes(data).decode())
        encode_value = staticmethod(str.encode)
        decode_value = staticmethod(lambda data: bytes(data).decode())

    in_module(module, LaterRaw)
    assert dict(Namespace("a")["raw"].items()) == {"key": "value"}


def test_another_class_can_take_the_place_of_one(convert: Convert, module: types.ModuleType) -> None:
    @lambda cls: in_module(module, cls)
    class Jobs(Queue):
        pass

    original = OriginalSite()
    original["a"].queue("q", [1], "old.module.Jobs")
    original["a"].dict("d", {1: 2}, "old.module.Prices")
    original["a"].dict("holder", {"q": original.reference("old.module.Jobs", "a", "q")})
    result = convert(original, classes={"old.module.Jobs": Jobs, "old.module.Prices": "parkit.dict:Dict"})
    assert result.report.ok, result.report.problems
    assert type(Namespace("a")["q"]) is Jobs
    assert type(Dict("a/holder")["q"]) is Jobs
    assert Jobs("a/q").get() == 1
    assert dict(Namespace("a")["d"]) == {1: 2}


def test_a_value_that_cannot_be_unpickled_yet_is_kept(convert: Convert, module: types.ModuleType) -> None:
    class Point:
        def __setstate__(self, state: Any) -> None:
            pass

    in_module(module, Point)
    raw = dump(Point())
    del module.Point
    original = OriginalSite()
    reference = original.reference("parkit.adapters.dict.Dict", "a", "d")
    entries = {dump("p"): raw, dump("q"): dump(1), raw: dump(2)}
    entries[dump("list")] = dump([Reference("shop_of_test.Point", ("x", "y", "z")), reference])
    original["a"].add("d", "parkit.adapters.dict.Dict", [entries, {}])
    original["a"].add(
        "l",
        "parkit.adapters.array.Array",
        [{number(0): raw, number(1): dump(1)}, {}],
        numbers=True,
        attributes={"_Array__maxsize": math.inf},
        raw_attributes={dump("point"): raw},
    )
    result = convert(original)
    assert result.results() == {"a/d": "partly", "a/l": "partly"}
    assert Dict("a/d")["q"] == 1
    assert len(Dict("a/d")) == 3, "a key that cannot be read is lost"
    with pytest.raises(AttributeError):
        Dict("a/d")["p"]
    in_module(module, Point)
    assert type(Dict("a/d")["p"]) is Point
    assert [type(item) for item in Dict("a/d")["list"]] == [Point, Dict], "references of the original are ours then too"
    assert type(Array("a/l")[0]) is Point
    assert type(Array("a/l").point) is Point
