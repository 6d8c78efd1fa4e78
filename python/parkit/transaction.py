"""Scopes: transactions that span several operations, and snapshots."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from . import _native, _open, site
from ._scope import Asked, Scope
from .namespace import Namespace
from .object import Object

__all__ = ["snapshot", "transaction"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="_Scope")

_AT_ONCE = 1e-9

#: What a scope may be opened on: the namespace of an object, a namespace, its path, or ``default``.
Target = Object | Namespace | str | None


class _Scope(Scope):
    """A scope on a namespace, however that is given."""

    __slots__ = ("_site_uuid", "_target", "_timeout")

    _target: Target
    _site_uuid: str | None
    _timeout: float | None
    _mode: int

    def _parkit_scope(self) -> Asked:
        self._generation = _native.generation
        target = self._target
        if isinstance(target, Object):
            space = _open.space_of(target)
        elif isinstance(target, Namespace):
            space = target._parkit_space()
        else:
            space = _open.open_space(site.resolve(self._site_uuid), target or "", create=self._mode == 1)[0]
        return space, self._mode, self._timeout

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """As a decorator: each call of the function has a scope of its own."""

        @wraps(function)
        def scoped(*args: P.args, **keywords: P.kwargs) -> R:
            with type(self)._again(self):
                return function(*args, **keywords)

        return scoped

    @classmethod
    def _again(cls: type[S], other: _Scope) -> S:
        scope = cls.__new__(cls)
        scope._target, scope._site_uuid, scope._timeout = other._target, other._site_uuid, other._timeout
        return scope


def _check(target: object) -> None:
    if target is not None and not isinstance(target, (str, Object, Namespace)):
        raise TypeError(
            f"expected a persistent object, a Namespace, a namespace's path or None, not {type(target).__name__}"
        )


class transaction(_Scope):
    """A scope in which all operations on one namespace are one transaction.

    :param target: an object of the namespace, the :class:`Namespace`, or its path; None is ``default``
    :param site_uuid: the site of a path; None is the default site
    :param timeout: how many seconds to wait for the turn to write; None is 60, 0 is not to wait

    Until the scope ends, nobody else can write to the namespace, and nobody else sees what was written
    in it. An exception undoes all of it. Scopes nest: an inner one that ends by an exception undoes
    exactly its own part. Other namespaces are not concerned, nor are other threads.

    If the process is forked, the transaction remains the parent's: in the child it does not exist.
    It cannot span a ``yield`` or an ``await`` beyond which others use scopes in the same thread.

    A scope can be a decorator: then each call of the function is one transaction.

    :raises LockTimeout: the turn did not come in time; a subclass of TransactionError and TimeoutError
    :raises TransactionError: at the end: not in the thread that began it, or out of order
    :raises StorageFullError: at the end: no room; nothing was stored

    >>> accounts = Dict('bank/accounts', create=True)
    >>> with transaction(accounts):
    ...     accounts['ann'] = 100
    ...     accounts['bob'] = 50
    >>> try:
    ...     with transaction(accounts):
    ...         accounts['ann'] -= 60
    ...         raise ValueError('too much')
    ... except ValueError:
    ...     print(accounts['ann'])
    100
    """

    __slots__ = ()
    _mode = 1

    def __init__(self, target: Target = None, /, *, site_uuid: str | None = None, timeout: float | None = None) -> None:
        _check(target)
        self._target, self._site_uuid = target, site_uuid
        # Of a wait that was too short the core says who holds the turn; of none at all it does not.
        self._timeout = _AT_ONCE if timeout == 0 else timeout


class snapshot(_Scope):
    """A scope in which one namespace is seen as it was when the scope was entered.

    :param target: an object of the namespace, the :class:`Namespace`, or its path; None is ``default``
    :param site_uuid: the site of a path; None is the default site

    It never waits, and keeps nobody from writing. Writes inside it go through on their own, and are
    not seen in it. Inside a transaction or another snapshot of the namespace it is part of that one.
    A scope that stays open for long keeps the space of what is deleted meanwhile from being used again.

    :raises StoragePathError: there is no such namespace

    >>> stock = Dict('shop/stock', create=True)
    >>> with snapshot(stock):
    ...     stock['pear'] = 3
    ...     'pear' in stock
    False
    >>> 'pear' in stock
    True
    """

    __slots__ = ()
    _mode = 0

    def __init__(self, target: Target = None, /, *, site_uuid: str | None = None) -> None:
        _check(target)
        self._target, self._site_uuid, self._timeout = target, site_uuid, None


def scoped(space: int) -> bool:
    """Whether this thread has a scope open on the space."""
    found: Any = _native.lane.scope(space)
    return bool(found)
