"""Streams on the bytes of a File, for io's buffers and text wrappers to stand on."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any

from . import _content, _native

if TYPE_CHECKING:
    from .file import FileIO

#: How many bytes a stream gathers before they are stored, if it is not told otherwise: eight chunks, about a mebibyte.
GATHERED = 8 * (128 * 1024 - 21)

# The most that is ever gathered, and the least.
_MOST, _LEAST = 16 << 20, 512


class Mode:
    """A mode in the letters of open(), where ``x`` is the original's: a transaction while it is open."""

    __slots__ = ("append", "binary", "read", "replace", "text", "whole", "write")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a mode is a str, not {type(text).__name__}")
        letters = set(text)
        kind = letters & set("rwa")
        if len(letters) != len(text) or letters - set("rwaxbt+") or len(kind) != 1 or {"b", "t"} <= letters:
            raise ValueError(f"invalid mode: {text!r}")
        self.text = text
        self.binary = "b" in letters
        self.whole = "x" in letters
        self.replace = "w" in letters
        self.append = "a" in letters
        self.read = "r" in letters or "+" in letters
        self.write = "r" not in letters or "+" in letters


class RawFile(io.RawIOBase):
    """The bytes of a file, read and written at a position. Each call is a transaction, or part of the thread's.

    In a mode that replaces the content, the old one goes when the first of the new is stored, at any other use of
    the stream, or when that is closed.

    :param buffer: how many bytes the buffer above holds, 0 for none. With one, reads, and writes of more than it
        holds, may be cut short such that the next ones begin with a chunk
    """

    def __init__(self, file: FileIO, mode: Mode, encoding: str, buffer: int) -> None:
        self._file, self._mode, self._encoding, self._buffer = file, mode, encoding, buffer
        self._replaces = mode.replace
        self._position = 0
        _, self._first, self._chunk, *_ = _native.lane.sequence(file)
        if mode.append:
            self._position = _native.lane.length(file)

    @property
    def name(self) -> str:
        return self._file.name

    @property
    def mode(self) -> str:
        return self._mode.text

    def readable(self) -> bool:
        return self._mode.read

    def writable(self) -> bool:
        return self._mode.write

    def seekable(self) -> bool:
        return True

    def _usable(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    def _empty(self) -> None:
        """Make the file empty that is to be replaced."""
        if self._replaces:
            _native.lane.file_write(self._file, 0, b"", self._about())
            self._replaces = False

    def _about(self) -> str:
        return _content.about(_content.BYTES) if self._mode.binary else _content.about(_content.TEXT, self._encoding)

    def _cut(self, n: int) -> int:
        """How many of n bytes to take, so that they end where a chunk does."""
        room = self._room()
        return n if not self._buffer or n <= room else n - (n - room) % self._chunk

    def _room(self) -> int:
        return self._chunk - (self._position - self._first) % self._chunk

    def _wanted(self, n: int) -> int:
        """How many of n bytes to read. A buffer for both is larger than what is worth reading before a seek."""
        return min(n, self._room()) if self._mode.write and n <= self._buffer else self._cut(n)

    def _taken(self, n: int) -> int:
        """How many of n bytes to write: what was gathered, and what is appended, is stored in one commit."""
        return n if n <= self._buffer or self._mode.append else self._cut(n)

    def readinto(self, buffer: Any) -> int:
        self._usable()
        if not self._mode.read:
            raise io.UnsupportedOperation("File not open for reading")
        self._empty()
        with memoryview(buffer) as view, view.cast("B") as whole, whole[: self._wanted(len(whole))] as part:
            n: int = _native.lane.file_readinto(self._file, self._position, part)
        self._position += n
        return n

    def readall(self) -> bytes:
        self._usable()
        if not self._mode.read:
            raise io.UnsupportedOperation("File not open for reading")
        self._empty()
        data: bytes = _native.lane.file_read(self._file, self._position, -1, False)
        self._position += len(data)
        return data

    def write(self, data: Any) -> int:
        self._usable()
        if not self._mode.write:
            raise io.UnsupportedOperation("File not open for writing")
        with memoryview(data) as view, _as_bytes(view) as whole, whole[: self._taken(len(whole))] as part:
            about = self._about() if self._replaces else None
            at = -1 if self._mode.append else self._position
            self._position = _native.lane.file_write(self._file, at, part, about)
            self._replaces = False
            return len(part)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._usable()
        if whence == 1:
            offset += self._position
        elif whence == 2:
            self._empty()
            offset += _native.lane.length(self._file)
        elif whence != 0:
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = offset
        return offset

    def tell(self) -> int:
        self._usable()
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self._usable()
        if not self._mode.write:
            raise io.UnsupportedOperation("File not open for writing")
        self._empty()
        size = self._position if size is None else size
        _native.lane.file_truncate(self._file, size)
        return size

    def close(self) -> None:
        if not self.closed:
            try:
                self._empty()
            finally:
                super().close()


class ViewReader(io.BufferedIOBase):
    """A file's content in place. What is read to the end is a memoryview of it, all else bytes."""

    def __init__(self, file: FileIO, view: memoryview) -> None:
        self._file, self._view = file, view
        self._position = 0

    @property
    def name(self) -> str:
        return self._file.name

    @property
    def mode(self) -> str:
        return "rb"

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def _usable(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    def _next(self, n: int) -> memoryview:
        self._usable()
        part = self._view[self._position : self._position + n]
        self._position += len(part)
        return part

    def read(self, size: int | None = -1, /) -> Any:
        if size is None or size < 0:
            return self._next(len(self._view))
        return bytes(self._next(size))

    def read1(self, size: int = -1, /) -> bytes:
        return bytes(self._next(size if size >= 0 else GATHERED))

    def peek(self, size: int = 0, /) -> bytes:
        self._usable()
        return bytes(self._view[self._position : self._position + max(size, 8192)])

    def readinto(self, buffer: Any, /) -> int:
        with memoryview(buffer) as view, view.cast("B") as whole:
            part = self._next(len(whole))
            whole[: len(part)] = part
            return len(part)

    readinto1 = readinto

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._usable()
        if whence not in (0, 1, 2):
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        offset += (0, self._position, len(self._view))[whence]
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = offset
        return offset

    def tell(self) -> int:
        self._usable()
        return self._position

    def close(self) -> None:
        self._view = memoryview(b"")
        super().close()


def open_stream(
    file: FileIO, mode: Mode, buffering: int, encoding: str, errors: str | None, newline: str | None
) -> Any:
    """What io.open gives for a file on disk. Binary modes do not look at the last three."""
    if not mode.binary and buffering == 0:
        raise ValueError("can't have unbuffered text I/O")
    size = GATHERED if buffering in (-1, 1) else max(_LEAST, min(buffering, _MOST)) if buffering else 0
    raw = RawFile(file, mode, encoding, size)
    if not size:
        return raw
    buffered: io.BufferedRandom | io.BufferedWriter | io.BufferedReader
    if mode.read and mode.write:
        buffered = io.BufferedRandom(raw, size)
    elif mode.write:
        buffered = io.BufferedWriter(raw, size)
    else:
        # A chunk is checked as a whole: less is not worth reading, and more is soon left unread by a seek.
        buffered = io.BufferedReader(raw, max(_LEAST, min(size, raw._chunk)))
    if mode.binary:
        return buffered
    text = io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)
    text.mode = mode.text  # type: ignore[misc]
    return text


def _as_bytes(view: memoryview) -> memoryview:
    # An empty view of several dimensions cannot be cast.
    return view.cast("B") if view.nbytes else memoryview(b"")
