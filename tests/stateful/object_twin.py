"""An Object's attributes beside those of a plain object."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from kind import VALUES, Kind, of_these, ops

import parkit


class Attributes:
    """What an Object's attributes are, beside a namespace of Python's."""

    @property
    def attributes(self) -> list[str]:
        return sorted(vars(self))


class ObjectOperations:
    def get(o: Any, name: str) -> Any:
        found = getattr(o, name)
        return bytes(found) if isinstance(found, memoryview) else found

    def set(o: Any, name: str, value: Any) -> None:
        setattr(o, name, value)

    def delete(o: Any, name: str) -> None:
        delattr(o, name)

    def set_binary(o: Any, value: bytes) -> None:
        o.picture_binary = value

    def content(o: Any) -> Any:
        names = list(o.attributes)
        return [(name, ObjectOperations.get(o, name)) for name in names]


_names = of_these(["a", "b", "_private", "ünï", "n" * 200, "picture_binary"])

OBJECT = Kind(
    parkit.Object,
    Attributes,
    ObjectOperations,
    writes=st.one_of(
        ops("set", _names.filter(lambda name: name != "picture_binary"), VALUES),
        ops("set_binary", st.binary(max_size=5) | st.builds(bytes, st.just(9000))),
        ops("delete", _names),
    ),
    reads=ops("get", _names),
)
