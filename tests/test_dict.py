"""Dict as a mapping of its own; test_mapping.py runs Python's tests of mappings over it."""

from __future__ import annotations

import copy
import enum
import math
import os
import random
import sys
from collections import OrderedDict, UserDict
from collections.abc import Iterator, Mapping, MutableMapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

import parkit
from conftest import Script
from parkit import Dict

pytestmark = pytest.mark.usefixtures("site")


class Colour(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


class Fixed:
    """A key that pickle knows, with equality and a hash."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fixed) and self.n == other.n

    def __hash__(self) -> int:
        return hash(self.n)

    def __repr__(self) -> str:
        return f"Fixed({self.n})"


@pytest.fixture
def d() -> Dict[Any, Any]:
    return Dict("d", create=True)


KEYS = [
    None,
    0,
    -1,
    1 << 200,
    -(1 << 200),
    1.5,
    -math.inf,
    math.inf,
    "",
    "ünïcode\0",
    "\ud800",
    b"",
    b"\0\xff",
    (),
    (1, "a", (None, b"x")),
    frozenset({1, "a"}),
    Colour.RED,
    Point(1, 2),
    Fixed(3),
    Fraction(1, 3),
    Decimal("0.1"),
    1j,
    range(3),
    int,
    "x" * 100_000,
    b"y" * 100_000,
    ("z" * 1000, 5),
]


def test_keys_of_every_kind_come_back_as_they_were(d: Dict[Any, Any]) -> None:
    for n, key in enumerate(KEYS):
        d[key] = n
    assert len(d) == len(KEYS)
    for n, key in enumerate(KEYS):
        assert d[key] == n
        assert key in d
    assert {type(key) for key in d} == {type(key) for key in KEYS}
    assert d == {key: n for n, key in enumerate(KEYS)}
    for key in KEYS:
        del d[key]
    assert list(d) == []


def test_numbers_that_are_equal_are_one_key(d: Dict[Any, Any]) -> None:
    d[1] = "a"
    for same in (True, 1.0, Fraction(1), Decimal(1), 1 + 0j):
        assert d[same] == "a"
        d[same] = "b"
        assert d.pop(same) == "b"
        d[1] = "a"
    for same in (True, 1.0):
        d[same] = "a"
    assert list(d) == [1]
    assert type(next(iter(d))) is int  # a dict keeps its first key too
    d[0.0] = "zero"
    assert d[-0.0] == d[0] == d[False] == "zero"


def test_texts_and_bytes_are_different_keys(d: Dict[Any, Any]) -> None:
    d["a"], d[b"a"], d[("a",)] = 1, 2, 3
    assert (d["a"], d[b"a"], d[("a",)]) == (1, 2, 3)


@pytest.mark.parametrize("key", [[], {}, set(), [1], ({},), (1, [2])])
def test_what_cannot_be_hashed_is_no_key(d: Dict[Any, Any], key: Any) -> None:
    for use in (
        lambda: d[key],
        lambda: d.__setitem__(key, 1),
        lambda: d.__delitem__(key),
        lambda: key in d,
        lambda: d.get(key),
        lambda: d.pop(key),
        lambda: d.pop(key, 1),
        lambda: d.setdefault(key, 1),
        lambda: d.update([(key, 1)]),
        lambda: list(d.irange(key)),
    ):
        with pytest.raises(TypeError):
            use()
    assert d == {}


def test_values_of_every_kind(d: Dict[Any, Any]) -> None:
    values = [None, True, 7, -(1 << 70), 1.5, "x", "\ud800", b"\0", [1, [2]], {"a": {1}}, Colour.RED, Fixed(1), KEYS]
    for n, value in enumerate(values):
        d[n] = value
    for n, value in enumerate(values):
        assert d[n] == value
        assert type(d[n]) is type(value)
    assert list(d.values()) == values


def test_a_function_may_be_a_value(d: Dict[Any, Any]) -> None:
    d["f"] = lambda n: n + 1
    assert d["f"](2) == 3


@pytest.mark.parametrize("value", [(n for n in ()), sys._getframe(), [os.scandir()]])
def test_what_cannot_be_pickled_changes_nothing(d: Dict[Any, Any], value: Any) -> None:
    d["x"] = 1
    version = d.version
    for use in (
        lambda: d.__setitem__("x", value),
        lambda: d.setdefault("y", value),
        lambda: d.update(a=1, b=value),
        lambda: d.update([("a", 1), ("b", value)]),
        lambda: d.__ior__({"b": value}),
    ):
        with pytest.raises(TypeError, match="cannot"):
            use()
    assert d == {"x": 1}
    assert d.version == version


def test_errors_come_in_dicts_order(d: Dict[Any, Any]) -> None:
    """The key is looked at before the value, and a missing key before a bad default."""
    with pytest.raises(TypeError, match="unhashable"):
        d[[]] = (n for n in ())
    for key in ("x", (1, 2), None):
        for use in (d.__getitem__, d.__delitem__, d.pop):
            with pytest.raises(KeyError) as caught:
                use(key)
            assert caught.value.args == (key,)
    with pytest.raises(TypeError):
        d.pop()  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        d.get()  # type: ignore[call-overload]


# ---- Update, and making others ----


class WithKeys:
    """No mapping, but dict takes it for one."""

    def keys(self) -> list[str]:
        return ["a", "b"]

    def __getitem__(self, key: str) -> str:
        return key * 2


@pytest.mark.parametrize(
    "other",
    [
        {"a": "aa", "b": "bb"},
        [("a", "aa"), ["b", "bb"]],
        (("a", "aa"), ("b", "bb")),
        OrderedDict(b="bb", a="aa"),
        UserDict(b="bb", a="aa"),
        MappingProxyType({"a": "aa", "b": "bb"}),
        WithKeys(),
        {"a": "aa", "b": "bb"}.items(),
    ],
)
def test_updating(d: Dict[Any, Any], other: Any) -> None:
    d["a"] = 0
    version = d.version
    d.update(other)
    assert d == {"a": "aa", "b": "bb"}
    assert d.version == version + 1
    d.update(other, b=3, c=4)
    assert d == {"a": "aa", "b": 3, "c": 4}
    assert d.version == version + 2
    d.update(iter([("d", 5)]))
    d.update(self=1, other=2)
    assert (d["d"], d["self"], d["other"]) == (5, 1, 2)


def test_updating_with_nothing(d: Dict[Any, Any]) -> None:
    version = d.version
    d.update()
    d.update({})
    d.update([])
    d.update(iter(()))
    assert d.version == version


def test_updating_with_a_dict_of_the_store(d: Dict[Any, Any]) -> None:
    other = Dict("other", create=True)
    other.update({n: n for n in range(10_000)})
    d.update(other)
    assert d.version == 1
    assert d.copy() == other.copy()
    d.update(d)
    assert len(d) == 10_000


@pytest.mark.parametrize(
    ("other", "error"),
    [
        (3, TypeError),
        ([3], TypeError),
        ([(1,)], ValueError),
        ([(1, 2, 3)], ValueError),
        ("abc", ValueError),
        (None, TypeError),
    ],
)
def test_updating_with_what_is_no_pairs(d: Dict[Any, Any], other: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        d.update(other)
    with pytest.raises(error):
        d |= other
    with pytest.raises(TypeError):
        d.update({}, {})  # type: ignore[call-arg]
    assert d == {}


@pytest.mark.parametrize("size", [3, 4095, 4096, 20_000])
def test_an_update_is_whole_or_not_at_all(d: Dict[Any, Any], size: int) -> None:
    def entries() -> Iterator[tuple[int, int]]:
        for n in range(size):
            yield n, n
        raise KeyError("broken")

    d[0] = "before"
    with pytest.raises(KeyError, match="broken"):
        d.update(entries())
    assert d == {0: "before"}
    with pytest.raises(ValueError, match="element"):
        d.update([*((n, n) for n in range(size)), (1, 2, 3)])
    assert d == {0: "before"}
    d.update((n, n) for n in range(size))
    assert len(d) == size
    assert d.version == 2


def test_merging(d: Dict[Any, Any]) -> None:
    d.update(a=1, b=2)
    assert d | {"b": 3} == {"a": 1, "b": 3}
    assert {"b": 3, "c": 4} | d == {"a": 1, "b": 2, "c": 4}
    assert d | d == {"a": 1, "b": 2}
    assert type(d | {}) is type({} | d) is dict
    same = d
    d |= {"c": 3}
    d |= [("d", 4)]
    assert d is same
    assert d == {"a": 1, "b": 2, "c": 3, "d": 4}
    for wrong in (lambda: d | [("a", 1)], lambda: [("a", 1)] | d, lambda: d | 3):
        with pytest.raises(TypeError):
            wrong()


def test_copying(d: Dict[Any, Any]) -> None:
    d["a"] = [1]
    copied = d.copy()
    assert type(copied) is dict
    assert copied == {"a": [1]}
    assert copy.copy(d) == copy.deepcopy(d) == d  # references to the same object
    assert copy.deepcopy(d).uuid == d.uuid


def test_from_keys() -> None:
    made = Dict.fromkeys("ba", 0, "counts")
    assert made == Dict("counts") == {"a": 0, "b": 0}
    assert Dict.fromkeys(iter("ab")) == {"a": None, "b": None}
    assert Dict.fromkeys("ab", 1, "memory").namespace == "memory"
    with pytest.raises(parkit.ObjectExistsError):
        Dict.fromkeys("ab", 0, "counts", bind=False)
    assert Dict.fromkeys("c", 1, "counts") == {"a": 0, "b": 0, "c": 1}


def test_equality(d: Dict[Any, Any]) -> None:
    d.update(a=1, b=[2])
    for same in ({"b": [2], "a": 1}, UserDict(a=1, b=[2]), OrderedDict(b=[2], a=1), d, Dict("d")):
        assert d == same
        assert same == d
    for other in ({"a": 1}, {"a": 1, "b": 2}, {"a": 1, "c": [2]}, [], None, 3, "d"):
        assert d != other
        assert other != d
    twin = Dict("twin", create=True)
    twin.update(d)
    assert twin != d
    assert twin == d.copy()
    assert len({d, twin, Dict("d")}) == 2


# ---- Protocol ----


def test_it_is_a_mutable_mapping(d: Dict[Any, Any]) -> None:
    assert isinstance(d, MutableMapping)
    assert isinstance(d, Mapping)
    assert issubclass(Dict, MutableMapping)
    assert not d
    d["a"] = 1
    assert d
    assert dict(d) == {**d} == {"a": 1}
    match d:
        case {"a": found}:
            assert found == 1
        case _:
            raise AssertionError


def test_types_can_be_given() -> None:
    kind = Dict[str, int]
    typed = kind("typed", create=True)
    assert type(typed) is Dict
    assert typed.attributes == []

    class Counts(Dict[str, int]):
        pass

    assert Counts("counts", create=True) == {}


def test_every_method_of_dict_is_there() -> None:
    assert {name for name in dir(dict) if not hasattr(Dict, name)} == set()


def test_a_dict_method_kept_across_a_fork_works_again_by_name(site: str, script: Script) -> None:
    script(
        """
import os, parkit, sys
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('d', create=True)
d['a'] = 1
pid = os.fork()
if pid == 0:
    del d['a']
    d['b'] = 2
    assert 'b' in d and d['b'] == 2
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert d == {'b': 2}
""",
        site,
    )


def test_random_use_agrees_with_a_dict(d: Dict[Any, Any]) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    choice = random.Random(seed)
    model: dict[Any, Any] = {}
    keys = [*range(-5, 5), *"abc", b"a", (1, 2), None, 2.5, "x" * 600]

    def step() -> None:
        key, value = choice.choice(keys), choice.randrange(100)
        match choice.randrange(12):
            case 0 | 1 | 2:
                d[key] = model[key] = value
            case 3:
                assert d.pop(key, "none") == model.pop(key, "none")
            case 4:
                assert (key in d) == (key in model)
                d.pop(key, None)
                model.pop(key, None)
            case 5:
                assert d.setdefault(key, value) == model.setdefault(key, value)
            case 6:
                some = {choice.choice(keys): choice.randrange(100) for _ in range(choice.randrange(30))}
                d.update(some)
                model.update(some)
            case 7:
                if model:
                    key, value = d.popitem(choice.choice((0, -1)))
                    assert model.pop(key) == value
            case 8:
                with d.edit(key, default=value):
                    model.setdefault(key, value)
            case 9:
                saved = model.copy()
                try:
                    with parkit.transaction(d):
                        for _ in range(choice.randrange(4)):
                            step()
                        if choice.random() < 0.5:
                            raise ZeroDivisionError
                except ZeroDivisionError:
                    model.clear()
                    model.update(saved)
            case 10:
                with parkit.snapshot(d):
                    assert dict(d) == model
            case _:
                assert d.get(key) == model.get(key)
        assert len(d) == len(model)

    for _ in range(600):
        step()
        assert d == model
    assert list(reversed(d.items())) == list(d.items())[::-1]
