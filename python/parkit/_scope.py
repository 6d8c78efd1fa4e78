"""What transactions, snapshots and edits have in common: they are entered and left in C.

The library puts methods of its own in the place of ``__enter__`` and ``__exit__`` (``parkit_go/lane_with.c``
says why); those below are for the time before it is loaded, and for a forked child until it has loaded
its own. The library keeps which scopes a thread has open, and asks these methods:

- ``_parkit_scope()`` for the space, the mode (0 snapshot, 1 transaction) and the timeout, before it begins, and
  once more after ``_parkit_reopen(space)`` if the space is no longer good;
- of a scope that works inside, ``_parkit_begun()`` for what ``as`` gets, and ``_parkit_finish()`` before it
  commits; what they raise undoes the scope;
- ``_parkit_lost()`` where this thread has not entered the scope, ``_parkit_disordered()`` where one that was
  begun inside it is still open; both are undone by then.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeVar

from . import _native
from .errors import TransactionError

S = TypeVar("S", bound="Scope")

#: (space, mode, timeout in seconds or None)
Asked = tuple[int, int, "float | None"]


class Scope:
    """A context manager that opens a scope of the library."""

    __slots__ = ("__weakref__", "_generation")

    # That of the library when the scope was entered last.
    _generation: int

    def _parkit_scope(self) -> Asked:
        raise NotImplementedError

    def _parkit_reopen(self, space: int) -> None:
        from . import _open

        _open.reopen(space)

    def _parkit_lost(self) -> None:
        if getattr(self, "_generation", _native.generation) != _native.generation:
            return  # it is the parent's, and does not exist in this forked process
        raise TransactionError(
            "end transaction: it was begun in another thread, or was never begun; end it in the thread that began it"
        )

    def _parkit_disordered(self) -> None:
        raise TransactionError(
            "end transaction: another one that was begun inside it is still open; both were undone. "
            "Do not leave a transaction open across a yield or an await"
        )

    def __enter__(self: S) -> S:
        _native.load()
        return type(self).__enter__(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # `with` has taken this method before the library was loaded.
        _native.load()
        type(self).__exit__(self, kind, error, traceback)


# What a class of scopes has of its own, or inherits, while the library is not loaded.
_in_python: dict[tuple[type[Any], str], Any] = {}


def in_c(cls: type[Any], *, works: bool = False) -> None:
    """Have the library put its methods into a class of scopes; ``works`` if it has _parkit_begun and _parkit_finish."""
    for name in ("__enter__", "__exit__"):
        _in_python[cls, name] = next(
            base.__dict__.get(name) if base is cls else _in_python[base, name]
            for base in cls.__mro__
            if (base is cls and name in cls.__dict__) or (base, name) in _in_python
        )
        _native.in_child(setattr, cls, name, _in_python[cls, name])
    _native.on_load(lambda lane, _: lane.scope_install(cls, works))


in_c(Scope)
