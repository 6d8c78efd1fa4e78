"""The codec of the fast lane: keys sort and meet as Python's do, and keys and
values come back as they were. gocore/keys makes the vectors."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import functools
import gc
import json
import math
import pathlib
import struct
import sys
import types
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parkit._native import lane

VECTORS = pathlib.Path(__file__).parent.parent / "gocore" / "keys" / "testdata" / "vectors.json"


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.Enum):
    A = "a"


class TextWord(str, enum.Enum):
    A = "a"


class Text(str):
    pass


class Octets(bytes):
    pass


class Real(float):
    pass


class Whole(int):
    def __abs__(self):
        raise AssertionError("the codec must not ask a subclass")


class Unhashable(int):
    __hash__ = None


# The first bytes of values that may be pickles.
EXTENSIONS = [bytes([tag]) for tag in (0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8)]

Pair = collections.namedtuple("Pair", "a b")


class Point:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return isinstance(other, Point) and other.x == self.x

    def __hash__(self):
        return hash(self.x)


def code(key):
    return lane.encode_key(key)[0]


def same(a, b):
    """Equal, of one type, and of one sign and NaN-ness, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack(">d", a) == struct.pack(">d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, frozenset):
        return len(a) == len(b) and all(any(same(x, y) for y in b) for x in a)
    return a == b


def roundtrip(key):
    return lane.decode_key(*lane.encode_key(key))


numbers = st.one_of(
    st.integers(),
    st.integers(min_value=-(2**2000), max_value=2**2000),
    st.floats(allow_nan=False),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False).map(int),
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.text(st.sampled_from("\x00\x01a\xff\u0100\ud800\udfff\ue000\uffff\U00010000")),
)
octets = st.one_of(st.binary(), st.lists(st.sampled_from([0, 1, 255])).map(bytes))
scalars = st.one_of(st.none(), numbers, texts, octets)
keys = st.recursive(scalars, lambda k: st.one_of(st.lists(k).map(tuple), st.frozensets(k)), max_leaves=8)


@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text()), ids=lambda vector: vector["key"])
def test_agrees_with_go(vector):
    key = eval(vector["key"])
    encoded, own = lane.encode_key(key)
    assert encoded.hex() == vector["hex"]
    theirs = bytes.fromhex(vector["own"]) or None
    if vector["pickle"]:
        assert own is not None
    else:
        assert own == theirs
    assert same(lane.decode_key(encoded, own), key)
    assert same(lane.decode_key(encoded, theirs), key)


@given(st.one_of(*(st.lists(kind) for kind in (numbers, texts, octets))))
def test_sorts_as_python_does(some):
    assert [code(key) for key in sorted(some)] == sorted(map(code, some))


@given(st.lists(st.tuples(numbers, texts, octets, st.tuples(texts, numbers))))
def test_tuples_sort_as_python_sorts_them(some):
    assert [code(key) for key in sorted(some)] == sorted(map(code, some))


@given(st.lists(st.one_of(st.lists(texts, max_size=3), st.lists(octets, max_size=3).map(list)).map(tuple), max_size=5))
def test_shorter_tuples_come_before_longer_ones(some):
    for key in some:
        for n in range(len(key)):
            assert code(key[:n]) < code(key)


@given(keys, keys)
def test_keys_are_one_where_they_are_equal(a, b):
    assert (code(a) == code(b)) == (a == b)
    assert code(a) == code(a)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-2, 2))
def test_near_numbers_are_told_apart(number, offset):
    other = int(number) + offset
    assert (code(number) == code(other)) == (number == other)
    assert (code(number) < code(other)) == (number < other)


@given(keys)
def test_keys_come_back(key):
    assert same(roundtrip(key), key)


@given(keys)
def test_own_form_is_kept_only_where_it_is_lost(key):
    encoded, own = lane.encode_key(key)
    assert (own is None) == same(lane.decode_key(encoded, None), key)


def edges():
    for n in (0, 1, 31, 32, 62, 63, 64, 65, 127, 128, 1000, 60000):
        for off in (-1, 0, 1):
            yield 2**n + off
            yield -(2**n) - off
    yield from (10**400, -(10**400), 5e-324, -5e-324, sys.float_info.min, sys.float_info.max, sys.float_info.epsilon)
    yield from (math.inf, -math.inf, math.nan, 0.0, -0.0, 1.0, -1.0, 1e300, 0.1, True, False, None)
    for n in (0, 1, 7, 31, 32, 255, 256, 510, 512, 65535, 65536, 200_000):
        for unit in ("a", "\0", "\xe9", "\u20ac", "\U0001f600", "\ud800"):
            yield unit * n
        yield b"\0" * n
        yield b"\xff" * n


def test_edges_as_keys_and_values():
    for number, thing in enumerate(edges()):
        where = f"edge {number}, a {type(thing).__name__}"
        assert same(roundtrip(thing), thing), where
        assert same(roundtrip((thing, thing)), (thing, thing)), where
        assert same(lane.decode_value(lane.encode_value(thing)), thing), where


@given(st.one_of(scalars, st.lists(scalars), st.dictionaries(texts, scalars)))
def test_values_come_back(value):
    back = lane.decode_value(lane.encode_value(value))
    assert repr(back) == repr(value)


def test_values_are_msgpack():
    for value, text in (
        (None, "c0"),
        (False, "c2"),
        (True, "c3"),
        (0, "00"),
        (127, "7f"),
        (-1, "ff"),
        (-32, "e0"),
        (-33, "d0df"),
        (128, "cc80"),
        (2**16, "ce00010000"),
        (2**63, "cf8000000000000000"),
        (-(2**63), "d38000000000000000"),
        (1.0, "cb3ff0000000000000"),
        ("a", "a161"),
        ("\xe9", "a2c3a9"),
        (b"a", "c40161"),
        (b"", "c400"),
        ("", "a0"),
    ):
        assert lane.encode_value(value).hex() == text
    assert lane.encode_value([1])[0] in (0xC7, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8)


@pytest.mark.parametrize(
    ("key", "plain"),
    [
        (Level.LOW, 1),
        (TextWord.A, "a"),
        (Text("t"), "t"),
        (Octets(b"o"), b"o"),
        (Real(1.5), 1.5),
        (Real(2), 2),
        (Whole(7), 7),
        (Whole(-(2**70)), -(2**70)),
        (Pair(1, "b"), (1, "b")),
        (decimal.Decimal("1.50"), 1.5),
        (decimal.Decimal("-3"), -3),
        (decimal.Decimal(10**30 + 1), 10**30 + 1),
        (fractions.Fraction(1, 2), 0.5),
        (fractions.Fraction(4), 4),
        (2 + 0j, 2),
        (decimal.Decimal("0.10"), fractions.Fraction(1, 10)),
        (decimal.Decimal("0.10"), decimal.Decimal("0.1")),
        (decimal.Decimal("1.0e+999999"), decimal.Decimal("1e+999999")),
        ((Level.LOW, TextWord.A), (1, "a")),
        (frozenset({Level.LOW}), frozenset({1})),
        (decimal.Decimal("inf"), math.inf),
    ],
)
def test_equal_keys_of_other_types_meet_and_keep_their_type(key, plain):
    assert key == plain
    assert code(key) == code(plain)
    back = roundtrip(key)
    assert type(back) is type(key)
    assert repr(back) == repr(key)


def test_numpy_scalars_meet_the_numbers_they_equal():
    numpy = pytest.importorskip("numpy")
    for key in (
        numpy.int64(3),
        numpy.uint8(200),
        numpy.float64(0.5),
        numpy.float32(0.5),
        numpy.bool_(True),
        numpy.str_("a"),
    ):
        assert code(key) == code(key.item())
        assert type(roundtrip(key)) is type(key)


@pytest.mark.parametrize(
    "key",
    [
        Colour.RED,
        Word.A,
        datetime.date(2020, 1, 2),
        uuid.UUID(int=5),
        Point(3),
        1 + 2j,
        decimal.Decimal("0.1"),
        fractions.Fraction(1, 3),
        (Colour.BLUE, 1),
        frozenset({Colour.RED, "a"}),
        range(3),
        int,
        len,
        pathlib.PurePosixPath("/a\0b"),
        ...,
        decimal.Decimal("1E+999999999"),
        2**-1074 + 0j,
    ],
)
def test_other_keys_are_kept_by_their_pickle(key):
    assert roundtrip(key) == key
    assert code(key) == code(roundtrip(key))


def test_equal_objects_have_one_encoding():
    name = "".join(["na", "me"])
    one, two = Point((name, name)), Point(("name", "".join(["na", "me"])))
    assert one == two
    assert code(one) == code(two)


@pytest.mark.parametrize("key", [[], {}, set(), bytearray(), (1, []), Unhashable(1), (({},),)])
def test_refuses_what_a_dict_refuses(key):
    with pytest.raises(TypeError) as expected:
        hash(key)
    with pytest.raises(TypeError) as caught:
        lane.encode_key(key)
    assert str(caught.value) == str(expected.value)


def test_a_key_that_cannot_be_pickled_names_its_type():
    with pytest.raises(TypeError, match="key"):
        lane.encode_key(lambda: 0)
    with pytest.raises(TypeError, match="generator"):
        lane.encode_key(x for x in ())


def test_an_error_of_a_hash_is_passed_on():
    class Bad:
        def __hash__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lane.encode_key(Bad())


def test_limits_of_keys():
    deep = functools.reduce(lambda inner, _: (inner,), range(200), 1)
    assert roundtrip(deep) == deep
    with pytest.raises(ValueError, match="200"):
        lane.encode_key((deep,))
    with pytest.raises(OverflowError, match="2\\*\\*27"):
        lane.encode_key(1 << 2**27)


def test_values_that_pickle_refuses_go_by_cloudpickle():
    assert lane.decode_value(lane.encode_value(lambda x: x + 1))(2) == 3
    with pytest.raises(TypeError, match="generator"):
        lane.encode_value(x for x in ())


def test_an_error_of_reduce_is_passed_on():
    class Bad:
        def __reduce__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lane.encode_value(Bad())


def test_subclasses_as_values_keep_their_type():
    for value in (Level.LOW, TextWord.A, Text("t"), Octets(b"o"), Real(1.5), Whole(7), Pair(1, 2), 2**64, -(2**63) - 1):
        back = lane.decode_value(lane.encode_value(value))
        assert type(back) is type(value)
        assert back == value


def test_large_pickles_come_back_and_are_not_held():
    value = {"text": "x" * 300_000, "octets": b"y" * 300_000, "many": list(range(30_000)), "array": bytearray(200_000)}
    stored = lane.encode_value(value)
    assert lane.decode_value(stored) == value
    gc.collect()
    assert not any(type(one) is memoryview and one.nbytes > 65536 for one in gc.get_referrers(stored))


@given(st.binary())
def test_damaged_bytes_are_refused_or_mean_something(junk):
    # No pickles: what those do is not ours to bound.
    if junk[:1] and b"\x40" not in junk:
        try:
            key = lane.decode_key(junk, None)
        except ValueError:
            return
        assert isinstance(code(key), bytes)


@given(keys, st.data())
def test_cut_keys_are_refused_or_mean_something(key, data):
    encoded = code(key)
    cut = encoded[: data.draw(st.integers(0, len(encoded)))]
    try:
        lane.decode_key(cut, None)
    except ValueError:
        pass


@given(st.binary(max_size=40).filter(lambda junk: junk[:1] not in EXTENSIONS))
def test_damaged_values_are_refused_or_mean_something(junk):
    try:
        value = lane.decode_value(junk)
    except ValueError:
        return
    assert isinstance(value, (types.NoneType, bool, int, float, str, bytes))


def test_references_are_not_leaked():
    key, value = ("k" * 50, 1.0, frozenset({"a", 2})), "v" * 100

    def once():
        roundtrip(key)
        roundtrip(value)
        lane.decode_value(lane.encode_value(value))
        lane.decode_value(lane.encode_value([value]))
        with pytest.raises(TypeError):
            lane.encode_key((key, []))

    once()
    gc.collect()
    before = [sys.getrefcount(thing) for thing in (key, value, None)]
    for _ in range(1000):
        once()
    gc.collect()
    after = [sys.getrefcount(thing) for thing in (key, value, None)]
    assert all(abs(a - b) < 100 for a, b in zip(after, before, strict=True))
