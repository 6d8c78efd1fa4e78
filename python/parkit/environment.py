"""Small utilities that programs for the original use: environment variables, sizes, loops and timers."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any, TypeVar, overload

__all__ = [
    "Timer",
    "checkenv",
    "create_string_digest",
    "envexists",
    "get_memory_size",
    "get_pagesize",
    "getenv",
    "polling_loop",
    "setenv",
]

T = TypeVar("T")

_MACHINE: Any = object()

_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


def envexists(name: str, /) -> bool:
    """Whether the environment variable is set, be it to nothing.

    >>> envexists('PARKIT_NO_SUCH_VARIABLE')
    False
    """
    return name in os.environ


def checkenv(name: str, kind: type[Any] = str, /) -> bool:
    """Whether the environment variable is set to something that :func:`getenv` can read as ``kind``.

    >>> setenv('PARKIT_EXAMPLE', 'many')
    >>> checkenv('PARKIT_EXAMPLE'), checkenv('PARKIT_EXAMPLE', int)
    (True, False)
    """
    try:
        getenv(name, kind)
    except ValueError:
        return False
    return True


@overload
def getenv(name: str, /) -> str: ...
@overload
def getenv(name: str, kind: type[T], /) -> T: ...
def getenv(name: str, kind: Any = str, /) -> Any:
    """The environment variable as a ``kind``: str, int, float, bool, or anything that takes a text.

    :raises ValueError: it is not set, or cannot be read so; a bool is true or false, yes or no, 1 or 0

    >>> setenv('PARKIT_EXAMPLE', '12')
    >>> getenv('PARKIT_EXAMPLE'), getenv('PARKIT_EXAMPLE', int)
    ('12', 12)
    """
    try:
        text = os.environ[name]
    except KeyError:
        raise ValueError(f"the environment variable {name} is not set") from None
    try:
        if kind is bool:
            word = text.strip().lower()
            if word not in _TRUE and word not in _FALSE:
                raise ValueError(text)
            return word in _TRUE
        return kind(text)
    except (ValueError, TypeError):
        raise ValueError(f"the environment variable {name} is {text!r}, which is no {kind.__name__}") from None


def setenv(name: str, value: object, /) -> None:
    """Set the environment variable to the value's text; None removes it.

    >>> setenv('PARKIT_EXAMPLE', None)
    >>> envexists('PARKIT_EXAMPLE')
    False
    """
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = str(value)


def create_string_digest(*segments: str | bytes) -> str:
    """A SHA-1 in hexadecimal over texts, or bytes, one behind another: a short name for long ones, no protection.

    >>> create_string_digest('some', 'name') == create_string_digest('somename')
    True
    """
    import hashlib

    digest = hashlib.sha1(usedforsecurity=False)
    for segment in segments:
        digest.update(segment.encode("utf-8", "surrogatepass") if isinstance(segment, str) else segment)
    return digest.hexdigest()


def get_memory_size(target: Any = _MACHINE, /) -> int:
    """How many bytes of memory an object takes, with all that it refers to; without one, the machine's memory.

    Classes, modules and functions that it refers to are not counted, and what it refers to twice is once.

    :raises TypeError: it is a class, a module or a function

    >>> get_memory_size([1, 'two']) > get_memory_size([])
    True
    >>> get_memory_size() > 2 ** 20
    True
    """
    if target is _MACHINE:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import gc

    shared = (type, type(os), type(get_memory_size))
    if isinstance(target, shared):
        raise TypeError(f"{target!r} is not of one owner: its memory cannot be told")
    size, seen, found = 0, {id(target)}, [target]
    while found:
        size += sum(map(sys.getsizeof, found))
        # By their ids; the objects are kept meanwhile, as an id may be used again.
        further = {id(thing): thing for thing in gc.get_referents(*found) if not isinstance(thing, shared)}
        found = [thing for number, thing in further.items() if number not in seen]
        seen.update(further)
    return size


def get_pagesize() -> int:
    """The size of a page of memory, in bytes: :attr:`Namespace.maxsize` is a multiple of it.

    >>> get_pagesize() % 1024
    0
    """
    return os.sysconf("SC_PAGE_SIZE")


def polling_loop(
    interval: float,
    max_iterations: int | None = None,
    initial_offset: float | None = None,
    timeout: float | None = None,
) -> Iterator[int]:
    """Count from 0, one step each ``interval`` seconds.

    :param max_iterations: end after as many steps
    :param initial_offset: how many seconds to wait before the first step
    :param timeout: after how many seconds to give up
    :raises TimeoutError: the timeout is over before the loop was left

    A step that takes long does not delay those after it; missed ones are left out.

    >>> list(polling_loop(0.001, max_iterations=3))
    [0, 1, 2]
    """
    begin = time.monotonic()
    due = begin + (initial_offset or 0)
    step = 0
    while max_iterations is None or step < max_iterations:
        now = time.monotonic()
        if timeout is not None and max(now, due) - begin > timeout:
            time.sleep(max(0.0, begin + timeout - now))
            raise TimeoutError(f"the loop was not left within {timeout} seconds")
        if due > now:
            time.sleep(due - now)
        yield step
        step += 1
        due = max(due + interval, time.monotonic()) if interval > 0 else due


class Timer:
    """Measures how long something takes, in seconds of wall time.

    :param name: if given, the time is printed at the end

    >>> with Timer() as timer:
    ...     total = sum(range(1000))
    >>> 0 < timer.elapsed < 60
    True
    """

    __slots__ = ("_begin", "_elapsed", "name")

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self._begin: float | None = None
        self._elapsed = 0.0

    def start(self) -> Timer:
        """Begin to measure."""
        if self._begin is not None:
            raise RuntimeError("the timer runs already; stop it first")
        self._begin = time.perf_counter()
        return self

    def stop(self) -> float:
        """End, and return how many seconds it was."""
        if self._begin is None:
            raise RuntimeError("the timer does not run; start it first")
        self._elapsed, self._begin = time.perf_counter() - self._begin, None
        if self.name is not None:
            print(f"{self.name}: {self._elapsed:.6f} s")
        return self._elapsed

    @property
    def elapsed(self) -> float:
        """The seconds of the last measurement, or of the running one so far."""
        return self._elapsed if self._begin is None else time.perf_counter() - self._begin

    def __enter__(self) -> Timer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
