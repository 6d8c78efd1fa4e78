"""Files that are larger than what a process should hold of them at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Script

# Writes and reads a file of a durable namespace, and says how much more memory was resident than at the start. What
# is mapped of the data file counts: VmHWM is the most there ever was.
STREAM = """
import io, os, shutil, sys, zlib
import parkit

class Blocks(io.RawIOBase):
    def __init__(self, size):
        self.left, self.block, self.sum = size, os.urandom(1 << 20), 0
    def read(self, n):
        block = self.block[:min(n, self.left)]
        self.left -= len(block)
        if block:
            self.block = self.block[1:] + self.block[:1]
            self.sum = zlib.crc32(block, self.sum)
        return block

def resident(which):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(which))

parkit.set_default_site(sys.argv[1], create=True)
size = int(sys.argv[2])
file = parkit.File("large/file", create=True)
source = Blocks(size)
start = resident("VmRSS")
with file.open("wb") as stream:
    shutil.copyfileobj(source, stream, 1 << 20)
assert file.size == size
found = 0
with file.open("rb") as stream:
    while part := stream.read(1 << 20):
        found = zlib.crc32(part, found)
assert found == source.sum
print(resident("VmHWM") - start)
"""


def test_a_file_is_streamed_without_being_held(script: Script, tmp_path: Path) -> None:
    size = 160 << 20
    done = script(STREAM, str(tmp_path / "site"), str(size))
    assert int(done.stdout) < 80 << 20  # of 64 MiB nothing is given back: it may be read again


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_four_gigabytes_are_streamed_in_less_than_a_hundred_megabytes(script: Script, tmp_path: Path) -> None:
    done = script(STREAM, str(tmp_path / "site"), str(4 << 30), timeout=1100)
    assert int(done.stdout) < 100 * 1000**2
