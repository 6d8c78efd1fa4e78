"""The demo: it finds what is there, whatever is killed on the way, and the second time only what has changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import parkit
from conftest import processes_of
from parkit import Dict


def demo(site: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "parkit.demo", *arguments],
        env={**os.environ, "PARKIT_DEMO_SITE": str(site), "PARKIT_DEFAULT_SITE_PATH": ""},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert processes_of(str(site)) == []
    assert "No file was lost, none was counted twice." in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if "/" not in line) <= 78
    return done.stdout


def row(output: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)} +(.*)$", output, re.M)
    assert found is not None, output
    return found[1]


def test_the_standard_library(tmp_path: Path) -> None:
    first = demo(tmp_path / "site", "--files", "150")
    assert "150 of 150 files" in first
    assert re.search(r"killed worker \d+ with SIGKILL, in the middle of task \d+", first)
    assert row(first, "files looked at") == "150"
    assert row(first, "tasks") == "80"
    # The task may have just ended when its worker was killed.
    assert row(first, "its task was begun") in ("once", "twice")
    assert row(first, "another one worked after").endswith((" ms", "before it was needed"))
    assert int(row(first, "functions").replace(",", "")) > 500

    second = demo(tmp_path / "site", "--files", "150")
    assert "150 files are known, none has changed" in second
    assert row(second, "tasks") == "0"
    assert row(second, "functions") == row(first, "functions")


@pytest.mark.long
def test_all_of_the_standard_library_in_a_minute(tmp_path: Path) -> None:
    output = demo(tmp_path / "site")
    assert float(row(output, "seconds")) < 60
    assert int(row(output, "files looked at").replace(",", "")) > 500


def test_only_what_has_changed(tmp_path: Path, site: str) -> None:
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    for number in range(20):
        (source / f"m{number:02}.py").write_text("import os, sys.path\ndef f():\n    def g(): ...\n    return 1\n")
    (source / "below" / "bad.py").write_text("def (:\n")
    (source / "below" / "notes.txt").write_text("import nothing")

    def run() -> str:
        return demo(tmp_path / "index", str(source), "--name", "mine", "--no-kill")

    assert "20, " not in row(run(), "files, lines")
    uuid = parkit.import_site(tmp_path / "index")
    index = {name: Dict(f"stdlib/mine/{name}", site_uuid=uuid) for name in ("files", "functions", "imports", "errors")}
    assert len(index["files"]) == 21
    assert dict(index["imports"]) == {"os": 20, "sys": 20}
    assert index["functions"]["m03.py", 3] == ("f.g", 1)
    assert list(index["errors"]) == ["below/bad.py"]

    (source / "below" / "bad.py").write_text("async def good():\n    import json\n")
    (source / "m01.py").unlink()
    (source / "m02.py").write_text("from os import path\nfrom . import x\n")
    (source / "new.py").write_text("class A:\n    def b(self): ...\n")
    assert "21 files are known, 3 are new or changed, 1 are gone" in run()
    assert dict(index["imports"]) == {"os": 19, "sys": 18, "json": 1}
    assert list(index["errors"]) == []
    assert index["functions"]["new.py", 2] == ("A.b", 1)
    assert index["functions"]["below/bad.py", 1] == ("good", 2)
    assert len(index["functions"]) == 18 * 2 + 2
    assert "21 files are known, none has changed" in run()


def test_it_begins_anew_after_it_was_killed(tmp_path: Path) -> None:
    site = tmp_path / "site"
    program = subprocess.Popen(
        [sys.executable, "-m", "parkit.demo", "--files", "150"],
        env={**os.environ, "PARKIT_DEMO_SITE": str(site), "PARKIT_DEFAULT_SITE_PATH": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    for line in program.stdout:
        if "killed worker" in line:
            program.kill()
            break
    program.wait()
    program.stdout.close()
    output = demo(site, "--files", "150")
    assert "files are known" in output
