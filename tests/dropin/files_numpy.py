"""File and numpy: as the file argument, and as its content."""

import sys

import numpy as np

from parkit import *

set_default_site(sys.argv[1], create=True)

a = np.random.rand(100, 100)
f = File("test", mode="wb+", create=True)
with f:
    np.save(f, a)
f.mode = "rb+"
with f:
    assert np.array_equal(a, np.load(f))

f = File("text", mode="w+", create=True)
with f:
    np.savetxt(f, a)
f.mode = "r+"
with f:
    assert np.array_equal(a, np.loadtxt(f))

c = File("content", create=True)
c.set_content(a)
assert c.metadata["content-type"] == "application/python-numpy-ndarray"
assert np.array_equal(c.get_content(), a)
with snapshot(c):
    seen = c.get_content()
    assert np.array_equal(seen, a) and not seen.flags.writeable
    del seen
mine = c.get_content(zero_copy=False)
mine[0] = 0
assert np.array_equal(c.get_content(), a)

print("files_numpy: fine")
