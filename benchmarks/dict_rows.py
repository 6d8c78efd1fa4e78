"""The rows about Dict, in memory namespaces and in durable ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mappings import MAPPINGS, Lmdb, Mapping, Pairs, ParkitDict, set_by_threads
from measure import Limit, Row, Section, in_turn, timed

THREADS = 8


def _to_lmdb(times: float) -> Limit:
    return Limit(times, of=Lmdb.name)


MEMORY_ROWS = [
    Row("get", "`d[k]`", _to_lmdb(0.5)),
    Row("set", "`d[k] = v`", _to_lmdb(0.35)),
    Row("transaction_set", "set, in one transaction", _to_lmdb(0.95)),
    Row("transaction_get", "get, in one transaction", _to_lmdb(0.7)),
    Row("record_set", "set a 100 B record", _to_lmdb(0.5)),
    Row("record_get", "get a 100 B record", _to_lmdb(0.9)),
    Row("update", "`update` of 10,000, an item", _to_lmdb(0.8)),
    Row("iterate", "iterating `items()`, an item", _to_lmdb(0.8)),
]
DURABLE_ROWS = [
    Row("durable_set", "durable `d[k] = v`", _to_lmdb(1.05)),
    Row(
        "durable_threads",
        f"the same, {THREADS} threads",
        Limit(1.0, of="parkit", row="durable_set", text="below 1 thread's"),
    ),
]


class Counts(NamedTuple):
    """How much a round does."""

    keys: int = 10_000
    durable: int = 400
    rounds: int = 15
    durable_rounds: int = 9


class Work(NamedTuple):
    """One row: which method of a mapping does it, on what."""

    row: str
    #: Which of a contender's mappings: the rows of one do not disturb those of another.
    use: str
    method: str
    #: The attribute of Keys that the method is called with, if it takes anything.
    operand: str = ""
    #: Whether the mapping is cleared before, outside the clock.
    cleared: bool = False
    #: Whether all of it is done by everyone, however slow.
    whole: bool = False


class Keys:
    """The keys and values of everybody, in one random order."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self.keys = [f"key-{number:06d}" for number in range(count)]
        random.Random(seed).shuffle(self.keys)
        self.scalars: Pairs = [(key, number) for number, key in enumerate(self.keys)]
        self.records: Pairs = [(key, record(number)) for number, key in enumerate(self.keys)]


def record(number: int) -> dict[str, Any]:
    """What pickles to about 100 B."""
    return {"id": number, "name": f"item {number:06d}", "price": 12.5, "stock": 17, "tags": ("new", "blue")}


USES = ("scalars", "records", "bulk")
MEMORY_WORK = [
    Work("get", "scalars", "get", "keys"),
    Work("set", "scalars", "set", "scalars"),
    Work("transaction_set", "scalars", "set_in_transaction", "scalars"),
    Work("transaction_get", "scalars", "get_in_transaction", "keys"),
    Work("record_set", "records", "set", "records"),
    Work("record_get", "records", "get", "keys"),
    Work("update", "bulk", "update", "scalars", cleared=True, whole=True),
    Work("iterate", "bulk", "iterate", whole=True),
]


def memory(folder: Path, counts: Counts, say: Callable[[str], None]) -> Section:
    """Round robin over the contenders, row by row, round after round."""
    section = Section("Dict in a memory namespace", MEMORY_ROWS, [kind.name for kind in MAPPINGS])
    section.contenders.sort(key=lambda name: name == "Manager().dict")
    keys = Keys(counts.keys)
    opened: dict[str, dict[str, Mapping]] = {}
    try:
        for kind in MAPPINGS:
            try:
                opened[kind.name] = {use: kind(folder / f"{_plain(kind)}-{use}") for use in USES}
            except ModuleNotFoundError as error:
                section.missing(kind.name, f"{error.name} is not installed")
        for mappings in opened.values():
            mappings["scalars"].update(keys.scalars)
            mappings["records"].update(keys.records)
        for number in range(-1, counts.rounds):  # round -1 warms up
            say(f"memory namespaces: round {number + 1} of {counts.rounds}")
            for work in MEMORY_WORK:
                for name in in_turn(list(opened), number):
                    _measure(section, work, opened[name][work.use], keys, counts.keys, number >= 0)
    finally:
        for mappings in opened.values():
            for mapping in mappings.values():
                mapping.close()
    return section


def _measure(section: Section, work: Work, mapping: Mapping, keys: Keys, count: int, keep: bool) -> None:
    cell = section.cell(work.row, mapping.name)
    if work.method in mapping.lacks:
        cell.why_not = mapping.lacks[work.method]
        return
    operations = count if work.whole else max(1, int(count * mapping.share))
    operands = [getattr(keys, work.operand)[:operations]] if work.operand else []
    if work.cleared:
        mapping.clear()
    do = getattr(mapping, work.method)
    seconds = timed(lambda: do(*operands), operations)
    if keep:
        cell.samples.append(seconds)


def durable(folder: Path, counts: Counts, say: Callable[[str], None]) -> Section:
    """Commits that survive a power cut, by one thread and by several at once."""
    kinds = [ParkitDict, Lmdb, *(kind for kind in MAPPINGS if kind.name in ("diskcache", "Manager().dict"))]
    section = Section("Dict in a durable namespace", DURABLE_ROWS, [kind.name for kind in kinds])
    section.contenders.sort(key=lambda name: name == "Manager().dict")
    section.notes.append("diskcache with `sqlite_synchronous=2`: its default does not flush a commit.")
    keys = Keys(counts.durable)
    share = len(keys.scalars) // THREADS or 1
    parts = [keys.scalars[start : start + share] for start in range(0, len(keys.scalars), share)][:THREADS]
    opened: dict[str, Mapping] = {}
    try:
        for kind in kinds:
            if "durable" in kind.lacks:
                section.missing(kind.name, kind.lacks["durable"])
                continue
            try:
                opened[kind.name] = kind(folder / f"{_plain(kind)}-durable", durable=True)
            except ModuleNotFoundError as error:
                section.missing(kind.name, f"{error.name} is not installed")
        for mapping in opened.values():
            mapping.update(keys.scalars)
        for number in range(-1, counts.durable_rounds):
            say(f"durable namespaces: round {number + 1} of {counts.durable_rounds}")
            for name in in_turn(list(opened), number):
                mapping = opened[name]
                pairs = keys.scalars[: max(1, len(keys.scalars) // 2)]
                alone = timed(lambda mapping=mapping, pairs=pairs: mapping.set(pairs), len(pairs))
                together = set_by_threads(mapping, parts) / sum(map(len, parts))
                if number >= 0:
                    section.cell("durable_set", name).samples.append(alone)
                    section.cell("durable_threads", name).samples.append(together)
    finally:
        for mapping in opened.values():
            mapping.close()
    return section


def _plain(kind: type[Mapping]) -> str:
    return kind.__name__.lower()
