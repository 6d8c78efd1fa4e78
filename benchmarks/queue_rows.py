"""The rows about Queue and Array, in memory namespaces."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from measure import Limit, Row, Section, in_turn, timed
from queues import QUEUES, Contender

ROWS = [
    Row("put_get", "`q.put(v)` and `q.get()`", Limit(plus=5e-6)),
    Row("put_get_in_transaction", "the same, in one transaction", Limit(plus=1.5e-6)),
    Row("append_in_transaction", "`a.append(v)`, in one transaction", Limit(plus=0.7e-6)),
]


class Counts(NamedTuple):
    items: int = 5_000
    rounds: int = 15


def run(folder: Path, counts: Counts, say: Callable[[str], None]) -> Section:
    """Round robin over the contenders, row by row, round after round."""
    shown = sorted((kind.name for kind in QUEUES), key=lambda name: (name != "parkit", name != "py-lmdb + pickle"))
    section = Section("Queue and Array in a memory namespace", ROWS, shown)
    section.notes.append(
        "One process puts an item and takes it again. multiprocessing.Queue hands it to a thread of its own."
    )
    items = list(range(counts.items))
    with ExitStack() as stack:
        opened: dict[str, Contender] = {}
        for kind in QUEUES:
            try:
                made = kind(folder / kind.__name__.lower())
            except ModuleNotFoundError as error:
                section.missing(kind.name, f"{error.name} is not installed")
                continue
            opened[kind.name] = stack.enter_context(closing(made))
        for number in range(-1, counts.rounds):  # round -1 warms up
            say(f"queues: round {number + 1} of {counts.rounds}")
            for row in ROWS:
                for name in in_turn(list(opened), number):
                    contender = opened[name]
                    cell = section.cell(row, name)
                    if row.key in contender.lacks:
                        cell.why_not = contender.lacks[row.key]
                        continue
                    some = items[: max(1, int(len(items) * contender.share))]
                    do = getattr(contender, row.key)
                    seconds = timed(lambda do=do, some=some: do(some), len(some))
                    contender.clear()
                    if number >= 0:
                        cell.samples.append(seconds)
    return section
