"""The rows about File: a numpy array as a value, and more bytes than one wants in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from measure import Limit, Row, Section, in_turn, timed

MEMCPY = "memcpy (numpy copy)"
CONTENDERS = ["parkit", MEMCPY, "py-lmdb + pickle", "diskcache"]
STREAM = Path(__file__).with_name("one_stream.py")


class Counts(NamedTuple):
    #: Of the array, and of the stream.
    array: int = 8 << 20
    stream: int = 4 << 30
    times: int = 10
    rounds: int = 15
    stream_rounds: int = 1


def array_rows(size: int) -> list[Row]:
    name = f"{size / (1 << 20):g} MB ndarray"
    return [
        Row("set", f"{name}, set", Limit(1.0, of=MEMCPY)),
        Row("get", f"{name}, get", Limit(1.0, of=MEMCPY)),
        Row("view", f"{name}, get without a copy", Limit(plus=20e-6)),
    ]


def arrays(folder: Path, counts: Counts, say: Callable[[str], None]) -> Section:
    """An array as the value of a File, in a memory namespace, beside a copy of it in memory."""
    section = Section("File in a memory namespace", array_rows(counts.array), CONTENDERS)
    try:
        import numpy
    except ModuleNotFoundError:
        for name in CONTENDERS:
            section.missing(name, "numpy is not installed")
        return section
    value = numpy.random.default_rng(1).random(counts.array // 8)
    opened: dict[str, Any] = {}
    try:
        for name, make in (
            ("parkit", ParkitFile),
            (MEMCPY, Copies),
            ("py-lmdb + pickle", LmdbValue),
            ("diskcache", DiskCacheValue),
        ):
            try:
                opened[name] = make(folder)
            except ModuleNotFoundError as error:
                section.missing(name, f"{error.name} is not installed")
        for number in range(-1, counts.rounds):
            say(f"arrays: round {number + 1} of {counts.rounds}")
            for row in section.rows:
                for name in in_turn(list(opened), number):
                    contender = opened[name]
                    if not hasattr(contender, row.key):
                        section.cell(row, name).why_not = "copies"
                        continue
                    contender.check(value)
                    do, times = getattr(contender, row.key), counts.times
                    seconds = timed(lambda do=do, times=times: do(value, times), times)
                    if number >= 0:
                        section.cell(row, name).samples.append(seconds)
    finally:
        for contender in opened.values():
            contender.close()
    section.notes.append("A get without a copy is one snapshot, the array in it, and its last element read.")
    return section


class ParkitFile:
    def __init__(self, folder: Path) -> None:
        import parkit

        self._snapshot = parkit.snapshot
        uuid = parkit.import_site(folder / "site", create=True)
        self.file = parkit.File("memory/file/f", create=True, site_uuid=uuid)

    def check(self, value: Any) -> None:
        if self.file.size == 0:
            self.file.set_content(value)
        assert (self.file.get_content() == value).all()

    def set(self, value: Any, times: int) -> None:
        file = self.file
        for _ in range(times):
            file.set_content(value)

    def get(self, value: Any, times: int) -> None:
        file = self.file
        for _ in range(times):
            file.get_content()

    def view(self, value: Any, times: int) -> None:
        file, snapshot = self.file, self._snapshot
        for _ in range(times):
            with snapshot(file):
                found = file.get_content()
                found[-1]
                del found

    def close(self) -> None:
        self.file.drop()


class Copies:
    """What the memory can do: into memory that is there, and into new memory."""

    def __init__(self, folder: Path) -> None:
        self.kept: Any = None

    def check(self, value: Any) -> None:
        if self.kept is None:
            self.kept = value.copy()
        assert (self.kept == value).all()

    def set(self, value: Any, times: int) -> None:
        kept = self.kept
        for _ in range(times):
            kept[:] = value

    def get(self, value: Any, times: int) -> None:
        kept = self.kept
        for _ in range(times):
            kept.copy()

    def close(self) -> None:
        self.kept = None


class LmdbValue:
    def __init__(self, folder: Path) -> None:
        import lmdb

        self.env = lmdb.open(str(folder / "lmdb"), map_size=4 << 30, sync=False, metasync=False)

    def check(self, value: Any) -> None:
        from pickle import loads

        with self.env.begin() as txn:
            there = txn.get(b"f") is not None
        if not there:
            self.set(value, 1)
        with self.env.begin() as txn:
            assert (loads(txn.get(b"f")) == value).all()

    def set(self, value: Any, times: int) -> None:
        from pickle import dumps

        for _ in range(times):
            with self.env.begin(write=True) as txn:
                txn.put(b"f", dumps(value, 5))

    def get(self, value: Any, times: int) -> None:
        from pickle import loads

        for _ in range(times):
            with self.env.begin() as txn:
                loads(txn.get(b"f"))

    def close(self) -> None:
        self.env.close()


class DiskCacheValue:
    def __init__(self, folder: Path) -> None:
        import diskcache

        self.cache = diskcache.Cache(str(folder / "diskcache"), eviction_policy="none")

    def check(self, value: Any) -> None:
        if "f" not in self.cache:
            self.cache["f"] = value
        assert (self.cache["f"] == value).all()

    def set(self, value: Any, times: int) -> None:
        for _ in range(times):
            self.cache["f"] = value

    def get(self, value: Any, times: int) -> None:
        for _ in range(times):
            self.cache["f"]

    def close(self) -> None:
        self.cache.close()


# ---- More than memory ----


def stream(folder: Path, counts: Counts, say: Callable[[str], None]) -> Section:
    """Bytes written and read back in pieces, by a process of its own, and how much memory that took."""
    size = counts.stream
    shown = f"{size >> 30} GB" if size >= 1 << 30 else f"{size:,} B"
    rows = [
        Row("write", f"{shown} written", None, "MB/s", size),
        Row("read", f"{shown} read", None, "MB/s", size),
    ]
    plain = "file on disk"
    section = Section("A large File in a durable namespace", rows, ["parkit", plain])
    for number in range(counts.stream_rounds):
        for name in in_turn(["parkit", plain], number):
            say(f"stream: {name}")
            done = subprocess.run(
                [sys.executable, str(STREAM), name, str(folder / f"stream-{number}"), str(size)],
                capture_output=True,
                text=True,
                timeout=3600,
            )
            if done.returncode != 0:
                raise RuntimeError(f"{name} failed:\n{done.stderr}")
            answer = json.loads(done.stdout.splitlines()[-1])
            for row in rows:
                section.cell(row, name).samples.append(answer[row.key])
            section.notes.append(
                f"{name}: {answer['private'] / 1e6:,.0f} MB of memory of its own at most beyond those at the start "
                f"({answer['resident'] / 1e6:,.0f} MB with what it maps of files)."
            )
    return section
