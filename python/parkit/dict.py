"""Dict: a mapping that is kept in a namespace and shared by processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import _native
from ._cache import CacheMethods, Eviction, as_limits
from ._dict_edit import MISSING, Edit
from ._dict_views import ITEMS, KEYS, REVERSE, DictItems, DictKeys, DictValues
from .object import Object, decode_pickle, encode_key_pickle, encode_pickle, replaces
from .transaction import transaction

__all__ = ["Dict"]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


# Flags of the lane's dict_iter beside REVERSE.
_LO, _HI, _LO_OPEN, _HI_OPEN = 2, 4, 8, 16

# How many entries of an iterator are stored at once.
_BATCH = 4096

_KEY_HOOKS = frozenset({"encode_key", "decode_key"})
_VALUE_HOOKS = frozenset({"encode_value", "decode_value", "get_metadata"})


class Dict(CacheMethods[K, V], MutableMapping[K, V]):
    """A persistent dictionary, ordered by key.

    It does what a ``dict`` does, and what sortedcontainers' ``SortedDict`` does under the same names.
    Keys are of any type that can be pickled and hashed, numbers that are equal are one key, and a key
    may be of any length; values are of any type that can be pickled. Each operation is a transaction
    of its own unless it is in the scope of a :func:`transaction` or a :func:`snapshot`.

    A value is a copy of what is stored: to change one in place use :meth:`edit`. A Dict is equal to any
    other mapping of the same content; like every persistent object it is equal to another Dict, and
    hashes like it, only if both are the same stored object.

    It can be a cache: entries may end after some time (:meth:`set`), its size may have a limit, and results of
    functions may be kept in it (:meth:`memoize`).

    :param max_entries: how many entries there may be; None for any number
    :param max_bytes: how large :meth:`volume` may be; None for any size
    :param eviction: which entries give way where a write would exceed a limit: ``'least-recently-used'``,
        ``'least-recently-stored'`` (those used or stored the longest time ago), or ``'none'``, with which the
        write raises StorageFullError. It and the limits are given when the Dict is created, hold for every
        process, and are not looked at when one is bound.

    For the other arguments and the errors see :class:`Object`.

    >>> prices = Dict('shop/prices', create=True)
    >>> prices['apple'] = 1.25
    >>> prices.update(pear=2, fig=0.3)
    >>> list(prices.items())
    [('apple', 1.25), ('fig', 0.3), ('pear', 2)]
    >>> Dict('shop/prices') == {'apple': 1.25, 'fig': 0.3, 'pear': 2}
    True
    """

    __slots__ = ()

    _parkit_kind = 1

    def __init__(
        self,
        path: str | None = None,
        /,
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        eviction: Eviction = "least-recently-used",
        metadata: Mapping[str, Any] | None = None,
        site_uuid: str | None = None,
        create: bool = False,
        bind: bool = True,
        on_init: Callable[[bool], object] | None = None,
    ) -> None:
        cache = as_limits(max_entries, max_bytes, eviction)
        self._parkit_open(path, metadata, site_uuid, create, bind, on_init, cache=cache)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._parkit_codes_keys, cls._parkit_codes_values = (
            replaces(cls, Dict, _KEY_HOOKS),
            replaces(cls, Dict, _VALUE_HOOKS),
        )
        if not (cls._parkit_codes_keys or cls._parkit_codes_values):
            return
        from ._dict_coded import CodedDict

        if issubclass(cls, CodedDict):
            return
        # A class that replaces a hook gets the methods that call hooks, between it and Dict, so that
        # its super() finds them. Every other Dict is spared the question at each operation.
        bases = tuple(CodedDict if base is Dict else base for base in cls.__bases__)
        cls.__bases__ = bases if CodedDict in bases else (*bases, CodedDict)

    # ---- One key ----

    def __getitem__(self, key: K) -> V:
        return _native.lane.dict_get(self, key)  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V) -> None:
        _native.lane.dict_set(self, key, value)

    def __delitem__(self, key: K) -> None:
        _native.lane.dict_del(self, key)

    def __contains__(self, key: object) -> bool:
        return _native.lane.dict_contains(self, key)

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V | D, /) -> V | D: ...
    def get(self, key: Any, default: Any = None, /) -> Any:
        """The value of ``key``, or ``default`` if it is not there."""
        return _native.lane.dict_get_default(self, key, default)

    @overload
    def setdefault(self: Dict[K, D | None], key: K, default: None = None, /) -> D | None: ...
    @overload
    def setdefault(self, key: K, default: V, /) -> V: ...
    def setdefault(self, key: Any, default: Any = None, /) -> Any:
        """The value of ``key``; if it is not there, ``default``, which is stored."""
        return _native.lane.dict_setdefault(self, key, default)

    @overload
    def pop(self, key: K, /) -> V: ...
    @overload
    def pop(self, key: K, default: V | D, /) -> V | D: ...
    def pop(self, key: Any, default: Any = MISSING, /) -> Any:
        """Remove ``key`` and return its value; if it is not there, ``default``.

        If the value cannot be read (its module is missing, say), the entry is back when the exception comes, unless
        others have set the key meanwhile: then theirs stays.

        :raises KeyError: it is not there, and no default is given
        """
        if default is MISSING:
            return _native.lane.dict_pop(self, key)
        return _native.lane.dict_pop(self, key, default)

    def edit(self, key: K, default: V = MISSING) -> Edit[V]:
        """A context manager that gives the value of ``key`` and stores it again if it was changed.

        It holds a transaction for as long as it is open: nobody else writes in between, and an exception
        undoes what was done in it. A value that is as it was is not written, so that the version does
        not advance. If the key is not there, ``default`` is given, and stored.

        :raises KeyError: the key is not there, and no default is given
        :raises TypeError: the changed value cannot be pickled; nothing is changed

        >>> words = Dict('words', create=True)
        >>> with words.edit('cat', default=[]) as pages:
        ...     pages.append(7)
        >>> words['cat']
        [7]
        """
        return Edit(self, key, default)

    # ---- The whole ----

    def __len__(self) -> int:
        return _native.lane.length(self)

    def clear(self) -> None:
        """Remove all entries."""
        _native.lane.dict_clear(self)

    def update(self, other: Any = (), /, **keywords: Any) -> None:
        """Store the entries of a mapping or of an iterable of pairs, then those given by name.

        It is one transaction: if it fails, nothing is changed. Entries of an iterator are written as
        they come; while it runs, nobody else can write to the namespace.

        :raises TypeError: neither a mapping nor pairs, or something that cannot be pickled
        :raises ValueError: an element that is no pair
        """
        if type(other) is dict:
            self._parkit_update({**other, **keywords} if keywords else other)
            return
        entries: Any
        if isinstance(other, Dict):
            entries = other.items()
        elif hasattr(other, "keys"):
            entries = ((key, other[key]) for key in other.keys())  # noqa: SIM118 (as dict does)
        else:
            entries = other
        if keywords:
            entries = chain(entries, keywords.items())
        if type(entries) is list:
            self._parkit_update(entries)
            return
        rest = iter(entries)
        batch = list(islice(rest, _BATCH))
        if len(batch) < _BATCH:
            self._parkit_update(batch)
            return
        with transaction(self):
            while batch:
                self._parkit_update(batch)
                batch = list(islice(rest, _BATCH))

    def copy(self) -> dict[K, V]:
        """A plain dict of the entries, as they are now."""
        return dict(self.items())

    @classmethod
    def fromkeys(
        cls, keys: Iterable[K], value: Any = None, path: str | None = None, /, **keywords: Any
    ) -> Dict[K, Any]:
        """Create a Dict with these keys, all of the same value.

        :param path: where, made if need be; None makes an anonymous Dict
        :param keywords: of the constructor
        :raises ObjectExistsError: ``bind=False`` is given, and there is one

        >>> sorted(Dict.fromkeys('abc', 0, 'counts'))
        ['a', 'b', 'c']
        """
        made = cls(**keywords) if path is None else cls(path, **{"create": True, **keywords})
        made.update((key, value) for key in keys)
        return made

    def __eq__(self, other: object) -> bool:
        # Two persistent objects are equal if they are the same one, which goes with their hash; any
        # other mapping is compared by content.
        if isinstance(other, Object):
            return self._parkit.uuid == other._parkit.uuid
        if not isinstance(other, Mapping):
            return NotImplemented
        return len(self) == len(other) and self.copy() == dict(other.items())

    __hash__ = Object.__hash__

    def __or__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return self.copy() | dict(other.items())

    def __ror__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(other.items()) | self.copy()

    def __ior__(self, other: Any) -> Dict[K, V]:  # type: ignore[misc]
        self.update(other)
        return self

    # ---- In the order of the keys ----

    def __iter__(self) -> Iterator[K]:
        return self._parkit_iter(KEYS, 0)

    def __reversed__(self) -> Iterator[K]:
        return self._parkit_iter(KEYS, REVERSE)

    def keys(self) -> DictKeys[K]:
        """A set-like view of the keys."""
        return DictKeys(self)

    def values(self) -> DictValues[V]:
        """A view of the values."""
        return DictValues(self)

    def items(self) -> DictItems[K, V]:
        """A set-like view of the entries, as pairs."""
        return DictItems(self)

    def irange(
        self,
        minimum: K | None = None,
        maximum: K | None = None,
        inclusive: tuple[bool, bool] = (True, True),
        reverse: bool = False,
    ) -> Iterator[K]:
        """The keys from ``minimum`` to ``maximum``, in order.

        :param minimum: the first key, or None for no bound; it need not be there
        :param maximum: the last key, likewise
        :param inclusive: whether the bounds themselves belong to it
        :param reverse: from the last to the first

        Keys of different types have an order too: None, numbers, str, bytes, tuples, frozensets,
        anything else (by its pickle).

        >>> years = Dict('years', create=True)
        >>> years.update({1999: 'a', 2005: 'b', 2026: 'c'})
        >>> list(years.irange(2000))
        [2005, 2026]
        >>> list(years.irange(1999, 2026, inclusive=(False, True), reverse=True))
        [2026, 2005]
        """
        return self._parkit_iter(KEYS, *_bounds(minimum, maximum, inclusive, reverse))

    def islice(self, start: int | None = None, stop: int | None = None, reverse: bool = False) -> Iterator[K]:
        """The keys from the position ``start`` to before ``stop``, in order.

        A position is an index as of a list of the keys, from the end if negative. To get there costs
        as much as to pass over the keys before it, from the nearer end.
        """
        begin, end, _ = slice(start, stop).indices(len(self))
        if reverse:
            size = len(self)
            return islice(self._parkit_iter(KEYS, REVERSE), size - end, max(size - begin, size - end))
        return islice(self._parkit_iter(KEYS, 0), begin, max(begin, end))

    def peekitem(self, index: int = -1) -> tuple[K, V]:
        """The entry at a position in the order of the keys: by default the last one.

        :raises IndexError: there are not as many entries

        >>> years = Dict('years', create=True)
        >>> years.update({1999: 'a', 2005: 'b', 2026: 'c'})
        >>> years.peekitem(), years.peekitem(0)
        ((2026, 'c'), (1999, 'a'))
        """
        reverse, place = (REVERSE, -1 - index) if index < 0 else (0, index)
        for item in islice(self._parkit_iter(ITEMS, reverse), place, place + 1):
            return item  # type: ignore[no-any-return]
        raise IndexError(f"{self!r} has no entry at the index {index}")

    def popitem(self, index: int = -1) -> tuple[K, V]:
        """Remove and return the entry at a position in the order of the keys: by default the last one.

        :raises KeyError: there are not as many entries
        """
        if index == -1 or index == 0:
            return _native.lane.dict_popitem(self, index == -1)  # type: ignore[no-any-return]
        with transaction(self):
            try:
                key, value = self.peekitem(index)
            except IndexError as error:
                raise KeyError(*error.args) from None
            del self[key]
            return key, value

    # ---- For the views and the subclasses ----

    def _parkit_iter(self, what: int, flags: int, lo: Any = None, hi: Any = None) -> Iterator[Any]:
        return _native.lane.dict_iter(self, what, flags, lo, hi)

    def _parkit_update(self, entries: Any) -> None:
        _native.lane.dict_update(self, entries)

    def _parkit_encoded(self, value: Any) -> bytes:
        """What is stored of a value, to compare it with itself."""
        return _native.lane.encode_value(value)

    def _repr_html_(self) -> str:
        from . import _html

        return _html.of_dict(self)

    # The hooks. A subclass may replace each by a function or by None, which leaves bytes as they are.
    # While none is replaced, none is called.

    if TYPE_CHECKING:
        # A subclass may put a method, a static one or None in the place of each.
        encode_key: Any
        decode_key: Any
        encode_value: Any
        decode_value: Any
        get_metadata: Any
    else:
        #: A function of a value whose pickled result is stored beside it; None for none.
        get_metadata = None

        @staticmethod
        def encode_key(key: Any, /) -> bytes:
            """The bytes under which an entry is stored, and ordered, for subclasses to replace: a pickle."""
            return encode_key_pickle(key)

        @staticmethod
        def decode_key(data: bytes, /) -> Any:
            """A key from what :meth:`encode_key` made of it."""
            return decode_pickle(data)

        @staticmethod
        def encode_value(value: Any, /) -> bytes:
            """The bytes that are stored of a value, for subclasses to replace: a pickle.

            A subclass may define ``get_metadata(value)``, too (None is: there is none). What it returns is pickled and
            stored beside the bytes, and :meth:`decode_value` is called with it: ``decode_value(data, metadata)``.
            """
            return encode_pickle(value)

        @staticmethod
        def decode_value(data: bytes, metadata: Any = None, /) -> Any:
            """A value from what :meth:`encode_value` made of it.

            If the class defines ``get_metadata(value)``, it is called as ``decode_value(data, metadata)``.
            """
            return decode_pickle(data)


def _bounds(minimum: Any, maximum: Any, inclusive: tuple[bool, bool], reverse: bool) -> tuple[int, Any, Any]:
    """The arguments of _parkit_iter for a range of keys."""
    flags = REVERSE if reverse else 0
    if minimum is not None:
        flags |= _LO if inclusive[0] else _LO | _LO_OPEN
    if maximum is not None:
        flags |= _HI if inclusive[1] else _HI | _HI_OPEN
    return flags, minimum, maximum


# The methods that are called most. The library has them in C as well, where they cost a Python frame
# less: it puts them in the place of these while it is loaded, and a forked child has these until then.
for _name in ("__getitem__", "__setitem__", "__delitem__", "__contains__"):
    _native.in_child(setattr, Dict, _name, Dict.__dict__[_name])
_native.on_load(lambda lane, _: lane.dict_install(Dict))
