"""Sites, and which one a thread uses."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import errors
from parkit import site as sites

pytestmark = pytest.mark.usefixtures("site")


def in_thread(function: Callable[[], Any]) -> Any:
    """What the function returns in a thread of its own."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function())
        except Exception as error:  # noqa: BLE001 (handed to the caller)
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "_shared", None)
    monkeypatch.setattr(sites, "_thread", sites._ThreadDefault())


def test_the_default_site_is_told(site: str) -> None:
    assert parkit.get_default_site() == (site, parkit.get_site_uuid(site))


def test_a_site_is_made_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new"
    parkit.import_site(path, create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("function", [parkit.set_default_site, parkit.import_site, parkit.get_site_uuid])
def test_no_site_at_the_path(function: Callable[[Any], object], tmp_path: Path) -> None:
    with pytest.raises(parkit.SiteNotFoundError, match="nothing"):
        function(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_path_may_be_path_like_and_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uuid = parkit.import_site(tmp_path / "new", create=True)
    monkeypatch.chdir(tmp_path)
    assert parkit.get_site_uuid("new") == uuid
    parkit.set_default_site("new")
    monkeypatch.chdir("/")
    assert parkit.get_default_site() == (str(tmp_path / "new"), uuid)
    parkit.Dict("still/there", create=True)


def test_a_file_is_no_site(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(parkit.StoragePathError) as caught:
        parkit.set_default_site(tmp_path / "file", create=True)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("path", ["", "a\0b", "\udcff"])
def test_texts_that_cannot_be_a_path(path: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parkit.import_site(path, create=True)


@pytest.mark.parametrize("path", [None, b"bytes", 3])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(TypeError):
        parkit.import_site(path, create=True)


def test_each_thread_has_its_own(site: str, tmp_path: Path) -> None:
    def other() -> Any:
        parkit.set_default_site(tmp_path / "other", create=True)
        return parkit.get_default_site()

    assert in_thread(other)[0] == str(tmp_path / "other")
    default = parkit.get_default_site()
    assert default is not None
    assert default[0] == site


def test_a_thread_that_set_none_has_the_main_threads(site: str, tmp_path: Path) -> None:
    assert in_thread(parkit.get_default_site) == parkit.get_default_site()
    in_thread(lambda: parkit.set_default_site(tmp_path / "other", create=True))
    assert in_thread(parkit.get_default_site) == parkit.get_default_site()


def test_without_overwriting_only_the_others_have_it(site: str, tmp_path: Path) -> None:
    parkit.set_default_site(tmp_path / "others", create=True, overwrite_thread_local=False)
    default = parkit.get_default_site()
    assert default is not None
    assert default[0] == site
    assert in_thread(parkit.get_default_site)[0] == str(tmp_path / "others")


def test_importing_sets_the_default_only_if_there_is_none(site: str, tmp_path: Path, no_default: None) -> None:
    assert parkit.get_default_site() is None
    uuid = parkit.import_site(site)
    assert parkit.get_default_site() == (site, uuid)
    assert parkit.import_site(tmp_path / "second", create=True) != uuid
    assert parkit.get_default_site() == (site, uuid)


def test_no_site_specified(no_default: None) -> None:
    for use in (lambda: parkit.Dict("x"), parkit.Namespace, lambda: parkit.transaction().__enter__()):
        with pytest.raises(parkit.SiteNotSpecifiedError, match="set_default_site"):
            use()
    assert parkit.get_default_site() is None


def test_the_environment_presets_the_default(
    site: str, tmp_path: Path, no_default: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARKIT_DEFAULT_SITE_PATH", site)
    assert parkit.get_default_site() == (site, parkit.get_site_uuid(site))
    assert in_thread(parkit.get_default_site) == parkit.get_default_site()
    monkeypatch.setenv("PARKIT_DEFAULT_SITE_PATH", str(tmp_path / "none"))
    with pytest.raises(parkit.SiteNotFoundError):
        parkit.get_default_site()
    parkit.set_default_site(site)
    assert parkit.get_default_site() == (site, parkit.get_site_uuid(site))


def test_a_uuid_that_was_not_imported_here(site: str) -> None:
    unknown = "5c4d0c19-5b0a-4a3d-9c0f-a5c07a13e6a1"
    for use in (
        lambda: parkit.Dict("x", create=True, site_uuid=unknown),
        lambda: parkit.Namespace(site_uuid=unknown),
        lambda: list(parkit.directories(site_uuid=unknown)),
    ):
        with pytest.raises(parkit.SiteNotFoundError, match=unknown):
            use()


def test_an_object_of_another_site(site: str, tmp_path: Path) -> None:
    uuid = parkit.import_site(tmp_path / "other", create=True)
    there = parkit.Dict("x", create=True, site_uuid=uuid)
    here = parkit.Dict("x", create=True)
    assert there != Ellipsis
    assert (there.site_uuid, there.storage_path) == (uuid, str(tmp_path / "other"))
    assert here.site_uuid == parkit.get_site_uuid(site)
    there["only"] = "there"
    assert "only" not in here


def test_another_process_finds_the_same_site(site: str, script: Script) -> None:
    parkit.Dict("a/b", create=True)["k"] = [1, 2]
    done = script(
        """
import parkit, sys
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('a/b')
assert d['k'] == [1, 2]
print(d.site_uuid, d.uuid)
""",
        site,
    )
    assert done.stdout.split() == [parkit.get_site_uuid(site), parkit.Dict("a/b").uuid]


def test_all_namespaces_of_a_memory_site_are_memory_ones(site: str, tmp_path: Path) -> None:
    uuid = parkit.import_site(tmp_path / "durable", create=True)
    assert parkit.Namespace("memory", create=True, site_uuid=uuid)._stats()["durable"] is False
    assert parkit.Namespace("other", create=True, site_uuid=uuid)._stats()["durable"] is True
    assert parkit.Namespace("other", create=True)._stats()["durable"] is False


def test_a_forked_child_has_the_default_site(site: str, script: Script) -> None:
    script(
        """
import os, parkit, sys
parkit.set_default_site(sys.argv[1])
d = parkit.Dict('x', create=True)
d['parent'] = 1
pid = os.fork()
if pid == 0:
    assert parkit.get_default_site()[0] == sys.argv[1]
    assert parkit.Dict('x')['parent'] == 1
    assert [place.path for place in parkit.directories()] == ['default']
    d['child'] = 2
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert d['child'] == 2
""",
        site,
    )


def test_a_setting_that_weakens_the_promise_works_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULT_LMDB_SYNC", "false")
    with pytest.warns(errors.WeakPromiseWarning, match="DEFAULT_LMDB_SYNC.*power cut") as told:
        parkit.set_default_site(tmp_path / "weak", create=True)
    assert told[0].filename == __file__
    parkit.Dict("x", create=True)["k"] = 1
    parkit.set_default_site(tmp_path / "weak")  # told once


def test_a_setting_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_LMDB_INITIAL_MAP_SIZE", "plenty")
    with pytest.raises(ValueError, match="MEMORY_LMDB_INITIAL_MAP_SIZE"):
        parkit.import_site(tmp_path / "odd", create=True)


def test_profiles_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from parkit.profile import get_profile

    assert get_profile()["sync"]
    assert not get_profile("memory")["sync"]
    monkeypatch.setenv("DEFAULT_LMDB_METASYNC", "0")
    assert not get_profile()["metasync"]
    assert "DEFAULT_LMDB_METASYNC" in get_profile()["warnings"][0]
    with pytest.raises(ValueError, match="profiles are"):
        get_profile("other")


def test_importing_parkit_touches_no_disk(script: Script, tmp_path: Path) -> None:
    script("import os, parkit; assert parkit.get_default_site() is None")
    assert os.listdir(tmp_path) == ["site"]
