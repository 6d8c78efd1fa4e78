"""That of CPython's own tests of our collections' twins none is left out but those that are named, with a reason.

The tests themselves run in test_mapping.py, test_sequence.py and test_queue_cpython.py. A Python that comes without
its ``test`` package has none of them; what then holds our collections to their twins are our own models:
tests/stateful, and the tests of each collection.
"""

from __future__ import annotations

import importlib
from typing import Any

import pytest

import parkit

REASON = "this Python comes without its own tests"


def suite(name: str) -> Any:
    return pytest.importorskip(f"test.{name}", reason=REASON)


def named_tests(case: type) -> set[str]:
    return {name for name in dir(case) if name.startswith("test_") and callable(getattr(case, name))}


#: Of each of our cases, what it does not run as CPython has it, and why.
LEFT_OUT = {
    ("test_sequence", "TestSequence", "seq_tests", "CommonTest"): {
        "test_contains_fake": "its values cannot be pickled",
        "test_contains_order": "its values cannot be pickled",
        "test_getitemoverwriteiter": "an iterator sees what was there when it was made",
        "test_free_after_iterating": "items are copies, not the same objects",
        "test_addmul": "+ and * give a list, not the class",
        "test_bigrepeat": "* gives a list",
        "test_pickle": "it pickles to a reference",
    },
    ("test_queue_cpython", "TestQueue", "test_queue", "BaseQueueTestMixin"): {},
    ("test_queue_cpython", "TestLifoQueue", "test_queue", "BaseQueueTestMixin"): {},
    ("test_queue_cpython", "TestPriorityQueue", "test_queue", "BaseQueueTestMixin"): {},
    ("test_queue_cpython", "TestFailingQueue", "test_queue", "FailingQueueTest"): {},
    # Those that it replaces say in their own place what differs.
    ("test_mapping", "TestDict", "mapping_tests", "TestHashMappingProtocol"): {},
}


@pytest.mark.parametrize("where", LEFT_OUT, ids=lambda where: where[1])
def test_no_test_of_cpythons_is_left_out_but_those_that_are_named(where: tuple[str, str, str, str]) -> None:
    module, name, theirs, base = where
    wanted = named_tests(getattr(suite(theirs), base))
    assert wanted, "CPython has moved its tests"
    run = named_tests(getattr(importlib.import_module(module), name))
    assert wanted - run == set(LEFT_OUT[where])


#: What CPython tests of a list, and Array has not: it grows and gives up items at its ends only, and prints its name.
NOT_OF_ARRAYS = {
    *("constructor_exception_handling", "delitem", "delslice", "extendedslicing", "init", "insert", "remove", "repr"),
    *("repr_deep", "reverse", "set_subscript", "setslice", "slice", "slice_assign_iterator", "sort"),
}

#: The rest of list_tests, of which most cases are about what Array has not: each as a program for both.
LIKE_A_LIST = {
    "append": ["a.append(0)", "a.append([1])", "a.append()", "a.append(1, 2)"],
    "extend": [
        *("a.extend([1, 2])", "a.extend(())", "a.extend('ab')", "a.extend(a)", "a.extend(None)", "a.extend()"),
        "a.extend(x for x in range(3))",
    ],
    "pop": [
        *("a.pop()", "a.extend([-1, 0, 1])", "a.pop(0)", "a.pop(-1)", "a.pop()", "a.pop()", "a.pop(0)", "a.pop(1, 2)"),
    ],
    "clear": ["a.clear()", "a.extend([1, 2])", "a.clear()", "a.append(3)", "a.clear(None)"],
    "copy": ["a.copy()", "a.extend([1, [2]])", "a.copy()", "a.copy(None)"],
    "reversed": ["a.extend(range(20))", "list(reversed(a))", "list(reversed(a[3:9:2]))", "reversed(a, 42)"],
    "setitem": [
        *("a.extend([0, 1])", "a.__setitem__(0, 3)", "a.__setitem__(-1, 4)", "a.__setitem__(2, 5)"),
        *("a.__setitem__(-3, 5)", "a.__setitem__('a', 5)", "a.__setitem__()"),
    ],
    "setitem_error": ["a.__setitem__('a', 1)", "a.__setitem__(0, 1)"],
    "getitem_error": ["a['a']", "a[0]", "a.append(1)", "a[1.5]"],
    "exhausted_iterator": ["a.extend('ab')", "[list(i) + [a.append('c')] + list(i) for i in [iter(a)]]"],
}


@pytest.mark.usefixtures("site")
def test_what_cpython_tests_of_lists_and_an_array_can_do_is_named_and_alike() -> None:
    list_tests, seq_tests = suite("list_tests"), suite("seq_tests")
    beyond = named_tests(list_tests.CommonTest) - named_tests(seq_tests.CommonTest)
    assert {f"test_{name}" for name in LIKE_A_LIST} <= beyond
    assert beyond <= {f"test_{name}" for name in (*LIKE_A_LIST, *NOT_OF_ARRAYS)}
    for name, program in LIKE_A_LIST.items():
        assert outcomes(parkit.Array(name, create=True), program) == outcomes([], program), name


def outcomes(target: Any, program: list[str]) -> list[Any]:
    """What each line gives or raises, and the items after it."""
    found: list[Any] = []
    for line in program:
        try:
            gave = eval(line, {"a": target})
        except (TypeError, IndexError) as error:
            gave = type(error)
        found.append((gave, list(target)))
    return found
