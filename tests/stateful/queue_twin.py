"""Queue, LifoQueue and PriorityQueue beside lists that count as queue.Queue does."""

from __future__ import annotations

import queue
from bisect import insort
from typing import Any

from hypothesis import strategies as st
from kind import SMALL, VALUES, Kind, ops

import parkit
from parkit.queue import ShutDown


class QueueTwin:
    """queue.Queue without its locks, which nobody could copy, and with the counts of parkit's."""

    def __init__(self, maxsize: int = 0) -> None:
        self.items: list[Any] = []
        self.maxsize, self.unfinished_tasks, self.shut, self.count = maxsize, 0, False, 0

    def qsize(self) -> int:
        return len(self.items)

    def full(self) -> bool:
        return 0 < self.maxsize <= len(self.items)

    def add(self, item: Any) -> None:
        self.items.append(item)

    def take(self) -> Any:
        return self.items.pop(0)

    def put_nowait(self, item: Any) -> None:
        if self.shut:
            raise ShutDown
        if self.full():
            raise queue.Full
        self.add(item)
        self.unfinished_tasks += 1

    def get_nowait(self) -> Any:
        if not self.items:
            raise ShutDown if self.shut else queue.Empty
        return self.take()

    def task_done(self) -> None:
        if self.unfinished_tasks == len(self.items):
            raise ValueError
        self.unfinished_tasks -= 1

    def clear(self) -> None:
        self.unfinished_tasks -= len(self.items)
        self.items.clear()

    def shutdown(self, immediate: bool) -> None:
        self.shut = True
        if immediate:
            self.clear()

    def reopen(self) -> None:
        self.shut = False

    @property
    def is_shutdown(self) -> bool:
        return self.shut


class LifoTwin(QueueTwin):
    def take(self) -> Any:
        return self.items.pop()


class PriorityTwin(QueueTwin):
    def add(self, item: Any) -> None:
        # Behind those of the same rank: as a heap of (rank, number).
        self.count += 1
        insort(self.items, (item[0], self.count, item))

    def take(self) -> Any:
        return self.items.pop(0)[2]


class QueueOperations:
    def put(q: Any, item: Any) -> None:
        q.put_nowait(item)

    def get(q: Any) -> Any:
        return q.get_nowait()

    def task_done(q: Any) -> None:
        q.task_done()

    def clear(q: Any) -> None:
        q.clear()

    def shutdown(q: Any, immediate: bool) -> None:
        q.shutdown(immediate)

    def reopen(q: Any) -> None:
        q.reopen()

    def limit(q: Any, maxsize: int) -> None:
        q.maxsize = maxsize

    def drain(q: Any) -> Any:
        found = []
        try:
            while True:
                found.append(q.get_nowait())
        except (queue.Empty, ShutDown):
            return found

    def content(q: Any) -> Any:
        # Its items cannot be seen without taking them, which `drain` does.
        return q.qsize(), q.unfinished_tasks, q.full(), q.maxsize, q.is_shutdown


def _queue(collection: Any, twin: Any, items: st.SearchStrategy[Any]) -> Kind:
    return Kind(
        collection,
        twin,
        QueueOperations,
        writes=st.one_of(
            *[ops("put", items)] * 4,
            *[ops("get")] * 3,
            ops("task_done"),
            ops("clear"),
            ops("shutdown", st.sampled_from([False, False, True])),
            *[ops("reopen")] * 3,
            ops("limit", st.sampled_from([0, 0, 2, 5])),
            ops("drain"),
        ),
        reads=ops("content"),
        bounded=True,
        several=frozenset({"drain"}),
    )


QUEUE = _queue(parkit.Queue, QueueTwin, VALUES)
LIFO = _queue(parkit.LifoQueue, LifoTwin, VALUES)
PRIORITY = _queue(
    parkit.PriorityQueue,
    PriorityTwin,
    st.tuples(st.integers(-2, 2) | st.sampled_from([1.5, True, 2**70]), st.dictionaries(st.just("n"), SMALL)),
)
