"""Reading what the original parkit (0.0.10) wrote: its namespaces, and in each the databases of LMDB.

A namespace has a database of names (name to uuid), of descriptors (uuid to JSON), of versions (uuid to a number) and of
attributes (uuid and encoded name to value). A Dict, Array or Queue has two databases of its own, which its
descriptor names: of its entries, and of their metadata. The keys of sequences are numbers that rise.

The files are opened for reading only, and not by LMDB: they do not change, and no lock file is made or asked.
"""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Iterator
from typing import Any

from . import _native
from .errors import NotFoundError, SiteNotFoundError, StoragePathError

NAMES, DESCRIPTORS, VERSIONS, ATTRIBUTES = "__name__", "__descriptor__", "__version__", "__attribute__"

_DATA = "data.mdb"

# What is handed over at once: so many entries, or so many bytes. Longer values come in pieces of that size.
_ENTRIES = 1000
_BYTES = 4 << 20


class LargeValue:
    """A value that is not read before it is wanted, and then in pieces if they will do."""

    def __init__(self, namespace: OriginalNamespace, database: str, key: bytes, size: int) -> None:
        self._place = namespace, database, key
        self.size = size

    def pieces(self) -> Iterator[bytes]:
        namespace, database, key = self._place
        for offset in range(0, self.size, _BYTES):
            yield namespace.read(database, key, offset, _BYTES)

    def read(self) -> bytes:
        return b"".join(self.pieces())


#: A value, or where it is.
Value = bytes | LargeValue


def whole(value: Value) -> bytes:
    return value if isinstance(value, bytes) else value.read()


class OriginalNamespace:
    """One namespace, open for reading until it is closed.

    What of it is damaged is passed over, and noted in ``damage`` in the order in which it was met.

    :raises CorruptError: not even its root can be read
    """

    def __init__(self, directory: str) -> None:
        directory.encode()
        self._file: int = _native.call(_native.ctl.OriginalOpen, directory)
        self.damage: dict[str, None] = {}

    def close(self) -> bool:
        """Close it; whether somebody wrote to it meanwhile."""
        changed: bool = _native.call(_native.ctl.OriginalClose, self._file)
        return changed

    def batches(
        self, database: str, *, prefix: bytes = b"", value_limit: int = _BYTES
    ) -> Iterator[list[tuple[bytes, Value]]]:
        """The entries in the order of their keys. NotFoundError where there is no such database."""
        after = b""
        while True:
            request = {
                "file": self._file,
                "database": database,
                "after": _text(after),
                "prefix": _text(prefix),
                "entries": _ENTRIES,
                "bytes": _BYTES,
                "value": value_limit,
            }
            answer = json.loads(_native.call(_native.ctl.OriginalScan, json.dumps(request)))
            self.damage.update(dict.fromkeys(answer["damaged"] or ()))
            batch: list[tuple[bytes, Value]] = []
            for key_text, text, size, _ in answer["entries"]:
                key = base64.b64decode(key_text)
                value = LargeValue(self, database, key, size) if text is None else base64.b64decode(text)
                batch.append((key, value))
            if batch:
                yield batch
                after = batch[-1][0]
            if answer["done"]:
                return

    def entries(
        self, database: str, *, prefix: bytes = b"", value_limit: int = _BYTES
    ) -> Iterator[tuple[bytes, Value]]:
        for batch in self.batches(database, prefix=prefix, value_limit=value_limit):
            yield from batch

    def read(self, database: str, key: bytes, offset: int = 0, length: int = 1 << 32) -> bytes:
        """A part of one value. NotFoundError where there is none, CorruptError where it cannot be reached."""
        request = {"file": self._file, "database": database, "key": _text(key), "offset": offset, "length": length}
        return base64.b64decode(json.loads(_native.call(_native.ctl.OriginalRead, json.dumps(request))))

    def version(self, uuid: bytes) -> int:
        """How often an object was changed; 0 where that is not known."""
        try:
            raw = self.read(VERSIONS, uuid)
        except NotFoundError:
            return 0
        return int(struct.unpack("<Q", raw)[0]) if len(raw) == 8 else 0


def uuid_of(path: str) -> str:
    """The uuid of the site of the original parkit at a path.

    :raises SiteNotFoundError: there is no such site
    """
    if os.path.exists(os.path.join(path, "site.json")):
        raise SiteNotFoundError(f"{path} is a site of this parkit already; there is nothing to convert")
    missing = f"{path} is not a site of the original parkit: give the directory that was its site, with {_DATA} in it"
    try:
        root = OriginalNamespace(path)
    except StoragePathError as error:
        raise SiteNotFoundError(missing) from error
    try:
        found = {key for key, _ in root.entries("", value_limit=0)}
        if NAMES.encode() in found:
            raise SiteNotFoundError(
                f"{path} is a namespace of a site: give the directory of the site, which is above it"
            )
        return root.read("", b"__uuid__").decode()
    except NotFoundError as error:
        raise SiteNotFoundError(missing) from error
    finally:
        root.close()


def namespaces_of(path: str) -> Iterator[tuple[str, str]]:
    """The paths of the namespaces of a site, sorted, and their directories."""

    def fail(error: OSError) -> None:
        raise error

    found = []
    for directory, _, files in os.walk(path, onerror=fail):
        if _DATA in files and directory != path:
            found.append((os.path.relpath(directory, path).replace(os.sep, "/"), directory))
    return iter(sorted(found))


def descriptor_of(raw: bytes) -> dict[str, Any]:
    """What is stored about an object; ValueError where it is damaged."""
    descriptor = json.loads(raw)
    if not isinstance(descriptor, dict) or not isinstance(descriptor.get("type"), str):
        raise ValueError("its descriptor is damaged")
    return descriptor


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
