"""What the codec of the fast lane leaves to Python: keys and values of types
that it does not know. Loaded with the lane, so it imports only what it must."""

from __future__ import annotations

import io
import operator
import pickle
import sys
from typing import Any

__all__ = ["dumps", "loads", "slow_key", "slow_value"]

dumps = pickle.dumps
loads = pickle.loads

# A Decimal with a larger exponent is not turned into a ratio of ints: it
# would have as many digits.
_DECIMAL_EXPONENT = 20_000


def slow_key(key: Any) -> bytes | tuple[Any]:
    """Encode a key that is not one of the plain types, nor a subclass of one.

    Returns (other,) for a key that equals one of an easier type, and hashes
    like it, as a dict would look it up; else a pickle that is the same
    whenever the key's parts are.
    """
    other = _equal_number(key)
    if other is not None:
        return (other,)
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, 5)
    # Without the memo: whether two parts are one object must not show.
    pickler.fast = True
    try:
        pickler.dump(key)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
        raise TypeError(f"cannot use an object of type {_name(key)} as a key: {error}") from error
    return buffer.getvalue()


def slow_value(value: Any) -> bytes:
    """Pickle what pickle itself refused: functions and classes by value."""
    import cloudpickle  # type: ignore[import-untyped]

    try:
        pickled: bytes = cloudpickle.dumps(value, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(f"cannot store an object of type {_name(value)}: {error}") from error
    return pickled


def _equal_number(key: Any) -> Any:
    """Find the int, float or Fraction that equals key; None where there is none."""
    for convert in (_by_index, _by_ratio, _by_float):
        try:
            number = convert(key)
        except (TypeError, ValueError, OverflowError, AttributeError):
            continue
        if number is not None and hash(number) == hash(key) and bool(number == key):
            return number
    return None


def _by_index(key: Any) -> int | None:
    return operator.index(key) if hasattr(type(key), "__index__") else None


def _by_ratio(key: Any) -> Any:
    # decimal and fractions are slow to import; without them there is no such key.
    decimal, fractions = sys.modules.get("decimal"), sys.modules.get("fractions")
    if decimal is not None and isinstance(key, decimal.Decimal):
        if not key.is_finite():
            return None
        if key and abs(key.adjusted()) > _DECIMAL_EXPONENT:
            return _without_zeros(decimal.Decimal, key)
        numerator, denominator = key.as_integer_ratio()
    elif fractions is not None and isinstance(key, fractions.Fraction):
        numerator, denominator = key.numerator, key.denominator
    else:
        return None
    if denominator == 1:
        return int(numerator)
    try:
        number = numerator / denominator
    except OverflowError:
        number = 0.0
    if number == key:
        return number
    if fractions is not None and type(key) is fractions.Fraction:
        return None
    from fractions import Fraction

    return Fraction(numerator, denominator)


def _without_zeros(kind: Any, key: Any) -> Any:
    """Give a Decimal the one form of all that equal it, None if it has that."""
    sign, digits, exponent = key.as_tuple()
    kept = len(digits)
    while digits[kept - 1] == 0:
        kept -= 1
    if kept == len(digits) and type(key) is kind:
        return None
    return kind((sign, digits[:kept], exponent + len(digits) - kept))


def _by_float(key: Any) -> float | None:
    if isinstance(key, complex):
        return key.real if key.imag == 0 else None
    return float(key) if hasattr(type(key), "__float__") else None


def _name(thing: Any) -> str:
    kind = type(thing)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
