"""Writes sites in the format of the original parkit (0.0.10), for tests: plain LMDB files, page by page.

What the original stored of an object is in :class:`Space`; how LMDB lays that out is in :func:`write_environment`.
``gocore/original`` has a test in which LMDB itself writes; this file is what it writes, without LMDB.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import struct
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

PAGE = 4096
BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8
BIG, TREE = 1, 2
NUMBERS = 8
NO_PAGE = 2**64 - 1

#: The entries of a database; those of a sequence have numbers as keys.
Entries = dict[bytes, bytes]


# ---- LMDB's file ----


class _Pages:
    def __init__(self) -> None:
        self.pages: list[bytes] = [b"", b""]

    def overflow(self, value: bytes) -> int:
        number = len(self.pages)
        count = (16 + len(value) + PAGE - 1) // PAGE
        data = (struct.pack("<QHHI", number, 0, OVERFLOW, count) + value).ljust(count * PAGE, b"\0")
        self.pages += [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
        return number

    def page(self, kind: int, nodes: list[bytes]) -> int:
        number, upper, pointers, body = len(self.pages), PAGE, b"", bytearray(PAGE)
        for node in nodes:
            upper -= len(node) + len(node) % 2
            body[upper : upper + len(node)] = node
            pointers += struct.pack("<H", upper)
        lower = 16 + len(pointers)
        assert lower <= upper
        body[:lower] = struct.pack("<QHHHH", number, 0, kind, lower, upper) + pointers
        self.pages.append(bytes(body))
        return number

    def tree(self, flags: int, nodes: list[tuple[bytes, bytes]]) -> bytes:
        """Write a tree of leaves' nodes with their keys, in order, and return what says where it is."""
        leaves, depth, entries = 0, 0, len(nodes)
        root, branches, kind = NO_PAGE, 0, LEAF
        while nodes:
            depth += 1
            level: list[tuple[bytes, int]] = []
            for first, part in _packed(nodes):
                level.append((first, self.page(kind, part)))
            leaves, branches = (len(level), 0) if kind == LEAF else (leaves, branches + len(level))
            if len(level) == 1:
                root = level[0][1]
                break
            kind = BRANCH
            nodes = [(key, _branch_node(key if i else b"", page)) for i, (key, page) in enumerate(level)]
        return struct.pack("<IHHQQQQQ", 0, flags, depth, branches, leaves, 0, entries, root)


def _packed(nodes: list[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, list[bytes]]]:
    part: list[bytes] = []
    room, first = PAGE - 16, b""
    for key, node in nodes:
        if part and room < len(node) + 3:
            yield first, part
            part, room = [], PAGE - 16
        if not part:
            first = key
        part.append(node)
        room -= len(node) + len(node) % 2 + 2
    yield first, part


def _branch_node(key: bytes, page: int) -> bytes:
    return struct.pack("<HHHH", page & 0xFFFF, page >> 16 & 0xFFFF, page >> 32, len(key)) + key


def _leaf_node(pages: _Pages, key: bytes, value: bytes, flags: int = 0) -> bytes:
    size, stored = len(value), value
    if len(key) + size + 8 > (PAGE - 16) // 2 - 2:
        flags, stored = flags | BIG, struct.pack("<Q", pages.overflow(value))
    return struct.pack("<HHHH", size & 0xFFFF, size >> 16, flags, len(key)) + key + stored


def write_environment(directory: Path, main: Entries, databases: dict[str, tuple[int, Entries]]) -> Path:
    """Write the data file of an environment; databases are a number of flags and the entries, by name."""
    directory.mkdir(parents=True, exist_ok=True)
    pages = _Pages()
    nodes = {key: _leaf_node(pages, key, value) for key, value in main.items()}
    for name, (flags, entries) in databases.items():
        order: Callable[[bytes], bytes] = (lambda key: key[::-1]) if flags & NUMBERS else bytes
        leaf = [(key, _leaf_node(pages, key, entries[key])) for key in sorted(entries, key=order)]
        nodes[name.encode()] = _leaf_node(pages, name.encode(), pages.tree(flags, leaf), TREE)
    root = pages.tree(0, sorted(nodes.items()))
    free = struct.pack("<IHHQQQQQ", PAGE, 0, 0, 0, 0, 0, 0, NO_PAGE)
    for number in (0, 1):
        head = struct.pack("<QHHI", number, 0, META, 0) + struct.pack("<IIQQ", 0xBEEFC0DE, 1, 0, 1 << 28)
        tail = struct.pack("<QQ", len(pages.pages) - 1, number + 1)
        pages.pages[number] = (head + free + root + tail).ljust(PAGE, b"\0")
    path = directory / "data.mdb"
    path.write_bytes(b"".join(pages.pages))
    return path


# ---- What the original stored ----

Codec = Callable[[Any], bytes]


class Space:
    """A namespace of the original, as it is written by :meth:`OriginalSite.write`."""

    def __init__(self) -> None:
        self.names: Entries = {}
        self.descriptors: Entries = {}
        self.versions: Entries = {}
        self.attributes: Entries = {}
        self.databases: dict[str, tuple[int, Entries]] = {}

    def add(
        self,
        name: str,
        kind: str,
        entries: list[Entries] | None = None,
        *,
        numbers: bool = False,
        attributes: dict[str, Any] | None = None,
        raw_attributes: Entries | None = None,
        metadata: dict[str, Any] | None = None,
        version: int = 0,
        versioned: bool = True,
        created: str = "2021-06-16 12:30:00.123456",
    ) -> str:
        """An object of any class; the other methods make what is in its databases and attributes."""
        own = uuid.uuid4()
        properties = {"integerkey": True} if numbers else {}
        places = []
        for database in entries or []:
            place = hashlib.sha1(uuid.uuid4().bytes).hexdigest()
            self.databases[place] = (NUMBERS if numbers else 0, database)
            places.append([place, properties])
        descriptor = {
            "databases": places,
            "uuid": str(own),
            "versioned": versioned,
            "created": created,
            "type": kind,
            "metadata": metadata or {},
        }
        self.names[name.encode()] = own.bytes
        self.descriptors[own.bytes] = json.dumps(descriptor, separators=(",", ":")).encode()
        self.versions[own.bytes] = struct.pack("<Q", version)
        for attribute, value in (attributes or {}).items():
            stored = value if attribute.endswith("_binary") else pickle.dumps(value, 4)
            self.attributes[own.bytes + pickle.dumps(attribute, 4)] = stored
        for key, stored in (raw_attributes or {}).items():
            self.attributes[own.bytes + key] = stored
        return str(own)

    def dict(self, name: str, content: dict[Any, Any], kind: str = "parkit.adapters.dict.Dict", **rest: Any) -> str:
        entries = {dump(key): dump(value) for key, value in content.items()}
        return self.add(name, kind, [entries, {}], **rest)

    def array(
        self,
        name: str,
        items: list[Any],
        kind: str = "parkit.adapters.array.Array",
        *,
        first: int = 0,
        maxsize: float = math.inf,
        **rest: Any,
    ) -> str:
        entries = {number(first + i): dump(item) for i, item in enumerate(items)}
        attributes = {"_Array__maxsize": maxsize, **rest.pop("attributes", {})}
        return self.add(name, kind, [entries, {}], numbers=True, attributes=attributes, **rest)

    def queue(self, name: str, items: list[Any], kind: str = "parkit.adapters.queue.Queue", **rest: Any) -> str:
        return self.array(name, items, kind, **rest)

    def file(self, name: str, content: bytes, metadata: dict[str, Any] | None = None, **rest: Any) -> str:
        attributes = {"_size": len(content), "_content_binary": content, **rest.pop("attributes", {})}
        kind = rest.pop("kind", "parkit.adapters.file.File")
        return self.add(name, kind, attributes=attributes, metadata=metadata, **rest)


class OriginalSite:
    """A site of the original: namespaces are made by being named."""

    def __init__(self) -> None:
        self.uuid = str(uuid.uuid4())
        self.spaces: dict[str, Space] = {}

    def __getitem__(self, namespace: str) -> Space:
        return self.spaces.setdefault(namespace, Space())

    def reference(self, kind: str, namespace: str, name: str) -> Reference:
        return Reference(kind, (self.uuid, namespace, name))

    def write(self, directory: Path) -> Path:
        sizes = {name.encode(): struct.pack("<Q", 1 << 28) for name in self.spaces}
        write_environment(directory, {b"__uuid__": self.uuid.encode(), **sizes}, {})
        for name, space in self.spaces.items():
            kept = {
                "__name__": (0, space.names),
                "__descriptor__": (0, space.descriptors),
                "__version__": (0, space.versions),
                "__attribute__": (0, space.attributes),
            }
            own = str(uuid.uuid4()).encode()
            write_environment(directory / name, {b"__uuid__": own}, kept | space.databases)
        return directory


class Reference:
    """Stands for an object of the original in what is pickled."""

    def __init__(self, kind: str, state: Any) -> None:
        self.kind, self.state = kind, state


def dump(value: Any) -> bytes:
    """A pickle as the original made it, also of references."""
    if isinstance(value, Reference):
        return b"\x80\x04" + _opcodes(value) + b"."
    if isinstance(value, list) and any(isinstance(item, Reference) for item in value):
        items = b"".join(_opcodes(item) if isinstance(item, Reference) else _bare(item) for item in value)
        return b"\x80\x04]" + b"(" + items + b"e."
    return pickle.dumps(value, 4)


def _opcodes(reference: Reference) -> bytes:
    """What pickle's protocol 4 says of an object with a state: its class, no arguments, its state."""
    module, _, name = reference.kind.rpartition(".")
    return _bare(module) + _bare(name) + b"\x93" + b")\x81" + _bare(reference.state) + b"b"


def _bare(value: Any) -> bytes:
    """A pickle's opcodes without its frame, its end and its memo."""
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_bare, value)) + b"t"
    if isinstance(value, str):
        text = value.encode()
        return b"\x8c" + bytes([len(text)]) + text
    assert isinstance(value, int), value
    return b"J" + struct.pack("<i", value)


def number(position: int) -> bytes:
    """The key of an item of a sequence."""
    return struct.pack("<Q", position)


def small_site() -> OriginalSite:
    """A little of everything."""
    site = OriginalSite()
    site["shop"].dict(
        "prices", {"apple": 1.25, "pear": 2}, metadata={"currency": "EUR"}, attributes={"note": "shared"}, version=7
    )
    site["shop"].array("log", [{"n": n} for n in range(10)], version=10)
    site["shop"].array("last", list(range(15, 25)), first=15, maxsize=10)
    site["default"].queue("jobs", [f"job {n}" for n in range(1, 5)], first=1)
    site["default"].queue("plates", ["blue", "white"], "parkit.adapters.queue.LifoQueue")
    site["house/garden"].add(
        "lamp", "parkit.adapters.object.Object", attributes={"colour": "red", "raw_binary": b"\0\1"}
    )
    text = {"content-type": "text/plain", "content-encoding": "utf-8", "last-modified": "2021-06-16 12:30:00.123456"}
    site["docs"].file("hello", "h\u00e4llo\nworld".encode(), text)
    return site


if __name__ == "__main__":
    import sys

    small_site().write(Path(os.fsdecode(sys.argv[1])))
