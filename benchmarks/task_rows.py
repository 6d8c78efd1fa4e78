"""The rows about tasks. Each pool is started anew, in a process of its own, in each round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from measure import Limit, Row, Section, in_turn

MEMORY, DURABLE = "parkit, memory", "parkit, durable"
#: In no table: what the storage costs, for the limit of the durable round trip.
FLUSH = "flush"
CONTENDERS = [
    MEMORY,
    DURABLE,
    "multiprocessing.Pool",
    "ProcessPoolExecutor",
    "loky",
    "huey",
    "dask",
]
SCRIPT = Path(__file__).with_name("one_pool.py")


class Counts(NamedTuple):
    workers: int = min(4, len(os.sched_getaffinity(0)))
    trips: int = 400
    burst: int = 2_000
    rounds: int = 5


def rows(burst: int) -> list[Row]:
    return [
        Row(
            "trip",
            "round trip of a task, median",
            Limit(1.2, of="multiprocessing.Pool"),
            ours=MEMORY,
        ),
        Row(
            "durable_trip",
            "the same, durable site",
            Limit(4, of=FLUSH, plus=100e-6, row="trip", text="4 flushes + 100 µs"),
            ours=DURABLE,
        ),
        Row("trip_p99", "round trip, 99th percentile", ours=MEMORY),
        Row(
            "burst",
            f"burst of {burst:,} tasks, a second",
            Limit(1 / 3, of="ProcessPoolExecutor", text="3 x ProcessPoolExecutor"),
            "/s",
            ours=MEMORY,
        ),
        Row("first_result", "from starting the pool to the first result", Limit(plus=0.250), "ms", ours=MEMORY),
    ]


def run(folder: Path, counts: Counts, say: Callable[[str], None]) -> Section:
    section = Section("Tasks", rows(counts.burst), CONTENDERS)
    running = [*CONTENDERS, FLUSH]
    for number in range(counts.rounds):
        for name in in_turn(list(running), number):
            say(f"tasks: round {number + 1} of {counts.rounds}, {name}")
            answer = measure(name, folder, counts)
            if "missing" in answer:
                section.missing(name, str(answer["missing"]))
                running.remove(name)
                continue
            for row, seconds in answer.items():
                section.cell(row, name).samples.append(float(seconds))
    section.cells["durable_trip", DURABLE] = section.cell("trip", DURABLE)
    flush = section.cell("trip", FLUSH)
    if flush.samples:
        section.notes.append(f"A flush, a commit of py-lmdb in the same rounds: {flush.median * 1e6:.0f} µs.")
    section.notes.append(
        f"{counts.workers} workers each. A pool is started anew in each round; the first result is that of a "
        "task submitted as soon as the pool is started. huey polls each millisecond and flushes no commit."
    )
    return section


def measure(name: str, folder: Path, counts: Counts) -> dict[str, float | str]:
    """What ``one_pool.py`` says of one pool."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), name, place, *map(str, (counts.workers, counts.trips, counts.burst))],
            capture_output=True,
            text=True,
            timeout=300,
        )
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed:\n{done.stderr}")
    answer: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return answer
