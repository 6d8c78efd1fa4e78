"""FileIO: a file in a namespace is what open() gives for one on disk."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import pickle
import shutil
import tarfile
import threading
import zipfile
from typing import Any

import numpy
import pytest

import parkit
from conftest import Script
from parkit import File, FileIO, _native, snapshot, transaction

pytestmark = pytest.mark.usefixtures("site")

LARGE = bytes(range(256)) * 4096  # a mebibyte: several chunks


def new(**keywords: Any) -> File:
    return File("files/one", create=True, **keywords)


def stored(file: FileIO) -> bytes:
    with file.open("rb") as stream:
        data: bytes = stream.read()
        return data


# ---- Modes ----


def test_with_opens_it_in_its_mode() -> None:
    file = new(mode="w")
    with file as opened:
        assert opened is file
        assert file.write("first\n") == 6
        file.writelines(["second\n", "third"])
        assert not file.closed
    assert file.closed
    assert stored(file) == b"first\nsecond\nthird"
    file.mode = "r"
    with file:
        assert file.readline() == "first\n"
        assert list(file) == ["second\n", "third"]
    file.mode = "a"
    with file:
        file.write("!")
    file.mode = "rb+"
    with file:
        assert file.read(2) == b"fi"
        file.seek(0)
        file.write(b"F")
        file.seek(0, io.SEEK_END)
        assert file.tell() == file.size == 19
        assert file.truncate(5) == 5
    assert stored(file) == b"First"


@pytest.mark.parametrize("mode", ["", "b", "x", "rw", "wa", "rbt", "rr", "rz", "++", "br-"])
def test_modes_that_are_none_are_refused_before_anything_is_made(mode: str) -> None:
    if mode:
        with pytest.raises(ValueError, match="invalid mode"):
            new(mode=mode)
        with pytest.raises(parkit.ObjectNotFoundError):
            File("files/one")
    file = new()
    with pytest.raises(ValueError, match="invalid mode"):
        file.mode = mode
    with pytest.raises(ValueError, match="invalid mode"):
        file.open(mode)
    assert file.mode == "rb"


@pytest.mark.parametrize(
    ("mode", "readable", "writable"),
    [("r", True, False), ("w", False, True), ("a+", True, True), ("br", True, False), ("+tw", True, True)],
)
def test_the_letters_of_a_mode_come_in_any_order(mode: str, readable: bool, writable: bool) -> None:
    file = new(mode=mode)
    assert (file.readable(), file.writable(), file.seekable(), file.isatty()) == (readable, writable, True, False)
    with file:
        pass
    if not readable:
        with file, pytest.raises(io.UnsupportedOperation):
            file.read()
    if not writable:
        with file, pytest.raises(io.UnsupportedOperation):
            file.write(b"" if "b" in mode else "")


def test_a_file_that_is_not_open_is_closed() -> None:
    file = new()
    for call in (file.read, file.readline, file.readlines, file.flush, file.tell, file.truncate, lambda: iter(file)):
        with pytest.raises(ValueError, match="closed"):
            call()
    for call in (lambda: file.write(b""), lambda: file.seek(0), lambda: file.writelines([]), lambda: next(file)):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.raises(io.UnsupportedOperation):
        file.fileno()
    with file:
        file.close()
        file.close()
        assert file.closed
        with pytest.raises(ValueError, match="closed"):
            file.read()


def test_an_open_file_is_not_opened_again_nor_its_mode_changed() -> None:
    file = new(mode="w")
    with file:
        with pytest.raises(ValueError, match="is open"):
            file.__enter__()
        with pytest.raises(ValueError, match="is open"):
            file.mode = "r"
        with pytest.raises(ValueError, match="is open"):
            file.get_content()
        with pytest.raises(ValueError, match="is open"):
            file.set_content("")


def test_encoding_errors_and_newline_are_those_of_io() -> None:
    file = new(mode="w", encoding="utf-16", newline="\r\n")
    with file:
        file.write("é\n")
    assert stored(file) == "é\r\n".encode("utf-16")
    assert (file.encoding, file.errors) == ("utf-16", None)
    ascii_file = File("files/ascii", create=True, mode="w", encoding="ascii", errors="replace")
    with ascii_file:
        ascii_file.write("é")
    assert stored(ascii_file) == b"?"
    with ascii_file.open("w", newline="\r") as stream:
        stream.write("a\nb\n")
    with ascii_file.open("r") as stream:
        assert stream.read() == "a\nb\n"
        assert stream.newlines == "\r"
    with pytest.raises(LookupError), file.open("r", encoding="no such"):
        pass
    with pytest.raises(ValueError, match="unbuffered text"):
        file.open("r", 0)
    with pytest.raises(ValueError, match="binary mode"):
        file.open("rb", encoding="ascii")


# ---- Streams ----


def test_streams_of_one_file_are_independent() -> None:
    file = new()
    with file.open("wb") as out, file.open("rb") as one, file.open("rb") as two:
        out.write(b"abcdef")
        out.flush()
        assert (one.read(2), two.read(4), one.read(2)) == (b"ab", b"abcd", b"cd")
    assert isinstance(out, io.BufferedWriter)
    assert isinstance(one, io.BufferedReader)
    with file.open("r+b") as both, file.open("r") as text:
        assert isinstance(both, io.BufferedRandom)
        assert isinstance(text, io.TextIOWrapper)
        assert (both.name, both.mode, text.mode) == ("one", "r+b", "r")


def test_appended_parts_come_one_after_the_other() -> None:
    file = new()
    with file.open("a") as one, file.open("a") as two:
        for stream, text in ((one, "a"), (two, "b"), (one, "c")):
            stream.write(text)
            stream.flush()
        one.seek(0)
        one.write("d")
    assert stored(file) == b"abcd"


def test_replaced_content_of_a_buffers_size_changes_in_one_commit() -> None:
    file = new()
    file.set_content("old")
    before = file.version
    with file.open("w") as stream:
        stream.write("new")
        assert stored(file) == b"old"
    assert stored(file) == b"new"
    assert file.version == before + 1
    with file.open("w"):
        pass
    assert file.size == 0
    assert file.version == before + 2


@pytest.mark.parametrize(
    ("mode", "buffering", "size"), [("wb", -1, 1_048_408), ("ab", -1, 10**6), ("r+b", 3 << 20, 3 << 20)]
)
def test_what_a_stream_gathered_is_stored_in_one_commit(mode: str, buffering: int, size: int) -> None:
    file = new()
    file.set_content(LARGE[:1000])
    before = file.version
    with file.open(mode, buffering) as stream:
        for at in range(0, size, 1000):
            stream.write((LARGE * 3)[at : min(at + 1000, size)])
    assert file.version == before + 1
    assert stored(file)[-size:] == (LARGE * 3)[:size]


def test_large_parts_that_are_appended_at_once_do_not_mix() -> None:
    file = new()

    def add(letter: bytes) -> None:
        with file.open("ab", 3 << 20) as stream:
            for _ in range(10):
                stream.write(letter * 300_000)
                stream.flush()

    threads = [threading.Thread(target=add, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = stored(file)
    assert len(content) == 20 * 300_000
    parts = [content[at : at + 300_000] for at in range(0, len(content), 300_000)]
    assert all(len(set(part)) == 1 for part in parts)


@pytest.mark.parametrize("buffering", [0, -1, 700, 300_000])
def test_large_content_comes_back(buffering: int) -> None:
    file = new()
    with file.open("wb", buffering) as stream:
        for at in range(0, len(LARGE), 99_999):
            stream.write(LARGE[at : at + 99_999])
    with file.open("rb", buffering) as stream:
        parts = list(iter(lambda: stream.read(77_777), b""))
    assert b"".join(parts) == LARGE == stored(file)
    with file.open("rb", buffering) as stream:
        stream.seek(-5, io.SEEK_END)
        assert stream.read() == LARGE[-5:]


def test_what_lies_beyond_the_end_is_zeros_when_it_is_written_behind() -> None:
    file = new()
    with file.open("wb") as stream:
        stream.seek(1 << 40)
        stream.write(b"x")
    assert file.size == (1 << 40) + 1
    with file.open("rb") as stream:
        stream.seek(1 << 39)
        assert stream.read(3) == b"\0\0\0"
        stream.seek(1 << 40)
        assert stream.read() == b"x"


def test_sizes_that_cannot_be_are_refused_and_change_nothing() -> None:
    file = new()
    file.set_content(b"abc")
    with file.open("r+b", 0) as stream:
        with pytest.raises(parkit.errors.TooBigError):
            stream.truncate(1 << 60)
        stream.seek(1 << 60)
        with pytest.raises(parkit.errors.TooBigError):
            stream.write(b"x")
        with pytest.raises(OSError, match="Invalid argument"):
            stream.seek(-1)
        with pytest.raises(ValueError, match="whence"):
            stream.seek(0, 7)
        with pytest.raises(OSError, match="Invalid argument"):
            stream.truncate(-1)
    assert stored(file) == b"abc"


# ---- Transactions and snapshots ----


def test_all_writes_in_a_transaction_are_one_commit() -> None:
    file = new()
    before = file.version
    with transaction(file), file.open("wb") as stream:
        for _ in range(3):
            stream.write(LARGE)
            stream.flush()
    assert file.version == before + 1
    assert file.size == 3 * len(LARGE)


def test_an_exception_in_a_transaction_undoes_the_writes() -> None:
    file = new()
    file.set_content("old")
    with pytest.raises(KeyError), transaction(file):
        with file.open("w") as stream:
            stream.write("new")
        assert stored(file) == b"new"
        raise KeyError
    assert stored(file) == b"old"
    assert file.get_content() == "old"


def test_a_snapshot_reads_its_own_moment() -> None:
    file = new()
    file.set_content("old")
    with snapshot(file), file.open("r") as stream:
        file.set_content("newer")
        assert stream.read() == "old"
        assert file.size == 3
    assert file.get_content() == "newer"


def test_with_x_it_is_open_for_as_long_as_a_transaction() -> None:
    file = new(mode="wx")
    before = file.version
    with file:
        file.write("a")
        file.flush()
        parkit.Dict("files/other", create=True)["k"] = 1
    assert file.version == before + 1
    with pytest.raises(KeyError), file:
        file.write("b")
        file.flush()
        raise KeyError
    assert stored(file) == b"a"
    assert file.closed
    file.mode = "rbx"
    with file:
        assert bytes(file.read()) == b"a"
    with pytest.raises(ValueError, match="with file"):
        file.open("wx")


def test_in_a_snapshot_bytes_are_read_in_place() -> None:
    file = new()
    file.set_content(b"one\ntwo\nthree")
    with snapshot(file):
        with file:
            assert file.read(4) == b"one\n"
            view = file.read()
            assert isinstance(view, memoryview)
            assert view.readonly
            assert view == b"two\nthree"
            assert file.read() == b""
            file.seek(-5, io.SEEK_END)
            assert file.tell() == 8
            file.seek(0)
            assert list(file) == [b"one\n", b"two\n", b"three"]
            room = bytearray(5)
            file.seek(4)
            assert file.readinto(room) == 5
            assert room == b"two\nt"
            del view
        with pytest.raises(ValueError, match="closed"):
            file.read()
    with transaction(file), file:
        assert isinstance(file.read(), memoryview)
    with file:
        assert isinstance(file.read(), bytes)


def test_another_process_reads_what_was_written(script: Script) -> None:
    file = new()
    with file.open("w") as stream:
        stream.write("from here")
    done = script(
        "import sys, parkit; parkit.set_default_site(sys.argv[1]); f = parkit.File('files/one', mode='r')\n"
        "with f: print(f.read())\n"
        "f.set_content([1, 2])",
        parkit.get_default_site()[0],  # type: ignore[index]
    )
    assert done.stdout == "from here\n"
    assert file.get_content() == [1, 2]


def test_a_reference_reads_the_same_file() -> None:
    file = new()
    file.set_content("text")
    again = pickle.loads(pickle.dumps(file))
    assert again == file
    assert again.mode == "rb"
    with again:
        assert again.read() == b"text"
    file.drop()
    with pytest.raises(parkit.ObjectNotFoundError), again.open("rb"):
        pass


# ---- As the file argument of others ----


def test_json_csv_and_pickle_take_it() -> None:
    file = new(mode="w")
    with file:
        json.dump({"a": [1, None]}, file)
    file.mode = "r"
    with file:
        assert json.load(file) == {"a": [1, None]}
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["a", "b\nc"], [1, 2]])
    with file.open("r", newline="") as stream:
        assert list(csv.reader(stream)) == [["a", "b\nc"], ["1", "2"]]
    file.mode = "wb"
    with file:
        pickle.dump(LARGE, file)
    file.mode = "rb"
    with file:
        assert pickle.load(file) == LARGE
    with snapshot(file), file:
        assert pickle.load(file) == LARGE


def test_archives_are_made_and_read_in_it() -> None:
    file = new(mode="w+b")
    with file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "text")
        archive.writestr("large", LARGE)
    file.mode = "r+b"
    with file, zipfile.ZipFile(file, "a") as archive:
        archive.writestr("b.txt", "more")
    file.mode = "rb"
    for scope in (None, snapshot(file), transaction(file)):
        with scope or file:
            if scope is not None:
                file.__enter__()
            with zipfile.ZipFile(file) as archive:
                assert archive.namelist() == ["a.txt", "large", "b.txt"]
                assert archive.read("large") == LARGE
                assert archive.testzip() is None
            file.__exit__(None, None, None)
    file.mode = "wb"
    with file, tarfile.open(fileobj=file, mode="w:gz") as tar:
        info = tarfile.TarInfo("large")
        info.size = len(LARGE)
        tar.addfile(info, io.BytesIO(LARGE))
    file.mode = "rb"
    with file, tarfile.open(fileobj=file) as tar:
        member = tar.extractfile("large")
        assert member is not None
        assert member.read() == LARGE
    with file.open("wb") as stream, gzip.GzipFile(fileobj=stream, mode="wb") as zipped:
        zipped.write(LARGE)
    with file.open("rb") as stream, gzip.open(stream) as unzipped:
        assert unzipped.read() == LARGE


def test_shutil_copies_into_it_and_out_of_it() -> None:
    file = new(mode="wb")
    with file:
        shutil.copyfileobj(io.BytesIO(LARGE * 3), file, 100_000)
    out = io.BytesIO()
    file.mode = "rb"
    with file:
        shutil.copyfileobj(file, out)
    assert out.getvalue() == LARGE * 3


def test_a_text_wrapper_can_be_put_round_it() -> None:
    file = new(mode="wb")
    with file:
        wrapper = io.TextIOWrapper(file, encoding="latin-1")  # type: ignore[arg-type]
        wrapper.write("é")
        wrapper.flush()
        wrapper.detach()
    file.mode = "rb"
    with file:
        wrapper = io.TextIOWrapper(file, encoding="latin-1")  # type: ignore[arg-type]
        assert wrapper.read() == "é"
        wrapper.detach()


@pytest.mark.parametrize("scope", [None, snapshot, transaction])
def test_numpy_saves_to_it_and_loads_from_it(scope: Any) -> None:
    array = numpy.arange(300_000.0).reshape(300, 1000)
    file = new(mode="wb")
    with file:
        numpy.save(file, array)
    file.mode = "rb"
    with scope(file) if scope else file:
        if scope:
            file.__enter__()
        assert (numpy.load(file) == array).all()
        file.__exit__(None, None, None)
    file.mode = "wb"
    with file:
        numpy.savez_compressed(file, a=array, b=array[0])
    file.mode = "rb"
    with file:
        assert (numpy.load(file)["b"] == array[0]).all()
    file.mode = "w"
    with file:
        numpy.savetxt(file, array[:5], delimiter=",")
    file.mode = "r"
    with file:
        assert (numpy.loadtxt(file, delimiter=",") == array[:5]).all()


@pytest.mark.parametrize("size", [3, 3 << 20])
@pytest.mark.parametrize("mode", ["w", "wb", "w+b"])
def test_what_cannot_be_stored_replaces_nothing(monkeypatch: pytest.MonkeyPatch, mode: str, size: int) -> None:
    file = new()
    file.set_content(b"precious")

    def full(*_: Any) -> int:
        raise OSError("the disk is full")

    stream = file.open(mode)
    with monkeypatch.context() as patched:
        patched.setattr(_native.lane, "file_write", full)
        with pytest.raises(OSError, match="full"), stream:
            stream.write("n" * size if mode == "w" else b"n" * size)
    assert stream.closed
    assert file.get_content() == b"precious"


@pytest.mark.parametrize("mode", ["wbx", "wx", "abx", "r+bx", "w", "wb", "ab", "r+b"])
def test_a_forked_child_stores_nothing_of_its_parents_streams(mode: str) -> None:
    file = new(mode=mode)
    file.set_content(b"old")
    with pytest.raises(ZeroDivisionError), file:
        file.write(b"undone" if "b" in mode else "undone")
        child = os.fork()
        if child == 0:
            try:
                with file.open("rb") as there:
                    assert there.read() == b"old"
                try:
                    file.flush()
                except ValueError:
                    file.__exit__(None, None, None)
                    os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with file.open("rb") as there:
            assert there.read() == b"old"  # as nothing is stored yet
        1 / 0  # noqa: B018
    stored = b"oldundone" if mode[0] == "a" else b"undone"
    with file.open("rb") as there:
        assert there.read() == (b"old" if "x" in mode else stored)
