"""pidtable: the processes that use parkit."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from conftest import kill
from parkit import get_site_uuid, pidtable


def test_it_knows_who_uses_parkit_and_who_does_no_longer() -> None:
    others = "import sys; print(flush=True); sys.stdin.read()"
    source = "import parkit; len(parkit.syslog); " + others
    pipe = subprocess.PIPE
    with (
        subprocess.Popen([sys.executable, "-c", source], stdin=pipe, stdout=pipe) as user,
        subprocess.Popen([sys.executable, "-c", others], stdin=pipe, stdout=pipe) as other,
    ):
        for process in (user, other):
            assert process.stdout is not None
            process.stdout.readline()
        found = pidtable.get_snapshot()
        assert {os.getpid(), user.pid} <= set(found)
        assert other.pid not in found
        entry = found[user.pid]
        assert set(entry) == {"create_time", "process_uid", "node_uid", "cluster_uid"}
        assert entry["node_uid"] is entry["cluster_uid"] is None
        assert time.time() - 3600 < entry["create_time"] < time.time() + 5
        assert entry["process_uid"] != found[os.getpid()]["process_uid"]
        assert dict(pidtable) == found == pidtable.get_snapshot()
        kill(user.pid)
        assert user.pid not in pidtable.get_snapshot()
        assert user.pid not in pidtable


def test_a_forked_child_is_there_once_it_uses_parkit() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0 if {os.getpid(), os.getppid()} <= set(pidtable.get_snapshot()) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_it_tells_daemons(pool: str) -> None:
    uuid = get_site_uuid(pool)
    nodes = [e["node_uid"].partition("-")[0] for e in pidtable.get_snapshot().values() if e["cluster_uid"] == uuid]
    assert "monitor" in nodes
    assert "worker" in nodes


@pytest.mark.usefixtures("site")
def test_the_users_own_objects_are_elsewhere(site: str, machine_site: str) -> None:
    assert pidtable.storage_path == machine_site != site
