"""A File's content read in place, where it lies in one piece and a snapshot is open."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .file import FileIO

# How many bytes read1 gives that is not told how many: it copies them.
_AT_ONCE = 1 << 20


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
        return bytes(self._next(size if size >= 0 else _AT_ONCE))

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
