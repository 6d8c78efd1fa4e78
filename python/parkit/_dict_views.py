"""The views of a Dict. They hold nothing: each look is at the Dict as it is then."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")

# What the lane's dict_iter gives, and a flag of it.
KEYS, VALUES, ITEMS = 0, 1, 2
REVERSE = 1


class DictKeys(KeysView[K]):
    """The keys of a Dict, as a set that follows it."""

    __slots__ = ()
    _mapping: Any

    def __iter__(self) -> Iterator[K]:
        return self._mapping._parkit_iter(KEYS, 0)  # type: ignore[no-any-return]

    def __reversed__(self) -> Iterator[K]:
        return self._mapping._parkit_iter(KEYS, REVERSE)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<keys of {self._mapping!r}>"


class DictValues(ValuesView[V]):
    """The values of a Dict, in the order of their keys."""

    __slots__ = ()
    _mapping: Any

    def __iter__(self) -> Iterator[V]:
        return self._mapping._parkit_iter(VALUES, 0)  # type: ignore[no-any-return]

    def __reversed__(self) -> Iterator[V]:
        return self._mapping._parkit_iter(VALUES, REVERSE)  # type: ignore[no-any-return]

    def __contains__(self, value: object) -> bool:
        return any(found is value or found == value for found in self)

    def __repr__(self) -> str:
        return f"<values of {self._mapping!r}>"


class DictItems(ItemsView[K, V]):
    """The entries of a Dict, as a set of pairs that follows it."""

    __slots__ = ()
    _mapping: Any

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._parkit_iter(ITEMS, 0)  # type: ignore[no-any-return]

    def __reversed__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._parkit_iter(ITEMS, REVERSE)  # type: ignore[no-any-return]

    def __contains__(self, item: object) -> bool:
        return isinstance(item, tuple) and len(item) == 2 and super().__contains__(item)

    def __repr__(self) -> str:
        return f"<items of {self._mapping!r}>"
