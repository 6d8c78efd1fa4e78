"""Programs in the manner of the original's users, each in a process of its own, on an empty site.

They are written from the page of what the original offers, not from ours: what one of them cannot do is a
difference, and belongs into docs/compatibility.md.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import processes_of

HERE = Path(__file__).parent
PROGRAMS = sorted(path.name for path in HERE.glob("*.py") if path != Path(__file__))

#: What a program needs that may not be there.
NEEDS = {
    "numpy_dict.py": ["numpy"],
    "files_numpy.py": ["numpy"],
    "files_pandas.py": ["numpy", "pandas", "pyarrow"],
}
#: The switches of docs/compatibility.md that a program needs, set where the program need not be touched.
SWITCHES = {"queues.py": {"PARKIT_QUEUE_BLOCK": "0"}, "system.py": {"PARKIT_SYSLOG": "1"}}

#: What the original exports; the names of schedules come with the programs that use them.
ORIGINAL = """
    Array Dict Queue LifoQueue File FileIO Object asyncable Asyncable task Task transaction snapshot wait stream
    bind_symbol bind_symbols compactify Directory directories set_default_site get_default_site import_site
    get_site_uuid enable_tasks disable_tasks set_concurrency get_concurrency tasks pidtable syslog ObjectExistsError
    ObjectNotFoundError SiteNotFoundError SiteNotSpecifiedError StoragePathError TransactionError checkenv
    create_string_digest envexists get_memory_size get_pagesize getenv setenv polling_loop Timer
""".split()


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_runs_unchanged(program: str, tmp_path: Path) -> None:
    for module in NEEDS.get(program, []):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    site = str(tmp_path / "site")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PARKIT_")}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(HERE / program), site],
        env={**clean, "PARKIT_GLOBAL_SITE_STORAGE_PATH": str(tmp_path / "machine"), **SWITCHES.get(program, {})},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.endswith(f"{program.removesuffix('.py')}: fine\n")
    assert done.stderr == ""
    assert processes_of(site) == []


def test_each_part_of_the_surface_is_used() -> None:
    text = "\n".join((HERE / program).read_text("utf-8") for program in PROGRAMS)
    assert {name for name in ORIGINAL if not re.search(rf"\b{name}\b", text)} == set()
