"""Dict.memoize: results of functions kept in a Dict, and computed once by however many ask at once."""

from __future__ import annotations

import contextvars
import functools
import inspect
import itertools
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _native, _open
from ._cache import Expire, as_nanoseconds
from ._flights import Flight, Place, flights
from ._memo_key import Arguments, Function, version_of

if TYPE_CHECKING:
    from .dict import Dict

_MISSING: Any = object()

# Answers of the lane's dict_claim, and ways of its dict_store.
_THERE, _MINE = 0, 1
_SET, _END = 0, 3

# Who waits is woken when there is something to see. This is for a namespace whose writes fail, so that nobody can
# clear away what a process left that died: in seconds.
_LOOK_AGAIN = 60.0

# The flight that the caller is part of. It goes along into coroutines and tasks of asyncio.
_flying: contextvars.ContextVar[Flight | None] = contextvars.ContextVar("_flying", default=None)


class CacheInfo(NamedTuple):
    """What ``cache_info()`` returns: hits and misses of this process, and of the Dict now the limit and the results."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class Memo:
    """What a memoized function knows. Pickled, it is the same function with the same Dict, and counts anew."""

    def __init__(
        self,
        cache: Dict[Any, Any],
        function: Function,
        expire: Expire,
        ignore: tuple[str | int, ...],
        typed: bool,
        key: Function | None,
        name: str | None,
    ) -> None:
        self._given = (cache, function, expire, ignore, typed, key, name)
        self.cache, self.function = cache, function
        self.name = f"{function.__module__}.{function.__qualname__}" if name is None else name
        self._ttl = as_nanoseconds(expire)
        self._key = key
        self._arguments = Arguments(function, ignore, typed)
        self._version: int | None = None
        self._lock = threading.Lock()
        self.hits = self.misses = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return Memo, self._given

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = self.key(args, kwargs)
        value = self.found(key)
        return self.compute(args, kwargs, key) if value is _MISSING else value

    async def call_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = self.key(args, kwargs)
        value = self.found(key)
        return await self.compute_async(args, kwargs, key) if value is _MISSING else value

    # ---- Keys and what is stored ----

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        if self._version is None:
            # At the first call: only then are the names that the function closes over bound.
            self._version = version_of(self.function)
        if self._key is None:
            return (self.name, self._version, *self._arguments.key(args, kwargs))
        return self.name, self._version, self._key(*args, **kwargs)

    def found(self, key: Any) -> Any:
        value = self.cache.get(key, _MISSING)
        with self._lock:
            if value is _MISSING:
                self.misses += 1
            else:
                self.hits += 1
        return value

    def _store(self, key: Any, value: Any, how: Any) -> None:
        cache = self.cache
        _native.lane.dict_store(cache, cache._parkit_key(key), cache._parkit_value(value), self._ttl, how)

    def _place(self, key: Any) -> Place:
        return self.cache.uuid, _native.lane.encode_key(self.cache._parkit_key(key))[0]

    def _in_scope(self) -> bool:
        # In a scope of the namespace nothing is seen of what others do; and who has a transaction open, of whatever
        # namespace, must not wait for others, who may want to write there.
        return _native.lane.in_transaction() or bool(_native.lane.scope(_open.space_of(self.cache)))

    def _claim(self, key: Any) -> tuple[int, int, tuple[int, Any]]:
        """The namespace, the count of the Dict's channel before the claim, and the claim's answer."""
        cache = self.cache
        space = _open.space_of(cache)
        seen = _native.lane.change_count(space, _native.lane.channel(cache))
        return space, seen, _native.lane.dict_claim(cache, cache._parkit_key(key))

    def _unclaim(self, key: Any) -> None:
        _native.lane.dict_unclaim(self.cache, self.cache._parkit_key(key))

    def _value(self, stored: Any) -> Any:
        coded: Any = self.cache
        return coded._value_of(stored) if self.cache._parkit_codes_values else stored

    # ---- Computing, once for all who ask ----

    def compute(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any) -> Any:
        if self._in_scope():
            return self._alone(args, kwargs, key)
        mine = Flight(self._place(key))
        while True:
            try:
                flight = flights.join(mine, _flying.get(), blocks=True)
                if flight is mine:
                    return self._lead(mine, args, kwargs, key)
                if flight is not None:
                    flight.landed.result()
            finally:
                flights.leave(mine)
            if flight is None:
                return self._alone(args, kwargs, key)
            value = self.cache.get(key, _MISSING)
            if value is not _MISSING:
                return value

    def _alone(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any) -> Any:
        value = self.function(*args, **kwargs)
        self._store(key, value, _SET)
        return value

    def _lead(self, mine: Flight, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any) -> Any:
        claimed = False
        try:
            while not claimed:
                claimed = True  # an exception may come between the claim and what it is assigned to
                space, seen, (answer, stored) = self._claim(key)
                claimed = answer == _MINE
                if answer == _THERE:
                    return self._value(stored)
                if claimed:
                    continue
                if not flights.go_abroad(mine):
                    break
                _native.lane.wait_change(space, _native.lane.channel(self.cache), seen, _LOOK_AGAIN)
                flights.come_back(mine)
            before = _flying.set(mine)
            try:
                value = self.function(*args, **kwargs)
            finally:
                _flying.reset(before)
            self._store(key, value, _END if claimed else _SET)
            claimed = False
            return value
        finally:
            if claimed:
                self._unclaim(key)

    # The same for coroutine functions.

    async def compute_async(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any) -> Any:
        if self._in_scope():
            return await self._alone_async(args, kwargs, key)
        import asyncio

        mine = Flight(self._place(key))
        while True:
            try:
                flight = flights.join(mine, _flying.get(), blocks=False)
                if flight is mine:
                    return await self._lead_async(mine, args, kwargs, key)
                if flight is not None:
                    await asyncio.wrap_future(flight.landed)
            finally:
                flights.leave(mine)
            if flight is None:
                return await self._alone_async(args, kwargs, key)
            value = self.cache.get(key, _MISSING)
            if value is not _MISSING:
                return value

    async def _alone_async(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any) -> Any:
        value = await self.function(*args, **kwargs)
        self._store(key, value, _SET)
        return value

    async def _lead_async(self, mine: Flight, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any) -> Any:
        from . import _bridge

        claimed = False
        try:
            while not claimed:
                claimed = True
                space, seen, (answer, stored) = self._claim(key)
                claimed = answer == _MINE
                if answer == _THERE:
                    return self._value(stored)
                if claimed:
                    continue
                if not flights.go_abroad(mine):
                    break
                await _bridge.moved(space, [(_native.lane.channel(self.cache), seen)], _LOOK_AGAIN)
                flights.come_back(mine)
            before = _flying.set(mine)
            try:
                value = await self.function(*args, **kwargs)
            finally:
                _flying.reset(before)
            self._store(key, value, _END if claimed else _SET)
            claimed = False
            return value
        finally:
            if claimed:
                self._unclaim(key)

    # ---- For who looks after it ----

    def cache_key(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The key under which the Dict has the result of a call."""
        return self.key(args, kwargs)

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of a call; whether there was one."""
        return self.cache.pop(self.key(args, kwargs), _MISSING) is not _MISSING

    def cache_clear(self) -> None:
        """Forget all results of the function, those of its earlier versions too."""
        from .transaction import transaction

        with transaction(self.cache):
            for key in self.results():
                self.cache.pop(key, None)
        self.hits = self.misses = 0

    def cache_info(self) -> CacheInfo:
        """Hits and misses in this process, the limit of the Dict, and how many results there are."""
        return CacheInfo(self.hits, self.misses, self.cache.max_entries, len(self.results()))

    def results(self) -> list[Any]:
        """The keys of all results, of whatever version of the function."""
        if self.cache._parkit_codes_keys:  # in the order of what a hook makes of them
            return [key for key in self.cache if self._is_mine(key)]
        return list(itertools.takewhile(self._is_mine, self.cache.irange((self.name, 0))))

    def _is_mine(self, key: Any) -> bool:
        return isinstance(key, tuple) and len(key) > 1 and bool(key[0] == self.name)


def memoize(
    cache: Dict[Any, Any],
    expire: Expire,
    ignore: Iterable[str | int],
    typed: bool,
    key: Function | None,
    name: str | None,
) -> Callable[[Function], Any]:
    if callable(expire):
        raise TypeError("memoize is called before it decorates: write @cache.memoize()")
    as_nanoseconds(expire)
    left_out = (ignore,) if isinstance(ignore, (str, int)) else tuple(ignore)

    def decorate(function: Function) -> Any:
        if not hasattr(function, "__code__"):
            raise TypeError(f"memoize takes a function written in Python, not {type(function).__name__}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__qualname__} is a generator: what it yields cannot be stored as one value")
        return _wrap(Memo(cache, function, expire, left_out, typed, key, name))

    return decorate


def _wrap(memo: Memo) -> Any:
    function = memo.function
    wrapper: Any
    # A function of a script goes to tasks by value, and so does what is made of it: nothing but the memo may be asked.
    if inspect.iscoroutinefunction(function):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await memo.call_async(args, kwargs)

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return memo.call(args, kwargs)

    functools.update_wrapper(wrapper, function)
    wrapper.cache_key, wrapper.invalidate = memo.cache_key, memo.invalidate
    wrapper.cache_clear, wrapper.cache_info = memo.cache_clear, memo.cache_info
    return wrapper
