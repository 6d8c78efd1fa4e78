"""CPython's own tests of mappings, run over Dict.

What differs from dict, and why; each such test is replaced by what holds here:

- Keys and values are stored, so they must be picklable: the tests' local classes are not. Keys are
  compared by what is stored of them; their ``__eq__`` is never called. Values are copies: what is done to
  one in place shows nowhere else.
- ``repr`` names the object, not its content, which may be larger than memory and changes meanwhile.
- ``copy()`` is a plain dict, since a second persistent Dict would need a name.
- ``popitem`` takes an index, as sortedcontainers' does.
- Two Dicts are equal if they are the same stored object, which goes with their hash; a Dict and any other
  mapping are compared by content.
"""

from __future__ import annotations

import collections
from typing import Any

import pytest

import parkit
from parkit import Dict

mapping_tests = pytest.importorskip("test.mapping_tests", reason="this Python comes without its own tests")

pytestmark = pytest.mark.usefixtures("site")


class Fresh(Dict[Any, Any]):
    """A Dict with the constructor of dict, as the tests want."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__()
        self.update(*args, **keywords)


class Refusing:
    """A key whose hash can be made to fail."""

    refuses = False

    def __hash__(self) -> int:
        if self.refuses:
            raise ZeroDivisionError
        return 42

    def __eq__(self, other: object) -> bool:
        raise AssertionError("keys are compared by what is stored of them")


class TestDict(mapping_tests.TestHashMappingProtocol):  # type: ignore[misc,name-defined]
    type2test = Fresh

    def setUp(self) -> None:
        # The tests compare two mappings that were made alike.
        def alike(one: Any, other: Any, msg: object = None) -> None:
            assert one.copy() == other.copy(), msg

        self.addTypeEqualityFunc(Fresh, alike)

    def test_copy(self) -> None:
        d = self._full_mapping({1: 1, 2: 2, 3: 3})
        assert d.copy() == {1: 1, 2: 2, 3: 3} == d
        assert type(d.copy()) is dict
        assert self._empty_mapping().copy() == {}
        with pytest.raises(TypeError):
            d.copy(None)

    def test_eq(self) -> None:
        assert self._empty_mapping() == {}
        assert self._full_mapping({1: 2}) == {1: 2}
        assert self._full_mapping({1: 2}) != self._full_mapping({1: 2})
        assert self._full_mapping({Refusing(): 1}) != {1: 1}

    def test_getitem(self) -> None:
        mapping_tests.TestMappingProtocol.test_getitem(self)
        d = self._empty_mapping()
        key = Refusing()
        d[key] = 42
        with pytest.raises(KeyError):
            d[23]
        key.refuses = True
        with pytest.raises(ZeroDivisionError):
            d[key]

    def test_pop(self) -> None:
        mapping_tests.TestMappingProtocol.test_pop(self)
        d, key = self._empty_mapping(), Refusing()
        d[key] = 42
        key.refuses = True
        with pytest.raises(ZeroDivisionError):
            d.pop(key)

    def test_popitem(self) -> None:
        d = self._full_mapping({1: "a", 2: "b"})
        with pytest.raises(KeyError):
            d.popitem(42)
        assert [d.popitem(), d.popitem()] == [(2, "b"), (1, "a")]
        with pytest.raises(KeyError):
            d.popitem()

    def test_setdefault(self) -> None:
        d = self._empty_mapping()
        assert d.setdefault("key0") is None
        assert d.setdefault("key0", 1) is None
        d.setdefault("key", []).append(3)
        assert d["key"] == []
        with d.edit("key") as value:
            value.append(3)
        assert d.setdefault("key", []) == [3]
        with pytest.raises(TypeError):
            d.setdefault()
        key = Refusing()
        key.refuses = True
        with pytest.raises(ZeroDivisionError):
            d.setdefault(key, [])

    def test_fromkeys(self) -> None:
        # The base's test compares the results of two calls, which are two objects here.
        class Like(self.type2test):  # type: ignore[misc,name-defined]
            pass

        assert Fresh.fromkeys("abc") == {"a": None, "b": None, "c": None}
        assert Fresh.fromkeys((4, 5), 0) == {4: 0, 5: 0}
        assert Fresh.fromkeys([]) == {}
        assert Fresh.fromkeys(x for x in [1]) == {1: None}
        assert type(Like.fromkeys("a")) is type(Like().fromkeys("a")) is Like
        assert Fresh.fromkeys("a") is not Fresh.fromkeys("a")
        with pytest.raises(TypeError):
            Fresh.fromkeys(3)
        with pytest.raises(ZeroDivisionError):
            Fresh.fromkeys(1 // 0 for _ in "a")

        class Elsewhere(self.type2test):  # type: ignore[misc,name-defined]
            def __new__(cls) -> Any:
                return collections.UserDict()

        assert Elsewhere.fromkeys("ab") == {"a": None, "b": None}

    def test_repr(self) -> None:
        d = self._full_mapping({1: "a secret"})
        assert repr(d) == f"<Fresh {d.path!r}>"
        d[2] = d
        assert d[2] == d

    def test_repr_deep(self) -> None:
        pass  # nothing nests: see test_repr

    def test_mutatingiteration(self) -> None:
        # Python's test takes RuntimeError; here it ends, as it sees nothing of the writes.
        d = self._full_mapping({1: 1})
        for n in d:
            d[n + 1] = 1
        assert d == {1: 1, 2: 1}


def test_what_is_replaced_is_all_that_differs() -> None:
    """The tests of the base that run as they are, so that the list above stays short."""
    names = {name for name in dir(mapping_tests.TestHashMappingProtocol) if name.startswith("test_")}
    ours = {name for name in vars(TestDict) if name.startswith("test_")}
    assert ours < names
    assert {"test_read", "test_write", "test_constructor", "test_bool", "test_keys", "test_values"} <= names - ours
    assert {"test_items", "test_len", "test_contains", "test_clear", "test_update", "test_get"} <= names - ours
    assert parkit.Dict is Dict
