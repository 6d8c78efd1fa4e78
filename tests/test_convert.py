"""Sites of the original parkit become sites of this one, with what is in them."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import types
from typing import Any

import pytest

import parkit
from conftest import Script
from converting import Convert
from original_site import OriginalSite, Reference, dump, small_site
from parkit import Array, Dict, LifoQueue, Namespace, Object, Queue, _open

# ---- What is kept ----


def test_a_site_keeps_its_contents(convert: Convert) -> None:
    original = small_site()
    result = convert(original)
    assert result.report.ok, result.report.problems
    assert set(result.results().values()) == {"converted"}
    assert result.report.site_uuid == result.uuid == original.uuid
    prices = Dict("shop/prices")
    assert dict(prices) == {"apple": 1.25, "pear": 2}
    assert prices.metadata == {"currency": "EUR"}
    assert prices.attributes == ["note"]
    assert prices.note == "shared"
    assert list(Array("shop/log")) == [{"n": n} for n in range(10)]
    assert Array("shop/log").maxsize is None
    lamp = Object("house/garden/lamp")
    assert lamp.colour == "red"
    assert lamp.raw_binary == b"\0\1"
    assert result.object("shop/log").entries == 10
    assert parkit.check(str(result.path)).ok


def test_an_object_keeps_its_uuid_version_and_time_of_creation(convert: Convert) -> None:
    original = OriginalSite()
    uuids = {
        "many": original["a"].dict("many", {1: 2}, version=1234),
        "none": original["a"].dict("none", {1: 2}, version=0),
        "uncounted": original["a"].add("uncounted", "parkit.adapters.object.Object", versioned=False, version=5),
    }
    original["a"].array("log", [1], version=2**40, created="2021-06-16 12:30:00")
    convert(original)
    assert {name: Namespace("a")[name].uuid for name in uuids} == uuids
    many = Dict("a/many")
    assert many.version == 1234
    assert many.versioned
    many[3] = 4
    assert many.version == 1235
    assert Dict("a/none").version == 0
    assert not Object("a/uncounted").versioned
    assert Array("a/log").version == 2**40
    import datetime

    local = datetime.datetime(2021, 6, 16, 12, 30).astimezone(datetime.timezone.utc)
    assert Array("a/log").descriptor["created"] == local.strftime("%Y-%m-%d %H:%M:%S.000000")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {None: 1, True: 2, 2.5: 3, "text": 4, b"bytes": 5, ("a", 1): 6, frozenset({1}): 7},
        {i: str(i) for i in range(5000)},
        {"value": {"nested": [1, {2}, (3,)], "none": None}},
        {"large": bytes(3_000_000), "small": 1},
        {"k" * 700: "a long key"},
    ],
    ids=["empty", "types", "many", "nested", "large", "long key"],
)
def test_dicts(convert: Convert, content: dict[Any, Any]) -> None:
    original = OriginalSite()
    original["a"].dict("d", content)
    result = convert(original)
    assert result.report.ok, result.report.problems
    assert dict(Dict("a/d")) == content
    assert result.object("a/d").entries == len(content)


def test_a_value_of_many_pages_comes_in_pieces(convert: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    from parkit import _original

    monkeypatch.setattr(_original, "_BYTES", 10_000)
    value = os.urandom(123_457)
    original = OriginalSite()
    original["a"].dict("d", {n: value[n:] for n in range(5)}, attributes={"raw_binary": value, "plain": value})
    assert convert(original).report.ok
    assert dict(Dict("a/d")) == {n: value[n:] for n in range(5)}
    assert Dict("a/d").raw_binary == value
    assert Dict("a/d").plain == value


def test_keys_that_are_equal_here_become_one_and_are_told_of(convert: Convert) -> None:
    original = OriginalSite()
    original["a"].add("d", "parkit.adapters.dict.Dict", [{dump(1): dump("int"), dump(True): dump("bool")}, {}])
    result = convert(original)
    assert len(Dict("a/d")) == 1
    assert result.results() == {"a/d": "partly"}
    assert "2 entries became 1" in result.report.problems[0]


def test_keys_that_cannot_be_hashed(convert: Convert) -> None:
    """The original took any key that can be pickled."""
    original = OriginalSite()
    original["a"].add("d", "parkit.adapters.dict.Dict", [{dump([1, 2]): dump("list"), dump("k"): dump("text")}, {}])
    result = convert(original)
    stored = Dict("a/d")
    assert stored["k"] == "text"
    assert len(stored) == 1 + (result.results()["a/d"] == "converted")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_files_of_text(convert: Convert, encoding: str) -> None:
    original = OriginalSite()
    about = {"content-type": "text/plain", "content-encoding": encoding, "last-modified": "2021-06-16 12:30:00.5"}
    original["docs"].file("f", "h\u00e4llo\nworld".encode(encoding), {**about, "mine": [1]}, version=3)
    result = convert(original)
    assert result.report.ok, result.report.problems
    file = parkit.File("docs/f")
    assert file.get_content() == "h\u00e4llo\nworld"
    import datetime

    modified = datetime.datetime(2021, 6, 16, 12, 30, 0, 500_000).astimezone(datetime.timezone.utc)
    assert file.metadata == {**about, "last-modified": modified.strftime("%Y-%m-%d %H:%M:%S.%f"), "mine": [1]}
    assert file.version == 3
    assert file.attributes == []
    assert result.object("docs/f").entries == file.size


def test_files_of_bytes_and_pickles_and_of_nothing(convert: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    from parkit import _original

    monkeypatch.setattr(_original, "_BYTES", 100_000)
    data = os.urandom(1_234_567)
    original = OriginalSite()
    space = original["docs"]
    space.file("bytes", data, {"content-type": "application/octet-stream"}, attributes={"note": "n"})
    space.file("pickle", dump({"a": [1]}), {"content-type": "application/python-pickle"})
    reference = original.reference("parkit.adapters.file.File", "docs", "bytes")
    space.file("reference", dump([reference, 5]), {"content-type": "application/python-pickle"})
    space.file("frame", b"ARROW1 and more", {"content-type": "application/python-pandas-dataframe"})
    space.file("written", b"a stream wrote this", kind="parkit.adapters.fileio.FileIO")
    space.file("empty", b"")
    space.file("later", b"content", kind="shop_of_test.Later")
    space.add("lost", "parkit.adapters.file.File")
    result = convert(original)
    assert result.results().pop("docs/lost") == "partly"
    assert len(result.report.problems) == 1
    assert parkit.File("docs/bytes").get_content() == data
    assert parkit.File("docs/bytes").attributes == ["note"]
    assert parkit.File("docs/pickle").get_content() == {"a": [1]}
    assert parkit.File("docs/reference").get_content() == [parkit.File("docs/bytes"), 5]
    assert parkit.File("docs/frame").metadata == {"content-type": "application/python-pandas-dataframe"}
    with parkit.FileIO("docs/written", mode="r") as file:
        assert file.read() == "a stream wrote this"
    assert parkit.File("docs/empty").get_content() is None
    assert parkit.File("docs/later").get_content() == b"content"


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "uint16", "int64", "float32", "float64", "complex128", "<U5", "|S3", "datetime64[ns]", ">i4"],
)
def test_files_of_arrays(convert: Convert, dtype: str) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(12).reshape(3, 4).astype(dtype)
    original = OriginalSite()
    properties = {
        "shape": list(array.shape),
        "strides": list(array.strides),
        "dtype": str(array.dtype),
        "type": "numpy.ndarray",
    }
    about = {"content-type": "application/python-numpy-ndarray", "content-properties": properties}
    original["docs"].file("f", array.tobytes(), about)
    result = convert(original)
    assert result.report.ok, result.report.problems
    found = parkit.File("docs/f").get_content()
    assert found.dtype == array.dtype
    assert (found == array).all()


def test_an_array_of_a_kind_that_cannot_be_named_is_bytes(convert: Convert) -> None:
    original = OriginalSite()
    properties = {"shape": [1], "strides": [8], "dtype": "[('a', '<i4')]", "type": "numpy.ndarray"}
    about = {"content-type": "application/python-numpy-ndarray", "content-properties": properties}
    original["docs"].file("f", b"12345678", about)
    result = convert(original)
    assert parkit.File("docs/f").get_content() == b"12345678"
    assert "bytes" in result.object("docs/f").notes[0]


@pytest.mark.parametrize("first", [0, 255, 256, 2**40])
def test_the_items_of_an_array_keep_their_order_wherever_its_ring_was(convert: Convert, first: int) -> None:
    original = OriginalSite()
    original["a"].array("log", list(range(600)), first=first, maxsize=600)
    original["a"].array("free", list(range(3000)), first=first)
    assert convert(original).report.ok
    log = Array("a/log")
    assert list(log) == list(range(600))
    assert log.maxsize == 600
    assert log.attributes == []
    log.append(600)
    assert (log[0], log[-1], len(log)) == (1, 600, 600)
    assert list(Array("a/free")) == list(range(3000))


def test_queues_give_what_is_left_in_order_and_keep_their_bound(convert: Convert) -> None:
    original = OriginalSite()
    original["a"].queue("fifo", [1, 2, 3], first=77, maxsize=4)
    original["a"].queue("lifo", [1, 2, 3], "parkit.adapters.queue.LifoQueue", first=77)
    assert convert(original).report.ok
    fifo = Queue("a/fifo")
    assert fifo.maxsize == 4
    assert [fifo.get() for _ in range(3)] == [1, 2, 3]
    lifo = LifoQueue("a/lifo")
    assert [lifo.get() for _ in range(3)] == [3, 2, 1]
    assert lifo.maxsize == 0


def test_queues_never_wait_unless_they_are_told_to(convert: Convert) -> None:
    """As the original's; a queue that waits here would have this test time out."""
    original = OriginalSite()
    original["a"].queue("full", [1, 2], maxsize=2)
    original["a"].queue("empty", [], "parkit.adapters.queue.LifoQueue")
    convert(original)
    full, empty = Queue("a/full"), LifoQueue("a/empty")
    assert not full.blocking
    with pytest.raises(queue.Full):
        full.put(3)
    with pytest.raises(queue.Empty):
        empty.get()
    empty.put("x")
    assert empty.get() == "x"
    full.blocking = True
    with pytest.raises(queue.Full):
        full.put(3, timeout=0.01)


def test_many_objects_in_nested_namespaces(convert: Convert) -> None:
    original = OriginalSite()
    for i in range(1200):
        original[f"n/{i % 3}"].add(f"object {i} \u00e9", "parkit.adapters.object.Object", attributes={"i": i})
    result = convert(original)
    assert result.report.counts() == {"converted": 1200, "partly": 0, "left out": 0, "failed": 0}
    for i in (0, 1, 1199):
        assert Object(f"n/{i % 3}/object {i} \u00e9").i == i


def test_a_memory_namespace_is_one_again(convert: Convert) -> None:
    original = OriginalSite()
    original["memory/x"].dict("d", {1: 2})
    assert convert(original).report.ok
    assert dict(Dict("memory/x/d")) == {1: 2}


def test_hidden_objects_are_an_option(convert: Convert) -> None:
    original = OriginalSite()
    original["default"].dict("__hidden__", {1: 2})
    original["default"].dict("seen", {1: 2})
    assert convert(original).results() == {"default/__hidden__": "converted", "default/seen": "converted"}
    _open.close_site(original.uuid)
    result = convert(original, hidden=False)
    assert result.results() == {"default/__hidden__": "left out", "default/seen": "converted"}
    assert result.report.ok
    assert list(Namespace(include_hidden=True).names()) == ["seen"]


# ---- References ----


def test_references_lead_to_the_new_objects(convert: Convert, script: Script) -> None:
    original = OriginalSite()
    original["z"].dict("target", {"found": True})
    original["z"].array("log", [1])
    reference = original.reference("parkit.adapters.dict.Dict", "z", "target")
    log = original.reference("parkit.adapters.array.Array", "z", "log")
    original["a"].dict("d", {"one": reference, "list": [reference, log, 3]}, attributes={})
    original["a"].queue("q", [log])
    result = convert(original)
    assert result.report.ok, result.report.problems
    stored = Dict("a/d")
    assert stored["one"] == Dict("z/target")
    assert stored["one"]["found"] is True
    assert [type(item) for item in stored["list"]] == [Dict, Array, int]
    assert Queue("a/q").get() == Array("z/log")
    # A process that was told of the site only finds it by what the reference says of its place.
    done = script(
        "import sys, pickle, parkit\n"
        "thing = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "print(thing['found'], thing.storage_path)",
        pickle.dumps(stored["one"]).hex(),
    )
    assert done.stdout.split() == ["True", str(result.path)]
    with parkit.snapshot("a"):
        raw = parkit._native.lane.encode_value(stored["one"])
    assert b"unfinished" not in raw


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_references_as_pickle_writes_them(convert: Convert, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    """A class of the original's name, which is pickled as the original's: by its state alone."""

    class Dict:
        def __init__(self, state: Any) -> None:
            self.state = state

        def __getstate__(self) -> Any:
            return self.state

    original = OriginalSite()
    original["z"].dict("target", {1: 2})
    with monkeypatch.context() as patch:
        module = types.ModuleType("parkit.adapters.dict")
        patch.setitem(sys.modules, "parkit.adapters", types.ModuleType("parkit.adapters"))
        patch.setitem(sys.modules, module.__name__, module)
        Dict.__module__, Dict.__qualname__ = module.__name__, "Dict"
        patch.setattr(module, "Dict", Dict, raising=False)
        target = Dict((original.uuid, "z", "target"))
        raw = pickle.dumps([target, {"again": target}], protocol)
    original["a"].add("d", "parkit.adapters.dict.Dict", [{dump("k"): raw}, {}])
    result = convert(original)
    assert result.report.ok, result.report.problems
    one, rest = parkit.Dict("a/d")["k"]
    assert one is rest["again"]
    assert type(one) is parkit.Dict
    assert dict(one) == {1: 2}


def test_a_reference_to_nothing_fails_when_it_is_used(convert: Convert) -> None:
    original = OriginalSite()
    gone = original.reference("parkit.adapters.dict.Dict", "z", "gone")
    elsewhere = Reference("parkit.adapters.dict.Dict", ("00000000-0000-4000-8000-000000000000", "z", "d"))
    opened_file = Reference("parkit.adapters.object.Object", ((original.uuid, "a", "d"), "br", 5))
    original["a"].dict("d", {"gone": gone, "elsewhere": elsewhere, "file": opened_file, "rest": 1})
    result = convert(original)
    assert result.report.ok, result.report.problems
    stored = Dict("a/d")
    assert stored["rest"] == 1
    assert stored["file"].uuid == stored.uuid
    with pytest.raises(parkit.ObjectNotFoundError):
        stored["gone"]["x"]
    assert stored["gone"] == stored["gone"]
    assert stored["gone"] != stored["elsewhere"]
    with pytest.raises(parkit.SiteNotFoundError):
        stored["elsewhere"]["x"]


def test_only_what_the_original_pickled_is_taken_for_a_reference() -> None:
    with pytest.raises(TypeError, match="reference to a Dict"):
        Dict.__new__(Dict).__setstate__(("a", "b"))


# ---- What has no place here ----


def test_tasks_schedules_and_functions_are_left_out_and_told_of(convert: Convert) -> None:
    original = OriginalSite()
    original["__task__"].add("11111111-1111-4111-8111-111111111111", "parkit.adapters.task.Task")
    original["__task__"].queue("__submit_queue__", [])
    original["__sched__"].add("22222222-2222-4222-8222-222222222222", "parkit.adapters.scheduler.Periodic")
    original["module"].add("work", "parkit.adapters.asyncable.Asyncable")
    original["module"].dict("mine", {1: 2})
    result = convert(original)
    assert result.report.ok
    assert result.report.counts() == {"converted": 1, "partly": 0, "left out": 4, "failed": 0}
    assert all(item.notes for item in result.report.objects if item.result == "left out")
    assert list(Namespace("module").names()) == ["mine"]


def test_an_attribute_with_a_name_of_pythons_is_left_out(convert: Convert) -> None:
    original = OriginalSite()
    original["a"].add("o", "parkit.adapters.object.Object", attributes={"__tag__": 1, "x": 2})
    result = convert(original)
    assert Object("a/o").attributes == ["x"]
    assert "__tag__" in result.object("a/o").notes[0]
