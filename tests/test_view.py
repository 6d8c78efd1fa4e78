"""Views of what is stored: they stay what they are for as long as anyone looks, and who keeps them is told."""

from __future__ import annotations

import gc
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import pytest

import parkit
from conftest import Script
from parkit import File, Object, _native, _open, snapshot, transaction

pytestmark = pytest.mark.usefixtures("site")

CONTENT = bytes(range(256)) * 2000
OTHER = CONTENT[::-1]


def new(content: Any = CONTENT) -> File:
    file = File("files/seen", create=True)
    file.set_content(content)
    return file


def overwrite(file: File) -> None:
    """Write until every page that may be used again was."""
    for _ in range(6):
        file.set_content(OTHER)


def transactions(obj: Object) -> int:
    """How many transactions this process has open on the namespace of an object, as the store counts them."""
    import json

    stats = json.loads(_native.call(_native.ctl.SpaceStats, _open.space_of(obj)))
    return int(stats["oldest_read"] > 0)


@contextmanager
def told(count: int = 1) -> Iterator[list[str]]:
    """So many warnings come of views that are kept."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
        gc.collect()
    texts += [str(warning.message) for warning in caught if warning.category is ResourceWarning]
    assert len(texts) == count, texts


def test_a_view_that_is_let_go_of_inside_is_nobodys_concern() -> None:
    file = new()
    with told(0):
        with snapshot(file):
            view = file.get_content()
            assert view == CONTENT
            del view
        assert not transactions(file)


def test_a_view_that_outlives_its_snapshot_stays_what_it_was() -> None:
    file = new()
    with told() as texts:
        with snapshot(file):
            view = file.get_content()
        overwrite(file)
        assert view == CONTENT
        assert transactions(file)
        part = view[5:10]
        del view
        assert part == CONTENT[5:10]
        assert transactions(file)
        del part
        assert not transactions(file)
    assert "files/seen" in texts[0]
    assert " s after the end of its snapshot" in texts[0]
    assert file.get_content() == OTHER


def test_the_last_view_ends_the_snapshot() -> None:
    file = new()
    with told(3):
        with snapshot(file):
            views = [file.get_content() for _ in range(3)]
        while views:
            assert transactions(file)
            views.pop()
        assert not transactions(file)


def test_a_view_of_an_inner_snapshot_belongs_to_the_outer_one() -> None:
    file = new()
    with told(0), snapshot(file):
        with snapshot(file):
            view = file.get_content()
        assert view == CONTENT
        del view


def test_an_array_keeps_its_memory() -> None:
    array = numpy.arange(1 << 17)
    file = new(array)
    with told():
        with snapshot(file):
            part = file.get_content()[::2]
        overwrite(file)
        assert (part == array[::2]).all()
        del part


def test_a_view_survives_the_drop_of_its_object() -> None:
    file = new()
    with told():
        with snapshot(file):
            view = file.get_content()
        file.drop()
        parkit.Dict("files/after", create=True).update(dict.fromkeys(range(5), OTHER))
        assert view == CONTENT
        del view


def test_a_view_in_a_cycle_is_found_by_the_collector() -> None:
    file = new()
    with told():
        with snapshot(file):
            cycle: list[Any] = [file.get_content()]
            cycle.append(cycle)
        del cycle
        gc.collect()
        assert not transactions(file)


def test_any_thread_may_let_go_of_a_view() -> None:
    file = new()
    views: list[Any] = []

    def look() -> None:
        with snapshot(file):
            views.append(file.get_content())

    with told():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        overwrite(file)
        assert views[0] == CONTENT
        other = threading.Thread(target=views.clear)
        other.start()
        other.join()
        assert not transactions(file)


def test_threads_that_look_and_let_go_while_others_write() -> None:
    file = new()
    kept: list[Any] = []
    failed: list[BaseException] = []

    def look() -> None:
        try:
            for _ in range(150):
                with snapshot(file):
                    view = file.get_content()
                    first = bytes(view[:1])
                kept.append(view)
                assert view in (CONTENT, OTHER)
                assert view[:1] == first
                del view
                if len(kept) > 8:
                    kept.pop(0)
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            file.set_content(OTHER)
            file.set_content(CONTENT)
        for thread in threads:
            thread.join()
        kept.clear()
    assert failed == []
    assert not transactions(file)


def test_a_thread_that_ends_inside_its_snapshot_leaves_its_views() -> None:
    file = new()
    views: list[Any] = []

    def look() -> None:
        snapshot(file).__enter__()
        views.append(file.get_content())

    with told():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        overwrite(file)
        assert views.pop() == CONTENT
        assert not transactions(file)


def test_in_a_transaction_there_are_copies() -> None:
    file = new()
    with told(0), transaction(file):
        view = file.get_content()
        file.set_content(OTHER)
        assert view == CONTENT
        assert file.get_content() == OTHER
        with snapshot(file):
            assert file.get_content() == OTHER
        assert _native.lane.file_view(file) is None
    assert view == CONTENT


def test_content_that_lies_in_pieces_is_copied() -> None:
    file = new()
    with file.open("wb") as stream:
        stream.write(CONTENT)
    with told(0):
        with snapshot(file):
            assert _native.lane.file_view(file) is None
            view = file.get_content()
            assert view == CONTENT
        assert view == CONTENT


def test_a_view_cannot_be_written_to_nor_made() -> None:
    file = new()
    with snapshot(file):
        view = file.get_content()
        assert view.readonly
        with pytest.raises(TypeError):
            view[0] = 1
        del view
    with pytest.raises(TypeError):
        _native.lane.View()


def test_a_namespace_is_not_closed_under_a_view() -> None:
    file = new()
    with told():
        with snapshot(file):
            view = file.get_content()
        with pytest.raises(parkit.TransactionError):
            _native.call(_native.ctl.SiteClose, file.site_uuid)
        assert view == CONTENT
        del view


def test_a_warning_that_is_an_error_does_not_break_the_freeing() -> None:
    file = new()
    caught: list[Any] = []
    before, sys.unraisablehook = sys.unraisablehook, caught.append
    try:
        with snapshot(file):
            view = file.get_content()
        del view  # the tests make warnings errors
        assert not transactions(file)
    finally:
        sys.unraisablehook = before
    assert [type(each.exc_value) for each in caught] == [ResourceWarning]


# ---- Attributes ----


def test_an_attribute_of_bytes_is_seen_in_place() -> None:
    obj = Object("files/attributes", create=True)
    for value in (b"", b"short", CONTENT, CONTENT * 10):
        obj.some_binary = value
        assert obj.some_binary == value
        assert type(obj.some_binary) is bytes
        with told(0), snapshot(obj):
            view = obj.some_binary
            assert type(view) is memoryview
            assert view.readonly
            assert view == value
            del view
    with told() as texts:
        with snapshot(obj):
            view = obj.some_binary
        obj.some_binary = b"new"
        assert view[:5] == CONTENT[:5]
        del view
    assert "files/attributes" in texts[0]
    with transaction(obj):
        view = obj.some_binary
        obj.some_binary = b"newer"
        assert view == b"new"
    with snapshot(obj), pytest.raises(AttributeError):
        _ = obj.none_binary


# ---- Processes ----


def test_views_at_the_end_of_the_interpreter(script: Script, site: str) -> None:
    done = script(
        "import sys, parkit; parkit.set_default_site(sys.argv[1])\n"
        "f = parkit.File('files/end', create=True); f.set_content(b'x' * 100_000)\n"
        "class Late:\n"
        "    def __del__(self, view=None): print(bytes(self.view[:3]))\n"
        "with parkit.snapshot(f):\n"
        "    late, kept = Late(), f.get_content()\n"
        "    late.view = kept\n"
        "    late.cycle = late\n"
        "parkit.snapshot(f).__enter__()\n"
        "more = f.get_content()\n",
        site,
    )
    assert done.stdout == "b'xxx'\n"
    assert done.stderr == ""
    new().set_content(b"others go on")


def test_a_view_in_a_forked_child(script: Script, site: str) -> None:
    """It shows the parent's memory while the parent has it; letting go of it there harms nobody."""
    done = script(
        "import os, sys, parkit; parkit.set_default_site(sys.argv[1])\n"
        "f = parkit.File('files/forked', create=True); f.set_content(b'x' * 100_000)\n"
        "with parkit.snapshot(f):\n"
        "    view = f.get_content()\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        seen = bytes(view[:3])\n"
        "        del view\n"
        "        f.set_content(seen * 2)\n"
        "        print(f.get_content(), flush=True)\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    assert view == b'x' * 100_000\n"
        "    del view\n"
        "print(f.get_content())\n",
        site,
    )
    assert done.stdout == "bytearray(b'xxxxxx')\n" * 2
    assert done.stderr == ""


def test_a_stream_goes_on_in_a_forked_child() -> None:
    file = new(b"abcdef")
    with file.open("rb", 0) as stream:
        assert stream.read(2) == b"ab"
        child = os.fork()
        if child == 0:
            os._exit(0 if stream.read(2) == b"cd" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert stream.read(2) == b"cd"
