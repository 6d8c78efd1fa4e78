"""Measure one pool in a process of its own, so that no pool's threads and processes disturb another's.

``python one_pool.py NAME FOLDER WORKERS TRIPS BURST`` prints one line of JSON: seconds until the
first result, the median and the 99th percentile of a round trip, and seconds a task of a burst.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import jobs

WARM_UP = 50


class Pool(NamedTuple):
    """A pool that runs: how one task is run to its result, and how many are."""

    trip: Callable[[int], Any]
    burst: Callable[[int], list[Any]]


def parkit_on(folder: str, workers: int, memory: bool) -> AbstractContextManager[Pool]:
    import parkit

    parkit.set_default_site(f"{folder}/site", create=True, memory=memory)
    parkit.set_concurrency(workers)
    import parkit_jobs

    def burst(count: int) -> list[Any]:
        tasks = [parkit_jobs.echo(value) for value in range(count)]
        return [task.get() for task in tasks]

    @contextmanager
    def started() -> Iterator[Pool]:
        try:
            parkit.enable_tasks()
            yield Pool(lambda value: parkit_jobs.echo(value).get(), burst)
        finally:
            parkit.disable_tasks()

    return started()


def parkit_memory(folder: str, workers: int) -> AbstractContextManager[Pool]:
    return parkit_on(folder, workers, memory=True)


def parkit_durable(folder: str, workers: int) -> AbstractContextManager[Pool]:
    return parkit_on(folder, workers, memory=False)


@contextmanager
def multiprocessing_pool(folder: str, workers: int) -> Iterator[Pool]:
    import multiprocessing

    with multiprocessing.Pool(workers) as pool:

        def burst(count: int) -> list[Any]:
            results = [pool.apply_async(jobs.echo, (value,)) for value in range(count)]
            return [result.get() for result in results]

        yield Pool(lambda value: pool.apply(jobs.echo, (value,)), burst)


def _executor(executor: Executor) -> Pool:
    def burst(count: int) -> list[Any]:
        futures = [executor.submit(jobs.echo, value) for value in range(count)]
        return [future.result() for future in futures]

    return Pool(lambda value: executor.submit(jobs.echo, value).result(), burst)


@contextmanager
def process_pool_executor(folder: str, workers: int) -> Iterator[Pool]:
    with ProcessPoolExecutor(workers) as executor:
        yield _executor(executor)


def loky(folder: str, workers: int) -> AbstractContextManager[Pool]:
    from joblib.externals.loky import get_reusable_executor

    @contextmanager
    def started() -> Iterator[Pool]:
        executor = get_reusable_executor(max_workers=workers)
        try:
            yield _executor(executor)
        finally:
            executor.shutdown()

    return started()


def huey(folder: str, workers: int) -> AbstractContextManager[Pool]:
    """Its consumer with process workers, over SQLite, which needs no server. Both sides poll each millisecond."""
    os.environ["BENCHMARK_HUEY_DATABASE"] = f"{folder}/huey.db"
    import huey_jobs

    def get(result: Any) -> Any:
        return result.get(blocking=True, max_delay=0.001)

    @contextmanager
    def started() -> Iterator[Pool]:
        consumer = subprocess.Popen(
            [
                *(sys.executable, "-m", "huey.bin.huey_consumer", "huey_jobs.huey", "--worker-type=process"),
                *(f"--workers={workers}", "--delay=0.001", "--backoff=1", "--no-periodic", "--quiet"),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            yield Pool(
                lambda value: get(huey_jobs.echo(value)),
                lambda count: [get(result) for result in [huey_jobs.echo(value) for value in range(count)]],
            )
        finally:
            consumer.terminate()
            consumer.wait()

    return started()


def dask(folder: str, workers: int) -> AbstractContextManager[Pool]:
    from distributed import Client, LocalCluster

    @contextmanager
    def started() -> Iterator[Pool]:
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None, local_directory=folder
            ) as local,
            Client(local) as client,
        ):
            yield Pool(
                lambda value: client.submit(jobs.echo, value, pure=False).result(),
                lambda count: list(client.gather(client.map(jobs.echo, range(count), pure=False))),
            )

    return started()


POOLS: dict[str, Callable[[str, int], AbstractContextManager[Pool]]] = {
    "parkit, memory": parkit_memory,
    "parkit, durable": parkit_durable,
    "multiprocessing.Pool": multiprocessing_pool,
    "ProcessPoolExecutor": process_pool_executor,
    "loky": loky,
    "huey": huey,
    "dask": dask,
}


def one_flush(folder: str, count: int) -> float:
    """The median of a commit of one small value by py-lmdb that flushes."""
    import lmdb

    seconds = []
    with lmdb.open(f"{folder}/flush", map_size=1 << 24) as env:
        for number in range(count):
            begin = time.perf_counter()
            with env.begin(write=True) as txn:
                txn.put(b"key", b"%d" % number)
            seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def measure(name: str, folder: str, workers: int, trips: int, burst: int) -> dict[str, float]:
    """Everything about one pool. What it imports is imported before the clock starts."""
    if name == "flush":
        return {"trip": one_flush(folder, trips)}
    manager = POOLS[name](folder, workers)
    found: dict[str, float] = {}
    begin = time.perf_counter()
    with manager as pool:
        assert pool.trip(1) == 1
        found["first_result"] = time.perf_counter() - begin
        for value in range(WARM_UP):
            pool.trip(value)
        gc.collect()
        gc.disable()
        seconds = []
        for value in range(trips):
            begin = time.perf_counter()
            pool.trip(value)
            seconds.append(time.perf_counter() - begin)
        found["trip"] = statistics.median(seconds)
        found["trip_p99"] = statistics.quantiles(seconds, n=100, method="inclusive")[98]
        begin = time.perf_counter()
        results = pool.burst(burst)
        found["burst"] = (time.perf_counter() - begin) / burst
        assert results == list(range(burst)), f"{name} lost or mixed up results"
        gc.enable()
    return found


def main() -> None:
    name, folder, *counts = sys.argv[1:]
    # What a pool prints is not for the one who reads the figures.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer: dict[str, Any] = dict(measure(name, folder, *map(int, counts)))
        except ModuleNotFoundError as error:
            answer = {"missing": f"{error.name} is not installed"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
