"""File beside a bytearray."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from kind import Kind, Op, of_these, ops

import parkit


class FileOperations:
    def put(f: Any, place: int, data: bytes) -> None:
        if type(f) is bytearray:
            f.extend(bytes(max(0, place - len(f))) if data else b"")
            f[place : place + len(data)] = data
            return
        with f.open("r+b") as stream:
            stream.seek(place)
            stream.write(data)

    def append(f: Any, data: bytes) -> None:
        if type(f) is bytearray:
            f += data
            return
        with f.open("ab") as stream:
            stream.write(data)

    def append_in_parts(f: Any, data: bytes, size: int) -> None:
        if type(f) is bytearray:
            f += data
            return
        with f.open("ab", buffering=0) as stream:
            for start in range(0, len(data), size):
                assert stream.write(data[start : start + size]) == len(data[start : start + size])

    def replace(f: Any, data: bytes) -> None:
        if type(f) is bytearray:
            f[:] = data
            return
        with f.open("wb") as stream:
            stream.write(data)

    def set_content(f: Any, data: bytes) -> None:
        if type(f) is bytearray:
            f[:] = data
            return
        f.set_content(data)

    def truncate(f: Any, size: int) -> None:
        if type(f) is bytearray:
            f[size:] = bytes(max(0, size - len(f)))
            return
        with f.open("r+b") as stream:
            stream.truncate(size)

    def read(f: Any, place: int, size: int) -> Any:
        if type(f) is bytearray:
            return bytes(f[place : place + size])
        with f.open("rb") as stream:
            stream.seek(place)
            return stream.read(size)

    def lines(f: Any) -> Any:
        if type(f) is bytearray:
            return bytes(f).splitlines(keepends=True) if b"\r" not in f else None
        with f.open("rb") as stream:
            found = list(stream)
        return found if b"\r" not in b"".join(found) else None

    def content(f: Any) -> Any:
        if type(f) is bytearray:
            return len(f), bytes(f)
        with f.open("rb") as stream:
            return f.size, stream.read()

    def view(f: Any) -> Iterator[bytes]:
        """Pieces of what a snapshot of the moment shows in place: it must outlive the scope, and whatever is done."""
        if type(f) is bytearray:
            data: Any = bytes(f)
        else:
            with parkit.snapshot(f):
                data = f.get_content()
            data = b"" if data is None else data
        return (bytes(data[start : start + 1000]) for start in range(0, len(data), 1000))


PIECES = [b"", b"a", b"line\n", b"two\nlines\n", bytes(range(10)), b"x" * 4000, bytes(range(256)) * 40]
PIECES += [b"large\n" * 15_000, bytes(1 << 18), b"y" * 700_000]
_data = of_these(PIECES)
_places = st.sampled_from([0, 0, 1, 5, 4000, 8000, 65_536, 100_000, 300_000])

FILE = Kind(
    parkit.File,
    bytearray,
    FileOperations,
    writes=st.one_of(
        ops("put", _places, _data),
        ops("append", _data),
        ops("append_in_parts", _data, st.sampled_from([1 << 16, 100_000])),
        ops("replace", _data),
        ops("set_content", _data),
        ops("truncate", _places),
    ),
    reads=st.one_of(ops("read", _places, _places), ops("lines")),
    iterators=(Op("view"),),
    several=frozenset({"put", "append", "append_in_parts", "replace", "truncate"}),
)
