"""File and FileIO: modes, text, what reads and writes files, content of several types."""

import io
import json
import pickle
import shutil
import sys
import zipfile

from parkit import *

set_default_site(sys.argv[1], create=True)

f = File("files/notes", mode="w", create=True)
with f:
    f.write("first\n")
    f.writelines(["second\n", "größer\n"])
assert f.size == len("first\nsecond\ngrößer\n".encode())
f.mode = "r"
with f:
    assert f.readable() and f.seekable() and not f.writable() and not f.closed
    assert f.readline() == "first\n"
    assert f.readlines() == ["second\n", "größer\n"]
    assert f.read() == ""
    f.seek(0)
    assert [line.strip() for line in f] == ["first", "second", "größer"]
f.mode = "a"
with f:
    f.write("last")
f.mode = "r"
with f:
    assert f.read() == "first\nsecond\ngrößer\nlast"
assert f.encoding == "utf-8"

b = File("files/bytes", mode="wb", create=True)
with b:
    assert b.write(b"0123456789") == 10
    assert b.tell() == 10
    b.seek(2)
    b.write(b"xy")
b.mode = "rb"
with b:
    assert b.seek(-3, io.SEEK_END) == 7 and b.read() == b"789"
    b.seek(0)
    assert b.read(4) == b"01xy" and b.tell() == 4
# In a snapshot it is read where it is stored.
with snapshot(b):
    with b:
        data = b.read()
        assert isinstance(data, memoryview) and data == b"01xy456789"
        del data

# What takes a file takes it.
j = File("files/json", mode="w", create=True)
with j:
    json.dump({"a": [1, None]}, j)
j.mode = "r"
with j:
    assert json.load(j) == {"a": [1, None]}
p = File("files/pickle", mode="wb", create=True)
with p:
    pickle.dump([1, 2], p)
p.mode = "rb"
with p:
    assert pickle.load(p) == [1, 2]
z = File("files/zip", mode="wb", create=True)
with z:
    with zipfile.ZipFile(z, "w") as archive:
        archive.writestr("inside", "text")
z.mode = "rb"
with z:
    with zipfile.ZipFile(z) as archive:
        assert archive.read("inside") == b"text"
    z.seek(0)
    copy = io.BytesIO()
    shutil.copyfileobj(z, copy)
    assert len(copy.getvalue()) == z.size

# An exclusive one holds a write transaction while it is open: an exception undoes what was written.
x = FileIO("files/exclusive", mode="wbx", create=True)
try:
    with x:
        x.write(b"half")
        raise KeyError
except KeyError:
    pass
assert x.size == 0

# Content of several types.
c = File()
for value, kind in (
    ("hello", "text/plain"),
    (b"hello", "application/octet-stream"),
    ([1, {"a": 2}], "application/python-pickle"),
):
    c.set_content(value)
    assert c.get_content() == value and c.metadata["content-type"] == kind
    assert "last-modified" in c.metadata
c.set_content("hello")
assert c.encoding == "utf-8" and len(c.get_content()) == 5
c.set_content(b"hello")
assert isinstance(c.get_content(), bytearray)
with snapshot(c):
    view = c.get_content(zero_copy=True)
    assert isinstance(view, memoryview) and view == b"hello"
    assert c.get_content(zero_copy=False) == b"hello"
    del view

print("files: fine")
