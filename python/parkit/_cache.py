"""What a Dict has of a cache: entries that end, a limit on its size, counting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, Union

from . import _native
from .object import Object

if TYPE_CHECKING:
    from datetime import timedelta

K = TypeVar("K")
V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., Any])

#: What an entry may last for: seconds or a timedelta; None is for ever.
Expire = Union[float, "timedelta", None]
Eviction = Literal["least-recently-used", "least-recently-stored", "none"]

How = Literal[0, 1, 2]

# gocore/coll's kinds of eviction, and ways of its DictStore.
_EVICTIONS: tuple[Eviction, ...] = ("none", "least-recently-used", "least-recently-stored")
_SET: How = 0
_ADD: How = 1
_KEEP: How = 2

# An entry that is to last longer has no end in anybody's mind.
_LONGEST = 100 * 366 * 24 * 3600


class CacheMethods(Object, Generic[K, V]):
    """The methods of Dict that make it a cache, under the names of diskcache's."""

    __slots__ = ()

    _parkit_internal: ClassVar[bool] = True
    _parkit_codes_keys: ClassVar[bool] = False
    _parkit_codes_values: ClassVar[bool] = False

    # ---- Entries that end ----

    def set(self, key: K, value: V, expire: Expire = None) -> bool:
        """Store the value of ``key``, for some time only.

        From its end on an entry is as if it were not there, at once and for every reader; it is removed soon
        after. Storing without ``expire``, as ``d[key] = value`` does too, makes it one without an end.

        :param expire: for how long, in seconds or as a timedelta; None is for ever
        :returns: True, as diskcache's does
        :raises ValueError: ``expire`` is not above zero, or more than 100 years
        :raises StorageFullError: the Dict is full, and its entries do not give way
        :raises TooBigError: the entry alone is larger than the Dict may be

        >>> sessions = Dict('web/sessions', create=True)
        >>> sessions.set('ada', 'token', expire=3600)
        True
        >>> sessions['ada']
        'token'
        """
        return self._parkit_store(key, value, expire, _SET)

    def add(self, key: K, value: V, expire: Expire = None) -> bool:
        """Store the value of ``key`` if it is not there, or has ended; return whether it was stored.

        Of several that add at once, in whatever processes, one succeeds. For the rest see :meth:`set`.

        >>> locks = Dict('web/locks', create=True)
        >>> locks.add('backup', 'host-1', expire=60), locks.add('backup', 'host-2', expire=60)
        (True, False)
        """
        return self._parkit_store(key, value, expire, _ADD)

    def touch(self, key: K, expire: Expire = None) -> bool:
        """Have an entry last for some time from now; return whether it is there.

        :param expire: for how long, in seconds or as a timedelta; None is for ever
        """
        return _native.lane.dict_touch(self, self._parkit_key(key), as_nanoseconds(expire))

    def expire_time(self, key: K) -> float | None:
        """When the entry ends, in seconds since 1970 as ``time.time()`` counts them; None if it does not end.

        :raises KeyError: it is not there

        >>> sessions = Dict('web/sessions', create=True)
        >>> sessions.set('bob', 'token', expire=60)
        True
        >>> 0 < sessions.expire_time('bob') - time.time() <= 60
        True
        """
        try:
            due = _native.lane.dict_due(self, self._parkit_key(key))
        except KeyError:  # which names the key as a hook made it
            raise KeyError(key) from None
        return due / 1e9 if due else None

    def expire(self) -> int:
        """Remove the entries that have ended, and return how many those were.

        Nobody sees them any more; this gives their room back now rather than soon.
        """
        removed, more = 0, True
        while more:
            count, more = _native.lane.dict_sweep(self)
            removed += count
        return removed

    # ---- Counting ----

    def incr(self, key: K, delta: Any = 1, default: Any = 0) -> Any:
        """Add ``delta`` to the value of ``key``, or to ``default`` if it is not there, and return the sum.

        Of several that count at once none is lost, in whatever processes. An entry keeps the end that it has.

        :raises KeyError: the key is not there, and ``default`` is None
        :raises TypeError: the value and ``delta`` cannot be added

        >>> hits = Dict('web/hits', create=True)
        >>> hits.incr('/'), hits.incr('/', 10), hits.decr('/')
        (1, 11, 10)
        """
        if not self._parkit_codes_values:
            try:
                total = _native.lane.dict_incr(self, self._parkit_key(key), delta, default)
            except KeyError:
                raise KeyError(key) from None
            if total is not NotImplemented:
                return total
        from .transaction import transaction

        whole: Any = self
        with transaction(self):
            value = whole.get(key, default)
            if value is None and key not in whole:
                raise KeyError(key)
            value = value + delta
            _native.lane.dict_store(self, self._parkit_key(key), self._parkit_value(value), None, _KEEP)
        return value

    def decr(self, key: K, delta: Any = 1, default: Any = 0) -> Any:
        """Subtract ``delta``; as :meth:`incr`."""
        return self.incr(key, -delta, default)

    # ---- How large it is ----

    def volume(self) -> int:
        """How many bytes the entries take: keys and values as they are stored.

        Of a Dict without a limit they are counted one by one.
        """
        return _native.lane.dict_volume(self)

    @property
    def max_entries(self) -> int | None:
        """How many entries there may be; None for any number. It is given when the Dict is created."""
        return _native.lane.dict_limits(self)[0] or None

    @property
    def max_bytes(self) -> int | None:
        """How large :meth:`volume` may be; None for any size. It is given when the Dict is created."""
        return _native.lane.dict_limits(self)[1] or None

    @property
    def eviction(self) -> str:
        """Which entries give way when the Dict is full. It is given when the Dict is created."""
        return _EVICTIONS[_native.lane.dict_limits(self)[2]]

    # ---- Results of functions ----

    def memoize(
        self,
        expire: Expire = None,
        ignore: Iterable[str | int] = (),
        typed: bool = False,
        key: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> Callable[[F], F]:
        """A decorator that keeps the results of a function in this Dict.

        A result is kept under the function's name, a digest of its code and the arguments, however they are given.
        The digest is of bytecode, constants, defaults and the values that the function closes over, so a function
        that was changed computes anew; globals and functions that it calls do not count. Arguments count by value, a
        persistent object as itself; those that no dict takes as a key, and an instance as the first argument of a
        method, by their pickle.

        If several want one result at once, one computes it and the others wait: threads, coroutines and processes
        alike. If it fails or dies, the next one computes. Exceptions are not kept; None is. Inside a
        :func:`transaction` or a :func:`snapshot` of the namespace nobody is waited for. Neither is there within
        another memoized function, if the keys are in an order in which two could wait for one another; then both
        compute.

        :param expire: for how long a result is kept, in seconds or as a timedelta; None is for ever
        :param ignore: names or positions of parameters on which the result does not depend
        :param typed: whether ``1`` and ``1.0`` are different arguments
        :param key: called with the arguments, returns what stands for them in the key: anything that can be a key
        :param name: the function's name in keys; by default that of its module and its qualified name
        :returns: a decorator. The function it makes has ``__wrapped__``, ``cache_key(...)``, ``invalidate(...)``,
            ``cache_clear()`` and ``cache_info()``. A coroutine function stays one.
        :raises TypeError: a generator is decorated; when called, an argument cannot be pickled
        :raises ValueError: the function has no parameter that is to be ignored

        >>> results = Dict('results', create=True)
        >>> @results.memoize(expire=3600)
        ... def area(width, height=1):
        ...     print('computing')
        ...     return width * height
        >>> area(3, 4)
        computing
        12
        >>> area(height=4, width=3)
        12
        >>> area.invalidate(3, 4)
        True
        >>> area.cache_info()
        CacheInfo(hits=1, misses=1, maxsize=None, currsize=0)
        """
        from . import _memoize

        decorator: Any = _memoize.memoize(self, expire, ignore, typed, key, name)  # type: ignore[arg-type]
        return decorator  # type: ignore[no-any-return]

    # ---- For this class and its subclasses ----

    def _parkit_store(self, key: Any, value: Any, expire: Expire, how: How) -> bool:
        ttl = as_nanoseconds(expire)
        return _native.lane.dict_store(self, self._parkit_key(key), self._parkit_value(value), ttl, how)

    def _parkit_key(self, key: Any) -> Any:
        coded: Any = self
        return coded._stored_key(key) if self._parkit_codes_keys else key

    def _parkit_value(self, value: Any) -> Any:
        coded: Any = self
        return coded._stored_value(value) if self._parkit_codes_values else value


def as_nanoseconds(expire: Expire) -> int | None:
    """What an entry lasts for; None for ever."""
    if expire is None:
        return None
    if isinstance(expire, int):
        ns = expire * 10**9
    elif isinstance(expire, float):
        ns = int(expire * 1e9) if 0 < expire <= _LONGEST else 0  # a NaN is in no order
    else:
        from datetime import timedelta

        if not isinstance(expire, timedelta):
            raise TypeError(f"expire is a number of seconds, a timedelta or None, not {type(expire).__name__}")
        ns = (expire.days * 86400 + expire.seconds) * 10**9 + expire.microseconds * 1000
    if not 0 < ns <= _LONGEST * 10**9:
        raise ValueError(f"expire is above zero and at most 100 years, not {expire!r}; None is for ever")
    return ns


def as_limits(max_entries: int | None, max_bytes: int | None, eviction: str) -> tuple[int, int, int] | None:
    """What the core is asked for; None where nothing is."""
    limits = []
    for name, limit in (("max_entries", max_entries), ("max_bytes", max_bytes)):
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
            raise TypeError(f"{name} is an int or None, not {type(limit).__name__}")
        if limit is not None and not 0 < limit < 1 << 63:
            raise ValueError(f"{name} is above zero; None is no limit")
        limits.append(limit or 0)
    if eviction not in _EVICTIONS:
        raise ValueError(f"eviction is one of {', '.join(map(repr, _EVICTIONS))}, not {eviction!r}")
    return (limits[0], limits[1], _EVICTIONS.index(eviction)) if any(limits) else None
