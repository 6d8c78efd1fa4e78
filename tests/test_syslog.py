"""syslog, what fills it, and the program that follows it."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import parkit
from conftest import Script
from parkit import asyncable, log_to_syslog, syslog
from parkit.tools.tailsyslog import wanted


def test_importing_makes_no_site(script: Script, tmp_path: Path) -> None:
    script("import parkit; parkit.syslog, parkit.pidtable", PARKIT_GLOBAL_SITE_STORAGE_PATH=str(tmp_path / "machine"))
    assert os.listdir(tmp_path) == []


def test_it_is_an_array_of_the_machine(machine_site: str, script: Script) -> None:
    assert isinstance(syslog, parkit.Array)
    assert syslog.path == "memory/syslog/__syslog__"
    assert syslog.storage_path == machine_site
    length = len(syslog)
    script("import parkit; parkit.syslog.append('from another process')")
    assert list(syslog[length:]) == ["from another process"]
    child = os.fork()
    if child == 0:
        syslog.append("from a forked child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert syslog[-1] == "from a forked child"


def test_it_is_bounded(script: Script, tmp_path: Path) -> None:
    place = {"PARKIT_GLOBAL_SITE_STORAGE_PATH": str(tmp_path / "machine"), "PARKIT_MAX_SYSLOG_ENTRIES": "3"}
    script("from parkit import syslog; syslog.extend('abcde'); assert list(syslog) == ['c', 'd', 'e']", **place)
    script("from parkit import syslog; assert syslog.maxsize == 3", **place)
    assert syslog.maxsize == 100_000
    place = {"PARKIT_GLOBAL_SITE_STORAGE_PATH": str(tmp_path / "other"), "PARKIT_MAX_SYSLOG_ENTRIES": "none"}
    done = script("from parkit import syslog; len(syslog)", code=1, **place)
    assert "PARKIT_MAX_SYSLOG_ENTRIES" in done.stderr


def test_what_is_logged_comes_to_it() -> None:
    logger = logging.getLogger("house")
    handler = log_to_syslog("INFO", logger)
    try:
        length = len(syslog)
        logging.getLogger("house.door").info("opened by %s", "Ann")
        logger.debug("no")
        lines = list(syslog[length:])
    finally:
        logger.removeHandler(handler)
    assert len(lines) == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO@house\.door : opened by Ann", lines[0])


class Unfriendly:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_record_that_cannot_be_formatted_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("house")
    handler = log_to_syslog("INFO", logger)
    logger.removeHandler(handler)
    for text, value in ("%d", "no number"), ("%s", Unfriendly()):
        handler.handle(logger.makeRecord("house", logging.INFO, "", 1, text, (value,), None))
        assert "Logging error" in capsys.readouterr().err


def test_a_process_can_be_told_to_write_all_its_logs(script: Script) -> None:
    length = len(syslog)
    script("import parkit, logging; logging.getLogger('shop').info('closed')", PARKIT_SYSLOG="1")
    script("import parkit, logging; logging.getLogger('shop').info('unheard')")
    assert [line.partition(" INFO")[2] for line in syslog[length:]] == ["@shop : closed"]


@pytest.mark.usefixtures("pool")
def test_workers_write_what_tasks_log_with_their_number() -> None:
    length = len(syslog)

    @asyncable
    def careful(work: str) -> None:
        logging.getLogger("kitchen").info("%s begins", work)
        raise ValueError("burnt")

    task = careful("baking")
    assert task.wait().status == "failed"
    lines = [line.partition(" : ")[2] for line in syslog[length:]]
    number = lines[0].partition("]")[0]
    assert lines == [f"{number}] baking begins", f"{number}] {careful.path} failed: ValueError: burnt"]


def test_levels_are_told_apart() -> None:
    lines = [
        "2026-11-21 12:00:00,000 INFO@a : one",
        "more of one",
        "2026-11-21 12:00:00,000 ERROR@a : two",
        "more of two",
    ]
    assert list(wanted(lines, logging.NOTSET)) == lines
    assert list(wanted(lines, logging.WARNING)) == lines[2:]


def test_the_program_follows_it() -> None:
    syslog.append("2026-11-21 12:00:00,000 ERROR@house : before")
    command = [sys.executable, "-m", "parkit.tools.tailsyslog", "--level", "warning", "-n", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert tail.stdout.readline().endswith("before\n")
        for text in ("DEBUG@house : no", "WARNING@house : yes"):
            syslog.append(f"2026-11-21 12:00:00,000 {text}")
        assert tail.stdout.readline().endswith("yes\n")
        tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 130


def test_the_program_knows_its_levels() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "parkit.tools.tailsyslog", "--level", "loud"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "loud is no level" in done.stderr
