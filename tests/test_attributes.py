"""Shared attributes, and the hooks that code them."""

from __future__ import annotations

import json
import pickle
import zlib
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, Object

pytestmark = pytest.mark.usefixtures("site")


class Account(Object):
    limit = 10
    owner: str  # only annotated: shared

    def __init__(self, path: str) -> None:
        super().__init__(path, create=True, on_init=self._begin)

    def _begin(self, created: bool) -> None:
        if created:
            self.__balance = 0

    def deposit(self, amount: int) -> int:
        with parkit.transaction(self):
            self.__balance += amount
            return self.__balance


class Compressed(Object):
    def encode_attr_value(self, value: Any) -> bytes:
        return zlib.compress(super().encode_attr_value(value))

    def decode_attr_value(self, data: bytes) -> Any:
        return super().decode_attr_value(zlib.decompress(data))


class Raw(Object):
    encode_attr_value = None
    decode_attr_value = None


class Upper(Object):
    encode_attr_key = staticmethod(lambda name: name.upper().encode("utf-16"))
    decode_attr_key = staticmethod(lambda data: data.decode("utf-16").lower())
    encode_attr_value = staticmethod(lambda value: json.dumps(value).encode())
    decode_attr_value = staticmethod(json.loads)


@pytest.mark.parametrize("value", [None, True, 1, 1 << 100, 1.5, "ü\0", b"\0", [1, {"a": (2,)}], "x" * 100_000])
def test_any_value_that_can_be_pickled(value: Any) -> None:
    obj = Object("a", create=True)
    obj.x = value
    assert obj.x == Object("a").x == value
    assert type(Object("a").x) is type(value)


def test_another_process_sees_and_sets_them(site: str, script: Script) -> None:
    obj = Object("a", create=True)
    obj.colour = "red"
    script(
        """
import parkit, sys
parkit.set_default_site(sys.argv[1])
obj = parkit.Object('a')
assert obj.colour == 'red'
obj.colour = 'blue'
obj.size = 3
""",
        site,
    )
    assert (obj.colour, obj.size, obj.attributes) == ("blue", 3, ["colour", "size"])


def test_an_attribute_that_is_not_there() -> None:
    obj = Object("a", create=True)
    with pytest.raises(AttributeError, match="'Object' object has no attribute 'x'"):
        _ = obj.x
    with pytest.raises(AttributeError, match="'Object' object has no attribute 'x'"):
        del obj.x
    assert not hasattr(obj, "x")
    assert getattr(obj, "x", 3) == 3


def test_deleting() -> None:
    obj = Object("a", create=True)
    obj.x = 1
    del obj.x
    assert not hasattr(Object("a"), "x")
    assert obj.attributes == []


def test_what_cannot_be_pickled_changes_nothing() -> None:
    obj = Object("a", create=True)
    obj.x = 1
    version = obj.version
    with pytest.raises(TypeError, match="generator"):
        obj.x = (n for n in ())
    assert (obj.x, obj.version) == (1, version)


def test_what_the_class_defines_stays_in_the_process() -> None:
    account = Account("a")
    account.limit = 20
    assert (account.limit, Account("a").limit) == (20, 10)
    del account.limit
    assert account.limit == 10
    account.owner = "ann"
    assert Account("a").owner == "ann"
    assert "limit" not in account.attributes


def test_private_names_of_a_class_are_shared() -> None:
    account = Account("a")
    assert account.deposit(5) == 5
    assert Account("a").deposit(7) == 12
    assert account.attributes == ["_Account__balance"]


def test_names_that_the_metaclass_has_are_shared() -> None:
    d = Dict("d", create=True)
    d.mro, d.register = 1, 2
    assert (Dict("d").mro, Dict("d").register) == (1, 2)


def test_names_of_pythons_own_stay_in_the_process() -> None:
    obj = Object("a", create=True)
    obj.__wrapped__ = 1  # type: ignore[attr-defined]
    assert obj.__wrapped__ == 1  # type: ignore[attr-defined]
    assert obj.attributes == []
    with pytest.raises(AttributeError):
        _ = Object("a").__wrapped__  # type: ignore[attr-defined]


def test_names_may_be_odd() -> None:
    obj = Object("a", create=True)
    for name in ("with space", "ünïcode", "a/b", "x" * 255):
        setattr(obj, name, name)
        assert getattr(Object("a"), name) == name
    for name in ("\udcff", "x" * 256, "a\0b"):
        with pytest.raises(ValueError):  # noqa: PT011
            setattr(obj, name, 1)
    assert len(obj.attributes) == 4


def test_attributes_are_part_of_a_transaction() -> None:
    obj = Object("a", create=True)
    obj.x = 1
    with pytest.raises(KeyError), parkit.transaction(obj):
        obj.x, obj.y = 2, 3
        assert obj.attributes == ["x", "y"]
        raise KeyError
    assert (obj.x, obj.attributes) == (1, ["x"])


def test_attributes_and_entries_do_not_meet() -> None:
    d = Dict("d", create=True)
    d.x, d["x"] = 1, 2
    assert (d.x, dict(d)) == (1, {"x": 2})
    d.clear()
    assert d.x == 1


# ---- Bytes ----


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_binary_attributes_take_bytes(make: Any) -> None:
    obj = Object("a", create=True)
    obj.photo_binary = make(b"\x00\xff")
    assert Object("a").photo_binary == b"\x00\xff"
    with parkit.snapshot(obj):
        assert isinstance(obj.photo_binary, memoryview)
        assert obj.photo_binary == b"\x00\xff"


def test_a_binary_attribute_of_an_array() -> None:
    import array

    obj = Object("a", create=True)
    numbers = array.array("d", [1.5, 2.5])
    obj.numbers_binary = numbers
    assert array.array("d", Object("a").numbers_binary) == numbers


@pytest.mark.parametrize("value", ["text", 1, None, [1]])
def test_binary_attributes_take_nothing_else(value: Any) -> None:
    obj = Object("a", create=True)
    with pytest.raises(TypeError, match="photo_binary takes a bytes-like object"):
        obj.photo_binary = value
    assert obj.attributes == []


# ---- Hooks ----


def test_a_hook_may_use_the_one_it_replaces() -> None:
    obj = Compressed("a", create=True)
    obj.x = ["x" * 10_000]
    assert Compressed("a").x == ["x" * 10_000]
    stored = Object("a").x
    assert isinstance(stored, bytes)
    assert len(stored) < 200


def test_hooks_that_are_none_leave_bytes() -> None:
    obj = Raw("a", create=True)
    obj.x = bytearray(b"\x80raw")
    assert Raw("a").x == b"\x80raw"
    with pytest.raises(TypeError, match="bytes-like"):
        obj.x = 3


def test_hooks_of_names() -> None:
    obj = Upper("a", create=True)
    obj.ünï = {"a": [1]}
    assert Upper("a").ünï == {"a": [1]}
    assert Upper("a").attributes == ["ünï"]
    assert obj.ÜNÏ == {"a": [1]}
    del obj.ünï
    assert obj.attributes == []
    with pytest.raises(AttributeError):
        _ = obj.ünï


def test_one_hook_alone_meets_a_pickle() -> None:
    class Reader(Object):
        decode_attr_value = staticmethod(lambda data: ("read", pickle.loads(data)))

    obj = Reader("a", create=True)
    obj.x = 3
    assert obj.x == ("read", 3)


def test_hooks_do_not_concern_binary_attributes() -> None:
    obj = Compressed("a", create=True)
    obj.x_binary = b"abc"
    assert Object("a").x_binary == b"abc"
    assert obj.x_binary == b"abc"


def test_hooks_are_inherited() -> None:
    class Child(Compressed):
        pass

    obj = Child("a", create=True)
    obj.x = "y" * 1000
    assert Child("a").x == "y" * 1000
    assert len(Object("a").x) < 100
