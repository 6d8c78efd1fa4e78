"""File: a value as a whole, and what is noted of it."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy
import pandas
import polars
import pytest

import parkit
from conftest import Script
from parkit import File, FileIO, snapshot, transaction

pytestmark = pytest.mark.usefixtures("site")

ARRAYS: dict[str, Callable[[], Any]] = {
    "floats": lambda: numpy.arange(12.0).reshape(3, 4),
    "fortran": lambda: numpy.asfortranarray(numpy.arange(12).reshape(3, 4)),
    "strided": lambda: numpy.arange(100).reshape(10, 10)[::2, ::-3],
    "scalar": lambda: numpy.array(5, "i2"),
    "empty": lambda: numpy.zeros((0, 3)),
    "complex": lambda: numpy.array([1 + 2j]),
    "booleans": lambda: numpy.array([True, False]),
    "big endian": lambda: numpy.arange(5, dtype=">i8"),
    "dates": lambda: numpy.array(["2020-01-01", "NaT"], dtype="M8[D]"),
    "durations": lambda: numpy.array([1, 2], dtype="m8[15us]"),
    "text": lambda: numpy.array(["é", "long text"]),
    "bytes": lambda: numpy.array([b"a", b"bc"]),
    "structured": lambda: numpy.array([(1, (2.5, 3.5), "a")], [("a", "i4"), ("b", "f8", (2,)), ("c", "U3")]),
    "nested": lambda: numpy.zeros(3, [("a", [("b", "u1"), ("c", "f4", (2, 2))]), ("d", "S2")]),
    "padded": lambda: numpy.zeros(2, numpy.dtype([("a", "u1"), ("b", "f8")], align=True)),
    "titled": lambda: numpy.zeros(2, [(("title", "a"), "i4")]),
    "large": lambda: numpy.arange(1 << 18),
}

#: Arrays that are more than their bytes: they are pickled.
PICKLED: dict[str, Callable[[], Any]] = {
    "objects": lambda: numpy.array(["a", None, 3], dtype=object),
    "masked": lambda: numpy.ma.masked_array([1, 2, 3], [False, True, False]),
    "no bytes": lambda: numpy.zeros(3, "V0"),
}


def new() -> File:
    return File("files/content", create=True)


def same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    numpy.testing.assert_array_equal(one, other)


# ---- Text, bytes and anything else ----


@pytest.mark.parametrize("value", ["", "text", "é\0\n\r", "x" * 300_000])
def test_text_comes_back(value: str) -> None:
    file = new()
    file.set_content(value)
    assert file.get_content() == value
    assert file.metadata["content-type"] == "text/plain"
    assert file.metadata["content-encoding"] == "utf-8"
    assert file.size == len(value.encode())
    for scope in (snapshot(file), transaction(file)):
        with scope:
            assert file.get_content() == value


@pytest.mark.parametrize("value", [b"", b"abc", bytearray(b"abc"), memoryview(b"abcdef")[::2], bytes(300_000)])
def test_bytes_come_as_the_scope_allows(value: Any) -> None:
    file = new()
    file.set_content(value)
    content = file.get_content()
    assert type(content) is bytearray
    assert content == bytes(value)
    assert file.metadata["content-type"] == "application/octet-stream"
    for scope in (snapshot(file), transaction(file)):
        with scope:
            content = file.get_content()
            assert type(content) is memoryview
            assert content.readonly
            assert content == bytes(value)
            del content
            assert type(file.get_content(zero_copy=False)) is bytearray


@pytest.mark.parametrize("value", [None, {"a": [1, 2.5]}, (1, "x"), datetime.date(2020, 1, 1), 2**100])
def test_other_values_are_pickled(value: Any) -> None:
    file = new()
    file.set_content(value)
    assert file.get_content() == value
    assert file.metadata["content-type"] == "application/python-pickle"
    kind = type(value)
    assert file.metadata["content-properties"] == {"type": f"{kind.__module__}.{kind.__qualname__}"}


def test_a_function_is_pickled_by_value() -> None:
    file = new()
    factor = 3
    file.set_content(lambda x: factor * x)
    assert file.get_content()(2) == 6


def test_what_cannot_be_pickled_changes_nothing() -> None:
    file = new()
    file.set_content("old")
    with pytest.raises(TypeError, match="cannot store"):
        file.set_content(sys._getframe())
    with pytest.raises(UnicodeEncodeError):
        file.set_content("\ud800")
    assert file.get_content() == "old"


def test_a_file_that_holds_nothing_yet_gives_none() -> None:
    assert new().get_content() is None


def test_what_a_stream_wrote_is_content_too() -> None:
    file = new()
    file.set_content([1, 2, 3])
    with file.open("w", encoding="utf-16") as stream:
        stream.write("text é")
    assert file.get_content() == "text é"
    with file.open("wb") as stream:
        stream.write(b"bytes")
    assert file.get_content() == b"bytes"
    fresh = File("files/fresh", create=True)
    with fresh.open("ab") as stream:
        stream.write(b"added")
    assert fresh.get_content() == b"added"


# ---- What is noted ----


def test_content_and_what_it_is_change_together() -> None:
    file = new()
    file.set_content("text")
    before = file.version
    file.set_content(b"bytes")
    assert file.version == before + 1
    with pytest.raises(KeyError), transaction(file):
        file.set_content({"a": 1})
        assert file.get_content() == {"a": 1}
        raise KeyError
    assert file.get_content() == b"bytes"


def test_the_users_metadata_stay_the_users() -> None:
    file = File("files/content", create=True, metadata={"owner": "ann", "content-type": "mine"})
    assert file.metadata == {"owner": "ann"}
    file.set_content("text")
    described = file.metadata
    assert set(described) == {"owner", "content-type", "content-encoding", "last-modified"}
    file.metadata = {"owner": "bob", "content-type": "mine"}
    assert file.metadata == {**described, "owner": "bob"}
    assert file.descriptor["metadata"] == file.metadata
    assert dict(parkit.Namespace("files").metadata())["content"] == file.metadata
    assert file.get_content() == "text"


def test_the_time_of_the_last_change_is_noted() -> None:
    file = new()
    before = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    file.set_content("text")
    after = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    assert before <= datetime.datetime.fromisoformat(file.metadata["last-modified"]) <= after


def test_content_of_a_newer_type_is_not_guessed_at() -> None:
    file = new()
    from parkit import _native

    _native.lane.file_set(file, b"?", json.dumps({"content-type": "application/of-tomorrow"}))
    with pytest.raises(ValueError, match="of-tomorrow"):
        file.get_content()
    with file.open("rb") as stream:
        assert stream.read() == b"?"


def test_a_file_of_bytes_only_has_no_values() -> None:
    assert not hasattr(FileIO, "get_content")
    bound = FileIO(new().path)
    bound.mode = "wb"
    with bound:
        bound.write(b"abc")
    assert new().get_content() == b"abc"


# ---- numpy ----


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back(name: str) -> None:
    array, file = ARRAYS[name](), new()
    file.set_content(array)
    assert file.metadata["content-type"] == "application/python-numpy-ndarray"
    assert file.metadata["content-properties"]["shape"] == list(array.shape)
    assert file.metadata["content-properties"]["dtype"] == str(array.dtype)
    got = file.get_content()
    same(got, array)
    assert got.flags.writeable
    with transaction(file):
        same(file.get_content(), array)
    with snapshot(file):
        same(file.get_content(), array)
        assert not file.get_content().flags.writeable
        assert file.get_content(zero_copy=False).flags.writeable


@pytest.mark.parametrize("name", PICKLED)
def test_an_array_that_is_more_than_bytes_is_pickled(name: str) -> None:
    array, file = PICKLED[name](), new()
    file.set_content(array)
    assert file.metadata["content-type"] == "application/python-pickle"
    same(file.get_content(), array)


def test_the_order_of_an_array_is_kept() -> None:
    file = new()
    file.set_content(ARRAYS["fortran"]())
    assert file.get_content().flags.f_contiguous
    file.set_content(ARRAYS["floats"]())
    assert file.get_content().flags.c_contiguous


def test_a_mapped_array_is_stored_as_an_array(tmp_path: Any) -> None:
    mapped = numpy.memmap(tmp_path / "map", "i4", "w+", shape=(5,))
    mapped[:] = range(5)
    file = new()
    file.set_content(mapped)
    same(file.get_content(), numpy.arange(5, dtype="i4"))


@pytest.mark.parametrize("size", [1, 10, 1000, 16_000, 20_000, 1 << 18])
@pytest.mark.parametrize("scope", [snapshot, transaction])
def test_an_array_in_a_scope_is_aligned_and_not_to_be_written_to(size: int, scope: Any) -> None:
    file = new()
    for array in (numpy.arange(size), numpy.arange(2 * size).reshape(2, size).astype("f8", order="F")):
        file.set_content(array)
        with scope(file):
            got = file.get_content()
            same(got, array)
            assert got.flags.aligned
            assert not got.flags.writeable
            assert got.flags.f_contiguous == array.flags.f_contiguous
            del got


def test_in_a_snapshot_an_array_is_where_it_is_stored() -> None:
    file = new()
    file.set_content(numpy.arange(1 << 18))
    with snapshot(file):
        one, two = file.get_content(), file.get_content()
        assert numpy.shares_memory(one, two)
        assert one.ctypes.data % 64 == 0
        with pytest.raises(ValueError, match="read-only"):
            one[0] = 1
        del one, two
    assert not numpy.shares_memory(file.get_content(), file.get_content())


# ---- Frames ----


def frame() -> pandas.DataFrame:
    return pandas.DataFrame(
        {"a": [1, 2, 3], "b": [1.5, None, 3.0], "c": ["x", "é", None], "d": pandas.to_datetime(["2020-01-01"] * 3)}
    )


def test_a_pandas_frame_comes_back() -> None:
    file = new()
    for made in (frame(), frame().set_index("a"), frame().iloc[:0], pandas.DataFrame({1: [1], 2: [2]})):
        file.set_content(made)
        assert file.metadata["content-type"] == "application/python-pandas-dataframe"
        assert file.metadata["content-properties"]["nrows"] == len(made)
        got = file.get_content()
        pandas.testing.assert_frame_equal(got, made)
        with snapshot(file):
            got = file.get_content()
        got.insert(0, "new", 1)  # it is a copy
    file.set_content(frame())
    file.mode = "rb"
    with file:
        pandas.testing.assert_frame_equal(pandas.read_feather(file), frame())  # type: ignore[arg-type]


def test_a_pandas_frame_that_arrow_has_no_type_for_is_pickled() -> None:
    file = new()
    made = pandas.DataFrame({"a": [1, "x", {1}]})
    file.set_content(made)
    assert file.metadata["content-type"] == "application/python-pickle"
    pandas.testing.assert_frame_equal(file.get_content(), made)


def test_pandas_writes_to_it_and_reads_from_it() -> None:
    file = new()
    table = frame()
    for write, read in (
        (table.to_feather, pandas.read_feather),
        (table.to_parquet, pandas.read_parquet),
        (table.to_pickle, pandas.read_pickle),
    ):
        file.mode = "wb"
        with file:
            write(file)  # type: ignore[operator]
        file.mode = "rb"
        with file:
            pandas.testing.assert_frame_equal(read(file), table)  # type: ignore[operator]
        with snapshot(file), file:
            pandas.testing.assert_frame_equal(read(file), table)  # type: ignore[operator]
    file.mode = "w"
    with file:
        table.to_csv(file, index=False)  # type: ignore[call-overload]
    file.mode = "r"
    with file:
        got = pandas.read_csv(file, parse_dates=["d"])  # type: ignore[call-overload]
    assert list(got["a"]) == [1, 2, 3]
    assert list(got["c"])[:2] == ["x", "é"]


def test_pyarrow_writes_to_it_and_reads_from_it() -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"a": [1, 2, 3], "b": ["x", None, "z"]})
    file = new()
    with file.open("wb") as stream:
        pyarrow.parquet.write_table(table, stream)
    with file.open("rb") as stream:
        assert pyarrow.parquet.read_table(stream).equals(table)
    with file.open("wb") as stream, pyarrow.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table)
    with file.open("rb") as stream:
        assert pyarrow.ipc.open_file(stream).read_all().equals(table)


def test_a_polars_frame_comes_back() -> None:
    file = new()
    made = polars.DataFrame({"a": [1, 2, 3], "b": ["x", None, "é"], "c": [[1], [], None]})
    file.set_content(made)
    assert file.metadata["content-type"] == "application/python-polars-dataframe"
    assert file.get_content().equals(made)
    with snapshot(file):
        assert file.get_content().equals(made)
    with file.open("wb") as stream:
        made.write_parquet(stream)
    with file.open("rb") as stream:
        assert polars.read_parquet(stream).equals(made)


# ---- Without the packages ----


def test_nothing_is_imported_before_it_is_needed(script: Script, site: str) -> None:
    script(
        "import sys, parkit; parkit.set_default_site(sys.argv[1])\n"
        "f = parkit.File('files/content', create=True)\n"
        "for value in ('text', b'bytes', [1]):\n"
        "    f.set_content(value); f.get_content()\n"
        "assert not {'numpy', 'pandas', 'pyarrow', 'polars'} & set(sys.modules)",
        site,
    )


@pytest.mark.parametrize(
    ("value", "package"),
    [(ARRAYS["floats"], "numpy"), (frame, "pyarrow"), (lambda: polars.DataFrame({"a": [1]}), "polars")],
)
def test_a_package_that_is_missing_is_named(value: Any, package: str, script: Script, site: str) -> None:
    new().set_content(value())
    done = script(
        "import sys, parkit; parkit.set_default_site(sys.argv[1]); sys.modules[sys.argv[2]] = None\n"
        "try: parkit.File('files/content').get_content()\n"
        "except ImportError as error: print(error.name, error)\n",
        site,
        package,
    )
    assert done.stdout.startswith(package + " ")
    assert f"pip install {package}" in done.stdout


def test_a_pandas_frame_is_refused_where_arrow_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    file = new()
    file.set_content("old")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        file.set_content(frame())
    assert file.get_content() == "old"
