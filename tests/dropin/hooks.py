"""Classes that say themselves how their keys, values and attributes are stored."""

import json
import pickle
import sys
import zlib

from parkit import *

set_default_site(sys.argv[1], create=True)


class RawDict(Dict):
    """Bytes, as they are."""

    encode_key = None
    decode_key = None
    encode_value = None
    decode_value = None


raw = RawDict("coded/raw", create=True)
raw[b"k"] = b"\0\xff"
assert bytes(raw[b"k"]) == b"\0\xff" and b"k" in raw
assert [(bytes(k), bytes(v)) for k, v in raw.items()] == [(b"k", b"\0\xff")]
assert bytes(raw.setdefault(b"l", b"1")) == b"1" and bytes(raw.pop(b"l")) == b"1"


class RawArray(Array):
    encode_value = None
    decode_value = None


class RawQueue(Queue):
    encode_value = None
    decode_value = None


rows, items = RawArray("coded/rows", create=True), RawQueue("coded/items", create=True)
rows.extend([b"one", bytearray(b"two")])
rows.append(memoryview(b"three"))
items.put(b"x")
assert [bytes(row) for row in rows] == [b"one", b"two", b"three"] and bytes(items.get()) == b"x"


class TextDict(Dict):
    encode_key = staticmethod(str.encode)
    decode_key = staticmethod(lambda data: bytes(data).decode())
    encode_value = staticmethod(lambda value: json.dumps(value).encode())
    decode_value = staticmethod(lambda data: json.loads(bytes(data)))


text = TextDict("coded/text", create=True)
text.update({"b": [1], "a": {"x": None}})
assert list(text) == ["a", "b"] and text["a"] == {"x": None}


class Compressed(Array):
    """Over what the class below does."""

    def encode_value(self, value):
        return zlib.compress(super().encode_value(value))

    def decode_value(self, data):
        return super().decode_value(zlib.decompress(data))


packed = Compressed("coded/packed", create=True)
packed.append("x" * 100_000)
assert packed[0] == "x" * 100_000


# With get_metadata, decode_value is given what was noted beside the value: of each class, as the
# original's own tests have it.
class Checked:
    def get_metadata(self, value):
        return value

    def decode_value(self, data, metadata):
        value = pickle.loads(data)
        assert value == metadata
        return value


class CheckedDict(Checked, Dict):
    pass


class CheckedArray(Array):
    def get_metadata(self, value):
        return value

    def decode_value(self, data, metadata):
        value = super().decode_value(data)
        assert value == metadata
        return value


class CheckedQueue(Checked, Queue):
    pass


d, a, q = (
    CheckedDict("coded/d", create=True),
    CheckedArray("coded/a", create=True),
    CheckedQueue("coded/q", create=True),
)
d.update(x=1, y=[2])
assert dict(d) == {"x": 1, "y": [2]} and d.pop("x") == 1
a.extend([1, "two"])
assert list(a) == [1, "two"] and list(reversed(a)) == ["two", 1] and a.popleft() == 1
q.put({"n": 1})
assert q.get() == {"n": 1}


# Attributes under names and in a form of the class's own.
class Record(Object):
    encode_attr_key = staticmethod(lambda name: name.upper().encode())
    decode_attr_key = staticmethod(lambda data: bytes(data).decode().lower())
    encode_attr_value = staticmethod(lambda value: json.dumps(value).encode())
    decode_attr_value = staticmethod(lambda data: json.loads(bytes(data)))


record = Record("coded/record", create=True)
record.colour = ["red"]
assert record.colour == ["red"] and list(record.attributes) == ["colour"]


class NoMore(CheckedArray):
    get_metadata = None

    def decode_value(self, data):
        return Array.decode_value(data)


plain = NoMore("coded/plain", create=True)
plain.append(5)
assert plain[0] == 5

print("hooks: fine")
