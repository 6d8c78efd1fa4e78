"""What a stream of a File gathers: when it is stored, who sees it before, and that nothing of it is lost."""

from __future__ import annotations

import gc
import io
import itertools
import random
import threading
import zipfile
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import parkit
from conftest import Script
from parkit import File, FileIO, transaction
from parkit._gathered import Gathered

pytestmark = pytest.mark.usefixtures("site")


def new(**keywords: Any) -> File:
    return File("files/one", create=True, **keywords)


def stored(file: FileIO) -> bytes:
    with FileIO(file.path, mode="rb") as stream:
        return bytes(stream.read())


# ---- The end of a process, and streams that nobody closes ----

LEFT_OPEN = {
    "text": "s = f.open('w'); s.write('x')",
    "binary": "s = f.open('wb'); s.write(b'x')",
    "unbuffered": "s = f.open('wb', 0); s.write(b'x')",
    "with": "f.mode = 'w'; f.__enter__(); f.write('x')",
    "cycle": "s = f.open('w'); s.me = s; s.write('x'); del s",
    "used by a function": "s = f.open('w'); s.write('x')\ndef g(): return s\nclass C:\n    held = [s, g]",
}


@pytest.mark.parametrize("how", LEFT_OPEN)
def test_a_stream_left_open_at_the_end_of_a_process_is_stored(how: str, script: Script) -> None:
    file = new()
    source = f"import sys, parkit; parkit.set_default_site(sys.argv[1]); f = parkit.File('files/one')\n{LEFT_OPEN[how]}"
    done = script(source, parkit.get_default_site()[0])  # type: ignore[index]
    assert stored(file) == b"x"
    assert done.stdout + done.stderr == ""


def test_many_parts_left_open_are_stored(script: Script) -> None:
    file = new()
    script(
        "import sys, parkit; parkit.set_default_site(sys.argv[1]); s = parkit.File('files/one').open('wb')\n"
        "for at in range(20): s.seek(at * 2); s.write(b'x')",
        parkit.get_default_site()[0],  # type: ignore[index]
    )
    assert stored(file) == b"\0".join([b"x"] * 20)


@pytest.mark.parametrize("mode", ["w", "wb", "w+b", "unbuffered"])
def test_a_stream_that_nobody_closes_is_stored_and_told_of(mode: str) -> None:
    file = new()
    text = mode == "w"
    stream = file.open("wb", 0) if mode == "unbuffered" else file.open(mode)
    stream.write("x" if text else b"x")
    stream.me = stream  # a cycle: what is below the top may be told first
    with pytest.warns(ResourceWarning, match="unclosed file") as told:  # noqa: PT031 (it may go at once, or by gc)
        del stream
        gc.collect()
    assert [warning.filename for warning in told] == [__file__]
    assert stored(file) == b"x"


@pytest.mark.parametrize("how", ["text", "binary", "with"])
def test_a_stream_left_open_is_told_of_where_python_tells_of_its_own(how: str, script: Script) -> None:
    file = new()
    source = (
        "import sys, warnings, parkit; parkit.set_default_site(sys.argv[1]); f = parkit.File('files/one')\n"
        f"warnings.simplefilter('default')\n{LEFT_OPEN[how]}"
    )
    done = script(source, parkit.get_default_site()[0])  # type: ignore[index]
    assert stored(file) == b"x"
    assert "ResourceWarning: unclosed file" in done.stderr
    assert "Exception ignored" not in done.stderr


def test_threads_may_share_a_stream() -> None:
    file = new()
    with file.open("w+b") as stream:

        def write(letter: bytes) -> None:
            for i in range(500):
                stream.write(letter * 10)
                if i % 50 == 0:
                    stream.flush()

        threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    content = stored(file)
    assert len(content) == 3 * 5000
    assert {content[at : at + 10] for at in range(0, 15_000, 10)} == {b"a" * 10, b"b" * 10, b"c" * 10}


def test_arguments_that_are_none_do_not_replace_the_content() -> None:
    file = new()
    file.set_content("old")
    with pytest.raises(LookupError):
        file.open("w", encoding="no such")
    gc.collect()
    assert stored(file) == b"old"


# ---- One commit ----


def test_a_small_archive_replaces_the_content_in_one_commit() -> None:
    file = new()
    file.set_content(b"old")
    before = file.version
    with file.open("wb") as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            for i in range(500):
                archive.writestr(str(i), "b" * 100)
            assert stored(file) == b"old"
        assert file.version == before + 1  # it ends by a flush
    assert file.version == before + 1
    with file.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 500


def test_arrays_replace_the_content_in_one_commit() -> None:
    file = new()
    file.set_content(b"old")
    before = file.version
    with file.open("wb") as stream:
        numpy.savez(stream, a=numpy.arange(1000), b=numpy.ones(10))
    assert file.version == before + 1
    with file.open("rb") as stream, numpy.load(stream) as arrays:
        assert arrays["a"].tolist() == list(range(1000))


@pytest.mark.parametrize("mode", ["w", "w+"])
def test_to_tell_a_place_or_to_go_to_one_stores_nothing(mode: str) -> None:
    file = new()
    file.set_content("old")
    before = file.version
    with file.open(mode) as stream:
        for i in range(300):
            stream.write("é")
            assert stream.tell() == 2 * i + 2
        stream.seek(0)
        stream.write("x\n")
        stream.seek(0, io.SEEK_END)
        if "+" in mode:
            stream.seek(0)
            assert stream.readline() == "x\n"
        assert stored(file) == b"old"
    assert file.version == before + 1
    assert stored(file) == b"x\n" + "é".encode() * 299


def test_writes_at_random_places_are_one_commit() -> None:
    file = new()
    file.set_content(bytes(100_000))
    before, expected = file.version, bytearray(100_000)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    with file.open("r+b") as stream:
        for _ in range(200):
            at = chance.randrange(100_000)
            stream.seek(at)
            stream.write(b"x")
            expected[at] = ord("x")
        stream.seek(0)
        assert stream.read() == expected
        assert file.version == before
    assert file.version == before + 1
    assert stored(file) == expected


def test_more_parts_than_are_gathered_are_stored_in_between() -> None:
    file = new()
    with file.open("wb") as stream:
        for at in range(1000):
            stream.seek(at * 2)
            stream.write(b"x")
    assert stored(file) == b"\0".join([b"x"] * 1000)
    assert 4 <= file.version <= 6


def test_to_cut_what_is_replaced_is_one_commit() -> None:
    file = new()
    file.set_content(b"old")
    before = file.version
    with file.open("wb") as stream:
        stream.write(b"abcdef")
        stream.truncate(3)
        assert stored(file) == b"abc"
    assert file.version == before + 1


def test_what_is_gathered_in_a_transaction_goes_with_it() -> None:
    file = new()
    file.set_content(b"old")
    with pytest.raises(KeyError), transaction(file):
        with file.open("r+b") as stream:
            for at in (9, 5, 0):
                stream.seek(at)
                stream.write(b"x")
        assert stored(file) == b"xld\0\0x\0\0\0x"
        raise KeyError
    assert stored(file) == b"old"


def test_parts_are_stored_past_a_snapshot() -> None:
    file = new()
    file.set_content(b"old")
    with parkit.snapshot(file):
        with file.open("r+b") as stream:
            for at in (5, 0):
                stream.seek(at)
                stream.write(b"x")
        assert file.size == 3
    assert stored(file) == b"xld\0\0x"


# ---- A flush ----


@pytest.mark.parametrize("mode", ["wb", "w+b", "r+b", "ab", "a+b", "w", "r+", "a"])
def test_after_a_flush_all_is_to_be_seen(mode: str) -> None:
    file = new()
    one = b"x" if "b" in mode else "x"
    with file.open(mode) as stream:
        stream.write(one)
        stream.flush()
        assert stored(file) == b"x"
        stream.write(one)
        assert stream.tell() == 2
        stream.flush()
        assert stored(file) == b"xx"


def test_a_line_buffered_stream_stores_each_line() -> None:
    file = new()
    with file.open("w", buffering=1) as stream:
        stream.write("one\ntw")
        assert stored(file).startswith(b"one\n")
        stream.tell()
        stream.write("o\n")
        assert stored(file) == b"one\ntwo\n"


def test_streams_detached_from_their_buffers_store_what_is_written() -> None:
    file = new()
    buffered = file.open("w").detach()
    raw = buffered.detach()
    raw.write(b"x")
    assert stored(file) == b"x"
    raw.close()


@pytest.mark.usefixtures("durable")
@pytest.mark.parametrize("end", ["flush", "close"])
def test_what_cannot_be_stored_is_told_and_nothing_changes(end: str) -> None:
    file = new()
    file.set_content(b"old")
    stream = file.open("wb")
    stream.write(b"x")
    stream.seek(5)
    stream.write(b"y")
    file.drop()
    with pytest.raises(parkit.ObjectNotFoundError):
        getattr(stream, end)()
    if end == "flush":
        stream.write(b"z" * 100)
        stream.seek(0)  # what is gathered grows
        with pytest.raises(parkit.ObjectNotFoundError):
            stream.close()
    assert stream.closed


def test_a_flush_that_failed_can_be_repeated() -> None:
    file = new()
    file.set_content(b"old")
    stream = file.open("wb")
    for at in (5, 0):
        stream.seek(at)
        stream.write(b"x")
    with pytest.MonkeyPatch.context() as patch:

        def fail(*_: Any) -> None:
            raise parkit.errors.StorageFullError("full")

        patch.setattr(parkit._file_stream, "transaction", fail)
        with pytest.raises(parkit.errors.StorageFullError):
            stream.flush()
        assert stored(file) == b"old"
    stream.close()
    assert stored(file) == b"x\0\0\0\0x"


def test_to_close_waits_once_for_what_cannot_be_stored() -> None:
    file = new()
    file.set_content(b"old")
    stream = file.open("wb")
    for at in (5, 0):
        stream.seek(at)
        stream.write(b"x")
    tried = []
    with pytest.MonkeyPatch.context() as patch:

        def fail(*_: Any) -> None:
            tried.append(None)
            raise parkit.errors.StorageFullError("full")

        patch.setattr(parkit._file_stream, "transaction", fail)
        with pytest.raises(parkit.errors.StorageFullError):
            stream.close()
    assert len(tried) == 1
    assert stream.closed
    assert stored(file) == b"old"


# ---- Arguments ----


@pytest.mark.parametrize("bufsize", ["x", 1.5, b"1", [1]])
def test_a_bufsize_that_is_no_number_is_refused(bufsize: Any) -> None:
    with pytest.raises(TypeError, match="bufsize is a whole number of bytes above zero, not"):
        new(bufsize=bufsize)
    with pytest.raises(parkit.ObjectNotFoundError):
        File("files/one")


@pytest.mark.parametrize("mode", ["x", "xb", "+x"])
def test_x_alone_says_what_it_is_here(mode: str) -> None:
    with pytest.raises(ValueError, match=r"invalid mode: .*x comes with r, w or a, .* transaction"):
        new(mode=mode)
    with pytest.raises(ValueError, match=r"invalid mode: .*not for a file that must be new"):
        new().open(mode)


@pytest.mark.parametrize("size", ["1", 1.5])
@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_size_that_is_no_number_is_refused_as_io_does(size: Any, buffering: int) -> None:
    with new().open("wb", buffering) as stream, pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        stream.truncate(size)
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        new().open("wb", size)


# ---- What holds the parts ----

places = st.integers(0, 60)


writes_of_bytes = st.lists(st.tuples(places, st.binary(min_size=1, max_size=12)) | st.none(), max_size=20)


@given(writes_of_bytes, places, st.integers(0, 30))
def test_gathered_parts_are_what_was_written_last(writes: list[tuple[int, bytes] | None], at: int, n: int) -> None:
    gathered, twin = Gathered(), dict[int, int]()
    for write in writes:
        if write is None:
            gathered.clear()
            twin.clear()
            assert (len(gathered), gathered.size, gathered.end) == (0, 0, 0)
            continue
        place, data = write
        growth, before = gathered.growth(place, len(data)), gathered.size
        if place not in twin:
            assert gathered.follows(place) == (place - 1 in twin)
        gathered.put(place, memoryview(data))
        twin.update(enumerate(data, place))
        assert gathered.size == len(twin) == before + growth
        assert gathered.end == max(twin) + 1
    parts = [(start, bytes(part)) for start, part in gathered]
    assert {start + i: byte for start, part in parts for i, byte in enumerate(part)} == twin
    assert all(one[0] + len(one[1]) <= other[0] for one, other in itertools.pairwise(parts))
    buffer = bytearray(b"-" * n)
    with memoryview(buffer) as view:
        gathered.lay_over(at, view)
    assert buffer == bytes(twin.get(place, ord("-")) for place in range(at, at + n))
