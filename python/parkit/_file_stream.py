"""Streams on the bytes of a File, for io's buffers and text wrappers to stand on."""

from __future__ import annotations

import errno
import io
import operator
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import _content, _native
from ._gathered import Gathered
from .transaction import transaction

if TYPE_CHECKING:
    from .file import FileIO

    _Buffer = io.BufferedWriter
else:
    _Buffer = object

#: How many bytes a stream gathers before they are stored, if it is not told otherwise: eight chunks, about a mebibyte.
GATHERED = 8 * (128 * 1024 - 21)

# The most that is ever gathered, and the least.
_MOST, _LEAST = 16 << 20, 512

# The most parts that are gathered: each may make a chunk be written anew, and all of them are one transaction.
_PARTS = 256

# Beyond this no file goes: the core is to tell, and at once.
_LARGEST = 1 << 47


class Mode:
    """A mode in the letters of open(), where ``x`` is the original's: a transaction while it is open."""

    __slots__ = ("append", "binary", "read", "replace", "text", "whole", "write")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a mode is a str, not {type(text).__name__}")
        letters = set(text)
        kind = letters & set("rwa")
        if len(letters) != len(text) or letters - set("rwaxbt+") or len(kind) != 1 or {"b", "t"} <= letters:
            alone = "x" in letters and not kind
            why = ": x comes with r, w or a, for a transaction; it is not for a file that must be new" if alone else ""
            raise ValueError(f"invalid mode: {text!r}{why}")
        self.text = text
        self.binary = "b" in letters
        self.whole = "x" in letters
        self.replace = "w" in letters
        self.append = "a" in letters
        self.read = "r" in letters or "+" in letters
        self.write = "r" not in letters or "+" in letters


class RawFile(io.RawIOBase):
    """The bytes of a file, read and written at a position.

    With a limit it gathers what is written, at whatever places, and stores it in one commit: when more would be too
    much, before a write of its own that is larger than the limit, when it is flushed, truncated or closed, and if it
    appends, before it reads. Reading sees what was gathered. With io's buffers alone, each seek would store.

    In a mode that replaces the content, the old one goes when the first of the new is stored, or at the end.

    :param limit: how many bytes to gather, 0 for none: then each write is stored
    :param buffer: how many bytes the buffer above holds, 0 for none. With one, reads, and writes of more than is
        gathered, may be cut short such that the next ones begin with a chunk
    """

    _held = True  # by a buffer above, or not made yet

    def __init__(self, file: FileIO, mode: Mode, encoding: str, limit: int) -> None:
        self._file, self._mode, self._encoding = file, mode, encoding
        self._replaces = mode.replace
        self._position = 0
        _, self._first, self._chunk, *_ = _native.lane.sequence(file)
        self._limit, self._buffer = limit, min(limit, self._chunk)
        if mode.append:
            self._position = _native.lane.length(file)
        self._gathered = Gathered()
        # What a store failed with stays unwritten, and what it was to replace stays.
        self._failed = False
        self._generation = _native.generation
        self._lock = threading.RLock()  # a flush comes past the lock of io's buffer
        self._keeps = False
        self._now = _content.clock() if mode.write else None
        self._held = False

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

    def _about(self) -> str | None:
        """What is noted of content that is replaced, None if none is."""
        if not self._replaces or self._now is None:
            return None
        kind = (_content.BYTES,) if self._mode.binary else (_content.TEXT, self._encoding)
        return _content.about(self._now(), *kind)

    def _cut(self, n: int) -> int:
        """How many of n bytes to take, so that they end where a chunk does."""
        room = self._room()
        return n if not self._buffer or n <= room else n - (n - room) % self._chunk

    def _room(self) -> int:
        return self._chunk - (self._position - self._first) % self._chunk

    def _wanted(self, n: int) -> int:
        """How many of n bytes to read. A buffer for both is larger than what is worth reading before a seek."""
        return min(n, self._room()) if self._mode.write and n <= self._buffer else self._cut(n)

    def _base(self) -> int:
        """How many bytes there are below what was gathered."""
        return 0 if self._replaces else _native.lane.length(self._file)

    def _begin_read(self) -> None:
        self._usable()
        if not self._mode.read:
            raise io.UnsupportedOperation("File not open for reading")
        if self._mode.append:
            self._store()  # where the end is shows only then

    def readinto(self, buffer: Any) -> int:
        with self._lock, memoryview(buffer) as view, view.cast("B") as whole:
            self._begin_read()
            with whole[: self._wanted(len(whole))] as part:
                n = 0 if self._replaces else _native.lane.file_readinto(self._file, self._position, part)
                end = min(len(part), self._gathered.end - self._position)
                if end > n:
                    part[n:end] = bytes(end - n)
                    n = end
                with part[:n] as held:
                    self._gathered.lay_over(self._position, held)
            self._position += n
            return n

    def readall(self) -> bytes:
        with self._lock:
            self._begin_read()
            data = b"" if self._replaces else _native.lane.file_read(self._file, self._position, -1, False)
            if self._gathered.end > self._position:
                whole = bytearray(data)
                whole += bytes(max(0, self._gathered.end - self._position - len(data)))
                with memoryview(whole) as view:
                    self._gathered.lay_over(self._position, view)
                data = bytes(whole)
            self._position += len(data)
            return data

    def write(self, data: Any) -> int:
        with self._lock, memoryview(data) as view, _as_bytes(view) as whole:
            self._usable()
            if not self._mode.write:
                raise io.UnsupportedOperation("File not open for writing")
            if self._forked():
                raise ValueError(f"{self._file.path} was opened by the process that was forked: open it here to write")
            if not whole:
                return 0
            n = self._gather(whole) if len(whole) <= self._limit else None
            return self._write_through(whole) if n is None else n

    def _gather(self, data: memoryview) -> int | None:
        """Keep data, and return how much of it; None if it is to be stored at once."""
        parts, n = self._gathered, len(data)
        if self._mode.append:
            # Where it comes to lie shows when it is stored: until then it is taken to follow what is there.
            self._position = parts.end or _native.lane.length(self._file)
        at = self._position
        if at + n > _LARGEST:
            return None
        more = parts.growth(at, n)
        if more > self._limit - parts.size or (len(parts) >= _PARTS and more and not parts.follows(at)):
            room = self._limit - parts.size
            if 0 < room < n and not self._mode.append and parts.follows(at):
                n = room  # the rest comes next, and begins with a chunk if this did
            else:
                self._store()
                if self._mode.append:
                    at = _native.lane.length(self._file)
        with data[:n] as taken:
            parts.put(at, taken)
        self._position = at + n
        return n

    def _forked(self) -> bool:
        """Whether this is a forked child's copy of a stream. What it gathered is the parent's to store."""
        return self._generation != _native.generation

    def leave_to_parent(self) -> None:
        """Close a forked child's copy, before what is above it stores anything."""
        if self._forked():
            self.abandon()

    def _write_through(self, data: memoryview) -> int:
        self._store()
        at = -1 if self._mode.append else self._position
        # What is appended is stored in one commit.
        with data[: len(data) if self._mode.append else self._cut(len(data))] as part:
            self._failed = True
            self._position = _native.lane.file_write(self._file, at, part, self._about())
            self._replaces = self._failed = False
            return len(part)

    def _store(self) -> None:
        """Store what was gathered, in one commit. If that fails, it is kept."""
        parts = self._gathered
        if not parts or self._forked():
            return
        self._failed = True
        if len(parts) > 1:
            with transaction(self._file):
                about = self._about()
                for at, part in parts:
                    _native.lane.file_write(self._file, at, part, about)
                    about = None
        else:
            for at, part in parts:
                appends = self._mode.append
                end = _native.lane.file_write(self._file, -1 if appends else at, part, self._about())
                if appends and self._position == parts.end:
                    self._position = end
        self._replaces = self._failed = False
        parts.clear()

    def _empty(self) -> None:
        """Make the file empty that is to be replaced, unless what was to replace it could not be stored."""
        if self._replaces and not self._failed and not self._forked():
            _native.lane.file_write(self._file, 0, b"", self._about())
            self._replaces = False

    def flush(self) -> None:
        self._usable()
        if not self._keeps:
            with self._lock:
                self._store()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """While io flushes for its own ends, to know its place."""
        self._keeps = True
        try:
            yield
        finally:
            self._keeps = False

    def seek(self, offset: int, whence: int = 0) -> int:
        with self._lock:
            self._usable()
            if whence == 1:
                offset += self._position
            elif whence == 2:
                if self._mode.append:
                    self._store()
                offset += max(self._base(), self._gathered.end)
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
        with self._lock:
            self._usable()
            if not self._mode.write:
                raise io.UnsupportedOperation("File not open for writing")
            size = self._position if size is None else operator.index(size)
            if size < 0:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            if not self._gathered and not self._replaces:
                _native.lane.file_truncate(self._file, size)
                return size
            with transaction(self._file):
                self._store()
                self._empty()
                _native.lane.file_truncate(self._file, size)
            return size

    def detached(self) -> None:
        """The buffer above is gone: each write is stored again."""
        self._held, self._limit = False, 0

    def abandon(self) -> None:
        """Close it and change nothing."""
        self._replaces = self._held = False
        super().close()

    def close(self) -> None:
        if not self.closed:
            try:
                with self._lock:
                    # What could not be stored just now, of which the flush has told, is not tried for again: it may
                    # have waited for its turn for a minute.
                    if not self._failed:
                        self._store()
                        self._empty()
                if getattr(self, "_finalizing", False):
                    self._dealloc_warn(self)  # which may raise
            finally:
                self._gathered.clear()  # io's close flushes
                super().close()

    def __del__(self) -> None:
        # In a cycle it may be the first to be told that it is no longer needed: the buffer above has more to store.
        if not self._held:
            super().__del__()

    def _dealloc_warn(self, source: Any) -> None:
        """Tell of a stream that was not closed, as io does of a file. What is above calls it."""
        if not self.closed:
            # Of this module's functions some are between here and who let go of it.
            level = 3 if isinstance(source, Text) else 4 if source is self or isinstance(source, _Above) else 2
            warnings.warn(f"unclosed file {source!r}", ResourceWarning, stacklevel=level, source=source)


class _Above(_Buffer):
    """What a buffer of io's lacks over a RawFile that gathers."""

    _held = False

    def flush(self) -> None:
        super().flush()
        self.raw.flush()

    def close(self) -> None:
        raw: RawFile = self.raw  # type: ignore[assignment]
        raw.leave_to_parent()
        super().close()

    def detach(self) -> io.RawIOBase:
        raw: RawFile = super().detach()  # type: ignore[assignment]
        raw.detached()
        return raw

    def __del__(self) -> None:
        if not self._held:
            super().__del__()


class Writer(_Above, io.BufferedWriter):
    """io's, whose flush() stores and whose seek() does not."""


class Random(_Above, io.BufferedRandom):  # type: ignore[misc]
    """io's, whose flush() stores and whose seek() does not."""


class Text(io.TextIOWrapper):
    """io's over one of these buffers: to tell the place, or to go to one, stores nothing."""

    def __init__(self, raw: RawFile, buffered: Writer | Random, *options: Any) -> None:
        super().__init__(buffered, *options)
        self._raw = raw
        raw._held = buffered._held = True

    def tell(self) -> int:
        with self._raw.keeping():
            return super().tell()

    def seek(self, cookie: int, whence: int = 0, /) -> int:
        with self._raw.keeping():
            return super().seek(cookie, whence)

    def truncate(self, size: int | None = None, /) -> int:
        with self._raw.keeping():
            return super().truncate(size)

    def close(self) -> None:
        self._raw.leave_to_parent()
        super().close()

    def detach(self) -> Any:
        buffered: Any = super().detach()
        buffered._held = False
        return buffered


def open_stream(
    file: FileIO, mode: Mode, buffering: int, encoding: str, errors: str | None, newline: str | None
) -> Any:
    """What io.open gives for a file on disk. Binary modes do not look at the last three."""
    if not mode.binary and buffering == 0:
        raise ValueError("can't have unbuffered text I/O")
    buffering = operator.index(buffering)
    limit = GATHERED if buffering < 0 or buffering == 1 else max(_LEAST, min(buffering, _MOST)) if buffering else 0
    raw = RawFile(file, mode, encoding, limit)
    try:
        return _over(raw, mode, (encoding, errors, newline, buffering == 1))
    except BaseException:
        raw.abandon()
        raise


def _over(raw: RawFile, mode: Mode, options: tuple[Any, ...]) -> Any:
    """What stands on a raw file."""
    if not raw._limit:
        return raw
    if not mode.write:
        # A chunk is checked as a whole: less is not worth reading, and more is soon left unread by a seek.
        reader = io.BufferedReader(raw, max(_LEAST, raw._buffer))
        text: Any = None if mode.binary else io.TextIOWrapper(reader, *options)
        above: Any = reader
    else:
        above = (Random if mode.read else Writer)(raw, raw._buffer)
        text = None if mode.binary else Text(raw, above, *options)
        raw._held = True
    if text is None:
        return above
    text.mode = mode.text
    return text


def _as_bytes(view: memoryview) -> memoryview:
    # An empty view of several dimensions cannot be cast.
    return view.cast("B") if view.nbytes else memoryview(b"")
