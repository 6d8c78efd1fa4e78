"""How long a program waits before it can begin: an interpreter with an import, without the bare interpreter's part."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from measure import Limit, Row, Section, in_turn

ROWS = [Row("import", "`import`, in a new interpreter", Limit(plus=0.060), "ms")]
FIRST_USE = Row("first_use", "the same and a first `d[k]`", None, "ms")

BARE = "bare interpreter"

_IMPORTS = {
    "parkit": "import parkit",
    "py-lmdb + pickle": "import lmdb, pickle",
    "diskcache": "import diskcache",
    "Manager().dict": "from multiprocessing import Manager",
}
_FIRST_USES = {
    "parkit": (
        "import parkit; parkit.set_default_site({0!r}, create=True); parkit.Dict('memory/first/d', create=True).get(1)"
    ),
    "py-lmdb + pickle": (
        "import lmdb, pickle; lmdb.open({0!r}, sync=False, metasync=False).begin().get(pickle.dumps(1))"
    ),
    "diskcache": "import diskcache; diskcache.Cache({0!r}).get(1)",
    "Manager().dict": "from multiprocessing import Manager; Manager().dict().get(1)",
}


def run(folder: Path, rounds: int, say: Callable[[str], None]) -> Section:
    section = Section("Starting", [*ROWS, FIRST_USE], list(_IMPORTS))
    section.notes.append("A new interpreter's wall time, less that of `python -c pass` in the same round.")
    programs: dict[tuple[str, str], str] = {}
    for name in _IMPORTS:
        module = {"py-lmdb + pickle": "lmdb", "diskcache": "diskcache"}.get(name)
        if module is not None and importlib.util.find_spec(module) is None:
            section.missing(name, f"{module} is not installed")
            continue
        programs["import", name] = _IMPORTS[name]
        programs["first_use", name] = _FIRST_USES[name].format(str(folder / f"first-{len(programs)}"))
    for number in range(-1, rounds):
        say(f"starting: round {number + 1} of {rounds}")
        bare = _seconds("pass")
        for row, name in in_turn(list(programs), number):
            seconds = _seconds(programs[row, name])
            if number >= 0:
                section.cell(row, name).samples.append(max(seconds - bare, 1e-6))
    return section


def _seconds(program: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - begin
