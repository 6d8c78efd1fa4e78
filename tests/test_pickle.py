"""Objects pickle to a reference."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, Object
from parkit import site as sites

pytestmark = pytest.mark.usefixtures("site")


class Special(Dict[Any, Any]):
    def __init__(self, *needed: object) -> None:
        super().__init__(str(needed[0]), create=True)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [Object, Dict, Special])
def test_a_reference_comes_back_as_the_same_object(kind: Any, protocol: int) -> None:
    obj = kind("a", create=True) if kind is not Special else Special("a")
    obj.x = "attribute"
    again = pickle.loads(pickle.dumps(obj, protocol))
    assert type(again) is kind
    assert again == obj
    assert (again.path, again.uuid, again.site_uuid) == (obj.path, obj.uuid, obj.site_uuid)
    assert again.x == "attribute"


def test_the_content_is_not_pickled() -> None:
    d = Dict("d", create=True)
    d["x"] = "y" * 100_000
    data = pickle.dumps(d)
    assert len(data) < 1000
    d["x"] = 1
    assert pickle.loads(data)["x"] == 1


def test_objects_may_be_values_and_keys() -> None:
    d, other = Dict("d", create=True), Dict("other/d", create=True)
    other["n"] = 1
    d["other"], d["self"], d.other = other, d, other
    d[other] = "key"
    assert d["other"]["n"] == 1
    assert d["self"]["other"] == d.other == other
    assert d[Dict("other/d")] == "key"


def test_another_process_that_knows_the_site(site: str, script: Script) -> None:
    d = Dict("d", create=True)
    d["n"] = 1
    code = """
import parkit, pickle, sys
if sys.argv[2] == 'know':
    parkit.set_default_site(sys.argv[1])
d = pickle.loads(bytes.fromhex(sys.argv[3]))
assert type(d) is parkit.Dict
d['n'] += 1
print(d.storage_path)
"""
    for knows in ("know", "by the reference"):
        assert script(code, site, knows, pickle.dumps(d).hex()).stdout.strip() == site
    assert d["n"] == 3


def test_a_process_that_cannot_know_the_site(site: str, script: Script, tmp_path: Any) -> None:
    d = Dict("d", create=True)
    data = pickle.dumps(d).replace(site.encode(), (site[:-1] + "X").encode())
    script(
        """
import parkit, pickle, sys
d = pickle.loads(bytes.fromhex(sys.argv[1]))
assert 'default/d' in repr(d)
for use in (lambda: d['x'], lambda: d.metadata, lambda: parkit.transaction(d).__enter__(), lambda: d.drop()):
    try:
        use()
    except parkit.SiteNotFoundError as error:
        assert 'import_site' in str(error), error
    else:
        raise AssertionError
""",
        data.hex(),
    )


def test_a_site_that_was_moved_is_known_by_its_uuid(script: Script, tmp_path: Any) -> None:
    made = script(
        """
import parkit, pickle, sys
parkit.set_default_site(sys.argv[1], create=True)
d = parkit.Dict('d', create=True)
d['n'] = 1
print(pickle.dumps(d).hex())
""",
        str(tmp_path / "before"),
    )
    (tmp_path / "before").rename(tmp_path / "after")
    script(
        """
import parkit, pickle, sys
parkit.import_site(sys.argv[1])
d = pickle.loads(bytes.fromhex(sys.argv[2]))
assert d['n'] == 1 and d.storage_path == sys.argv[1]
""",
        str(tmp_path / "after"),
        made.stdout.strip(),
    )


def test_reading_a_reference_to_what_was_dropped() -> None:
    d = Dict("d", create=True)
    data = pickle.dumps({"gone": d, "kept": 1})
    d.drop()
    found = pickle.loads(data)
    assert found["kept"] == 1
    with pytest.raises(parkit.ObjectNotFoundError):
        len(found["gone"])
    assert not found["gone"].exists
    Dict("d", create=True)["x"] = 1
    for use in (lambda: len(pickle.loads(data)["gone"]), lambda: found["gone"].metadata):
        with pytest.raises(parkit.ObjectNotFoundError):
            use()
    assert not pickle.loads(data)["gone"].exists


def test_copying_is_another_reference() -> None:
    d = Dict("d", create=True)
    for copied in (copy.copy(d), copy.deepcopy(d), copy.deepcopy([d])[0]):
        assert copied == d
        assert copied is not d
        copied["x"] = 1
        assert d["x"] == 1
        d.clear()


def test_a_spawned_process_gets_objects_as_arguments(site: str, script: Script, tmp_path: Any) -> None:
    (tmp_path / "spawned.py").write_text(
        """
import multiprocessing, parkit, sys
def work(d, n):
    d[n] = n
if __name__ == '__main__':
    parkit.set_default_site(sys.argv[1])
    d = parkit.Dict('d', create=True)
    context = multiprocessing.get_context('spawn')
    workers = [context.Process(target=work, args=(d, n)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert d == {0: 0, 1: 1}, dict(d)
"""
    )
    script(
        "import runpy, sys; sys.argv[0] = sys.argv.pop(); runpy.run_path(sys.argv[0], run_name='__main__')",
        site,
        str(tmp_path / "spawned.py"),
    )


def test_learning_a_site_is_not_to_make_it_the_default(
    site: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = parkit.import_site(tmp_path / "other", create=True)
    data = pickle.dumps(Dict("d", create=True, site_uuid=uuid))
    monkeypatch.setattr(sites, "_shared", None)
    monkeypatch.setattr(sites, "_thread", sites._ThreadDefault())
    assert len(pickle.loads(data)) == 0
    assert parkit.get_default_site() is None
