"""The hooks with which a class of Arrays or Queues says how its values are stored."""

from __future__ import annotations

from typing import Any, ClassVar

from .object import Object, as_bytes, decode_pickle, encode_pickle, replaces

_HOOKS = frozenset({"encode_value", "decode_value", "get_metadata"})


class ValueHooks(Object):
    """What Array and Queue have of the hooks. While a class replaces none, none is called."""

    __slots__ = ()

    _parkit_internal: ClassVar[bool] = True

    #: A function of a value whose pickled result is stored beside it; None for none. For subclasses to replace.
    get_metadata: ClassVar[Any] = None

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


class CodedValues(Object):
    """Between what the user has and what is stored, for a class that replaces a hook.

    What the hooks make is stored as plain bytes, or, if the class has get_metadata, as a pair of the
    pickled metadata and these bytes.
    """

    __slots__ = ()

    _parkit_internal: ClassVar[bool] = True

    def _stored_value(self, value: Any) -> Any:
        hooks: Any = self
        encode = hooks.encode_value
        data = as_bytes(value if encode is None else encode(value), f"a value of this {type(self).__name__}")
        if hooks.get_metadata is None:
            return data
        return encode_pickle(hooks.get_metadata(value)), data

    def _value_of(self, stored: Any) -> Any:
        hooks: Any = self
        decode = hooks.decode_value
        if hooks.get_metadata is None:
            return stored if decode is None else decode(stored)
        metadata, data = stored
        return data if decode is None else decode(data, decode_pickle(metadata))


def install(cls: type[Any], plain: type[Any], coded: type[Any]) -> None:
    """Put ``coded`` between ``plain`` and a class that replaces a hook, so that its super() finds it."""
    if issubclass(cls, coded) or not replaces(cls, plain, _HOOKS):
        return
    bases = tuple(coded if base is plain else base for base in cls.__bases__)
    cls.__bases__ = bases if coded in bases else (*bases, coded)
