"""What was found, as a table in the terminal, as JSON and as Markdown for the README."""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import platform
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from measure import Cell, Limit, Row, Section, Verdict, verdict

BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"

PEERS = ("lmdb", "diskcache", "persist-queue", "joblib", "huey", "distributed", "cloudpickle", "numpy")


def facts(folder: Path, date: str) -> dict[str, Any]:
    """The machine, and what ran on it."""
    versions = {}
    for package in ("parkit", *PEERS):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    import parkit

    versions["parkit"] = parkit.__version__
    return {
        "date": date,
        "script": "benchmarks/run.py",
        "commit": _commit(),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "start method": multiprocessing.get_context().get_start_method(),
        "file system": _file_system(folder),
        "load before": [round(load, 2) for load in os.getloadavg()],
        "versions": versions,
    }


def _cpu() -> str:
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith(("model name", "Model", "cpu model")):
                return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _file_system(folder: Path) -> str:
    """The type of the file system that the folder is on."""
    best, kind = "", "unknown"
    place = os.path.realpath(folder)
    with open("/proc/self/mounts") as lines:
        for line in lines:
            point, found = line.split()[1:3]
            point = point.encode().decode("unicode_escape")
            if os.path.commonpath([place, point]) == point and len(point) >= len(best):
                best, kind = point, found
    return kind


# ---- Text of cells ----


def amount(row: Row, seconds: float) -> str:
    """A cost in the row's unit, with three digits that mean something."""
    if row.unit == "/s":
        return f"{1 / seconds:,.0f}"
    if row.unit == "MB/s":
        return f"{row.size / seconds / 1e6:,.0f}"
    value = seconds * {"µs": 1e6, "ms": 1e3}[row.unit]
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def cell_text(row: Row, cell: Cell, spread: bool) -> str:
    if not cell.samples:
        return cell.why_not or "-"
    text = amount(row, cell.median)
    return f"{text} ±{cell.spread:.0%}" if spread else text


def limit_text(row: Row) -> str:
    limit = row.limit
    if limit is None:
        return ""
    if limit.text:
        return limit.text
    if limit.of is None:
        return amount(row, limit.plus)
    return f"{limit.times:g} x {limit.of}"


def ratio_text(row: Row, found: Verdict | str | None) -> str:
    """How we stand to the contender of the limit, as the limit says it."""
    if not isinstance(found, Verdict) or found.ratio is None:
        return ""
    return f"{1 / found.ratio if row.unit == '/s' else found.ratio:.2f} x"


def reached_text(found: Verdict | str | None) -> str:
    if found is None:
        return ""
    if isinstance(found, str):
        return f"? ({found})"
    return "yes" if found.reached else f"no ({found.used:.2f} of it)"


def table(section: Section, spread: bool) -> list[list[str]]:
    limits = any(row.limit for row in section.rows)
    head = ["", *section.contenders, *(["ratio", "at most", "reached"] if limits else [])]
    lines = [head]
    for row in section.rows:
        found = verdict(section, row)
        line = [f"{row.title} ({row.unit})" if row.unit != "/s" else row.title]
        line += [cell_text(row, section.cell(row, name), spread) for name in section.contenders]
        if limits:
            at_least = "at least " if row.limit and row.unit == "/s" else ""
            line += [ratio_text(row, found), at_least + limit_text(row), reached_text(found)]
        lines.append(line)
    return lines


# ---- The three forms ----


def terminal(sections: list[Section]) -> str:
    out: list[str] = []
    for section in sections:
        lines = [[cell.replace("`", "") for cell in line] for line in table(section, spread=True)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        out += ["", section.title, ""]
        for line in lines:
            first, *rest = zip(line, widths, strict=True)
            out.append("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip())
        out += ["", *section.notes] if section.notes else []
    return "\n".join(out)


def markdown(sections: list[Section], known: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {known['versions'][name]}" for name in PEERS if name in known["versions"])
    out = [
        f"Written by `benchmarks/run.py` (`make bench`) on {known['date']}: {known['cores']} cores "
        f"({known['cpu']}), Linux {known['kernel']}, {known['python']}, {known['file system']}; {versions}. "
        f"The load was {known['load before'][0]} before and {known['load after'][0]} after. "
        "Medians of interleaved rounds; the ratio is the median of each round's ratio. "
        "Which work it is, and what each contender was told: [docs/benchmarks.md](docs/benchmarks.md).",
    ]
    for section in sections:
        lines = table(section, spread=False)
        lines[0][0] = section.title
        out += ["", "| " + " | ".join(lines[0]) + " |", "|---|" + "--:|" * (len(lines[0]) - 1)]
        out += ["| " + " | ".join(line) + " |" for line in lines[1:]]
        for note in section.notes:
            out += ["", note]
    return "\n".join(out) + "\n"


def read_json(path: Path) -> tuple[list[Section], dict[str, Any]]:
    """The sections and facts of an earlier run."""
    found = json.loads(path.read_text())
    sections: dict[str, Section] = {}
    for entry in found["rows"]:
        title = entry["section"]
        if title not in sections:
            sections[title] = Section(title, [], list(entry["cells"]), notes=found["notes"][title])
        known = {field.name: entry[field.name] for field in fields(Row)}
        row = Row(**{**known, "limit": known["limit"] and Limit(**known["limit"])})
        sections[title].rows.append(row)
        # The peer of a limit need not be a contender of the table.
        for name, cell in {**entry["cells"], **entry["peers"]}.items():
            sections[title].cells[row.key, name] = Cell(cell.get("samples", []), cell.get("why_not", ""))
    return list(sections.values()), found["facts"]


def write_json(path: Path, sections: list[Section], known: dict[str, Any]) -> None:
    rows = []
    for section in sections:
        for row in section.rows:
            found = verdict(section, row)
            rows.append(
                {
                    "section": section.title,
                    **asdict(row),
                    "cells": {name: _as_json(section.cell(row, name)) for name in section.contenders},
                    "peers": {
                        name: _as_json(cell)
                        for (key, name), cell in section.cells.items()
                        if key == row.key and name not in section.contenders
                    },
                    "verdict": {**asdict(found), "reached": found.reached} if isinstance(found, Verdict) else found,
                }
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    notes = {section.title: section.notes for section in sections}
    found = {"facts": known, "unit": "seconds an operation", "notes": notes, "rows": rows}
    path.write_text(json.dumps(found, indent=1) + "\n")


def _as_json(cell: Cell) -> dict[str, Any]:
    if not cell.samples:
        return {"why_not": cell.why_not or "-"}
    return {"median": cell.median, "spread": cell.spread, "samples": cell.samples}


def write_readme(path: Path, text: str) -> None:
    """Put the text between the marks.

    :raises SystemExit: the marks are not there
    """
    old = path.read_text()
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{path.name} has no place for the table: put the lines {BEGIN} and {END} where it belongs")
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}")
