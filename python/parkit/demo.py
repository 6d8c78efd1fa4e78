"""A demonstration: index the source of Python's standard library on the pool, and kill a worker on the way.

``python -m parkit.demo``. Every ``.py`` file of the library that this interpreter runs with is parsed by
tasks, a batch of files each; what they find is gathered in shared Dicts. What was found stays on disk, and
the next run looks only at files that have changed.

How nothing is counted twice, though a task may run twice: a task writes all that it found in one
transaction, and in that transaction looks first which of its files are there already.
"""

from __future__ import annotations

import argparse
import ast
import os
import signal
import sys
import sysconfig
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from parkit import (
    Dict,
    Task,
    asyncable,
    disable_tasks,
    enable_tasks,
    get_concurrency,
    set_concurrency,
    set_default_site,
    tasks,
    transaction,
    wait,
)
from parkit.errors import WaitTimeout
from parkit.pool import pool_status

#: Where the site is kept, instead of in the user's cache directory.
SITE = "PARKIT_DEMO_SITE"

# How many tasks the files are shared out to.
_TASKS = 80
_WIDTH, _LEFT = 78, 38
_TITLE = "stdlib"

#: When a file was changed, and how large it is.
Stamp = tuple[int, int]
#: Of a file: its stamp, how many lines and functions it has, what it imports.
FileRecord = tuple[Stamp, int, int, tuple[str, ...]]
#: A function: its name and how many lines it has. It is known by its file and line.
FunctionRecord = tuple[str, int]


class Index:
    """What was found, in Dicts of one namespace. It is made anew in each process that uses it."""

    def __init__(self, namespace: str) -> None:
        self.files: Dict[str, FileRecord] = Dict(f"{namespace}/files", create=True)
        self.functions: Dict[tuple[str, int], FunctionRecord] = Dict(f"{namespace}/functions", create=True)
        self.imports: Dict[str, int] = Dict(f"{namespace}/imports", create=True)
        self.errors: Dict[str, str] = Dict(f"{namespace}/errors", create=True)

    def add(self, found: Iterable[Found]) -> int:
        """Put in what was found in files, unless it is there; all of it, or nothing. How many were put in."""
        added = 0
        with transaction(self.files):
            for one in found:
                known = self.files.get(one.path)
                if known is not None and known[0] == one.stamp:
                    continue  # an earlier attempt of this task has got this far
                self.remove(one.path)
                self.files[one.path] = (one.stamp, one.lines, len(one.functions), one.imports)
                self.functions.update({(one.path, line): record for line, record in one.functions.items()})
                for name in one.imports:
                    self.imports[name] = self.imports.get(name, 0) + 1
                if one.error:
                    self.errors[one.path] = one.error
                added += 1
        return added

    def remove(self, path: str) -> None:
        """Take out what a file held."""
        record = self.files.pop(path, None)
        if record is None:
            return
        for key in list(self.functions.irange((path, 0), (path, sys.maxsize))):
            del self.functions[key]
        for name in record[3]:
            left = self.imports[name] - 1
            if left:
                self.imports[name] = left
            else:
                del self.imports[name]
        self.errors.pop(path, None)

    def clear(self) -> None:
        """Take out everything."""
        with transaction(self.files):
            for part in (self.files, self.functions, self.imports, self.errors):
                part.clear()

    def is_sound(self) -> bool:
        """Whether the totals are what the files add up to: nothing was lost, nothing counted twice."""
        with transaction(self.files):
            records = list(self.files.values())
            counted = Counter(name for record in records for name in record[3])
            return len(self.functions) == sum(record[2] for record in records) and dict(self.imports) == dict(counted)


class Found(NamedTuple):
    """What was found in a file."""

    path: str
    stamp: Stamp
    lines: int
    functions: dict[int, FunctionRecord]
    imports: tuple[str, ...]
    error: str


def look_into(root: str, path: str) -> Found:
    """Parse a file."""
    place = os.path.join(root, path)
    about = os.stat(place)
    with open(place, "rb") as file:
        source = file.read()
    functions: dict[int, FunctionRecord] = {}
    imports: set[str] = set()
    error = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in strings, which are not our business
            tree = ast.parse(source)
        _walk(tree, functions, imports)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        error = f"{type(problem).__name__}: {problem}"
    stamp = (about.st_mtime_ns, about.st_size)
    return Found(path, stamp, source.count(b"\n"), functions, tuple(sorted(imports)), error)


def _walk(tree: ast.Module, functions: dict[int, FunctionRecord], imports: set[str]) -> None:
    """Find functions and imports among the statements; expressions hold neither."""
    rest: list[tuple[str, ast.AST]] = [("", tree)]
    while rest:
        prefix, node = rest.pop()
        if isinstance(node, ast.Import):
            imports.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module:
                imports.add(node.module.partition(".")[0])
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            prefix += node.name
            if not isinstance(node, ast.ClassDef):
                functions[node.lineno] = (prefix, (node.end_lineno or node.lineno) - node.lineno + 1)
            prefix += "."
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            below = getattr(node, field, ())
            rest.extend((prefix, child) for child in (below if isinstance(below, list) else ()))


@asyncable(path="module/parkit_demo", retries=3)
def index_files(namespace: str, root: str, paths: list[str]) -> int:
    """The task: look into some files, and add what is found to the index."""
    return Index(namespace).add(look_into(root, path) for path in paths)


# ---- The program ----


class Killed(NamedTuple):
    """The worker that was killed."""

    number: int  # of the task that it ran
    pid: int
    others: set[int]
    when: int


def main() -> int:
    """Bring the index up to date, and show what is in it."""
    arguments = _parser().parse_args()
    begun = time.perf_counter()
    site = arguments.site or os.environ.get(SITE) or _default_site()
    set_default_site(site, create=True)
    disable_tasks()  # that of a run that was killed
    root = os.path.abspath(arguments.root or sysconfig.get_path("stdlib"))
    namespace = f"{_TITLE}/{arguments.name or sys.implementation.cache_tag or 'python'}"
    index = Index(namespace)
    if arguments.fresh:
        index.clear()
    on_disk = dict(islice(_files(root), arguments.files))
    known = {path: record[0] for path, record in index.files.items()}
    changed = [path for path, stamp in on_disk.items() if known.get(path) != stamp]
    gone = [] if arguments.files else [path for path in known if path not in on_disk]
    print(f"parkit indexes {len(on_disk):,} files below {root}")
    print(f"in {site}: {_state(known, changed, gone)}\n")
    with transaction(index.files):
        for path in gone:
            index.remove(path)
    made: list[Task[int]] = []
    killed = None
    if changed:
        made, killed = _run(namespace, root, changed, kill=not arguments.no_kill)
    _report(index, made, killed, len(changed), time.perf_counter() - begun)
    _forget()
    return _verdict(index, on_disk)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m parkit.demo",
        description="Index the source of Python's standard library on a pool of workers, and kill one on the way.",
    )
    parser.add_argument("root", nargs="?", help="another directory instead of the standard library's")
    parser.add_argument("--name", help="the index's name; give another directory one of its own")
    parser.add_argument("--site", help=f"where the index is kept (or ${SITE}; else in the cache directory)")
    parser.add_argument("--files", type=int, help="only so many files")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--no-kill", action="store_true", help="kill no worker")
    return parser


def _default_site() -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "parkit", "demo")


def _files(root: str) -> Iterator[tuple[str, Stamp]]:
    """The source files by their path below the root, with their stamps."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in ("site-packages", "dist-packages", "__pycache__"))
        for name in sorted(names):
            path = Path(folder, name)
            if name.endswith(".py") and path.is_file():
                about = path.stat()
                yield str(path.relative_to(root)), (about.st_mtime_ns, about.st_size)


def _state(known: dict[str, Stamp], changed: list[str], gone: list[str]) -> str:
    if not known:
        return "a new index"
    if not changed and not gone:
        return f"{len(known):,} files are known, none has changed"
    return f"{len(known):,} files are known, {len(changed):,} are new or changed, {len(gone):,} are gone"


def _run(namespace: str, root: str, paths: list[str], *, kill: bool) -> tuple[list[Task[int]], Killed | None]:
    """Have tasks look into the files, kill a worker on the way, and wait for all of them."""
    _forget()
    set_concurrency(max(2, get_concurrency()))
    progress = _Progress(len(paths))
    enable_tasks()
    try:
        # Every so-manieth file each, as large ones lie together.
        shares = [paths[first::_TASKS] for first in range(min(_TASKS, len(paths)))]
        made = [index_files(namespace, root, share) for share in shares]
        files = Index(namespace).files
        waiting = dict(zip(made, shares, strict=True))
        done = 0
        killed = None
        while waiting:
            version = files.version
            for task in [task for task in waiting if task.done]:
                done += len(waiting.pop(task))
            progress.show(done)
            if kill and killed is None and len(waiting) * 8 <= len(made) * 7:
                killed = _kill_one(made)
                if killed is not None:
                    progress.note(f"killed worker {killed.pid} with SIGKILL, in the middle of task {killed.number}")
            if waiting:
                _wait_for_change(files, version)
        for task in made:
            task.get()
    finally:
        disable_tasks()
    return made, killed


def _wait_for_change(files: Dict[str, FileRecord], version: int) -> None:
    try:
        wait(files, condition=lambda: files.version != version, timeout=0.1)
    except WaitTimeout:
        return  # a task ends a moment after its effect is seen, which is the change that may not be seen here


def _kill_one(made: list[Task[int]]) -> Killed | None:
    """Kill the worker that runs one of the tasks; None if none was caught at it."""
    for task in tasks("running"):
        pid = task.pid
        if pid is None or task not in made:
            continue
        others = {worker["pid"] for worker in pool_status()["workers"]}
        when = time.time_ns()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        return Killed(made.index(task) + 1, pid, others, when)
    return None


def _forget() -> None:
    """Drop the tasks of this run, or those that one which was killed has left."""
    left = list(index_files.tasks())
    with transaction("__task__"):
        for task in left:
            task.drop()


class _Progress:
    """A bar on a terminal; else a line now and then."""

    def __init__(self, total: int) -> None:
        self.total, self.begun = total, time.perf_counter()
        self.live = sys.stdout.isatty()
        self.told = 0.0

    def show(self, done: int) -> None:
        part = min(1.0, max(0, done) / self.total)
        text = f"{done:>6,} of {self.total:,} files, {time.perf_counter() - self.begun:4.1f} s"
        if self.live:
            bar = "█" * round(part * 30)
            print(f"\r{bar:░<30} {text}", end="" if part < 1.0 else "\n", flush=True)
        elif part - self.told >= 0.2 or (part == 1.0 and self.told < 1.0):
            self.told = part
            print(text, flush=True)

    def note(self, text: str) -> None:
        print(("\r" + " " * _WIDTH + "\r" if self.live else "") + text, flush=True)


def _report(index: Index, made: list[Task[int]], killed: Killed | None, looked_at: int, seconds: float) -> None:
    lines = sum(record[1] for record in index.files.values())
    longest = sorted(index.functions.items(), key=lambda item: -item[1][1])[:5]
    common = sorted(index.imports.items(), key=lambda item: -item[1])[:5]
    _table(
        "What was found",
        [
            ("files, lines", f"{len(index.files):,}, {lines:,}"),
            ("functions", f"{len(index.functions):,}"),
            ("the longest", ""),
            *((f"  {name}", f"{size:,} lines, {path}:{line}") for (path, line), (name, size) in longest),
            ("imported by most files", ""),
            *((f"  {name}", f"{count:,} files") for name, count in common),
            ("files that do not parse", f"{len(index.errors):,}"),
            *((f"  {path}", error.partition(":")[0]) for path, error in list(index.errors.items())[:3]),
        ],
    )
    figures = [("files looked at", f"{looked_at:,}"), ("tasks", f"{len(made):,}")]
    if killed is not None:
        figures += [
            ("worker killed", f"process {killed.pid}"),
            ("its task was begun", _times(made[killed.number - 1].attempts)),
            ("another one worked after", _replacement(made, killed)),
        ]
    figures.append(("seconds", f"{seconds:.1f}"))
    if looked_at:
        figures.append(("files a second", f"{looked_at / seconds:,.0f}"))
    _table("How it went", figures)


def _replacement(made: list[Task[int]], killed: Killed) -> str:
    """How long after the kill a worker that was not there before began a task."""
    starts = [task.start for task in made if task.start and task.pid not in killed.others]
    if not starts:
        return "the others were done before it was needed"
    return f"{(min(starts) - killed.when) / 1e6:,.0f} ms"


def _table(title: str, rows: list[tuple[str, str]]) -> None:
    print(f"\n{title}\n{'─' * _WIDTH}")
    for left, right in rows:
        left = _short(left, _LEFT - 1)
        print(f"{left:<{_LEFT}}{_short(right, _WIDTH - _LEFT):>{_WIDTH - _LEFT}}" if right else left)


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _verdict(index: Index, on_disk: dict[str, Stamp]) -> int:
    lost = len(set(on_disk) - set(index.files))
    sound = index.is_sound()
    if lost or not sound:
        print(f"\n{lost} files were lost; the totals are {'right' if sound else 'wrong'}: this is a bug in parkit")
        return 1
    print("\nNo file was lost, none was counted twice.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
