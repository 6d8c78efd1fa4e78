"""What a mapping can be kept in: parkit's Dict and what else a user would pick.

Each class does the same loops over the same keys and values, in the words that its documentation
uses. The loops are written out so that none pays for a call that another does not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from pickle import dumps, loads
from typing import Any

Pairs = Sequence[tuple[Any, Any]]

#: Room for the largest measurement; a file is as large as its content.
MAP_SIZE = 16 << 30


class Mapping:
    """A contender. ``share`` is the part of the operations that it does, since it is slow."""

    name: str
    share = 1.0
    #: What it cannot do, and why: the cell says so.
    lacks: dict[str, str] = {}

    def __init__(self, folder: Path, durable: bool = False) -> None:
        raise NotImplementedError

    def get(self, keys: Sequence[Any]) -> None: ...
    def set(self, pairs: Pairs) -> None: ...
    def get_in_transaction(self, keys: Sequence[Any]) -> None: ...
    def set_in_transaction(self, pairs: Pairs) -> None: ...
    def update(self, pairs: Pairs) -> None: ...
    def iterate(self) -> int: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...


class ParkitDict(Mapping):
    name = "parkit"

    def __init__(self, folder: Path, durable: bool = False) -> None:
        import parkit

        self._transaction = parkit.transaction
        uuid = parkit.import_site(folder.parent / "site", create=True)
        prefix = "" if durable else "memory/"
        self.dict: Any = parkit.Dict(f"{prefix}{folder.name}/d", create=True, site_uuid=uuid)

    def get(self, keys: Sequence[Any]) -> None:
        d = self.dict
        for key in keys:
            d[key]

    def set(self, pairs: Pairs) -> None:
        d = self.dict
        for key, value in pairs:
            d[key] = value

    def get_in_transaction(self, keys: Sequence[Any]) -> None:
        d = self.dict
        with self._transaction(d):
            for key in keys:
                d[key]

    def set_in_transaction(self, pairs: Pairs) -> None:
        d = self.dict
        with self._transaction(d):
            for key, value in pairs:
                d[key] = value

    def update(self, pairs: Pairs) -> None:
        self.dict.update(pairs)

    def iterate(self) -> int:
        count = 0
        for _ in self.dict.items():
            count += 1
        return count

    def clear(self) -> None:
        self.dict.clear()

    def close(self) -> None:
        self.dict.drop()


class Lmdb(Mapping):
    """py-lmdb with pickled keys and values: what one writes for oneself."""

    name = "py-lmdb + pickle"
    writemap = False

    def __init__(self, folder: Path, durable: bool = False) -> None:
        import lmdb

        self.env: Any = lmdb.open(
            str(folder),
            map_size=MAP_SIZE,
            sync=durable,
            metasync=durable,
            writemap=self.writemap,
            map_async=self.writemap,
        )

    def get(self, keys: Sequence[Any]) -> None:
        begin = self.env.begin
        for key in keys:
            with begin() as txn:
                loads(txn.get(dumps(key)))

    def set(self, pairs: Pairs) -> None:
        begin = self.env.begin
        for key, value in pairs:
            with begin(write=True) as txn:
                txn.put(dumps(key), dumps(value))

    def get_in_transaction(self, keys: Sequence[Any]) -> None:
        with self.env.begin() as txn:
            for key in keys:
                loads(txn.get(dumps(key)))

    def set_in_transaction(self, pairs: Pairs) -> None:
        with self.env.begin(write=True) as txn:
            for key, value in pairs:
                txn.put(dumps(key), dumps(value))

    def update(self, pairs: Pairs) -> None:
        with self.env.begin(write=True) as txn, txn.cursor() as cursor:
            cursor.putmulti([(dumps(key), dumps(value)) for key, value in pairs])

    def iterate(self) -> int:
        count = 0
        with self.env.begin() as txn:
            for key, value in txn.cursor():
                loads(key)
                loads(value)
                count += 1
        return count

    def clear(self) -> None:
        with self.env.begin(write=True) as txn:
            txn.drop(self.env.open_db(txn=txn), delete=False)

    def close(self) -> None:
        self.env.close()


class LmdbWritemap(Lmdb):
    """The same with a writable map: as parkit's memory namespaces have, without what makes it safe."""

    name = "py-lmdb, writemap"
    writemap = True


class DiskCache(Mapping):
    name = "diskcache"
    share = 0.1

    def __init__(self, folder: Path, durable: bool = False) -> None:
        import diskcache

        # FULL is what makes SQLite flush each commit; diskcache's default flushes at checkpoints only.
        settings = {"sqlite_synchronous": 2} if durable else {}
        self.cache: Any = diskcache.Cache(str(folder), eviction_policy="none", size_limit=MAP_SIZE, **settings)

    def get(self, keys: Sequence[Any]) -> None:
        cache = self.cache
        for key in keys:
            cache[key]

    def set(self, pairs: Pairs) -> None:
        cache = self.cache
        for key, value in pairs:
            cache[key] = value

    def get_in_transaction(self, keys: Sequence[Any]) -> None:
        with self.cache.transact():
            self.get(keys)

    def set_in_transaction(self, pairs: Pairs) -> None:
        with self.cache.transact():
            self.set(pairs)

    def update(self, pairs: Pairs) -> None:
        self.set_in_transaction(pairs)

    def iterate(self) -> int:
        cache, count = self.cache, 0
        for key in cache:
            cache[key]
            count += 1
        return count

    def clear(self) -> None:
        self.cache.clear()

    def close(self) -> None:
        self.cache.close()


class ManagerDict(Mapping):
    name = "Manager().dict"
    share = 0.1
    lacks = {
        "get_in_transaction": "no transactions",
        "set_in_transaction": "no transactions",
        "durable": "not durable",
    }

    def __init__(self, folder: Path, durable: bool = False) -> None:
        from multiprocessing import Manager

        self._manager = Manager()
        self.dict: Any = self._manager.dict()

    def get(self, keys: Sequence[Any]) -> None:
        d = self.dict
        for key in keys:
            d[key]

    def set(self, pairs: Pairs) -> None:
        d = self.dict
        for key, value in pairs:
            d[key] = value

    def update(self, pairs: Pairs) -> None:
        self.dict.update(pairs)

    def iterate(self) -> int:
        count = 0
        for _ in self.dict.items():
            count += 1
        return count

    def clear(self) -> None:
        self.dict.clear()

    def close(self) -> None:
        self._manager.shutdown()


#: Manager first: it forks, and nobody has begun a thread yet.
MAPPINGS: list[type[Mapping]] = [ManagerDict, ParkitDict, Lmdb, LmdbWritemap, DiskCache]


def set_by_threads(mapping: Mapping, parts: Sequence[Pairs]) -> float:
    """Have one thread a part set its pairs; the seconds from the start of the first to the end of the last."""
    gate = threading.Barrier(len(parts) + 1)
    failed: list[BaseException] = []

    def work(part: Pairs) -> None:
        gate.wait()
        try:
            mapping.set(part)
        except BaseException as error:  # noqa: BLE001 - it is raised below, in the thread that measures
            failed.append(error)

    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    gate.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    if failed:
        raise failed[0]
    return seconds
