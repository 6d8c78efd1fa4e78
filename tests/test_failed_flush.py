"""A flush that fails: the operation says so, nothing of it is stored, and what comes after works again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Script

# Fails the flushes of data files with EIO while the file named by FAIL_FLUSHES is there.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int fails(void)
{
    const char *flag = getenv("FAIL_FLUSHES");
    return flag && access(flag, F_OK) == 0;
}

int fdatasync(int fd)
{
    if (fails()) {
        errno = EIO;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""

SCRIPT = """
import os, sys
import parkit
from parkit.errors import StaleHandleError, StorageIOError
flag = os.environ['FAIL_FLUSHES']
parkit.set_default_site(sys.argv[1], create=True)
d = parkit.Dict('safe/d', create=True)
other = parkit.Dict('safe/other', create=True)
d['before'] = 1
open(flag, 'w').close()
for attempt in range(2):
    try:
        d['during'] = attempt
    except StorageIOError as error:
        assert 'safe' in str(error)
    else:
        raise AssertionError('a flush that failed was taken for a success')
try:
    with parkit.transaction(d):
        d['scope'] = 1
        other['scope'] = 1
except (StorageIOError, StaleHandleError):
    pass  # stale: the transaction did not begin, since the namespace had failed by then
else:
    raise AssertionError('a flush that failed was taken for a success')
os.unlink(flag)
assert dict(d) == {'before': 1}, dict(d)
d['after'] = 2
with parkit.transaction(d):
    other['after'] = 2
assert dict(d) == {'before': 1, 'after': 2} and dict(other) == {'after': 2}
assert len(d) == 2 and d.version == 2, (len(d), d.version)  # changed twice
"""

EVERY_USE = """
import os, sys
import parkit
from parkit.errors import StorageIOError
flag = os.environ['FAIL_FLUSHES']
parkit.set_default_site(sys.argv[1], create=True)
d = parkit.Dict('safe/d', create=True)
place = parkit.Namespace('safe')

def fail():
    open(flag, 'w').close()
    try:
        d['x'] = 1
    except StorageIOError:
        os.unlink(flag)
    else:
        raise AssertionError('a flush that failed was taken for a success')

def scope(opened):
    with opened:
        pass

for use in (
    lambda: list(place.names()), lambda: place['d'], lambda: place.maxsize, lambda: list(parkit.directories()),
    lambda: parkit.Dict('safe/d'), lambda: parkit.Dict('safe/e', create=True), lambda: parkit.Dict('safe/f', create=1),
    lambda: d.metadata, lambda: setattr(d, 'metadata', {}), lambda: setattr(d, 'x', 1), lambda: d.attributes,
    lambda: scope(parkit.transaction('safe')), lambda: scope(parkit.snapshot(place)), lambda: scope(d.edit('q', [])),
    lambda: d.version, lambda: d.exists, lambda: len(d), lambda: list(d), lambda: d.update(a=1),
    lambda: parkit.wait(d, lambda: True), lambda: place.__delitem__('e'), lambda: d.drop(),
):
    fail()
    use()
"""


@pytest.fixture
def shim(tmp_path: Path) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "the build needs a C compiler as well"
    source, library = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return str(library)


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is the dynamic linker's of Linux")
def test_after_a_failed_flush_the_namespace_is_opened_again(script: Script, shim: str, tmp_path: Path) -> None:
    script(SCRIPT, str(tmp_path / "site"), LD_PRELOAD=shim, FAIL_FLUSHES=str(tmp_path / "fail"))


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is the dynamic linker's of Linux")
def test_whatever_comes_after_a_failed_flush_works(script: Script, shim: str, tmp_path: Path) -> None:
    script(EVERY_USE, str(tmp_path / "site"), LD_PRELOAD=shim, FAIL_FLUSHES=str(tmp_path / "fail"))
