"""The pool: begun, resized and ended; what its processes leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import parkit
from conftest import all_workers_are_ready, kill, processes_of
from parkit import asyncable
from parkit.errors import PoolError
from parkit.pool import pool_status

LIMIT = 30.0


def who() -> int:
    return os.getpid()


def run(site: str, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", "from parkit import *\n" + textwrap.dedent(source)],
        env={**os.environ, "PARKIT_DEFAULT_SITE_PATH": site, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done


class TestEnable:
    def test_it_returns_when_a_worker_is_ready(self, pool: str) -> None:
        workers = [worker for worker in pool_status()["workers"] if worker["alive"]]
        assert workers
        assert parkit.enable_tasks() is False

    def test_it_says_why_there_is_no_worker(self, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(PoolError, match="the monitor ended at once"):
            parkit.enable_tasks()
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(PoolError, match="/nowhere/python"):
            parkit.enable_tasks()
        monkeypatch.setattr(sys, "executable", "")
        with pytest.raises(PoolError, match=r"sys\.executable is empty"):
            parkit.enable_tasks()

    def test_workers_that_cannot_start_end_it(self, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        (tmp_path / "sitecustomize.py").write_text(
            "import sys\nif 'parkit.daemons.worker' in ' '.join(sys.orig_argv): sys.exit('a broken installation')"
        )
        with pytest.raises(PoolError, match="a broken installation"):
            parkit.enable_tasks()
        _until(lambda: processes_of(site) == [])

    def test_it_works_from_a_durable_site(self, tmp_path: Path, site: str) -> None:
        uuid = parkit.get_site_uuid(tmp_path / "durable", create=True)
        parkit.set_default_site(tmp_path / "durable")
        function = asyncable(who)
        before = function()
        parkit.enable_tasks(site_uuid=uuid)
        try:
            assert before.get(LIMIT) != os.getpid()
            assert function().get(LIMIT) != os.getpid()
        finally:
            assert parkit.disable_tasks() is True
        assert processes_of(str(tmp_path / "durable")) == []

    def test_two_programs_at_once_begin_one(self, site: str) -> None:
        source = "from parkit import *; print(enable_tasks())"
        environment = {**os.environ, "PARKIT_DEFAULT_SITE_PATH": site, "PYTHONPATH": os.pathsep.join(sys.path)}
        programs = [
            subprocess.Popen([sys.executable, "-c", source], env=environment, stdout=subprocess.PIPE) for _ in range(4)
        ]
        said = sorted(program.communicate(timeout=60)[0] for program in programs)
        assert said == [b"False\n"] * 3 + [b"True\n"]
        monitors = [line for line in processes_of(site) if "parkit.daemons.monitor" in line]
        assert len(monitors) == 1
        assert parkit.disable_tasks() is True
        assert processes_of(site) == []

    def test_it_outlives_the_program(self, site: str) -> None:
        done = run(site, "enable_tasks(); print(get_concurrency())", PARKIT_CLUSTER_CONCURRENCY="1")
        assert done.stdout == "1\n"
        try:
            assert parkit.enable_tasks() is False
            assert asyncable(who)().get(LIMIT) != os.getpid()
            assert len([line for line in processes_of(site) if "parkit.daemons.worker" in line]) == 1
        finally:
            parkit.disable_tasks()
        assert processes_of(site) == []

    def test_a_fork_may_begin_it(self, site: str) -> None:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = 0 if parkit.enable_tasks() else 2
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert asyncable(who)().get(LIMIT) not in (os.getpid(), pid)
        parkit.disable_tasks()
        assert processes_of(site) == []

    def test_ctrl_c_ends_the_wait_and_the_pool_goes_on_starting(
        self, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(tmp_path / "go")
        (tmp_path / "sitecustomize.py").write_text(
            f"import sys\nif 'parkit.daemons.worker' in sys.orig_argv: open({str(tmp_path / 'go')!r}).close()\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        parkit.set_concurrency(1)
        _interrupted(parkit.enable_tasks)
        open(tmp_path / "go", "w").close()
        assert asyncable(who)().get(LIMIT) != os.getpid()
        parkit.disable_tasks()
        assert processes_of(site) == []


def _interrupted(call: Any) -> None:
    """Call what does not end by itself, and see that Ctrl-C ends it within 100 ms."""
    sent = 0.0

    def interrupt() -> None:
        nonlocal sent
        threading.Event().wait(0.3)
        sent = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        call()
    took = time.monotonic() - sent
    thread.join()
    assert took < 0.5  # the promise is 0.1 s, which test_interrupt.py measures


class TestDisable:
    def test_nothing_to_end(self, site: str) -> None:
        assert parkit.disable_tasks() is False

    def test_tasks_wait_for_the_next_pool(self, pool: str) -> None:
        function = asyncable(who)
        function().get(LIMIT)
        assert parkit.disable_tasks() is True
        waiting = [function() for _ in range(10)]
        assert {task.status for task in waiting} == {"submitted"}
        parkit.enable_tasks()
        assert all(task.get(LIMIT) for task in waiting)

    def test_with_a_grace_the_running_task_ends(self, pool: str, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "begun")
        os.mkfifo(tmp_path / "end")

        @asyncable
        def held(begun: str, end: str) -> str:
            open(begun, "w").close()
            return open(end).read()

        task = held(str(tmp_path / "begun"), str(tmp_path / "end"))
        open(tmp_path / "begun").close()
        waiting = [held("", "") for _ in range(3)]
        ended = threading.Thread(target=lambda: parkit.disable_tasks(grace=LIMIT))
        ended.start()
        (tmp_path / "end").write_text("in peace")
        ended.join(LIMIT)
        assert task.get(0) == "in peace"
        assert processes_of(pool) == []
        assert {task.status for task in waiting} <= {"submitted", "failed"}

    def test_ctrl_c_ends_the_wait_for_the_grace(self, pool: str, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "begun")

        @asyncable
        def held(begun: str) -> None:
            open(begun, "w").close()
            signal.pause()

        task = held(str(tmp_path / "begun"))
        open(tmp_path / "begun").close()
        _interrupted(lambda: parkit.disable_tasks(grace=LIMIT))
        assert task.running
        begun = time.monotonic()
        parkit.disable_tasks()  # which does not wait for the grace of the other
        assert time.monotonic() - begun < 5
        assert task.status == "crashed"

    def test_without_a_grace_it_is_ended(self, pool: str, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "begun")

        @asyncable
        def held(begun: str) -> None:
            open(begun, "w").close()
            signal.pause()

        task = held(str(tmp_path / "begun"))
        open(tmp_path / "begun").close()
        parkit.disable_tasks()
        assert task.status == "crashed"
        assert "the pool was stopped" in str(task.error)
        assert processes_of(pool) == []

    def test_one_that_will_not_end_is_killed(self, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PARKIT_PROCESS_TERMINATION_TIMEOUT", "0.2")
        os.mkfifo(tmp_path / "begun")
        parkit.enable_tasks()

        @asyncable
        def stubborn(begun: str) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            open(begun, "w").close()
            while True:
                signal.pause()

        task = stubborn(str(tmp_path / "begun"))
        open(tmp_path / "begun").close()
        begun = time.monotonic()
        parkit.disable_tasks()
        assert time.monotonic() - begun < 5
        assert "SIGKILL" in str(task.error)
        assert processes_of(site) == []

    def test_without_a_monitor(self, pool: str) -> None:
        all_workers_are_ready(2)
        kill(pool_status()["monitor"])
        assert processes_of(pool) != []
        assert parkit.disable_tasks() is True
        assert processes_of(pool) == []

    def test_when_the_site_is_removed(self, tmp_path: Path) -> None:
        site = str(tmp_path / "gone")
        run(site, f"set_default_site({site!r}, create=True, memory=True); enable_tasks()", PARKIT_DEFAULT_SITE_PATH="")
        monitor = next(line for line in _pids_of(site))
        process = os.pidfd_open(monitor)
        try:
            subprocess.run(["rm", "-rf", site], check=True)
            import select

            assert select.select([process], [], [], LIMIT)[0]
        finally:
            os.close(process)
        assert processes_of(site) == []


def _pids_of(site: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        arguments = entry.read_bytes().split(b"\0")
        if os.fsencode(site) in arguments and b"parkit.daemons.monitor" in arguments:
            found.append(int(entry.parent.name))
    return found


class TestConcurrency:
    def test_the_default(self, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PARKIT_CLUSTER_CONCURRENCY", raising=False)
        assert parkit.get_concurrency() == len(os.sched_getaffinity(0))
        monkeypatch.setenv("PARKIT_CLUSTER_CONCURRENCY", "7")
        assert parkit.get_concurrency() == 7
        parkit.set_concurrency(3)
        assert parkit.get_concurrency() == 3
        monkeypatch.setenv("PARKIT_CLUSTER_CONCURRENCY", "many")
        with pytest.raises(ValueError, match="PARKIT_CLUSTER_CONCURRENCY"):
            parkit.get_concurrency()

    @pytest.mark.parametrize("workers", [-1, 4097])
    def test_what_it_cannot_be(self, site: str, workers: int) -> None:
        with pytest.raises(ValueError, match="is not between 0 and 4096"):
            parkit.set_concurrency(workers)

    def test_it_grows_and_shrinks(self, pool: str, tmp_path: Path) -> None:
        meet: Any = asyncable(_meet)
        assert len(set(_pids(meet, tmp_path, 2))) == 2
        parkit.set_concurrency(4)
        assert len(set(_pids(meet, tmp_path, 4))) == 4
        parkit.set_concurrency(1)
        function = asyncable(who)
        _until(lambda: len([line for line in processes_of(pool) if "daemons.worker" in line]) == 1)
        assert len({function().get(LIMIT) for _ in range(10)}) == 1

    def test_none_at_all(self, site: str) -> None:
        parkit.set_concurrency(0)
        assert parkit.enable_tasks() is True
        task = asyncable(who)()
        assert task.status == "submitted"
        parkit.set_concurrency(1)
        assert task.get(LIMIT) != os.getpid()
        parkit.disable_tasks()


def _meet(place: str, number: int, all_of_them: int) -> int:
    """Ends when as many tasks run at once as were asked for."""
    met: parkit.Dict[int, int] = parkit.Dict(place, create=True)
    met[number] = os.getpid()
    parkit.wait(met, lambda: len(met) == all_of_them)
    return os.getpid()


def _pids(meet: Any, folder: Path, number: int) -> list[int]:
    place = f"meeting/{number}"
    return [task.get(LIMIT) for task in [meet(place, n, number) for n in range(number)]]


def _until(condition: Any) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        os.sched_yield()


class TestWorkers:
    def test_what_they_print_is_in_the_log(self, pool: str) -> None:
        @asyncable
        def talk() -> None:
            print("to standard output")
            os.write(2, b"to standard error\n")

        talk().get(LIMIT)
        logs = "".join(path.read_text() for path in Path(pool, "log").glob("worker-*.log"))
        assert "to standard output\nto standard error\n" in logs

    def test_what_they_inherit(self, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TEST_OF_MINE", "ünïcödé")
        parkit.enable_tasks()

        @asyncable
        def look() -> Any:
            environment = {name: os.environ.get(name) for name in ("TEST_OF_MINE", "PARKIT_WORKER_ID")}
            return environment, sys.stdin.read(), os.getcwd(), os.getsid(0), os.getpgid(0) == os.getpid()

        environment, stdin, directory, session, leads = look().get(LIMIT)
        parkit.disable_tasks()
        assert environment == {"TEST_OF_MINE": "ünïcödé", "PARKIT_WORKER_ID": None}
        assert stdin == ""
        assert directory == os.getcwd()
        assert session != os.getsid(0)
        assert leads

    def test_the_default_site_is_the_pools(self, pool: str) -> None:
        @asyncable
        def default() -> Any:
            return parkit.get_default_site()

        assert default().get(LIMIT) == parkit.get_default_site()

    def test_a_thread_that_a_task_leaves_behind_keeps_nothing_alive(self, pool: str) -> None:
        @asyncable
        def leave() -> None:
            threading.Thread(target=threading.Event().wait).start()

        leave().get(LIMIT)
        begun = time.monotonic()
        parkit.disable_tasks()
        assert time.monotonic() - begun < 4
        assert processes_of(pool) == []

    def test_a_fork_that_comes_out_of_the_function_is_no_worker(self, pool: str) -> None:
        @asyncable
        def fork() -> int:
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
            return os.getpid()

        made = [fork() for _ in range(10)]
        pids = {task.get(LIMIT) for task in made}
        assert pids <= {task.pid for task in made}
        assert {task.attempts for task in made} == {1}

    def test_a_fork_that_fails_says_so_in_the_log_only(self, pool: str) -> None:
        @asyncable
        def fork(code: int) -> int:
            pid = os.fork()
            if pid == 0:
                if code:
                    sys.exit(code)
                raise ValueError("of the child")
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        assert fork(5).get(LIMIT) == 5
        assert fork(0).get(LIMIT) == 1
        logs = "".join(path.read_text() for path in Path(pool, "log").glob("worker-*.log"))
        assert "ValueError: of the child" in logs

    def test_an_idle_pool_does_nothing(self, pool: str) -> None:
        asyncable(who)().get(LIMIT)
        workers = [worker["pid"] for worker in pool_status()["workers"]]
        before = [_ticks(pid) for pid in workers]
        threading.Event().wait(1.0)  # nothing is awaited: that nothing happens is what is measured
        assert [_ticks(pid) - ticks for pid, ticks in zip(workers, before, strict=True)] <= [2] * len(workers)


def _ticks(pid: int) -> int:
    """The processor time of a process, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])
