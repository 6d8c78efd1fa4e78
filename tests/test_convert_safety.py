"""What a conversion does with damage, with what is in its way, and not to the old site."""

from __future__ import annotations

import hashlib
import os
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parkit
from conftest import Script
from converting import Convert, in_module
from original_site import OriginalSite, Space, small_site, write_environment
from parkit import Array, Dict, _open, convert_site
from parkit.convert import Report
from parkit.errors import ConversionError, OriginalSiteError


def digests(directory: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(directory)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


# ---- Safety ----


def test_the_old_site_does_not_change_by_a_byte(convert: Convert, tmp_path: Path) -> None:
    original = small_site()
    old = original.write(tmp_path / "kept")
    before = digests(old)
    for directory in [old, *(path for path in old.rglob("*") if path.is_dir())]:
        directory.chmod(0o500)
    try:
        convert_site(old, tmp_path / "converted")
    finally:
        for directory in [old, *(path for path in old.rglob("*") if path.is_dir())]:
            directory.chmod(0o700)
    assert digests(old) == before


def test_the_new_site_is_there_whole_or_not_at_all(site: str, tmp_path: Path) -> None:
    old = small_site().write(tmp_path / "old")
    new = tmp_path / "new"
    seen = []

    def stop(done: int, total: int, path: str) -> None:
        assert not new.exists()
        seen.append((done, total, path))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_site(old, new, progress=stop)
    assert [done for done, _, _ in seen] == [0, 1, 2, 3]
    assert {total for _, total, _ in seen} == {7}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "site"]
    report = convert_site(old, new)
    assert report.counts()["converted"] == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old", "site"]
    assert parkit.get_default_site()[0] == site  # type: ignore[index]


def test_a_conversion_that_is_killed_leaves_no_site_and_can_be_run_again(
    site: str, tmp_path: Path, script: Script
) -> None:
    assert site
    old = small_site().write(tmp_path / "old")
    before = digests(old)
    script(
        "import os, signal, sys, parkit\n"
        "def kill(done, total, path):\n"
        "    if done == 4:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "parkit.convert_site(sys.argv[1], sys.argv[2], progress=kill)",
        str(old),
        str(tmp_path / "new"),
        code=-9,
    )
    (left,) = (path.name for path in tmp_path.iterdir() if path.name not in ("old", "site"))
    assert left.endswith(".unfinished")
    assert digests(old) == before
    assert convert_site(old, tmp_path / "new").ok


def test_a_large_value_is_never_whole_in_memory(tmp_path: Path, script: Script) -> None:
    size = 160 << 20
    original = OriginalSite()
    original["docs"].file("large", os.urandom(1 << 20) * (size >> 20), {"content-type": "application/octet-stream"})
    old = original.write(tmp_path / "old")
    del original
    done = script(
        """
import sys
import parkit
from parkit import _original

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) << 10

most, pieces = 0, _original.LargeValue.pieces

def watched(value):
    global most
    for piece in pieces(value):
        most = max(most, resident())
        yield piece

_original.LargeValue.pieces = watched
before = resident()
report = parkit.convert_site(sys.argv[1], sys.argv[2])
print(report.objects[0].entries, most - before)
""",
        str(old),
        str(tmp_path / "new"),
    )
    entries, grown = map(int, done.stdout.split())
    assert entries == size
    assert 0 < grown < size // 2, f"{grown >> 20} MiB were used for {size >> 20}"
    for data in [*tmp_path.rglob("data.mdb")]:
        data.unlink()


def test_what_is_there_is_not_overwritten(site: str, tmp_path: Path) -> None:
    old = small_site().write(tmp_path / "old")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("empty", "old", "old/new", "link", "site", "none/new"):
        with pytest.raises(parkit.StoragePathError):
            convert_site(old, tmp_path / name)
    assert site
    assert digests(old).keys() == {"data.mdb", *(f"{name}/data.mdb" for name in small_site().spaces)}


def test_what_is_no_site_of_the_original_is_refused(site: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for old in (tmp_path / "nothing", tmp_path / "empty", site):
        with pytest.raises(parkit.SiteNotFoundError):
            convert_site(old, tmp_path / "new")
    with pytest.raises(parkit.SiteNotFoundError, match="above it"):
        convert_site(small_site().write(tmp_path / "old") / "shop", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_site_that_is_written_to_meanwhile_is_not_converted(site: str, tmp_path: Path) -> None:
    assert site
    original = small_site()
    old = original.write(tmp_path / "old")

    def write(done: int, total: int, path: str) -> None:
        assert total == 7
        if path == "shop/log":
            data = bytearray((old / "shop/data.mdb").read_bytes())
            data[4096 + 144] += 2  # the number of the last commit
            (old / "shop/data.mdb").write_bytes(data)

    with pytest.raises(ConversionError, match="shop"):
        convert_site(old, tmp_path / "new", progress=write)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("part", ["", "shop"])
def test_a_site_of_the_original_is_not_opened_as_an_empty_one(tmp_path: Path, create: bool, part: str) -> None:
    old = small_site().write(tmp_path / "old")
    before = sorted(old.rglob("*"))
    for open_it in (parkit.set_default_site, parkit.import_site):
        with pytest.raises(OriginalSiteError, match=r"parkit convert OLD NEW, or call parkit\.convert_site"):
            open_it(old / part, create=create)
    for keep in (lambda: parkit.check(old / part), lambda: parkit.restore(old / part, tmp_path / "new")):
        with pytest.raises(OriginalSiteError):
            keep()
    assert sorted(old.rglob("*")) == before
    assert convert_site(old, tmp_path / "new").ok


def test_a_data_file_of_another_program_does_not_keep_a_site_from_being_made(tmp_path: Path) -> None:
    write_environment(tmp_path / "lmdb", {b"key": b"value"}, {})
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "data.mdb").write_text("mine")
    for name in "lmdb", "text":
        _open.close_site(parkit.get_site_uuid(tmp_path / name, create=True))


def test_a_conversion_into_a_site_is_refused(site: str, tmp_path: Path) -> None:
    old = small_site().write(tmp_path / "old")
    (tmp_path / "link").symlink_to(Path(site) / "ns")
    (tmp_path / "old link").symlink_to(old)
    for target in (Path(site) / "ns" / "zz", Path(site) / "zz", tmp_path / "link" / "zz", tmp_path / "old link" / "zz"):
        with pytest.raises(parkit.StoragePathError, match="choose"):
            convert_site(old, target)
        assert not target.exists()
    assert digests(old).keys() == {"data.mdb", *(f"{name}/data.mdb" for name in small_site().spaces)}


# ---- Damage ----


@pytest.mark.parametrize("size", [3, 5, 9, 14])
def test_a_namespace_that_is_cut_off_costs_no_other(site: str, tmp_path: Path, size: int) -> None:
    assert site
    original = small_site()
    for n in range(300):
        original["shop"].dict(f"d{n}", {n: bytes(300)})
    old = original.write(tmp_path / "old")
    os.truncate(old / "shop" / "data.mdb", size * 4096)
    report = convert_site(old, tmp_path / "new")
    assert any("shop" in damage for damage in report.problems)
    uuid = parkit.import_site(tmp_path / "new")
    try:
        assert Dict("shop/none", create=True, site_uuid=uuid) is not None
        assert list(parkit.Namespace("default", site_uuid=uuid).names()) == ["jobs", "plates"]
    finally:
        _open.close_site(uuid)
    with pytest.raises(ConversionError, match="shop"):
        convert_site(old, tmp_path / "strict", strict=True)


def broken(original: OriginalSite, namespace: str, change: Callable[[Space], None]) -> OriginalSite:
    change(original[namespace])
    return original


def test_a_damaged_descriptor_costs_one_object(convert: Convert) -> None:
    def change(space: Space) -> None:
        space.descriptors[space.names[b"log"]] = b"{not json"
        del space.descriptors[space.names[b"last"]]

    result = convert(broken(small_site(), "shop", change))
    assert {path: found for path, found in result.results().items() if path.startswith("shop/")} == {
        "shop/last": "failed",
        "shop/log": "failed",
        "shop/prices": "converted",
    }
    assert not result.report.ok
    assert len(result.report.problems) == 2
    assert dict(Dict("shop/prices")) == {"apple": 1.25, "pear": 2}


def test_what_cannot_be_an_object_here_costs_nothing_else(convert: Convert) -> None:
    original = OriginalSite()
    space = original["a"]
    space.dict("x" * 300, {1: 2})
    space.dict("good", {1: 2})
    space.names[b"no uuid"] = b"short"
    space.names[b"\xff"] = space.names[b"good"]
    del space.names[b"good"]
    result = convert(original)
    assert result.results() == {"a/" + "x" * 300: "failed", "a/no uuid": "failed", "a/\ufffd": "converted"}
    assert dict(Dict("a/\ufffd")) == {1: 2}


def test_only_the_first_of_many_problems_of_an_object_are_told(convert: Convert, module: types.ModuleType) -> None:
    class Sized(Dict):
        def get_metadata(self, value: Any) -> Any:
            return len(value)

        def decode_value(self, data: Any, metadata: Any = None) -> Any:
            return data

    in_module(module, Sized)
    original = OriginalSite()
    original["a"].dict("d", dict.fromkeys(range(1500), "value"), "shop_of_test.Sized")
    for name in [name for name, (_, entries) in original["a"].databases.items() if not entries]:
        del original["a"].databases[name]
    result = convert(original)
    problems = result.object("a/d").problems
    assert result.results() == {"a/d": "partly"}
    assert len(problems) == 21
    assert problems[-1] == "1480 more entries or attributes were not converted"


def test_a_missing_database_costs_its_objects_entries(convert: Convert) -> None:
    def change(space: Space) -> None:
        for name in [name for name, (flags, _) in space.databases.items() if flags]:
            del space.databases[name]

    result = convert(broken(small_site(), "shop", change))
    assert result.results()["shop/log"] == "partly"
    assert "missing" in result.object("shop/log").problems[0]
    assert dict(Dict("shop/prices")) == {"apple": 1.25, "pear": 2}


def test_a_damaged_page_costs_what_is_on_it(site: str, tmp_path: Path) -> None:
    assert site
    original = OriginalSite()
    original["a"].array("big", [f"item {n:06}" for n in range(4000)])
    original["a"].array("sound", [1, 2, 3])
    old = original.write(tmp_path / "old")
    data = bytearray((old / "a/data.mdb").read_bytes())
    at = data.index(b"item 002000")
    data[at // 4096 * 4096 : at // 4096 * 4096 + 16] = bytes(16)
    (old / "a/data.mdb").write_bytes(data)
    report = convert_site(old, tmp_path / "new")
    uuid = parkit.import_site(str(tmp_path / "new"))
    assert {item.path: item.result for item in report.objects} == {"a/big": "partly", "a/sound": "converted"}
    left = list(Array("a/big", site_uuid=uuid))
    assert 3800 < len(left) < 4000
    assert left == sorted(set(left))
    assert "item 002000" not in left
    assert list(Array("a/sound", site_uuid=uuid)) == [1, 2, 3]
    assert "page" in str(report)
    with pytest.raises(ConversionError, match="a/big"):
        convert_site_elsewhere(old, tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()


def convert_site_elsewhere(old: Path, new: Path, **keywords: Any) -> Report:
    """Convert a site again whose conversion is open here."""
    from parkit import _original

    _open.close_site(_original.uuid_of(str(old)))
    return convert_site(old, new, **keywords)


def test_a_namespace_that_is_damaged_at_its_root_costs_that_namespace(site: str, tmp_path: Path) -> None:
    assert site
    old = small_site().write(tmp_path / "old")
    (old / "shop/data.mdb").write_bytes(b"nothing")
    report = convert_site(old, tmp_path / "new")
    assert not report.ok
    assert len(report.objects) == 4
    assert report.problems[0].startswith("shop: ")
    with pytest.raises(ConversionError, match="shop"):
        convert_site(old, tmp_path / "strict", strict=True)


def test_the_report_can_be_written_as_json(convert: Convert) -> None:
    import json

    report = convert(small_site()).report
    written = json.loads(json.dumps(report.as_dict()))
    assert written["counts"]["converted"] == len(written["objects"]) == 7
    assert written["ok"] is True
    assert "7 converted" in str(report)
    assert "7" in repr(report)
