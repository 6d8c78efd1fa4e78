"""Rows, limits and samples: what is measured, what it may cost, and what each round of it gave."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median, quantiles


@dataclass(frozen=True)
class Limit:
    """What parkit may cost: ``times`` what the contender ``of`` costs, and ``plus`` seconds.

    Without a contender, ``plus`` alone.
    """

    times: float = 1.0
    of: str | None = None
    plus: float = 0.0
    #: The row in which the contender is looked up, where it is not the limit's own.
    row: str = ""
    #: How a table names it where the parts do not say it well.
    text: str = ""


@dataclass(frozen=True)
class Row:
    """One kind of work. What is measured is seconds an operation, whatever the unit it is shown in."""

    key: str
    title: str
    limit: Limit | None = None
    #: "µs", "ms", or "/s" and "MB/s" for what is shown as a rate.
    unit: str = "µs"
    #: Bytes an operation moves, for MB/s.
    size: int = 0
    #: Which contender the limit is for.
    ours: str = "parkit"


@dataclass
class Cell:
    """What one contender did in one row: a sample a round, or why there is none."""

    samples: list[float] = field(default_factory=list)
    why_not: str = ""

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def spread(self) -> float:
        """The middle half of the samples, as a part of the median: ± this much."""
        if len(self.samples) < 2:
            return 0.0
        low, _, high = quantiles(self.samples, n=4, method="inclusive")
        return (high - low) / 2 / self.median


@dataclass
class Section:
    """A table: rows that the same contenders were measured in."""

    title: str
    rows: list[Row]
    contenders: list[str]
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def cell(self, row: Row | str, contender: str) -> Cell:
        key = row.key if isinstance(row, Row) else row
        return self.cells.setdefault((key, contender), Cell())

    def missing(self, contender: str, why: str, rows: Iterable[Row] | None = None) -> None:
        for row in self.rows if rows is None else rows:
            cell = self.cell(row, contender)
            if not cell.samples:
                cell.why_not = why


@dataclass(frozen=True)
class Verdict:
    """How a row stands to its limit. The ratios are of samples of the same round, then the median."""

    #: To the contender that the limit names; None where the limit is a time.
    ratio: float | None
    #: The part of the limit that is used: reached if it is at most 1.
    used: float

    @property
    def reached(self) -> bool:
        return self.used <= 1


def verdict(section: Section, row: Row) -> Verdict | str | None:
    """How parkit stands to the row's limit; a text says why that cannot be told; None: there is no limit."""
    limit = row.limit
    if limit is None:
        return None
    ours = section.cell(row, row.ours)
    if not ours.samples:
        return ours.why_not or "not measured"
    if limit.of is None:
        return Verdict(None, median(sample / limit.plus for sample in ours.samples))
    peer = section.cell(limit.row or row, limit.of)
    if not peer.samples:
        return f"{limit.of}: {peer.why_not or 'not measured'}"
    pairs = list(zip(ours.samples, peer.samples, strict=False))
    ratio = median(mine / theirs for mine, theirs in pairs)
    return Verdict(ratio, median(mine / (limit.times * theirs + limit.plus) for mine, theirs in pairs))


def timed(work: Callable[[], object], operations: int) -> float:
    """Seconds an operation. The collector runs before, so that nobody pays for another's garbage."""
    gc.collect()
    gc.disable()
    try:
        begin = time.perf_counter()
        work()
        return (time.perf_counter() - begin) / operations
    finally:
        gc.enable()


def in_turn(contenders: list[str], round_number: int) -> list[str]:
    """The contenders in the order of this round: each comes first once in a while."""
    first = round_number % len(contenders) if contenders else 0
    return contenders[first:] + contenders[:first]
