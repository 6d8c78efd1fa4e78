"""Measure parkit beside what else a user would pick, in one run: ``make bench``.

Every contender does the same work on the same keys and values, in turn, round after round; what is
shown is the median of the rounds and, behind ±, the half of their middle half's width. A peer that is not installed
is named as missing. The exit code says nothing about limits: a busy machine is not a broken parkit.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dict_rows
import file_rows
import flat_rows
import queue_rows
import report
import start_rows
import task_rows
from measure import Section

ROOT = Path(__file__).resolve().parent.parent

GROUPS = ("memory", "durable", "queue", "file", "start", "tasks", "stream", "flat")
#: Those that take minutes, or gigabytes of disk.
LONG = ("stream", "flat")

#: Enough to see that everything runs.
TINY_DICT = dict_rows.Counts(keys=20, durable=16, rounds=2, durable_rounds=2)
TINY_QUEUE = queue_rows.Counts(items=40, rounds=2)
TINY_FILE = file_rows.Counts(array=8000, stream=3_000_000, times=2, rounds=2)
TINY_TASKS = task_rows.Counts(workers=1, trips=3, burst=10, rounds=1)
TINY_FLAT = flat_rows.Counts(keys=(10, 20), objects=20, sizes=(1_000, 10_000), operations=20, rounds=1, large_rounds=1)


def measure(groups: list[str], folder: Path, tiny: bool, say: Callable[[str], None]) -> list[Section]:
    sections: list[Section] = []
    counts = TINY_DICT if tiny else dict_rows.Counts()
    for group in groups:
        place = folder / group
        place.mkdir()
        if group == "memory":
            sections.append(dict_rows.memory(place, counts, say))
        elif group == "durable":
            sections.append(dict_rows.durable(place, counts, say))
        elif group == "queue":
            sections.append(queue_rows.run(place, TINY_QUEUE if tiny else queue_rows.Counts(), say))
        elif group == "file":
            sections.append(file_rows.arrays(place, TINY_FILE if tiny else file_rows.Counts(), say))
        elif group == "stream":
            sections.append(file_rows.stream(place, TINY_FILE if tiny else file_rows.Counts(), say))
        elif group == "start":
            sections.append(start_rows.run(place, 1 if tiny else 15, say))
        elif group == "tasks":
            sections.append(task_rows.run(place, TINY_TASKS if tiny else task_rows.Counts(), say))
        elif group == "flat":
            sections += flat_rows.run(place, TINY_FLAT if tiny else flat_rows.Counts(), say)
    return sections


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=GROUPS, help="these groups of rows; all but stream and flat by default"
    )
    parser.add_argument(
        "--long", action="store_true", help="also a file of 4 GB, many keys, many objects, large values"
    )
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    parser.add_argument("--show", type=Path, metavar="JSON", help="measure nothing: show (and write) an earlier run")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "benchmarks.json", help="where the JSON goes")
    parser.add_argument("--dir", type=Path, default=ROOT / "build", help="measure in a new folder in this one")
    parser.add_argument("--tiny", action="store_true", help="a handful of operations: to see that everything runs")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    groups = arguments.only or [group for group in GROUPS if group not in LONG or arguments.long]
    date = datetime.date.today().isoformat()

    def say(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{text:70}", end="", file=sys.stderr, flush=True)

    if arguments.show:
        _show(*report.read_json(arguments.show), arguments.write)
        return
    arguments.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.dir) as name:
        known = report.facts(Path(name), date)
        sections = measure(groups, Path(name), arguments.tiny, say)
    say("")
    known["load after"] = [round(load, 2) for load in os.getloadavg()]
    report.write_json(arguments.json, sections, known)
    _show(sections, known, arguments.write)


def _show(sections: list[Section], known: dict[str, Any], write: bool) -> None:
    print(report.terminal(sections))
    print(f"\n{known['cores']} cores, load {known['load before'][0]} before and {known['load after'][0]} after")
    if write:
        report.write_readme(ROOT / "README.md", report.markdown(sections, known))


if __name__ == "__main__":
    main()
