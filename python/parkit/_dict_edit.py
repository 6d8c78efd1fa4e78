"""Dict.edit: a value that is changed in place and stored again."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import _native, _open
from ._scope import Asked, Scope, in_c

if TYPE_CHECKING:
    from .dict import Dict

V = TypeVar("V")

#: Stands for an argument that was not given, and a key that is not there.
MISSING: Any = object()


class Edit(Scope, Generic[V]):
    """What :meth:`Dict.edit` returns."""

    __slots__ = ("_before", "_default", "_key", "_mapping", "_value")

    def __init__(self, mapping: Dict[Any, V], key: Any, default: V) -> None:
        self._mapping, self._key, self._default = mapping, key, default

    def _parkit_scope(self) -> Asked:
        self._generation = _native.generation
        return _open.space_of(self._mapping), 1, None

    def _parkit_begun(self) -> V:
        value = self._mapping.get(self._key, MISSING)
        if value is not MISSING:
            self._before: bytes | None = self._mapping._parkit_encoded(value)
        elif self._default is not MISSING:
            value, self._before = self._default, None
        else:
            raise KeyError(self._key)
        self._value: V = value
        return value

    def _parkit_finish(self) -> None:
        if self._before is None or self._mapping._parkit_encoded(self._value) != self._before:
            self._mapping[self._key] = self._value

    if TYPE_CHECKING:

        def __enter__(self) -> V: ...  # type: ignore[override]
        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
        ) -> None: ...


in_c(Edit, works=True)
