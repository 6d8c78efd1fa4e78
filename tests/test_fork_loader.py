"""A forked child loads a copy of its own: Go's runtime does not survive a fork."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from conftest import Script
from parkit import _native

# In each script: in_child(function) forks, runs it there, and fails if it fails. A child that hangs
# is killed by its alarm.
PRELUDE = """
import os, signal, sys, traceback
from parkit import _native

def in_child(function):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            function()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def use():
    assert _native.ctl.Version()
    assert _native.lane is not before

def refused(words):
    from parkit.errors import ForkedProcessError
    try:
        _native.ctl.Version()
    except ForkedProcessError as error:
        assert words in str(error) and 'spawn' in str(error), error
    else:
        raise AssertionError('nothing was raised')

def close_everything():
    os.closerange(3, 256)

_native.ctl.Version()
before = _native.lane
"""

BUSY = """
import threading
stop = threading.Event()
def busy():
    while not stop.is_set():
        _native.ctl.Version()
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(int(sys.argv[1])):
    in_child(use)
stop.set()
for thread in threads: thread.join()
assert _native.lane is before and _native.ctl.Version()
"""


def test_children_of_a_busy_process_have_a_copy_that_works(script: Script) -> None:
    script(PRELUDE + BUSY, "50")


@pytest.mark.long
def test_a_thousand_children_of_a_busy_process(script: Script) -> None:
    script(PRELUDE + BUSY, "1000", timeout=600)


def test_nested_forks(script: Script) -> None:
    script(
        PRELUDE
        + """
def nest(depth):
    assert _native.generation == 8 - depth, _native.generation
    use()
    assert type(_native.lane) is type(before)
    _native.lane.ping
    if depth:
        in_child(lambda: nest(depth - 1))
        use()
in_child(lambda: nest(7))
in_child(lambda: [in_child(lambda: nest(7)), nest(7)])  # its first child finds a parent that did not use it
assert _native.generation == 0 and _native.lane is before
"""
    )


def test_callbacks_run_for_each_copy(script: Script) -> None:
    script(
        PRELUDE
        + """
seen = []
_native.on_load(lambda lane, ctl: seen.append(lane))
def child():
    assert len(seen) == 1
    use()
    assert len(seen) == 2 and seen[1] is _native.lane
in_child(child)
assert len(seen) == 1
"""
    )


def test_pools_by_fork(script: Script) -> None:
    script(
        PRELUDE
        + """
import concurrent.futures, multiprocessing
def version(_):
    use()
    return os.getpid()
context = multiprocessing.get_context('fork')
with context.Pool(2) as pool:
    assert os.getpid() not in pool.map(version, range(20))
with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
    assert os.getpid() not in list(pool.map(version, range(20)))
"""
    )


def test_signals_and_subprocesses_in_the_child(script: Script) -> None:
    script(
        PRELUDE
        + """
import subprocess
def child():
    use()
    caught = []
    signal.signal(signal.SIGUSR1, lambda *_: caught.append(1))
    for _ in range(10):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert _native.ctl.Version()
    assert len(caught) == 10
    code = 'from parkit import _native; print(_native.ctl.Version(), _native.generation)'
    assert subprocess.check_output([sys.executable, '-c', code], text=True).split() == [_native.ctl.Version(), '0']
in_child(child)
"""
    )


def test_a_fork_waits_for_a_load_in_another_thread(script: Script) -> None:
    script(
        """
import threading
"""
        + PRELUDE.replace("_native.ctl.Version()\nbefore = _native.lane\n", "before = _native.lane\n")
        + """
forking, loading = threading.Event(), threading.Event()
def until_main_forks(lane, ctl):
    if _native.generation:
        return
    loading.set()
    assert forking.wait(20)
os.register_at_fork(before=lambda: forking.set())  # just before parkit's, which then waits
_native.on_load(until_main_forks)
thread = threading.Thread(target=lambda: _native.ctl.Version())
thread.start()
loading.wait()
in_child(use)
thread.join()
assert type(_native.lane) is not type(before)
"""
    )


def test_a_child_of_a_process_that_never_used_parkit_needs_no_copy(script: Script) -> None:
    script(
        """
import os
from parkit import _native
os.memfd_create = None
child = os.fork()
if child == 0:
    assert _native.ctl.Version() and _native.ctl.__file__ == _native.LIBRARY
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    )


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ("del os.memfd_create", "no memfd_create"),
        ("def refuse(*_): raise OSError(1, 'not permitted')\nos.memfd_create = refuse", "not permitted"),
        ("os.memfd_create = lambda *_: os.open(os.devnull, os.O_RDONLY)", "could not be copied"),
        ("os.sendfile = lambda *_: 0", "cut short"),
    ],
)
def test_where_no_copy_can_be_had_the_error_says_what_to_do(script: Script, refusal: str, words: str) -> None:
    script(
        PRELUDE
        + refusal
        + f"\nin_child(lambda: [refused({words!r}), refused({words!r})])\nassert _native.ctl.Version()"
    )


def test_a_child_that_closed_every_file(script: Script) -> None:
    script(PRELUDE + "in_child(lambda: [close_everything(), use(), in_child(lambda: [close_everything(), use()])])")


def test_copies_are_of_the_file_that_the_parent_loaded(script: Script, tmp_path: Path) -> None:
    library, other = tmp_path / "library.so", tmp_path / "other.so"
    shutil.copy(_native.LIBRARY, library)
    other.write_bytes(b"another build")
    script(
        PRELUDE.replace("_native.ctl.Version()\nbefore", "_native.LIBRARY = sys.argv[1]\n_native.ctl.Version()\nbefore")
        + """
os.replace(sys.argv[2], sys.argv[1])
in_child(use)
in_child(lambda: [close_everything(), refused('replaced')])
""",
        str(library),
        str(other),
    )


def test_no_file_is_left_open_for_each_copy(script: Script) -> None:
    script(
        PRELUDE
        + """
def count():
    # But for what each copy's runtime waits for events with.
    links = [f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')]
    return len([link for link in links if os.path.islink(link) and 'anon_inode:' not in os.readlink(link)])
open_files = count()
in_child(lambda: [use(), in_child(lambda: [use(), check()]), check()])
""".replace("in_child(", "def check():\n    assert count() == open_files\nin_child(", 1)
    )


def test_a_fork_in_the_middle_of_loading(script: Script) -> None:
    script(
        PRELUDE.replace("_native.ctl.Version()\nbefore = _native.lane\n", "before = _native.lane\n")
        + """
original = _native._import
def fork_after(name, path):
    module = original(name, path)
    _native._import = original
    in_child(use)
    return module
_native._import = fork_after
use()
"""
    )


def test_an_interrupt_at_the_fork_leaves_nothing_half_done(script: Script, tmp_path: Path) -> None:
    script(
        """
import os, sys
def interrupt(frame, event, arg):
    if '/parkit/' in frame.f_code.co_filename:
        raise KeyboardInterrupt
os.register_at_fork(after_in_child=lambda: sys.settrace(interrupt))  # the first, as parkit is not imported yet
"""
        + PRELUDE
        + """
import parkit
from parkit import _flights, _tasks, _open
parkit.set_default_site(sys.argv[1], create=True)
d, a = parkit.Dict('memory/d', create=True), parkit.Array('memory/a', create=True)
os.register_at_fork(after_in_child=lambda: sys.settrace(None))
d[1] = 1
_tasks._numbers['x'], _flights.flights._flights['x'] = 1, None
def child():
    assert _native.generation == 1 and not _tasks._numbers and not _open._spaces and not _flights.flights._flights
    assert _native.lane is not before and d[1] == 1 and 1 in d
    d[2] = 3
    del d[1]
    a.append(1)
    with parkit.transaction(d):
        d[4] = 5
    assert dict(d) == {2: 3, 4: 5} and list(a) == [1]
_native._lock.acquire()
in_child(child)
_native._lock.release()
assert d[2] == 3
""",
        str(tmp_path / "site"),
    )


def test_handlers_in_python_are_refused() -> None:
    with pytest.raises(AssertionError, match="in Python"):
        _native.in_child(lambda: None)


@pytest.mark.long
def test_interrupts_at_any_moment_of_a_fork(script: Script, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    script(
        """
import os, random, signal, sys, time
import parkit
parkit.set_default_site(sys.argv[1], create=True)
d = parkit.Dict('memory/d', create=True)
d[1] = 1
chance = random.Random(int(sys.argv[2]))
for _ in range(600):
    pid = os.fork()
    if pid == 0:
        while True:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                break
            except KeyboardInterrupt:
                pass
        signal.alarm(20)
        good = False
        try:
            good = d[1] == 1 and 1 in d
        finally:
            os._exit(0 if good else 7)
    start, wait = time.perf_counter(), chance.random() * 0.0006
    while time.perf_counter() - start < wait:
        pass
    os.kill(pid, signal.SIGINT)
    status = os.waitpid(pid, 0)[1]
    # The interrupt may also come where the script itself looks for it, or before Python handles it.
    assert status in (0, 256, signal.SIGINT), status
""",
        str(tmp_path / "site"),
        str(seed),
        timeout=300,
    )


FEW = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
def take_all_but(left):
    taken = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        for _ in range(left):
            os.close(taken.pop())
    return taken
def refused():
    try:
        parkit.set_default_site(sys.argv[1], create=True)
    except OSError as error:
        assert error.errno == 24 and 'ulimit' in str(error), error
    else:
        raise AssertionError('nothing was raised')
import json, parkit, parkit.site, parkit.errors
"""


@pytest.mark.parametrize("left", range(8))
def test_too_few_descriptors_to_start_with_are_an_error(script: Script, tmp_path: Path, left: int) -> None:
    script(
        FEW
        + f"""
taken = take_all_but({left})
refused()
for each in taken:
    os.close(each)
parkit.set_default_site(sys.argv[1], create=True)
d = parkit.Dict('memory/d', create=True)
pid = os.fork()
if pid == 0:
    take_all_but({left})
    try:
        d[1]
    except OSError as error:
        os._exit(0 if error.errno == 24 else 1)
    os._exit(2)
assert os.waitpid(pid, 0)[1] == 0
""",
        str(tmp_path / "site"),
    )


@pytest.mark.parametrize("left", range(4))
def test_running_out_of_descriptors_later_ends_no_process(script: Script, tmp_path: Path, left: int) -> None:
    script(
        FEW
        + f"""
from parkit import _native
_native.load()
taken = take_all_but({left})
try:
    parkit.set_default_site(sys.argv[1], create=True)
    parkit.Dict('memory/d', create=True)[1] = 1
except (OSError, parkit.errors.ParkitError) as error:
    print(error)
for each in taken:
    os.close(each)
parkit.set_default_site(sys.argv[1], create=True)
parkit.Dict('memory/d', create=True)[1] = 1
""",
        str(tmp_path / "site"),
    )
