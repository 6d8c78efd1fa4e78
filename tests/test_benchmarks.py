"""Every benchmark runs, with counts too small to measure anything by."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

TINY = ["--tiny", "--json"]


def measure(tmp_path: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """The run's output, and its JSON."""
    found = tmp_path / "found.json"
    folder = tmp_path / "folder"
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "run.py"), *TINY, str(found), "--dir", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert os.listdir(folder) == [], "the run left something behind"
    return done.stdout, json.loads(found.read_text())


def cells(found: dict[str, Any], contender: str) -> dict[str, dict[str, Any]]:
    return {row["key"]: row["cells"][contender] for row in found["rows"] if contender in row["cells"]}


def is_measured_or_explained(cell: dict[str, Any]) -> bool:
    return bool(cell.get("median", 0) > 0 or cell.get("why_not"))


@pytest.mark.parametrize("group", ["memory", "durable", "queue", "file", "start", "stream", "flat"])
def test_group_measures_parkit_and_every_contender_or_says_why_not(tmp_path: Path, group: str) -> None:
    shown, found = measure(tmp_path, "--only", group)
    assert all(cell["median"] > 0 for cell in cells(found, "parkit").values())
    for row in found["rows"]:
        assert row["title"].replace("`", "") in shown
        assert all(is_measured_or_explained(cell) for cell in row["cells"].values()), row


def test_earlier_run_is_shown_as_it_was(tmp_path: Path) -> None:
    shown, _ = measure(tmp_path, "--only", "durable")
    again = subprocess.run(
        [sys.executable, str(BENCHMARKS / "run.py"), "--show", str(tmp_path / "found.json")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout == shown


def test_tasks_are_measured_beside_every_pool_or_it_says_why_not(tmp_path: Path) -> None:
    _, found = measure(tmp_path, "--only", "tasks")
    for contender in ("parkit, memory", "multiprocessing.Pool", "ProcessPoolExecutor"):
        measured = cells(found, contender)
        assert all(measured[row]["median"] > 0 for row in ("trip", "burst", "first_result")), contender
    assert cells(found, "parkit, durable")["durable_trip"]["median"] > 0
    for row in found["rows"]:
        assert all(is_measured_or_explained(cell) for cell in row["cells"].values()), row


def test_facts_name_the_machine_but_no_path_of_it(tmp_path: Path) -> None:
    _, found = measure(tmp_path, "--only", "start")
    facts = found["facts"]
    assert facts["cores"] >= 1
    assert facts["versions"]["parkit"] != "not installed"
    assert str(tmp_path) not in json.dumps(found)


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("report"), importlib.import_module("measure")


def section(measure: Any, ours: list[float], peer: list[float], limit: Any, unit: str = "µs") -> Any:
    made = measure.Section("Title", [measure.Row("row", "work", limit, unit)], ["parkit", "peer"])
    made.cell("row", "parkit").samples += ours
    made.cell("row", "peer").samples += peer
    return made


def test_verdict_compares_the_samples_of_a_round(modules: Any) -> None:
    _, measure = modules
    limit = measure.Limit(0.5, of="peer")
    # The second round was twice as slow for both: the ratio is the same.
    found = section(measure, [1e-6, 2e-6, 1e-6], [4e-6, 8e-6, 4e-6], limit)
    assert measure.verdict(found, found.rows[0]) == measure.Verdict(0.25, 0.5)
    found = section(measure, [3e-6], [4e-6], limit)
    assert not measure.verdict(found, found.rows[0]).reached


def test_limit_without_its_contender_is_neither_reached_nor_missed(modules: Any) -> None:
    report, measure = modules
    found = section(measure, [1e-6], [], measure.Limit(0.5, of="peer"))
    found.missing("peer", "peer is not installed")
    assert report.table(found, spread=False)[1][-1] == "? (peer: peer is not installed)"
    assert report.table(found, spread=False)[1][2] == "peer is not installed"


def test_rate_is_shown_as_operations_a_second(modules: Any) -> None:
    report, measure = modules
    limit = measure.Limit(1 / 3, of="peer", text="3 x peer")
    found = section(measure, [1e-4], [2e-4], limit, "/s")
    assert report.table(found, spread=False)[1] == [
        "work",
        "10,000",
        "5,000",
        "2.00 x",
        "at least 3 x peer",
        "no (1.50 of it)",
    ]


def test_table_goes_between_the_marks_of_the_readme_and_nowhere_else(modules: Any, tmp_path: Path) -> None:
    report, _ = modules
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_readme(readme, "new\n")
    report.write_readme(readme, "newer\n")
    assert readme.read_text() == f"before\n{report.BEGIN}\nnewer\n{report.END}\nafter\n"
    readme.write_text("no marks\n")
    with pytest.raises(SystemExit, match="no place for the table"):
        report.write_readme(readme, "new\n")
    assert readme.read_text() == "no marks\n"
