"""The hooks of Dict: classes that code keys and values themselves."""

from __future__ import annotations

import json
import pickle
import zlib
from typing import Any

import pytest

import parkit
from parkit import Dict

pytestmark = pytest.mark.usefixtures("site")


class Json(Dict[str, Any]):
    encode_key = staticmethod(str.encode)
    decode_key = staticmethod(bytes.decode)
    encode_value = staticmethod(lambda value: json.dumps(value).encode())
    decode_value = staticmethod(json.loads)


class Zipped(Dict[Any, Any]):
    """Values only, over the hooks that it replaces."""

    def encode_value(self, value: Any) -> bytes:
        return zlib.compress(super().encode_value(value))

    def decode_value(self, data: bytes, metadata: Any = None) -> Any:
        return super().decode_value(zlib.decompress(data))


class Raw(Dict[bytes, bytes]):
    encode_key = decode_key = encode_value = decode_value = None


class Measured(Dict[Any, Any]):
    def get_metadata(self, value: Any) -> Any:
        return {"length": len(value)}

    def encode_value(self, value: Any) -> bytes:
        return bytes(value)

    def decode_value(self, data: bytes, metadata: Any = None) -> Any:
        assert metadata == {"length": len(data)}
        return list(data)


class Mixin:
    pass


class Child(Mixin, Json):
    pass


class Plain(Dict[Any, Any]):
    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key)


class Late(Plain):
    """Replaces hooks below a class that has none."""

    encode_value = staticmethod(lambda value: repr(value).encode())
    decode_value = staticmethod(lambda data: eval(data))


MAPPINGS = [Json, Child, Zipped, Plain, Late]


@pytest.mark.parametrize("kind", MAPPINGS)
def test_it_is_a_mapping(kind: Any) -> None:
    d = kind("d", create=True)
    d["b"] = [1]
    d.update({"a": {"x": None}}, c="c")
    d.update([("d", 4)])
    expected = {"a": {"x": None}, "b": [1], "c": "c", "d": 4}
    for same in d, kind("d"):
        assert same == expected
        assert {key: same[key] for key in same} == expected
        assert list(same) == list(same.keys()) == ["a", "b", "c", "d"]
        assert list(same.values()) == list(expected.values())
        assert list(same.items()) == list(expected.items())
        assert list(reversed(same)) == ["d", "c", "b", "a"]
        assert next(reversed(same.items())) == ("d", 4)
        assert same.copy() == expected
    assert "a" in d
    assert "z" not in d
    assert d.get("z") is None
    assert d.get("z", 3) == 3
    assert d.get("c") == "c"
    assert d.setdefault("c", 9) == "c"
    assert d.setdefault("e", [9]) == [9]
    assert d.pop("e") == [9]
    assert d.pop("e", 7) == 7
    for use in d.pop, d.__getitem__, d.__delitem__:
        with pytest.raises(KeyError) as caught:
            use("z")
        assert caught.value.args == ("z",)
    assert list(d.irange("b", "c")) == ["b", "c"]
    assert d.peekitem() == ("d", 4)
    assert d.popitem() == ("d", 4)
    assert d.popitem(0) == ("a", {"x": None})
    with d.edit("b") as value:
        value.append(2)
    assert d["b"] == [1, 2]
    del d["b"]
    assert len(d) == 1
    d.clear()
    assert d == {}
    with pytest.raises(KeyError):
        d.popitem()


def test_what_is_stored_is_what_the_hooks_made() -> None:
    Json("d", create=True)["ü"] = [1, 2]
    assert dict(Dict("d").items()) == {"ü".encode(): b"[1, 2]"}


def test_hooks_of_values_leave_the_keys() -> None:
    d = Zipped("d", create=True)
    d[2], d[10] = "x" * 1000, "y"
    assert list(d) == [2, 10]
    assert d[2] == "x" * 1000
    assert len(Dict("d")[2]) < 100


def test_none_is_raw_bytes() -> None:
    d = Raw("d", create=True)
    d[b"k"] = bytearray(b"\x80v")
    assert dict(d) == {b"k": b"\x80v"}
    d.update({memoryview(b"m"): b""})
    assert list(d.keys()) == [b"k", b"m"]
    for wrong in (("text", b""), (b"", "text"), (1, b"")):
        with pytest.raises(TypeError, match="bytes-like"):
            d.update([wrong])
        with pytest.raises(TypeError, match="bytes-like"):
            d[wrong[0]] = wrong[1]
    assert len(d) == 2
    assert d.setdefault(b"n", b"new") == b"new"


def test_metadata_goes_beside_the_value() -> None:
    d = Measured("d", create=True)
    d["x"] = b"abc"
    d.update(y=b"")
    assert dict(d) == {"x": [97, 98, 99], "y": []}
    metadata, data = Dict("d")["x"]
    assert (pickle.loads(metadata), data) == ({"length": 3}, b"abc")


def test_metadata_without_another_hook() -> None:
    class Noted(Dict[str, str]):
        def get_metadata(self, value: str) -> int:
            return len(value)

    d = Noted("d", create=True)
    d["x"] = "abc"
    assert d["x"] == "abc"
    assert list(d.values()) == ["abc"]


class Marks:
    """Hooks that are no part of a persistent class, to be mixed into any."""

    @staticmethod
    def encode_value(value: Any) -> bytes:
        return b"!" + repr(value).encode()

    @staticmethod
    def decode_value(data: bytes) -> Any:
        return "decoded", bytes(data)

    encode_attr_value, decode_attr_value = encode_value, decode_value


def test_hooks_of_a_mixin() -> None:
    class D(Marks, Dict[Any, Any]):
        pass

    class A(Marks, parkit.Array[Any]):
        pass

    class Q(Marks, parkit.Queue[Any]):
        pass

    class P(Marks, parkit.PriorityQueue[Any]):
        pass

    class Below(D):
        pass

    decoded = ("decoded", b"!1")
    for kind in D, Below:
        d = kind(kind.__name__, create=True)
        d["x"] = 1
        assert d["x"] == decoded
        assert list(d) == ["x"]  # keys are the Dict's own
    a = A("a", create=True)
    a.append(1)
    a.extend([1])
    assert list(a) == [decoded] * 2
    for queue in Q("q", create=True), P("p", create=True):
        queue.put(1)
        assert queue.get() == decoded
    for kind in D, A, Q, P, Below:
        obj = kind(f"with attribute/{kind.__name__}".replace(" ", "-"), create=True)
        obj.x = 1
        assert obj.x == decoded


def test_metadata_switched_off_below() -> None:
    class Noted(parkit.Array[Any]):
        def get_metadata(self, value: Any) -> str:
            return "noted"

        def decode_value(self, data: bytes, *metadata: Any) -> Any:
            return super().decode_value(data), metadata

    class Plain(Noted):
        get_metadata = None

    class NotedDict(Dict[Any, Any]):
        get_metadata, decode_value = Noted.get_metadata, Noted.decode_value

    class PlainDict(NotedDict):
        get_metadata = None

    noted, plain = Noted("n", create=True), Plain("p", create=True)
    noted.append(1)
    plain.append(1)
    assert (noted[0], plain[0]) == ((1, ("noted",)), (1, ()))
    bare = PlainDict("d", create=True)
    bare["x"] = 1
    assert bare.get_metadata is None
    for kind in Dict, parkit.Array, parkit.Queue:
        assert kind.get_metadata is None


def test_the_hooks_need_no_object() -> None:
    assert Dict.decode_value(Dict.encode_value([1])) == parkit.Array.decode_value(parkit.Queue.encode_value([1])) == [1]
    assert Dict.decode_key(Dict.encode_key(("a", 1))) == ("a", 1)
    assert parkit.Object.decode_attr_value(parkit.Object.encode_attr_value("x")) == "x"
    assert parkit.Object.decode_attr_key(parkit.Object.encode_attr_key("x")) == "x"


def test_one_hook_alone_meets_a_pickle() -> None:
    class Writer(Dict[Any, Any]):
        encode_value = staticmethod(lambda value: pickle.dumps(value, 2))

    class Reader(Dict[Any, Any]):
        decode_value = staticmethod(lambda data: pickle.loads(data) * 2)

    writer, reader = Writer("w", create=True), Reader("r", create=True)
    writer["x"] = reader["x"] = [1]
    assert (writer["x"], reader["x"]) == ([1], [1, 1])


def test_a_hook_of_keys_decides_their_order_and_equality() -> None:
    class Folded(Dict[str, int]):
        encode_key = staticmethod(lambda key: key.lower().encode())
        decode_key = staticmethod(lambda data: data.decode())

    d = Folded("d", create=True)
    d["B"], d["a"], d["b"] = 1, 2, 3
    assert list(d.items()) == [("a", 2), ("b", 3)]
    assert "A" in d


def test_an_overridden_method_reaches_the_hooks_by_super() -> None:
    class Loud(Json):
        def __getitem__(self, key: str) -> Any:
            return ("loud", super().__getitem__(key))

    class Own(Dict[str, Any]):
        encode_value = staticmethod(lambda value: json.dumps(value).encode())
        decode_value = staticmethod(json.loads)

        def __getitem__(self, key: str) -> Any:
            return ("own", super().__getitem__(key))

    for kind, word in (Loud, "loud"), (Own, "own"):
        d = kind(word, create=True)
        d["x"] = [1]
        assert d["x"] == (word, [1])


def test_the_classes_that_are_stored_are_the_users() -> None:
    Child("d", create=True)
    assert type(parkit.Directory()["d"]) is Child
    assert type(Json("d")) is Json
    assert type(Dict("d")) is Dict
    with pytest.raises(TypeError):
        Zipped("d")


def test_an_error_of_a_hook_changes_nothing() -> None:
    d = Json("d", create=True)
    d["x"] = 1
    with pytest.raises(TypeError):
        d.update(x=2, y={1, 2})
    with pytest.raises(TypeError):
        d["x"] = {1, 2}
    assert d == {"x": 1}
