"""CPython's own tests of queues, over all three of ours; there are no deviations."""

from __future__ import annotations

import queue
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from parkit import LifoQueue, PriorityQueue, Queue
from parkit.queue import ShutDown

cpython = pytest.importorskip("test.test_queue", reason="this Python comes without its own tests")

pytestmark = pytest.mark.usefixtures("site")


def anonymous(kind: type[Queue[Any]]) -> Callable[..., Queue[Any]]:
    return lambda maxsize=0: kind(None, maxsize=maxsize)


class FromCPython(cpython.BaseQueueTestMixin):  # type: ignore[misc]
    kind: type[Queue[Any]]
    queue = SimpleNamespace(Full=queue.Full, Empty=queue.Empty, ShutDown=ShutDown)

    def setUp(self) -> None:
        super().setUp()
        self.type2test = anonymous(self.kind)


class TestQueue(FromCPython, cpython.unittest.TestCase):  # type: ignore[misc]
    kind = Queue


class TestLifoQueue(FromCPython, cpython.unittest.TestCase):  # type: ignore[misc]
    kind = LifoQueue


class TestPriorityQueue(FromCPython, cpython.unittest.TestCase):  # type: ignore[misc]
    kind = PriorityQueue


class Failing(Queue[Any]):
    """One that cannot store or give an item when it is told so."""

    fail_next_put = fail_next_get = False

    def __init__(self, maxsize: int) -> None:
        super().__init__(None, maxsize=maxsize)

    def encode_value(self, value: Any, /) -> bytes:
        if self.fail_next_put:
            self.fail_next_put = False
            raise cpython.FailingQueueException("You Lose")
        return super().encode_value(value)  # type: ignore[no-any-return]

    def get(self, block: bool | None = None, timeout: float | None = None) -> Any:
        # Before the item is taken: what fails in decode_value has taken it.
        if self.fail_next_get:
            self.fail_next_get = False
            raise cpython.FailingQueueException("You Lose")
        return super().get(block, timeout)


class TestFailingQueue(cpython.FailingQueueTest, cpython.unittest.TestCase):  # type: ignore[misc]
    queue = SimpleNamespace(Queue=Queue)

    def setUp(self) -> None:
        super().setUp()
        self.FailingQueue = Failing
