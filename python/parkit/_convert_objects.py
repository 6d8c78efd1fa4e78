"""Objects of the original parkit, one by one: what each is, and its content in the form that this parkit stores."""

from __future__ import annotations

import json
import math
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from . import _classes, _convert_content, _native, _open
from ._original import ATTRIBUTES, OriginalNamespace, Value, descriptor_of, whole
from ._original_pickle import PLACES, Unread, is_pickle, load
from .array import Array
from .dict import Dict
from .errors import ClassNotFoundError, NotFoundError
from .object import Object, as_bytes
from .queue import Queue

# A queue that never waits unless it is asked to, as the original's; gocore/object's FlagQuick.
_QUICK = 1 << 16

# gocore/object's KindFile.
_FILE = 4

# Of how many things that are wrong in one object the report tells each.
_TOLD = 20

_MAXSIZE = "_Array__maxsize"
_CONTENT = "_content_binary"
#: Attributes in which the original kept what is not an attribute here.
_INTERNAL = {_MAXSIZE, _CONTENT, "_size", "_bufsize"}


class LeftOut(Exception):
    """An object is not converted, for the reason in the text."""


#: The classes whose objects have no place in the new site, and why.
LEFT_OUT = {
    "parkit.adapters.asyncable.Asyncable": "functions are stored again when the module that decorates them is imported",
    "parkit.adapters.task.Task": "tasks are stored in another way; submit again what is still to be done",
    "parkit.adapters.scheduler.Periodic": "schedules are stored in another way; set it again",
    "parkit.adapters.scheduler.Scheduler": "schedules are stored in another way; set it again",
    "parkit.system.pidtable.PidTable": "it lists processes that are gone",
}


class Codecs(NamedTuple):
    """How a class stores things: *plain* as values, *pickled* as what a hook makes of values, *raw* as they are."""

    key: str
    value: str
    metadata: bool
    attr_key: str
    attr_value: str


class Plan(NamedTuple):
    """What is made of an object: how it is created, and how its content is read."""

    written: str  # the class, as the original wrote it
    cls: type[Any]
    known: bool  # whether cls is its class, not only one like it
    request: dict[str, Any]  # of ObjectOpen
    databases: list[str]
    content: dict[str, Any]  # what a file says of what is in it
    unnamed_array: bool  # the file says that it is an array, of a dtype nobody can name


def plan(old: OriginalNamespace, name: str, uuid: bytes, raw: bytes, classes: Mapping[str, str]) -> Plan:
    """Say what to create. LeftOut where nothing is; ValueError where it is damaged."""
    descriptor = descriptor_of(raw)
    written: str = descriptor["type"]
    if written in LEFT_OUT and classes.get(written) == PLACES.get(written):
        raise LeftOut(LEFT_OUT[written])
    databases = [(str(place), dict(properties)) for place, properties in descriptor["databases"]]
    place = classes.get(written) or ":".join(written.rsplit(".", 1))
    try:
        cls = _classes.find(place)
        known = True
    except ClassNotFoundError:
        cls, known = _like(old, uuid, databases), False
    stored = _classes.name_of(cls) if known else place
    bases = _classes.base_names(cls) if known else [_classes.name_of(cls), *_classes.base_names(cls)]
    limit, flags = 0, cls._parkit_flags
    metadata = descriptor.get("metadata") or {}
    if cls._parkit_kind == _FILE:  # the rest of it is stored with the content
        metadata = {key: value for key, value in metadata.items() if key not in _convert_content.KEYS}
    if issubclass(cls, (Array, Queue)):
        limit = _limit(old, uuid, cls, classes)
    if issubclass(cls, Queue):
        flags |= _QUICK
    request = {
        "name": name,
        "create": True,
        "bind": False,
        "kind": cls._parkit_kind,
        "class": stored,
        "bases": bases,
        "versioned": bool(descriptor.get("versioned", True)),
        "metadata": json.dumps(metadata),
        "extra": "",
        "limit": limit,
        "flags": flags,
        "uuid": _spelled_uuid(uuid),
        "born": _nanoseconds(descriptor.get("created")),
    }
    content = _convert_content.described(descriptor.get("metadata") or {})
    unnamed = _convert_content.is_array(descriptor.get("metadata") or {}) and not _convert_content.is_array(content)
    return Plan(written, cls, known, request, [place for place, _ in databases], content, unnamed)


def _spelled_uuid(raw: bytes) -> str:
    if len(raw) != 16:
        raise ValueError(f"its uuid has {len(raw)} bytes")
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _like(old: OriginalNamespace, uuid: bytes, databases: list[tuple[str, dict[str, Any]]]) -> type[Any]:
    """The class of this package that objects of a class that is not here are most like."""
    if databases:
        return Array if databases[0][1].get("integerkey") else Dict
    names = {pickle.dumps(_CONTENT, protocol) for protocol in range(2, 6)}
    if any(key[16:] in names for key, _ in old.entries(ATTRIBUTES, prefix=uuid, value_limit=0)):
        return _classes.find("parkit.file:File")
    return Object


def _limit(old: OriginalNamespace, uuid: bytes, cls: type[Any], classes: Mapping[str, str]) -> int:
    for key, value in old.entries(ATTRIBUTES, prefix=uuid, value_limit=1 << 16):
        if isinstance(value, bytes) and _attribute_name(cls, key[16:], classes) == _MAXSIZE:
            decode: Any = cls.decode_attr_value
            coded = _mode(cls, Object, "encode_attr_value") == "raw" and decode is not None
            maxsize = decode(value) if coded else load(value, classes)
            return 0 if maxsize == math.inf else int(maxsize)
    return 0


def _nanoseconds(created: object) -> int:
    """A time as the original wrote it, in the time zone of its machine, which is taken to be this one's."""
    if not isinstance(created, str):
        return 0
    try:
        return int(datetime.fromisoformat(created).timestamp() * 10**6) * 1000
    except (ValueError, OverflowError):
        return 0


# ---- How a class stores things ----


def _mode(cls: type[Any], base: type[Any], encode: str) -> str:
    """Whether what a hook made is a pickle, which must be translated, or something of the class's own."""
    hook = getattr(cls, encode, None)
    cloudpickle = sys.modules.get("cloudpickle")
    picklers = (pickle.dumps, getattr(cloudpickle, "dumps", None))
    return "pickled" if hook is not None and (hook is getattr(base, encode) or hook in picklers) else "raw"


def _codecs(cls: type[Any]) -> Codecs:
    base = Dict if issubclass(cls, Dict) else Array if issubclass(cls, Array) else Queue
    key = value = "plain"
    if issubclass(cls, Dict):
        if cls._parkit_codes_keys:
            key = _mode(cls, base, "encode_key")
        if cls._parkit_codes_values:
            value = _mode(cls, base, "encode_value")
    elif issubclass(cls, (Array, Queue)) and any(
        getattr(cls, hook, None) is not getattr(base, hook, None)
        for hook in ("encode_value", "decode_value", "get_metadata")
    ):
        value = _mode(cls, base, "encode_value")
    attr_key = attr_value = "plain"
    if cls._parkit_attr_hooks:
        if cls.encode_attr_key is not Object.encode_attr_key:  # else names are stored as they are
            attr_key = _mode(cls, Object, "encode_attr_key")
        attr_value = _mode(cls, Object, "encode_attr_value")
    return Codecs(key, value, getattr(cls, "get_metadata", None) is not None, attr_key, attr_value)


def _attribute_name(cls: type[Any], raw: bytes, classes: Mapping[str, str]) -> str | None:
    """The name of an attribute from its key; None where the key is no name that can be read."""
    if cls.encode_attr_key is not Object.encode_attr_key and _mode(cls, Object, "encode_attr_key") == "raw":
        decode: Any = cls.decode_attr_key
        name = raw.decode() if decode is None else decode(raw)
    else:
        name = load(raw, classes) if is_pickle(raw) else None
    return name if isinstance(name, str) else None


# ---- The content ----


class Filling:
    """One object that was created, and is being filled."""

    def __init__(
        self,
        old: OriginalNamespace,
        made: Plan,
        obj: Any,
        uuid: bytes,
        classes: Mapping[str, str],
        wrote: Callable[[int], None],
    ) -> None:
        # Inside a transaction on the namespace, which wrote() may commit and begin anew.
        self._wrote = wrote
        self._old, self._plan, self._obj, self._uuid, self._classes = old, made, obj, uuid, classes
        self.entries = 0
        #: What was not converted as it should be; what is only worth knowing.
        self.problems: list[str] = []
        self.notes: list[str] = []
        self._unread = self._lost = 0
        self._codecs = _codecs(made.cls)

    def run(self) -> None:
        cls, databases = self._plan.cls, self._plan.databases
        if not self._plan.known:
            self.notes.append("its class cannot be imported, so what it is was told from its data")
        if databases:
            self._fill_collection(cls, databases)
        if cls._parkit_kind == _FILE:
            self._fill_file()
        self._fill_attributes()
        if self._lost > _TOLD:
            self.problems.append(f"{self._lost - _TOLD} more entries or attributes were not converted")
        if self._unread:
            self.problems.append(
                f"{self._unread} values could not be unpickled here: they were kept, and are unpickled when they are "
                "read"
            )

    # ---- Collections ----

    def _fill_collection(self, cls: type[Any], databases: list[str]) -> None:
        try:
            batches = self._old.batches(databases[0])
            first = next(batches, [])
        except NotFoundError:
            self.problems.append("the database of its entries is missing")
            return
        if not self._plan.known:
            self._codecs = self._guessed(first)
        metadata = _Metadata(self._old, databases[1]) if self._codecs.metadata else None
        keyed = issubclass(cls, Dict)
        for batch in chain([first], batches):
            stored = []
            for key, value in batch:
                described = None
                if metadata is not None:
                    described = metadata.of(key)
                try:
                    stored.append((self._key(key) if keyed else None, self._value(value, described)))
                except Exception as error:  # noqa: BLE001 (unpickling and hooks run anything)
                    self._complain(f"the entry {key[:40]!r}", error)
            self.entries += self._write(cls, stored)
            self._wrote(sum(len(key) + len(value) if isinstance(value, bytes) else value.size for key, value in batch))
        if keyed and len(self._obj) != self.entries:
            self.problems.append(
                f"{self.entries} entries became {len(self._obj)}, since some of their keys are equal, as 1 and True are"
            )

    def _guessed(self, first: list[tuple[bytes, Value]]) -> Codecs:
        """How an unknown class stores things, as the first entries tell."""
        keys = all(is_pickle(key) for key, _ in first)
        values = all(is_pickle(value) for _, value in first if isinstance(value, bytes))
        has_metadata = False
        if len(self._plan.databases) > 1:
            has_metadata = any(True for _ in self._old.entries(self._plan.databases[1], value_limit=0))
        if not values or (not keys and self._plan.cls is Dict):
            self.notes.append("its data are not pickles: they were kept as they are, for the hooks of its class")
        return Codecs(
            "plain" if keys else "raw",
            "raw" if has_metadata or not values else "plain",
            has_metadata,
            self._codecs.attr_key,
            self._codecs.attr_value,
        )

    def _key(self, raw: bytes) -> Any:
        if self._codecs.key == "raw":
            return raw
        key = load(raw, self._classes)
        return key if self._codecs.key == "plain" else as_bytes(self._obj.encode_key(key), "a key")

    def _value(self, value: Value, metadata: bytes | None) -> Any:
        raw = whole(value)
        if self._codecs.value == "plain":
            return self._unpickled(raw)
        if self._codecs.value == "pickled":
            raw = as_bytes(self._obj.encode_value(load(raw, self._classes)), "a value")
        if not self._codecs.metadata:
            return raw
        if metadata is None:
            raise NotFoundError("its metadata are missing")
        return pickle.dumps(load(metadata, self._classes), 5), raw

    def _unpickled(self, raw: bytes) -> Any:
        try:
            return load(raw, self._classes)
        except Exception:  # unpickling runs anything
            if not is_pickle(raw):
                raise
            self._unread += 1
            return Unread(raw, self._classes)

    def _write(self, cls: type[Any], stored: list[tuple[Any, Any]]) -> int:
        """Store entries, in one transaction if all of them can be; how many could."""
        try:
            with _open.writing(_open.space_of(self._obj)):
                self._write_all(cls, stored)
            return len(stored)
        except (ValueError, TypeError, OverflowError, AttributeError):
            pass  # of some entry, which is found by storing them one by one
        done = 0
        for pair in stored:
            try:
                self._write_all(cls, [pair])
                done += 1
            except (ValueError, TypeError, OverflowError, AttributeError) as error:
                self._complain("an entry" if pair[0] is None else f"the entry {pair[0]!r:.60}", error)
        return done

    def _write_all(self, cls: type[Any], stored: list[tuple[Any, Any]]) -> None:
        if issubclass(cls, Dict):
            _native.lane.dict_update(self._obj, stored)
        elif issubclass(cls, Queue):
            for _, value in stored:
                Queue.put(self._obj, value, False)
        else:
            _native.lane.array_extend(self._obj, [value for _, value in stored])

    # ---- Files and attributes ----

    def _fill_file(self) -> None:
        if self._plan.unnamed_array:
            self.notes.append("it is an array of a dtype that has no name here: its content is read as bytes")
        for key, value in self._old.entries(ATTRIBUTES, prefix=self._uuid, value_limit=0):
            if _attribute_name(self._plan.cls, key[16:], self._classes) == _CONTENT:
                pieces = [value] if isinstance(value, bytes) else value.pieces()
                self._write_content(pieces)
                return
        self.problems.append("its content is missing")

    def _write_content(self, pieces: Iterable[bytes]) -> None:
        about = self._plan.content
        if _convert_content.is_pickle(about):
            raw = b"".join(pieces)
            # Only what names classes of the original's has to be read, and written anew.
            pieces = [pickle.dumps(load(raw, self._classes), 5) if b"parkit" in raw else raw]
        described: str | None = json.dumps(about) if about else None
        for piece in chain([b""], pieces):
            _native.lane.file_write(self._obj, self.entries, piece, described)
            self.entries += len(piece)
            self._wrote(len(piece))
            described = None

    def _fill_attributes(self) -> None:
        for key, value in self._old.entries(ATTRIBUTES, prefix=self._uuid, value_limit=1 << 16):
            try:
                found = self._attribute(key[16:], value)
            except Exception as error:  # noqa: BLE001 (unpickling and hooks run anything)
                self._complain(f"the attribute {key[16:56]!r}", error)
                continue
            if found is None:
                continue
            try:
                _native.lane.attr_set(self._obj, *found)
                self._wrote(len(value) if isinstance(value, bytes) else value.size)
            except (ValueError, TypeError, AttributeError) as error:
                self._complain(f"the attribute {found[0]}", error)

    def _attribute(self, key: bytes, value: Value) -> tuple[str, Any] | None:
        """The name under which an attribute is stored, and what is stored; None where it is not one here."""
        cls, codecs = self._plan.cls, self._codecs
        name = _attribute_name(cls, key, self._classes)
        if name in _INTERNAL and (cls._parkit_kind == _FILE or issubclass(cls, (Array, Queue))):
            return None
        if name is not None and name[:2] == "__" and name[-2:] == "__":
            self.notes.append(f"the attribute {name} was left out: such names stay in the process here")
            return None
        if codecs.attr_key == "raw" or name is None:
            place = _spelled(key)
        elif codecs.attr_key == "pickled":
            place = _spelled(as_bytes(self._obj.encode_attr_key(name), "an attribute's name"))
        else:
            place = name
        raw = whole(value)
        if name is not None and name.endswith("_binary"):
            return place, raw
        if codecs.attr_value == "plain" and (self._plan.known or is_pickle(raw)):
            return place, self._unpickled(raw)
        if codecs.attr_value == "pickled":
            return place, as_bytes(self._obj.encode_attr_value(load(raw, self._classes)), "an attribute")
        return place, raw

    def _complain(self, what: str, error: Exception) -> None:
        self._lost += 1
        if self._lost <= _TOLD:
            self.problems.append(f"{what} was not converted: {type(error).__name__}: {error}")


def _spelled(data: bytes) -> str:
    """The name under which object.py stores an attribute whose hook made these bytes."""
    return data.decode("latin-1").replace("\0", "\u0100")


class _Metadata:
    """The database of metadata, read along with that of the entries: both have the same keys in the same order."""

    def __init__(self, old: OriginalNamespace, database: str) -> None:
        self._old, self._database = old, database
        self._rest: Iterator[tuple[bytes, Value]] = old.entries(database)

    def of(self, key: bytes) -> bytes | None:
        try:
            found = next(self._rest, None)
            if found is not None and found[0] == key:
                return whole(found[1])
            return self._old.read(self._database, key)
        except NotFoundError:
            return None
