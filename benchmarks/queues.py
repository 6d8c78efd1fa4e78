"""What items can be queued in: parkit's Queue and what else a user would pick.

Each class does the same loops over the same items, in the words that its documentation uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from pickle import dumps, loads
from typing import Any

from mappings import MAP_SIZE

Items = Sequence[Any]


class Contender:
    """Puts each item and takes it again. ``share`` is the part of the operations that it does, since it is slow."""

    name: str
    share = 1.0
    #: What it cannot do, and why: the cell says so.
    lacks: dict[str, str] = {}

    def __init__(self, folder: Path) -> None:
        raise NotImplementedError

    def put_get(self, items: Items) -> None: ...
    def put_get_in_transaction(self, items: Items) -> None: ...
    def append_in_transaction(self, items: Items) -> None: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...


_NO_ARRAY = {"append_in_transaction": "no list"}
_NO_TRANSACTIONS = {"put_get_in_transaction": "no transactions", "append_in_transaction": "no transactions"}


class ParkitQueue(Contender):
    name = "parkit"

    def __init__(self, folder: Path) -> None:
        import parkit

        self._transaction = parkit.transaction
        uuid = parkit.import_site(folder.parent / "site", create=True)
        self.queue: Any = parkit.Queue(f"memory/{folder.name}/q", create=True, site_uuid=uuid)
        self.array: Any = parkit.Array(f"memory/{folder.name}/a", create=True, site_uuid=uuid)

    def put_get(self, items: Items) -> None:
        queue = self.queue
        for item in items:
            queue.put(item)
            queue.get()

    def put_get_in_transaction(self, items: Items) -> None:
        with self._transaction(self.queue):
            self.put_get(items)

    def append_in_transaction(self, items: Items) -> None:
        array = self.array
        with self._transaction(array):
            for item in items:
                array.append(item)

    def clear(self) -> None:
        self.array.clear()

    def close(self) -> None:
        self.queue.drop()
        self.array.drop()


class LmdbQueue(Contender):
    """py-lmdb with items under rising numbers: what one writes for oneself."""

    name = "py-lmdb + pickle"

    def __init__(self, folder: Path) -> None:
        import lmdb

        self.env: Any = lmdb.open(str(folder), map_size=MAP_SIZE, sync=False, metasync=False)

    @staticmethod
    def _put(txn: Any, item: Any) -> None:
        with txn.cursor() as cursor:
            number = int.from_bytes(cursor.key(), "big") + 1 if cursor.last() else 0
            cursor.put(number.to_bytes(8, "big"), dumps(item), append=True)

    @staticmethod
    def _get(txn: Any) -> Any:
        with txn.cursor() as cursor:
            cursor.first()
            item = loads(cursor.value())
            cursor.delete()
            return item

    def put_get(self, items: Items) -> None:
        begin, put, get = self.env.begin, self._put, self._get
        for item in items:
            with begin(write=True) as txn:
                put(txn, item)
            with begin(write=True) as txn:
                get(txn)

    def put_get_in_transaction(self, items: Items) -> None:
        put, get = self._put, self._get
        with self.env.begin(write=True) as txn:
            for item in items:
                put(txn, item)
                get(txn)

    def append_in_transaction(self, items: Items) -> None:
        with self.env.begin(write=True) as txn, txn.cursor() as cursor:
            number = int.from_bytes(cursor.key(), "big") + 1 if cursor.last() else 0
            for item in items:
                cursor.put(number.to_bytes(8, "big"), dumps(item), append=True)
                number += 1

    def clear(self) -> None:
        with self.env.begin(write=True) as txn:
            txn.drop(self.env.open_db(txn=txn), delete=False)

    def close(self) -> None:
        self.env.close()


class MultiprocessingQueue(Contender):
    name = "multiprocessing.Queue"
    lacks = _NO_TRANSACTIONS

    def __init__(self, folder: Path) -> None:
        import multiprocessing

        self.queue: Any = multiprocessing.Queue()

    def put_get(self, items: Items) -> None:
        queue = self.queue
        for item in items:
            queue.put(item)
            queue.get()

    def close(self) -> None:
        self.queue.close()
        self.queue.join_thread()


class ManagerQueue(Contender):
    name = "Manager().Queue"
    share = 0.1
    lacks = _NO_TRANSACTIONS

    def __init__(self, folder: Path) -> None:
        from multiprocessing import Manager

        self._manager = Manager()
        self.queue: Any = self._manager.Queue()

    def put_get(self, items: Items) -> None:
        queue = self.queue
        for item in items:
            queue.put(item)
            queue.get()

    def close(self) -> None:
        self._manager.shutdown()


class DiskCacheDeque(Contender):
    name = "diskcache.Deque"
    share = 0.1

    def __init__(self, folder: Path) -> None:
        import diskcache

        self.deque: Any = diskcache.Deque(directory=str(folder))

    def put_get(self, items: Items) -> None:
        deque = self.deque
        for item in items:
            deque.append(item)
            deque.popleft()

    def put_get_in_transaction(self, items: Items) -> None:
        with self.deque.transact():
            self.put_get(items)

    def append_in_transaction(self, items: Items) -> None:
        deque = self.deque
        with deque.transact():
            for item in items:
                deque.append(item)

    def clear(self) -> None:
        self.deque.clear()

    def close(self) -> None:
        self.deque.cache.close()


class PersistQueue(Contender):
    """persist-queue's queue over SQLite, as it comes."""

    name = "persist-queue"
    share = 0.05
    lacks = _NO_ARRAY

    def __init__(self, folder: Path) -> None:
        import persistqueue

        folder.mkdir()
        self.queue: Any = persistqueue.SQLiteQueue(str(folder / "alone"), auto_commit=True)
        self.together: Any = persistqueue.SQLiteQueue(str(folder / "together"), auto_commit=False)

    def put_get(self, items: Items) -> None:
        queue = self.queue
        for item in items:
            queue.put(item)
            queue.get()

    def put_get_in_transaction(self, items: Items) -> None:
        # Without auto_commit an item is there to take when those before it are committed too.
        queue = self.together
        for item in items:
            queue.put(item)
        queue.task_done()
        for _ in items:
            queue.get()
        queue.task_done()

    def close(self) -> None:
        self.queue.close()
        self.together.close()


#: Those that fork first: nobody has begun a thread yet.
QUEUES: list[type[Contender]] = [
    ManagerQueue,
    MultiprocessingQueue,
    ParkitQueue,
    LmdbQueue,
    DiskCacheDeque,
    PersistQueue,
]
