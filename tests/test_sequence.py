"""CPython's own tests of sequences over Array, as far as they are about reading."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

seq_tests = pytest.importorskip("test.seq_tests", reason="this Python comes without its own tests")

import parkit  # noqa: E402


class Listed(parkit.Array[Any]):
    """An anonymous Array made of an iterable. Two are equal if their items are, which the tests need."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__(None)
        self.extend(values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (list, parkit.Array, parkit.array.ArraySlice)) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.usefixtures("site")
class TestSequence(seq_tests.CommonTest):  # type: ignore[misc]
    type2test = Listed

    # Deviations:

    #: It pickles values, and those of the test cannot be.
    test_contains_fake = test_contains_order = None
    #: Its items would not be identical, and its iterators see what was there when they were made.
    test_getitemoverwriteiter = test_free_after_iterating = None
    #: `+` and `*` give a list, not the class.
    test_addmul = test_bigrepeat = None
    #: It pickles to a reference, which equals a plain Array's.
    test_pickle = None
