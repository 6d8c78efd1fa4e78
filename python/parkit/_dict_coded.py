"""The Dict of classes that replace a hook: each key and value goes through the class's own functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from . import _native
from ._dict_views import ITEMS, KEYS
from .dict import Dict
from .object import as_bytes, decode_pickle, encode_pickle

K = TypeVar("K")
V = TypeVar("V")

_MISSING: Any = object()


class CodedDict(Dict[K, V]):
    """What Dict.__init_subclass__ puts between Dict and a class that replaces a hook.

    What the hooks make is stored as plain bytes, also in the eyes of a Dict without the hooks. If
    the class has get_metadata, a pair of the pickled metadata and these bytes is stored.
    """

    __slots__ = ()

    _parkit_internal = True

    def __getitem__(self, key: K) -> V:
        stored = _native.lane.dict_get_default(self, self._stored_key(key), _MISSING)
        if stored is _MISSING:
            raise KeyError(key)
        return self._value_of(stored)  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V) -> None:
        _native.lane.dict_set(self, self._stored_key(key), self._stored_value(value))

    def __delitem__(self, key: K) -> None:
        stored = self._stored_key(key)
        try:
            _native.lane.dict_del(self, stored)
        except KeyError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        return _native.lane.dict_contains(self, self._stored_key(key))

    def get(self, key: Any, default: Any = None, /) -> Any:
        stored = _native.lane.dict_get_default(self, self._stored_key(key), _MISSING)
        return default if stored is _MISSING else self._value_of(stored)

    def setdefault(self, key: Any, default: Any = None, /) -> Any:
        stored = _native.lane.dict_setdefault(self, self._stored_key(key), self._stored_value(default))
        return self._value_of(stored)

    def pop(self, key: Any, default: Any = _MISSING, /) -> Any:
        value = _native.lane.dict_pop(self, self._stored_key(key), default, self._value_of)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def popitem(self, index: int = -1) -> tuple[K, V]:
        if index != -1 and index != 0:
            return super().popitem(index)
        return _native.lane.dict_popitem(self, index == -1, self._entry_of)  # type: ignore[no-any-return]

    def _parkit_iter(self, what: int, flags: int, lo: Any = None, hi: Any = None) -> Iterator[Any]:
        lo = None if lo is None else self._stored_key(lo)
        hi = None if hi is None else self._stored_key(hi)
        found = _native.lane.dict_iter(self, what, flags, lo, hi)
        if what == KEYS:
            return map(self._key_of, found)
        if what == ITEMS:
            return ((self._key_of(key), self._value_of(value)) for key, value in found)
        return map(self._value_of, found)

    def _parkit_update(self, entries: Any) -> None:
        pairs = entries.items() if type(entries) is dict else entries
        _native.lane.dict_update(self, [(self._stored_key(key), self._stored_value(value)) for key, value in pairs])

    def _parkit_encoded(self, value: Any) -> bytes:
        return _native.lane.encode_value(self._stored_value(value))

    # ---- Between what the user has and what is stored ----

    def _stored_key(self, key: Any) -> Any:
        if not self._parkit_codes_keys:
            return key
        encode: Any = self.encode_key
        return as_bytes(key if encode is None else encode(key), "a key of this Dict")

    def _key_of(self, stored: Any) -> Any:
        if not self._parkit_codes_keys:
            return stored
        decode: Any = self.decode_key
        return stored if decode is None else decode(stored)

    def _entry_of(self, stored: tuple[Any, Any]) -> tuple[K, V]:
        return self._key_of(stored[0]), self._value_of(stored[1])

    def _stored_value(self, value: Any) -> Any:
        if not self._parkit_codes_values:
            return value
        encode: Any = self.encode_value
        data = as_bytes(value if encode is None else encode(value), "a value of this Dict")
        get_metadata: Any = self.get_metadata
        return data if get_metadata is None else (encode_pickle(get_metadata(value)), data)

    def _value_of(self, stored: Any) -> Any:
        if not self._parkit_codes_values:
            return stored
        decode: Any = self.decode_value
        if self.get_metadata is None:
            return stored if decode is None else decode(stored)
        metadata, data = stored
        return data if decode is None else decode(data, decode_pickle(metadata))
