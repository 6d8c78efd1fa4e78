"""File: bytes, text or a value, kept in a namespace, read and written as a file on disk is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, SupportsIndex, TypeVar

from . import _content, _file_stream, _file_view, _native, _open
from ._file_stream import Mode
from .object import Object
from .transaction import snapshot, transaction

__all__ = ["File", "FileIO"]

F = TypeVar("F", bound="FileIO")


class FileIO(Object):
    """A file in a namespace, used as one on disk that open() returned.

    :param mode: how ``with file:`` opens it: r, w or a, with + and b or t as for :func:`open`; ``rb`` if not
        given. With x, the namespace is the thread's to write while the file is open, and an exception undoes all
    :param bufsize: how many bytes a stream gathers before they are stored; about a mebibyte if not given
    :param encoding: of text; UTF-8 if not given
    :param errors: what is done about text that cannot be encoded or decoded, as for :func:`open`
    :param newline: how line ends are translated, as for :func:`open`
    :raises ValueError: no mode of a file

    ``with file:`` opens it in :attr:`mode`, and then it has the methods of a file. :meth:`open` gives a stream of its
    own, so that several can be used at a time.

    A stream gathers what is written, also at several places, and stores it in one commit: when it has gathered enough,
    when it is flushed, when it is cut and when it is closed. It reads what it gathered; others do not see it before it
    is stored. Inside ``with transaction(file):`` all of it is one commit. What ``w`` replaces stays until the new
    content is first stored: content of at most ``bufsize`` bytes is replaced in one commit, whatever seeks there were.
    Inside ``with snapshot(file):`` a stream reads what the snapshot sees. ``with file:`` in mode ``rb`` then
    reads in place, and its ``read()`` gives a memoryview, which keeps the snapshot open for as long as it is used.

    For the other arguments and the errors see :class:`Object`.

    >>> notes = FileIO('house/notes', mode='w', create=True)
    >>> with notes:
    ...     print('first', 'second', sep='\\n', file=notes)
    >>> with notes.open('a') as stream:
    ...     stream.write('third')
    5
    >>> notes.mode = 'r'
    >>> with notes:
    ...     [line.strip() for line in notes]
    ['first', 'second', 'third']
    >>> notes.size
    18
    """

    __slots__ = ()

    _parkit_kind = 4
    # Of one use of the object; an instance that was unpickled has these.
    _parkit_mode: str = "rb"
    _parkit_buffering: int = -1
    _parkit_text: tuple[str, str | None, str | None] = ("utf-8", None, None)
    _parkit_stream: Any = None
    _parkit_scope: Any = None

    def __init__(
        self,
        path: str | None = None,
        /,
        *,
        mode: str | None = None,
        bufsize: int | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        site_uuid: str | None = None,
        create: bool = False,
        bind: bool = True,
        on_init: Callable[[bool], object] | None = None,
    ) -> None:
        if mode is not None:
            Mode(mode)
            self._parkit_mode = mode
        if bufsize is not None:
            if not isinstance(bufsize, SupportsIndex):
                raise TypeError(f"bufsize is a whole number of bytes above zero, not {type(bufsize).__name__}")
            if bufsize <= 0:
                raise ValueError(f"bufsize is a number of bytes above zero, not {bufsize}")
            self._parkit_buffering = max(2, bufsize)
        self._parkit_text = (encoding or "utf-8", errors, newline)
        self._parkit_open(path, _own_metadata(metadata), site_uuid, create, bind, on_init)

    # ---- Opening and closing ----

    @property
    def mode(self) -> str:
        """How ``with file:`` opens the file; it can be set while the file is closed.

        :raises ValueError: the file is open, or there is no such mode
        """
        return self._parkit_mode

    @mode.setter
    def mode(self, value: str) -> None:
        self._parkit_must_be_closed()
        Mode(value)
        self._parkit_mode = value

    def open(
        self,
        mode: str | None = None,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """Open a stream of its own on the file: what :func:`open` gives for a file on disk.

        :param mode: as for :func:`open`, without x; :attr:`mode` if not given
        :param buffering: how many bytes to gather; 0 for none in binary modes, 1 to store each line of text
        :raises ValueError: no mode of a file, or arguments that do not go together

        >>> log = File('house/log', create=True)
        >>> with log.open('w') as out, log.open('r') as back:
        ...     out.write('a line')
        ...     out.flush()
        ...     back.read()
        6
        'a line'
        """
        wanted = Mode(self._parkit_mode if mode is None else mode)
        if wanted.whole:
            raise ValueError(
                f"mode {wanted.text!r}: with x the file is open for as long as a transaction: "
                "set it as file.mode, and use `with file:`"
            )
        if wanted.binary and not (encoding is errors is newline is None):
            raise ValueError("binary mode doesn't take an encoding, errors or newline argument")
        own = self._parkit_text
        return _file_stream.open_stream(
            self,
            wanted,
            buffering,
            own[0] if encoding is None else encoding,
            own[1] if errors is None else errors,
            own[2] if newline is None else newline,
        )

    def __enter__(self: F) -> F:
        self._parkit_must_be_closed()
        mode = Mode(self._parkit_mode)
        scope = transaction(self) if mode.whole else None
        if scope is None:
            self._parkit_stream = self._parkit_begin(mode)
            return self
        scope.__enter__()
        try:
            self._parkit_stream = self._parkit_begin(mode)
            self._parkit_scope = scope
        except BaseException as error:
            scope.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _parkit_begin(self, mode: Mode) -> Any:
        if mode.binary and not mode.write:
            view = _native.lane.file_view(self)
            if view is not None:
                return _file_view.ViewReader(self, memoryview(view))
        return _file_stream.open_stream(self, mode, self._parkit_buffering, *self._parkit_text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stream, scope = self._parkit_stream, self._parkit_scope
        self._parkit_stream = self._parkit_scope = None
        if scope is None:
            if stream is not None:
                stream.close()
            return
        try:
            stream.close()
        except BaseException as failed:
            scope.__exit__(type(failed), failed, failed.__traceback__)
            raise
        scope.__exit__(kind, error, traceback)

    def close(self) -> None:
        """Store what was gathered, and close the stream of ``with file:``. It may be called again."""
        if self._parkit_stream is not None:
            self._parkit_stream.close()

    @property
    def closed(self) -> bool:
        """Whether the file is not open by ``with file:``."""
        stream = self._parkit_stream
        return stream is None or stream.closed

    def _parkit_must_be_closed(self) -> None:
        if not self.closed:
            raise ValueError(f"{self._parkit.path} is open; leave its `with` first")

    def _parkit_opened(self) -> Any:
        stream = self._parkit_stream
        if stream is None:
            raise ValueError("I/O operation on closed file.")
        return stream

    # ---- What it is ----

    @property
    def size(self) -> int:
        """How many bytes are stored."""
        return _native.lane.length(self)

    @property
    def encoding(self) -> str:
        """The encoding of text."""
        return self._parkit_text[0]

    @property
    def errors(self) -> str | None:
        """What is done about text that cannot be encoded or decoded; None is ``strict``."""
        return self._parkit_text[1]

    @property
    def newlines(self) -> Any:
        """The line ends that were met so far in reading text."""
        return getattr(self._parkit_opened(), "newlines", None)

    @property
    def metadata(self) -> dict[str, Any]:
        """The user's own metadata, and what the content is: content-type, last-modified (UTC) and others.

        It is a copy: assign a changed one to store it. What the content is, only the content changes.

        :raises TypeError: JSON cannot write it
        """
        return super().metadata

    @metadata.setter
    def metadata(self, value: Mapping[str, Any]) -> None:
        Object.metadata.fset(self, _own_metadata(value))  # type: ignore[attr-defined]

    def readable(self) -> bool:
        """Whether the mode allows reading."""
        return Mode(self._parkit_mode).read

    def writable(self) -> bool:
        """Whether the mode allows writing."""
        return Mode(self._parkit_mode).write

    def seekable(self) -> bool:
        """True: a file in a namespace can be read and written at any place."""
        return True

    def isatty(self) -> bool:
        """False: no file in a namespace is a terminal."""
        return False

    def fileno(self) -> int:
        """Refused: the system knows nothing of the file.

        :raises OSError: always (io.UnsupportedOperation)
        """
        import io

        raise io.UnsupportedOperation("a file in a namespace has no descriptor")

    # ---- What the stream of `with file:` does ----

    def read(self, size: int | None = -1, /) -> Any:
        """Read to the end, or at most ``size`` bytes or characters. See the class for what comes inside a snapshot."""
        data = self._parkit_opened().read(size)
        if type(data) is bytes and (size is None or size < 0) and self._parkit_in_place():
            return memoryview(data)
        return data

    def _parkit_in_place(self) -> bool:
        mode = Mode(self._parkit_mode)
        return not mode.write and bool(_native.lane.scope(_open.space_of(self)))

    def read1(self, size: int = -1, /) -> bytes:
        """Read at most ``size`` bytes, by at most one look at what is stored."""
        return self._parkit_opened().read1(size)  # type: ignore[no-any-return]

    def readinto(self, buffer: Any, /) -> int:
        """Read bytes into a buffer, and return how many."""
        return self._parkit_opened().readinto(buffer)  # type: ignore[no-any-return]

    def readinto1(self, buffer: Any, /) -> int:
        """Read bytes into a buffer by at most one look at what is stored, and return how many."""
        return self._parkit_opened().readinto1(buffer)  # type: ignore[no-any-return]

    def readline(self, size: int = -1, /) -> Any:
        """Read a line, with its end."""
        return self._parkit_opened().readline(size)

    def readlines(self, hint: int = -1, /) -> list[Any]:
        """Read lines up to the end, or up to about ``hint`` bytes or characters."""
        return self._parkit_opened().readlines(hint)  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Any]:
        self._parkit_opened()
        return self

    def __next__(self) -> Any:
        return next(self._parkit_opened())

    def write(self, data: Any, /) -> int:
        """Write bytes, or text in a text mode, and return how many bytes or characters."""
        return self._parkit_opened().write(data)  # type: ignore[no-any-return]

    def writelines(self, lines: Iterable[Any], /) -> None:
        """Write each of several parts. No line ends are added."""
        self._parkit_opened().writelines(lines)

    def flush(self) -> None:
        """Store what was gathered: then others see it."""
        self._parkit_opened().flush()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place: from the start (0), from here (1) or from the end (2). Returns it, from the start."""
        return self._parkit_opened().seek(offset, whence)  # type: ignore[no-any-return]

    def tell(self) -> int:
        """The place at which the next byte is read or written."""
        return self._parkit_opened().tell()  # type: ignore[no-any-return]

    def truncate(self, size: int | None = None, /) -> int:
        """Cut the file, or make it longer by zeros; without a size, at the place where it stands.

        :raises OSError: a size below zero
        """
        return self._parkit_opened().truncate(size)  # type: ignore[no-any-return]


class File(FileIO):
    """A :class:`FileIO` that also holds a value as a whole.

    >>> report = File('house/report', create=True)
    >>> report.set_content('all is well')
    >>> report.get_content(), report.size
    ('all is well', 11)
    >>> report.metadata['content-type']
    'text/plain'
    """

    __slots__ = ()

    def set_content(self, value: Any, /) -> None:
        """Replace the content by a value, and note what it is, in one transaction.

        Text and bytes are stored as they are; a numpy array by its bytes; a pandas or polars DataFrame as an Arrow
        file; anything else, and arrays of objects, pickled.

        :raises ValueError: the file is open
        :raises TypeError: the value cannot be pickled
        :raises ImportError: a pandas DataFrame, and pyarrow cannot be imported
        """
        self._parkit_must_be_closed()
        encoded = _content.encode(value, self.encoding)
        _native.lane.file_set(self, encoded.data, encoded.about())

    def get_content(self, *, zero_copy: bool = True) -> Any:
        """The value that was set, or the text or bytes that were written; None if there is nothing yet.

        :param zero_copy: False for a copy also where none is needed
        :raises ValueError: the file is open
        :raises ImportError: what the value needs cannot be imported

        Inside ``with snapshot(file):`` bytes are a memoryview of what is stored and a numpy array is read-only and lies
        in it, neither of them a copy, where the content is in one piece: as it is if it was set at once, is not
        larger than a gibibyte and was not written to since. Both stay good after the snapshot, which stays open for
        them; a ResourceWarning tells. Elsewhere they are copies: a bytearray, and an array that can be written to.
        In a transaction, and of content in several pieces, they are copies that cannot be written to.

        >>> data = File('house/data', create=True)
        >>> data.set_content(b'abc')
        >>> data.get_content()
        bytearray(b'abc')
        >>> with snapshot(data):
        ...     bytes(data.get_content()[:2])
        b'ab'
        """
        self._parkit_must_be_closed()
        scope = _native.lane.scope(_open.space_of(self))
        if not scope:
            with snapshot(self):
                return self._parkit_value(None)
        return self._parkit_value(scope if zero_copy else None)

    def _parkit_value(self, scope: int | None) -> Any:
        described = json.loads(_native.lane.file_about(self) or "{}")
        if not described:
            if not self.size:
                return None
            described = {"content-type": _content.BYTES}
        if described["content-type"] in _content.IN_PLACE:
            view = None if scope is None else _native.lane.file_view(self)
            if view is not None:
                return _content.decode(described, memoryview(view))
            data = _native.lane.file_read(self, 0, -1, scope is None)
            return _content.decode(described, data if scope is None else memoryview(data))
        return _content.decode(described, _native.lane.file_read(self, 0, -1, True))


def _own_metadata(metadata: Any) -> Any:
    """Metadata without what the content says of itself."""
    if not isinstance(metadata, Mapping):
        return metadata
    return {key: value for key, value in metadata.items() if key not in _content.KEYS}
