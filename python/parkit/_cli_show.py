"""What ``parkit show`` says of an object."""

from __future__ import annotations

import codecs
import json
import reprlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from . import _classes, _open
from .array import Array
from .dict import Dict
from .errors import ClassNotFoundError
from .file import File, FileIO
from .object import Object
from .queue import Queue

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 100
_short.maxdict = _short.maxlist = _short.maxtuple = _short.maxset = 8

# How much of a file is shown, in bytes.
_BEGINNING = 80

#: What an object is bound as where its class cannot be imported, by its kind.
_LIKE: dict[int, type[Any]] = {1: Dict, 2: Array, 3: Queue, 4: File}


def bound(site_uuid: str, namespace: str, name: str) -> Any:
    """The object, of its class or of the one of this package that is most like it."""
    opened = _open.find_object(site_uuid, namespace, name)
    try:
        cls = _classes.find(opened.about["class"])
    except ClassNotFoundError:
        cls = _LIKE.get(opened.about["kind"], Object)
    return _open.instance(cls, opened.reference, opened.handle)


def attributes(thing: Any) -> dict[str, str]:
    return {name: _value(lambda name=name: getattr(thing, name)) for name in thing.attributes}


def content(thing: Any, limit: int) -> list[str]:
    """The first items, each as Python writes it, in short."""
    if isinstance(thing, Dict):
        return [f"{key}: {value}" for key, value in islice(_pairs(thing), limit)]
    if isinstance(thing, Array):
        return [_value(lambda i=i: thing[i]) for i in range(min(limit, len(thing)))]
    if isinstance(thing, FileIO):
        return _beginning(thing)
    return []


def _beginning(file: FileIO) -> list[str]:
    """The first bytes of a file; as text where it says that it is text."""
    with file.open("rb") as stream:
        start = stream.read(_BEGINNING)
    if not start:
        return []
    whole = file.size <= len(start)
    shown: str | bytes = start
    described = file.metadata or {}
    if str(described.get("content-type")).startswith("text/"):
        try:
            decoder = codecs.getincrementaldecoder(described.get("content-encoding") or "utf-8")("replace")
            shown = decoder.decode(start, whole)  # a character that is cut in two is left out
        except LookupError:
            pass  # an encoding that is not known here: as bytes
    return [repr(shown) + ("" if whole else "...")]


def more(thing: Any, shown: list[str]) -> int:
    """How many items there are that are not shown."""
    return len(thing) - len(shown) if isinstance(thing, (Dict, Array)) else 0


def _pairs(thing: Dict[Any, Any]) -> Iterator[tuple[str, str]]:
    keys: Iterable[Any] = iter(thing)
    for key in keys:
        yield _value(lambda key=key: key), _value(lambda key=key: thing[key])


def _value(read: Any) -> str:
    try:
        return _short.repr(read())
    except Exception as error:  # noqa: BLE001 (unpickling runs anything)
        return f"<cannot be read: {type(error).__name__}: {error}>"


def lines(about: dict[str, Any]) -> Iterator[str]:
    """A page for people."""
    yield about["path"]
    for name in ("type", "uuid", "created", "version", "length"):
        yield f"  {name:10}{about[name]}"
    if about["metadata"]:
        yield f"  {'metadata':10}{json.dumps(about['metadata'])}"
    if about["attributes"]:
        yield "  attributes"
        for name, text in about["attributes"].items():
            yield f"    {name} = {text}"
    if about["content"]:
        yield "  content"
        yield from (f"    {text}" for text in about["content"])
        if about["more"]:
            yield f"    ... {about['more']} more"
