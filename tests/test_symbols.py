"""Objects as globals of the calling module."""

from __future__ import annotations

from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, Object

pytestmark = pytest.mark.usefixtures("site")

taken = "already here"


@pytest.fixture
def clean_globals(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("prices", "stock", "pond", "__hidden__"):
        monkeypatch.delitem(globals(), name, raising=False)
    monkeypatch.setitem(globals(), "taken", "already here")


@pytest.fixture
def shop(site: str, clean_globals: None) -> None:
    for path in ("shop/prices", "shop/stock", "shop/taken", "shop/__hidden__", "shop/west/pond"):
        Dict(path, create=True)


def bound(name: str) -> Any:
    return globals().get(name)


@pytest.mark.usefixtures("shop")
def test_one_object() -> None:
    assert parkit.bind_symbol("shop", "prices") is True
    assert type(bound("prices")) is Dict
    assert bound("prices") == Dict("shop/prices")


@pytest.mark.usefixtures("shop")
def test_a_global_that_is_there() -> None:
    assert parkit.bind_symbol("shop", "taken") is False
    assert bound("taken") == "already here"
    assert parkit.bind_symbol("shop", "taken", overwrite=True) is True
    assert bound("taken") == Dict("shop/taken")


@pytest.mark.usefixtures("shop")
def test_what_is_not_there() -> None:
    assert parkit.bind_symbol("shop", "none") is False
    assert bound("none") is None
    for use in (lambda: parkit.bind_symbol("nowhere", "x"), lambda: parkit.bind_symbols("nowhere")):
        with pytest.raises(parkit.StoragePathError):
            use()


@pytest.mark.usefixtures("shop")
def test_all_of_a_namespace() -> None:
    assert parkit.bind_symbols("shop") == ["prices", "stock"]
    assert bound("stock") == Dict("shop/stock")
    assert bound("taken") == "already here"
    assert bound("__hidden__") is None
    assert bound("pond") is None
    assert parkit.bind_symbols("shop", recursive=True) == ["pond"]
    assert parkit.bind_symbols("shop", recursive=True, overwrite=True) == ["prices", "stock", "taken", "pond"]


def test_another_site(site: str, tmp_path: Any, clean_globals: None) -> None:
    uuid = parkit.import_site(tmp_path / "other", create=True)
    Object("prices", create=True, site_uuid=uuid)
    assert parkit.bind_symbol(None, "prices", site_uuid=uuid)
    assert bound("prices").site_uuid == uuid


def test_in_a_script(site: str, script: Script) -> None:
    Dict("shop/prices", create=True)["apple"] = 1
    code = "import parkit, sys; parkit.set_default_site(sys.argv[1]); parkit.bind_symbols('shop')\n"
    script(code + "assert prices['apple'] == 1", site)
