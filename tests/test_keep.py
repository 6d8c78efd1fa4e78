"""Keeping a site: giving space back, backups, sizes."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Array, Dict, Namespace, Object, backup, check, compactify, restore
from parkit.errors import StorageIOError


def large(path: str, entries: int = 200) -> Dict[Any, Any]:
    made: Dict[Any, Any] = Dict(path, create=True)
    made.update({i: bytes(50_000) for i in range(entries)})
    return made


# ---- compactify ----


def test_compactify_drops_what_is_anonymous_or_hidden_everywhere(site: str) -> None:
    kept = [Dict("a/b", create=True), Dict("__task__x", create=True), Dict("memory/c", create=True)]
    dropped = [Dict(create=True), Dict("memory"), Dict("a/__hidden__", create=True), Array("a/d/__x__", create=True)]
    many = [Object(f"many/__{i}__", create=True) for i in range(600)]  # more than a transaction takes
    freed = compactify()
    assert [thing.exists for thing in kept] == [True] * 3
    assert not any(thing.exists for thing in dropped + many)
    assert freed.objects == 604
    assert freed.tasks == 0
    with pytest.raises(parkit.ObjectNotFoundError):
        dropped[0]["k"] = 1
    assert check().ok


def test_compactify_gives_the_space_back_and_says_how_much(durable: str) -> None:
    made = large("big/d")
    before = Namespace("big").statistics().file_size
    made.clear()
    assert Namespace("big").statistics().file_size >= before
    freed = compactify()
    after = Namespace("big").statistics().file_size
    assert isinstance(freed, int)
    assert before - after == freed.freed["big"] == freed > 9_000_000
    assert freed.skipped == {}
    assert "bytes given back" in str(freed)
    assert pickle.loads(pickle.dumps(freed)).freed == freed.freed
    made["again"] = 1
    assert dict(made) == {"again": 1}
    assert check().ok
    assert 0 <= Namespace("big").compactify() < 1_000_000  # blocks that are kept ahead


def test_compactify_drops_tasks_that_have_ended(pool: str) -> None:
    task = parkit.asyncable(path="module/one")(_one)()
    assert task.get() == 1
    freed = compactify()
    assert freed.tasks == 1
    assert list(parkit.tasks()) == []
    assert any("other processes have it open" in why for why in freed.skipped.values())  # the workers
    again = parkit.asyncable(path="module/one")(_one)()
    assert again.get() == 1


def _one() -> int:
    return 1


def test_a_namespace_that_others_have_open_keeps_its_size_and_is_named(durable: str, script: Script) -> None:
    large("big/d").clear()
    script(
        """
import subprocess, sys
import parkit
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('big/d')
len(d)
done = subprocess.run([sys.executable, '-c', '''
import sys, parkit
parkit.set_default_site(sys.argv[1])
freed = parkit.compactify()
assert freed == 0 and list(freed.skipped) == ["big"], freed.skipped
''', sys.argv[1]])
assert done.returncode == 0
d['k'] = 1
""",
        durable,
    )


def test_compactify_is_refused_inside_a_scope(site: str) -> None:
    Dict("a/__hidden__", create=True)
    for scope in parkit.transaction, parkit.snapshot:
        with scope("a"), pytest.raises(parkit.TransactionError, match="compact a"):
            compactify()
    assert "__hidden__" in Namespace("a")


def test_others_write_while_it_is_made_smaller(durable: str) -> None:
    counter: Dict[str, int] = Dict("a/counter", create=True)
    counter["n"] = 0
    end = threading.Event()
    written = [0]

    def count() -> None:
        while not end.is_set():
            with parkit.transaction("a"):
                counter["n"] += 1
            written[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(20):
            compactify()
    finally:
        end.set()
        thread.join()
    assert counter["n"] == written[0] > 0
    assert check().ok


# ---- Backups ----


def test_a_backup_is_the_site(durable: str, tmp_path: Path, script: Script) -> None:
    shelf: Any = Dict("a/b/shelf", create=True, metadata={"unit": "m"})
    shelf["k"] = "v"
    shelf.colour = "red"
    Dict("a/other", create=True)["shelf"] = shelf
    Dict("memory/scratch", create=True)
    report = backup(tmp_path / "copy")
    assert report.ok
    assert (report.namespaces, report.objects) == (2, 2)
    assert sorted(os.listdir(tmp_path)) == ["copy", "site"]
    assert os.stat(tmp_path / "copy").st_mode & 0o777 == 0o700
    shelf["k"] = "changed"
    source = """
import sys, parkit
parkit.set_default_site(sys.argv[1])
shelf = parkit.Dict('a/other')['shelf']
assert dict(shelf) == {'k': 'v'} and shelf.colour == 'red' and shelf.metadata == {'unit': 'm'}
assert shelf.storage_path == sys.argv[1]
assert [place.path for place in parkit.directories()] == ['a', 'a/b']
assert parkit.check().ok
shelf['new'] = 1
"""
    script(source, str(tmp_path / "copy"))
    assert dict(shelf) == {"k": "changed"}


def test_a_backup_beside_the_site_in_one_process(durable: str, tmp_path: Path) -> None:
    shelf: Dict[str, str] = Dict("a/shelf", create=True)
    shelf["k"] = "v"
    Dict("memory/scratch", create=True)["k"] = 1
    assert backup(tmp_path / "fresh", memory=True, fresh=True).namespaces == 2
    uuid = parkit.import_site(tmp_path / "fresh")
    assert uuid != parkit.get_site_uuid(durable)
    assert Dict("a/shelf", site_uuid=uuid)["k"] == "v"
    assert Dict("memory/scratch", site_uuid=uuid)["k"] == 1
    backup(tmp_path / "same")
    with pytest.raises(parkit.StoragePathError, match="copy of the site"):
        parkit.import_site(tmp_path / "same")
    assert check(tmp_path / "same").ok
    assert not os.path.exists(tmp_path / "same" / "run")  # nothing is written to what is only looked at
    report = restore(tmp_path / "same", tmp_path / "again", fresh=True)
    assert report.ok
    assert report.objects == 1
    assert Dict("a/shelf", site_uuid=parkit.import_site(tmp_path / "again"))["k"] == "v"
    assert restore(durable, tmp_path / "of a live site", fresh=True).namespaces == 2


def test_a_namespace_alone(durable: str, tmp_path: Path) -> None:
    Dict("a/b/shelf", create=True)["k"] = "v"
    Dict("other/x", create=True)
    assert Namespace("a/b").backup(tmp_path / "part", fresh=True).namespaces == 1
    uuid = parkit.import_site(tmp_path / "part")
    assert Dict("a/b/shelf", site_uuid=uuid)["k"] == "v"
    assert [place.path for place in parkit.directories(site_uuid=uuid)] == ["a/b"]


def test_what_cannot_be_backed_up_or_restored(durable: str, tmp_path: Path) -> None:
    Dict("a/b", create=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    backup(tmp_path / "good")
    for call in backup, Namespace("a").backup, lambda path: restore(tmp_path / "good", path):
        for name in "empty", "file", "good":
            with pytest.raises(parkit.StoragePathError, match="already"):
                call(tmp_path / name)
        with pytest.raises(OSError, match="no such file"):
            call(tmp_path / "none" / "x")
    with pytest.raises(parkit.SiteNotFoundError):
        restore(tmp_path / "empty", tmp_path / "x")
    with pytest.raises(parkit.SiteNotFoundError):
        restore(tmp_path / "none", tmp_path / "x")
    data = tmp_path / "good" / "ns" / "a" / "@env" / "data.mdb"
    whole = bytearray(data.read_bytes())
    whole[8192 + 10] ^= 0xFF
    data.write_bytes(whole)
    with pytest.raises(parkit.errors.CorruptError, match="No copy was made"):
        restore(tmp_path / "good", tmp_path / "x")
    assert sorted(os.listdir(tmp_path)) == ["empty", "file", "good", "site"]


def test_others_write_while_a_backup_is_made(durable: str, tmp_path: Path) -> None:
    pair: Dict[str, int] = Dict("a/pair", create=True)
    pair.update(left=0, right=0)
    end = threading.Event()

    def write() -> None:
        while not end.is_set():
            with parkit.transaction("a"):
                pair["left"] += 1
                pair["right"] += 1
                pair["filler"] = pair["left"] % 7 * 1000

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for i in range(10):
            assert backup(tmp_path / str(i), fresh=True).ok
            uuid = parkit.import_site(tmp_path / str(i))
            copied: Dict[str, int] = Dict("a/pair", site_uuid=uuid)
            assert copied["left"] == copied["right"]
    finally:
        end.set()
        thread.join()
    assert pair["left"] == pair["right"] > 0


def test_a_backup_that_was_cut_off_leaves_no_site(durable: str, tmp_path: Path, script: Script) -> None:
    large("big/d", 400)
    script(
        """
import os, signal, subprocess, sys, time
import parkit
child = subprocess.Popen([sys.executable, '-c', '''
import sys, parkit
parkit.set_default_site(sys.argv[1])
parkit.backup(sys.argv[2])
''', sys.argv[1], sys.argv[2]])
end = time.monotonic() + 30
while not any('unfinished' in name for name in os.listdir(os.path.dirname(sys.argv[2]))):
    assert time.monotonic() < end and child.poll() is None
child.send_signal(signal.SIGKILL)
child.wait()
""",
        durable,
        str(tmp_path / "copy"),
    )
    assert not os.path.exists(tmp_path / "copy") or check(tmp_path / "copy").ok
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    alike = tmp_path / ".mine.unfinished-0123abcd"  # what no backup made
    (alike / "papers").mkdir(parents=True)
    assert backup(tmp_path / "copy").ok
    assert [name for name in os.listdir(tmp_path) if "unfinished" in name] == [alike.name]


def test_a_backup_leaves_that_of_another_process_alone(durable: str, tmp_path: Path) -> None:
    large("big/d", 400)
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, parkit\nparkit.set_default_site(sys.argv[1])\nprint(parkit.backup(sys.argv[2]).ok)",
            durable,
            str(tmp_path / "other"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 30
    while not list(tmp_path.glob(".other.unfinished-????????")):
        assert time.monotonic() < end
        assert other.poll() is None
    other.send_signal(signal.SIGSTOP)  # so that it is still at it
    try:
        assert list(tmp_path.glob(".other.unfinished-????????")), "it was too fast"
        assert backup(tmp_path / "mine").ok
        assert list(tmp_path.glob(".other.unfinished-????????"))
    finally:
        other.send_signal(signal.SIGCONT)
    assert other.communicate(timeout=60)[0] == "True\n"
    assert sorted(os.listdir(tmp_path)) == ["mine", "other", "site"]


def test_the_uuid_of_a_backup_is_in_its_file(durable: str, tmp_path: Path) -> None:
    backup(tmp_path / "same")
    backup(tmp_path / "fresh", fresh=True)
    uuids = [json.loads((tmp_path / name / "site.json").read_text())["uuid"] for name in ("site", "same", "fresh")]
    assert uuids[0] == uuids[1] != uuids[2]


# ---- Sizes ----


def test_sizes_are_those_of_what_is_stored(site: str) -> None:
    place = Namespace("a", create=True)
    small: Any = Object("a/small", create=True)
    shelf: Dict[Any, Any] = Dict("a/shelf", create=True)
    Object("a/__hidden__", create=True)
    before = place.size("shelf")
    shelf["k"] = bytes(10_000)
    assert 10_000 < place.size("shelf") - before < 10_100
    small.x = "y" * 1000
    assert place.sizes() == {"shelf": place.size("shelf"), "small": place.size("small")}
    assert 1000 < place.size("small") < 1500
    assert sorted(Namespace("a", include_hidden=True).sizes()) == ["__hidden__", "shelf", "small"]
    for name in "none", "":
        with pytest.raises(parkit.ObjectNotFoundError):
            place.size(name)
    with parkit.snapshot("a"):
        assert place.size("shelf") > 10_000
    assert check("a").bytes >= sum(Namespace("a", include_hidden=True).sizes().values())


def test_statistics_say_who_reads(durable: str) -> None:
    shelf = large("a/shelf", 100)
    stats = Namespace("a").statistics()
    assert stats.durable
    assert stats.page_size == parkit.get_pagesize()
    assert stats.file_size >= 5_000_000
    assert stats.used >= 5_000_000
    assert stats.map_size >= stats.used
    assert stats.entries >= 103
    assert stats.depth >= 1
    assert stats.commits > 0
    assert (stats.oldest_reader, stats.behind, stats.oldest_read) == (None, 0, 0.0)
    with parkit.snapshot("a"):
        thread = threading.Thread(target=lambda: [shelf.pop(i) for i in range(5)])
        thread.start()
        thread.join()
        stats = Namespace("a").statistics()
        assert (stats.oldest_reader, stats.behind) == (os.getpid(), 5)
        assert stats.oldest_read > 0
    assert Namespace("a").statistics().oldest_reader is None


# ---- A site that is removed under a process ----


@pytest.mark.parametrize("replaced", [False, True])
def test_a_removed_site_gets_no_new_namespaces(replaced: bool, durable: str, script: Script) -> None:
    shelf: Dict[Any, Any] = Dict("a/shelf", create=True)
    shutil.rmtree(durable)
    if replaced:
        script(
            "import sys, parkit; parkit.set_default_site(sys.argv[1], create=True); parkit.Dict('b/d', create=True)",
            durable,
        )
    before = sorted(Path(durable).rglob("*"))
    for make in (lambda: Dict("other/ns", create=True), lambda: Dict("b/d"), lambda: Namespace("c", create=True)):
        with pytest.raises(parkit.StoragePathError, match="removed or moved"):
            make()
    with pytest.raises(parkit.SiteNotFoundError):
        list(parkit.directories())
    with pytest.raises(parkit.SiteNotFoundError):
        parkit.backup(durable + "-copy")
    assert sorted(Path(durable).rglob("*")) == before
    with pytest.raises(parkit.StoragePathError):
        shelf["k"] = 1


@pytest.mark.parametrize("place", ["ns/zz", "zz", "../link/zz"])
def test_nothing_is_backed_up_or_restored_into_a_site(place: str, durable: str) -> None:
    Dict("a/d", create=True)["k"] = 1
    copy = durable + "-copy"
    parkit.backup(copy, fresh=True)
    (Path(durable).parent / "link").symlink_to(Path(durable) / "ns")
    target = os.path.join(durable, place)
    uuid = parkit.get_site_uuid(copy)
    for write in (
        lambda: parkit.backup(target),
        lambda: parkit.backup(target, uuid),
        lambda: parkit.restore(copy, target),
        lambda: parkit.Namespace("a").backup(target),
    ):
        with pytest.raises(parkit.StoragePathError, match="choose a path outside"):
            write()
    assert [found.path for found in parkit.directories()] == ["a"]


def test_no_site_is_made_among_the_namespaces_of_another(durable: str) -> None:
    Dict("a/d", create=True)
    with pytest.raises(parkit.StoragePathError, match="choose a path outside"):
        parkit.import_site(os.path.join(durable, "ns/b/c"), create=True)
    assert os.listdir(os.path.join(durable, "ns")) == ["a"]
    parkit.import_site(os.path.join(durable, "nested"), create=True)


@pytest.mark.parametrize("namespace", ["a", "memory/a"])
def test_writes_to_a_removed_site_are_not_acknowledged_for_long(namespace: str, durable: str) -> None:
    shelf: Dict[Any, Any] = Dict(f"{namespace}/shelf", create=True)
    shelf["k"] = "v"
    shutil.rmtree(durable)
    with pytest.raises(parkit.StoragePathError):
        for i in range(1 if namespace == "a" else 65):  # at the latest
            shelf[i] = i
    with pytest.raises(parkit.ObjectNotFoundError):
        shelf["x"] = 1


def test_upkeep_goes_on_past_a_namespace_that_cannot_be_opened(site: str) -> None:
    Dict("good/d", create=True)[1] = 2
    page = Path(site, "ns", "bad", "@env", "page")
    page.mkdir(parents=True)
    page.with_name("data.mdb").write_bytes(bytes(8192))
    unmade = Path(site, "ns", "unmade", "@env", "page")
    unmade.parent.mkdir(parents=True)
    unmade.write_bytes(bytes(8192))  # of a creation that was cut off
    report = check()
    assert [(problem.namespace, problem.object) for problem in report.problems] == [("bad", "")]
    assert report.namespaces == 2
    assert "cannot be opened" in report.problems[0].what
    freed = compactify()
    assert list(freed.skipped) == ["bad"]
    assert "good" in freed.freed
    with pytest.raises(StorageIOError, match="bad"):
        backup(f"{site}-copy")
    assert not Path(f"{site}-copy").exists()
    shutil.rmtree(page.parent)
    assert backup(f"{site}-copy").namespaces == 1
