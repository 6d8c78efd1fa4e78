"""How objects show in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

from .errors import ParkitError

if TYPE_CHECKING:
    from .dict import Dict
    from .object import Object

_ROWS = 10
_WIDTH = 80


def of_object(obj: Object) -> str:
    """The object's name and its shared attributes."""
    try:
        rows = [(name, getattr(obj, name, None)) for name in islice(obj.attributes, _ROWS)]
        more = len(obj.attributes) - len(rows)
    except ParkitError as error:
        return f"<code>{escape(repr(obj))}</code> <i>{escape(str(error))}</i>"
    return _table(obj, "", rows, more)


def of_dict(mapping: Dict[Any, Any]) -> str:
    """The dict's name, length and first entries."""
    try:
        size = len(mapping)
        rows = list(islice(mapping.items(), _ROWS))
    except ParkitError as error:
        return f"<code>{escape(repr(mapping))}</code> <i>{escape(str(error))}</i>"
    return _table(mapping, f", {size} {'entry' if size == 1 else 'entries'}", rows, size - len(rows))


def _table(obj: Object, note: str, rows: Iterable[tuple[Any, Any]], more: int) -> str:
    head = f"<caption><code>{escape(type(obj).__name__)} {escape(obj.path)}</code>{note}</caption>"
    body = "".join(f"<tr><td>{_cell(left)}</td><td>{_cell(right)}</td></tr>" for left, right in rows)
    rest = f"<tr><td colspan=2><i>and {more} more</i></td></tr>" if more > 0 else ""
    return f"<table>{head}{body}{rest}</table>"


def _cell(value: Any) -> str:
    import reprlib

    short = reprlib.Repr()
    short.maxstring = short.maxother = _WIDTH
    return f"<code>{escape(short.repr(value))}</code>"
