"""Every notebook runs from its first cell to its last, and is kept without its outputs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from conftest import processes_of

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Execute a notebook where its temporary directory is the test's, and give it back with its outputs."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("PARKIT_DEFAULT_SITE_PATH", raising=False)
    # Jupyter's own files and histories too.
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))

    def execute(path: Path) -> Any:
        notebook = nbformat.read(path, as_version=4)
        client = nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}})
        client.execute()
        return notebook

    return execute


def text(cell: Any) -> str:
    """What a cell shows, as text."""
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(part.strip() for part in parts)


def shown(notebook: Any) -> dict[str, str]:
    """What each cell of code shows, by its last line."""
    return {cell.source.splitlines()[-1].strip(): text(cell) for cell in notebook.cells if cell.cell_type == "code"}


def test_there_are_some() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_five_minutes(run: Any, tmp_path: Path) -> None:
    notebook = run(NOTEBOOKS[0])
    shows = shown(notebook)
    assert shows["stock"].startswith("<Dict")
    assert shows['stock["milk"]'] == "15"
    assert shows['dict(till), stock["bread"]'] == "there are not 10 of bread\n({'euros': 6}, 1)"
    assert shows["few.get()"].replace("\n", "") == "[2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47]"
    assert "'97 is prime'" in shows["[checked.get() for checked in [check(n) for n in range(90, 100)]]"]
    assert (
        "ZeroDivisionError('division by zero')"
        in shows["print(failed.status, repr(failed.error), failed.error.__cause__)"]
    )
    assert "return 1 / x" in shows["print(failed.status, repr(failed.error), failed.error.__cause__)"]
    assert re.search(r"attempt 2 in process \d+", shows["survivor"])
    assert shows["disable_tasks()"] == "True"
    letters = [cell for cell in notebook.cells if cell.source.endswith("\nletters")]
    assert "<table>" in letters[0].outputs[0]["data"]["text/html"]
    assert processes_of(str(tmp_path / "parkit-five-minutes")) == []
    assert os.listdir(tmp_path / "parkit-five-minutes")


def test_the_collections(run: Any) -> None:
    shows = shown(run(NOTEBOOKS[1]))
    assert shows["len(log), log[0], list(log[-2:])"] == "(1000, 'visit 200', ['visit 1198', 'visit 1199'])"
    assert shows["next(following), next(following)"] == "('visit of the cat', 'visit of the dog')"
    assert shows["await watching"] == "['the post', 'the milk']"
    assert shows["jobs.get(timeout=5), jobs.get(timeout=5)"] == "('sweep', 'dust')"
    given_up = "jobs.qsize(), [(dead.item, dead.attempts) for dead in jobs.dead_letters()]"
    assert shows[given_up] == "(0, [('the windows', 2)])"
    assert shows["dict(done), jobs.qsize()"] == "({'iron': 'ironed'}, 0)"
    assert shows['len(rates), "EUR/USD" in rates'] == "(3, False)"
    assert shows["first, again, time.perf_counter() - began < computed / 10"] == "(144, 144, True)"
    assert shows["lines"] == "['first line\\n', 'second line']"
    assert shows['prices.size, prices.metadata["content-type"]'] == "(8000000, 'application/python-numpy-ndarray')"
    assert re.match(
        r"\(.*499999500000\.0.*, False, array\(\[0\., 0\., 0\.\]\)\)", shows["total, writeable, prices.get_content()"]
    )
    assert shows["check(house).ok, report.ok"] == "(True, True)"
