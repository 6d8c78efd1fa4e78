"""The examples of the README run, in their order, and print what their comments say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)


def expected() -> list[str]:
    """What the comments behind calls of print promise."""
    return [found[1] for block in blocks() for found in re.finditer(r"^ *print\(.*\) +# (.*)$", block, re.M)]


def test_every_print_says_what_it_prints() -> None:
    prints = sum(len(re.findall(r"\bprint\(", block)) for block in blocks())
    assert prints == len(expected()) > 10


def test_the_examples_print_what_their_comments_say(tmp_path: Path) -> None:
    # A file: what a script defines has no importable module, and that is how users will try it.
    program = tmp_path / "readme.py"
    program.write_text("\n".join(blocks()), "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARKIT_")}
    done = run(tmp_path, environment, program.name)
    if done.returncode != 0:
        # The pool outlives a program that ends half-way, as it should.
        stop = "import parkit; parkit.set_default_site('counting'); parkit.disable_tasks()"
        run(tmp_path, environment, "-c", stop)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.splitlines() == expected()


def run(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
    )


def test_the_two_commands_and_the_marks_are_there() -> None:
    text = README.read_text("utf-8")
    makefile = (README.parent / "Makefile").read_text("utf-8")
    for target in re.findall(r"^    make (\w+)", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), f"make has no target {target}"
    assert text.index("<!-- benchmark:begin -->") < text.index("<!-- benchmark:end -->")
