"""Array, beside what Python's list does; test_sequence.py runs Python's own tests of sequences over it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Array, snapshot, transaction

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def a() -> Array[Any]:
    return Array("a", create=True)


class Hooked(Array[Any]):
    def encode_value(self, value: Any, /) -> bytes:
        return str(value).encode()

    def decode_value(self, data: bytes, metadata: Any = None, /) -> Any:
        return int(data)


class Tagged(Array[Any]):
    encode_value = None  # type: ignore[assignment]

    def get_metadata(self, value: Any) -> int:
        return len(value)

    def decode_value(self, data: bytes, metadata: Any = None, /) -> Any:
        return data, metadata


VALUES = [None, True, 0, -1, 2**64, 1.5, "", "é" * 3000, b"", b"x" * 100_000, (1, 2), [1, [2]], {"a": 1}, object]


def test_values_of_all_kinds(a: Array[Any]) -> None:
    a.extend(VALUES)
    for value in VALUES:
        a.append(value)
    assert list(a) == VALUES * 2
    assert [a[i] for i in range(len(a))] == VALUES * 2
    a[3] = b"y" * 300_000
    with transaction(a):
        assert a[3] == a[-len(a) + 3] == b"y" * 300_000
        assert [a.popleft() for _ in VALUES] == [*VALUES[:3], b"y" * 300_000, *VALUES[4:]]


def test_indexes(a: Array[Any]) -> None:
    for wrong in (0, -1, 2**70, -(2**70)):
        with pytest.raises(IndexError):
            a[wrong]
        with pytest.raises(IndexError):
            a[wrong] = 1
    a.extend("abc")
    a[-1] = "d"
    assert a[True] == "b"
    assert list(a) == ["a", "b", "d"]
    with pytest.raises(TypeError):
        a["x"]  # type: ignore[call-overload]
    with pytest.raises(IndexError):
        a[3]
    with pytest.raises(IndexError):
        a[-4] = 0


def test_what_is_refused_says_why(a: Array[Any]) -> None:
    a.extend(range(5))
    for refused in (
        lambda: a.__setitem__(slice(1, 2), [1]),  # type: ignore[call-overload]
        lambda: a.__delitem__(1),
        lambda: a.insert(0, 1),
        lambda: a.pop(2),
    ):
        with pytest.raises(TypeError, match=r"other processes|its ends only"):
            refused()
    assert list(a) == list(range(5))
    with pytest.raises(AttributeError):
        a.remove  # noqa: B018
    with pytest.raises(TypeError):
        a.append(open)  # type: ignore[call-arg]
        a.append(lambda: os.walk, 1)  # type: ignore[call-arg]


def test_an_error_changes_nothing(a: Array[Any]) -> None:
    a.append(1)
    version = a.version

    def items() -> Any:
        yield from range(10_000)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        a.extend(items())
    with pytest.raises(TypeError):
        a.extend([2, (x for x in ())])
    with pytest.raises(TypeError):
        a.append(x for x in ())
    assert list(a) == [1]
    assert a.version == version


@pytest.mark.parametrize("kind", [Hooked, Tagged])
def test_hooks(kind: type[Array[Any]]) -> None:
    h = kind("hooked", create=True)
    values: list[Any] = [1, 22, 333] if kind is Hooked else [b"a", b"bb", b"ccc"]
    want: list[Any] = values if kind is Hooked else [(v, len(v)) for v in values]
    h.append(values[0])
    h.extend(values[1:])
    assert list(h) == want
    assert [h[i] for i in (0, -1)] == [want[0], want[2]]
    assert list(h[::-1]) == want[::-1] == list(reversed(h))
    h[0] = values[1]
    assert (h.popleft(), h.pop()) == (want[1], want[2])
    assert want[1] in h
    if kind is Hooked:
        assert list(Array("hooked")) == [b"22"]


def test_a_bounded_array_drops_its_oldest() -> None:
    a: Array[int] = Array("log", create=True, maxsize=3)
    for i in range(5):
        a.append(i)
    assert list(a) == [2, 3, 4]
    a.extend(range(100))
    assert list(a) == [97, 98, 99]
    a.extend(range(2))
    assert list(a) == [99, 0, 1]
    assert (a.maxsize, Array("log").maxsize, Array(create=True).maxsize) == (3, 3, None)
    assert Array("log", maxsize=7).maxsize == 3
    with transaction(a):
        a.extend(range(10_000))
        assert list(a) == [9997, 9998, 9999]
    with pytest.raises(TypeError):
        Array(maxsize="3")  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0, 1, 5, 600])
def test_slices_are_those_of_a_list(a: Array[int], length: int) -> None:
    model = list(range(length))
    a.extend(model)
    bounds = [None, 0, 1, 2, length - 1, length, length + 3, -1, -2, -length, -length - 2, 2**70, -(2**70)]
    for start in bounds:
        for stop in bounds:
            for step in (None, 1, -1, 3, -2, 2**62, -(2**70)):
                part = slice(start, stop, step)
                view = a[part]
                assert list(view) == model[part], part
                assert len(view) == len(model[part])
                if length < 10:
                    assert list(reversed(view)) == model[part][::-1], part
                    assert [view[i] for i in range(len(view))] == model[part]


def test_a_slice_is_a_view(a: Array[int]) -> None:
    newest = a[-3:]
    assert not newest
    assert list(newest) == []
    a.extend(range(10))
    assert newest == [7, 8, 9] == newest
    assert (newest[0], newest[-1], newest[1:], 8 in newest, newest.index(9)) == (7, 9, [8, 9], True, 2)
    with pytest.raises(IndexError):
        newest[3]
    with pytest.raises(ValueError, match="zero"):
        a[::0]
    with pytest.raises(TypeError):
        hash(newest)
    assert repr(a[1:]) == "<Array 'default/a'>[1:]"
    assert repr(a[::2]) == "<Array 'default/a'>[::2]"


def test_iterators_see_the_array_as_it_was(a: Array[int]) -> None:
    a.extend(range(1000))
    found = iter(a)
    assert next(found) == 0
    a.clear()
    assert list(found) == list(range(1, 1000))
    a.extend(range(600))
    with transaction(a):
        found = reversed(a)
        a.append(7)
    assert list(found) == list(range(599, -1, -1))
    with snapshot(a):
        found = iter(a)
    a.clear()
    assert len(list(found)) == 601


def test_a_sequence(a: Array[Any]) -> None:
    a.extend([1, 2, 1, None])
    assert isinstance(a, Sequence)
    assert (a.count(1), a.index(1, 1), a.index(1, -3, -1), None in a, 5 in a) == (2, 2, 2, True, False)
    with pytest.raises(ValueError, match="5"):
        a.index(5)
    with pytest.raises(ValueError, match="1"):
        a.index(1, 1, 2)
    assert a == [1, 2, 1, None]
    assert a != [1, 2, 1]
    assert a != (1, 2, 1, None)
    assert a == Array("a")
    assert hash(a) == hash(Array("a"))
    three = [3]
    assert (a + three, three + a, a * 2) == ([1, 2, 1, None, 3], [3, 1, 2, 1, None], [1, 2, 1, None] * 2)
    a += (5,)
    assert type(a) is Array
    a.extend(a)
    assert a.copy() == [1, 2, 1, None, 5] * 2
    assert pickle.loads(pickle.dumps(a)) == a


def test_other_processes_and_forked_children_see_the_same(script: Script, tmp_path: Path) -> None:
    script(
        """
import os, subprocess, sys
import parkit
parkit.set_default_site(sys.argv[1], create=True)
a = parkit.Array('memory/a', create=True)
a.extend(range(5))
child = os.fork()
if child == 0:
    try:
        assert list(a) == list(range(5))
        a.append(5)
    except BaseException:
        os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
a.append(6)
subprocess.run([sys.executable, '-c', '''
import parkit, sys
parkit.set_default_site(sys.argv[1])
a = parkit.Array('memory/a')
assert list(a) == list(range(7)), list(a)
assert a.popleft() == 0
''', sys.argv[1]], check=True)
assert list(a) == list(range(1, 7))
a.drop()
try:
    a.append(1)
except parkit.ObjectNotFoundError:
    print('gone')
""",
        str(tmp_path / "other"),
    )


def test_exported() -> None:
    assert parkit.Array is Array
