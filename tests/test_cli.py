"""The command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parkit
from original_site import OriginalSite, small_site
from parkit import Array, Dict, File, Object, Queue, _native, cli

ROOT = Path(__file__).resolve().parent.parent

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, and return what it printed."""

    def run(*arguments: str, code: int = 0) -> str:
        assert cli.main(arguments) == code, capsys.readouterr().err
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return run


def child(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    settings = {name: value for name, value in os.environ.items() if name != "PARKIT_DEFAULT_SITE_PATH"}
    done = subprocess.run(
        [sys.executable, "-m", "parkit", *arguments],
        env={**settings, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done


# ---- Looking ----


def test_ls_lists_namespaces_and_objects(site: str, run: Run) -> None:
    Dict("shop/prices", create=True, metadata={"currency": "EUR"}).update(a=1, b=2)
    Array("shop/log", create=True).extend(range(3))
    Object(create=True)
    Dict("memory/x/d", create=True)
    assert run("ls", site) == "default\nmemory/x\nshop\n"
    assert run("ls", site, "shop") == "log\nprices\n"
    assert run("ls", site, "default") == ""
    assert re.fullmatch(r"__.+__\n", run("ls", "-a", site, "default"))
    head, *rows = run("ls", "-l", site, "shop").splitlines()
    assert head.split() == ["NAME", "LENGTH", "BYTES", "VERSION", "CREATED", "CLASS"]
    assert all(int(row.split()[2]) > 50 for row in rows)
    assert [row.split()[:2] + row.split()[-1:] for row in rows] == [
        ["log", "3", "parkit.array.Array"],
        ["prices", "2", "parkit.dict.Dict"],
    ]
    head, *rows = run("ls", "-l", site).splitlines()
    assert [row.split()[0] for row in rows] == ["default", "memory/x", "shop"]
    assert [row.split()[1] for row in rows] == ["0", "1", "2"]
    found = json.loads(run("ls", "--json", site, "shop"))
    assert found[1]["metadata"] == {"currency": "EUR"}
    assert found[1]["length"] == 2
    assert [row["namespace"] for row in json.loads(run("ls", "--json", site))] == ["default", "memory/x", "shop"]


def test_the_default_site_of_the_environment(site: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Dict("shop/prices", create=True)
    monkeypatch.setenv("PARKIT_DEFAULT_SITE_PATH", site)
    assert run("ls") == "shop\n"
    monkeypatch.delenv("PARKIT_DEFAULT_SITE_PATH")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["ls"])
    assert stopped.value.code == 2


def test_show_shows_the_beginning_of_an_object(site: str, run: Run) -> None:
    prices = Dict("shop/prices", create=True, metadata={"currency": "EUR"})
    prices.update({f"k{i:02}": i for i in range(20)})
    prices.note = "x" * 500
    printed = run("show", site, "shop/prices", "-n", "2")
    assert "parkit.dict.Dict" in printed
    assert prices.uuid in printed
    assert '{"currency": "EUR"}' in printed
    assert "'k00': 0" in printed
    assert "k02" not in printed
    assert "18 more" in printed
    assert max(map(len, printed.splitlines())) < 150
    about = json.loads(run("show", site, "shop/prices", "--json"))
    assert about["length"] == 20
    assert len(about["content"]) == 10
    Array("log", create=True).extend([1, [2]])
    assert json.loads(run("show", site, "log", "--json"))["content"] == ["1", "[2]"]
    file = parkit.File("notes", create=True)
    file.set_content("first line\n" * 100)
    assert json.loads(run("show", site, "notes", "--json"))["content"][0].startswith("'first line")
    assert "more" not in run("show", site, "notes")
    Queue("jobs", create=True).put("x")
    assert json.loads(run("show", site, "jobs", "--json"))["length"] == 1


def test_show_shows_what_cannot_be_read(site: str, run: Run) -> None:
    class Local(Dict):
        pass

    with_local = Local("here", create=True)
    with_local["good"] = 1
    Dict("shop/odd", create=True)["bad"] = Unreadable()
    assert "cannot be read: ValueError: on purpose" in run("show", site, "shop/odd")
    name = parkit._classes.name_of(Local)
    kept = parkit._classes._defined.pop(name)
    try:
        assert "'good': 1" in run("show", site, "here")
    finally:
        parkit._classes._defined[name] = kept


class Unreadable:
    def __reduce__(self) -> Any:
        return _fail, ()


def _fail() -> None:
    raise ValueError("on purpose")


def test_tasks_are_listed(pool: str, run: Run) -> None:
    @parkit.asyncable
    def double(x: int) -> int:
        return 2 * x

    assert double(4).get(timeout=30) == 8
    head, row = run("tasks", pool).splitlines()
    assert head.split() == ["STATUS", "FUNCTION", "PID", "UUID"]
    assert row.split()[:2] == ["finished", "module/double"]
    assert run("tasks", "--status", "failed", pool) == ""
    (found,) = json.loads(run("tasks", "--json", "--status", "finished", pool))
    assert found["status"] == "finished"
    assert "monitor" in run("doctor", pool)


def test_a_site_without_tasks_stays_without(site: str, run: Run) -> None:
    Dict("d", create=True)
    assert run("tasks", site) == ""
    run("doctor", site)
    assert run("ls", "-a", site) == "default\n"


# ---- Converting ----


def test_convert(site: str, tmp_path: Path, run: Run) -> None:
    assert site
    old, new = str(small_site().write(tmp_path / "old")), str(tmp_path / "new")
    printed = run("convert", old, new)
    assert printed == f"{new}: 7 converted\n"
    assert run("ls", new) == "default\ndocs\nhouse/garden\nshop\n"
    assert "'apple': 1.25" in run("show", new, "shop/prices")


def test_convert_says_what_is_missing_and_ends_with_1(site: str, tmp_path: Path, run: Run) -> None:
    assert site
    original = OriginalSite()
    original["shop"].dict("good", {1: 2})
    original["shop"].dict("bad", {1: 2})
    original["shop"].dict("__hidden__", {1: 2})
    original["module"].add("f", "parkit.adapters.asyncable.Asyncable")
    original["shop"].descriptors[original["shop"].names[b"bad"]] = b"nothing"
    old = str(original.write(tmp_path / "old"))
    printed = run("convert", "--no-hidden", old, str(tmp_path / "new"), code=1)
    assert "1 converted, 2 left out, 1 failed" in printed
    assert "shop/bad: " in printed
    assert "module/f: left out: " in printed
    report = json.loads(run("convert", "--json", old, str(tmp_path / "again"), code=1))
    assert report["counts"]["converted"] == 2
    assert {item["path"]: item["result"] for item in report["objects"]}["shop/bad"] == "failed"
    assert cli.main(["convert", "--strict", old, str(tmp_path / "strict")]) == 1
    assert not (tmp_path / "strict").exists()


def test_convert_imports_classes_from_where_it_is_told(tmp_path: Path) -> None:
    original = OriginalSite()
    original["a"].dict("d", {1: 2}, "models_of_old.Prices")
    original["a"].dict("e", {3: 4}, "gone.Prices")
    old = original.write(tmp_path / "old")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/models_of_old.py").write_text("import parkit\nclass Prices(parkit.Dict): pass\n")
    arguments = ("--path", str(tmp_path / "code"), "--class", "gone.Prices=models_of_old:Prices")
    done = child("convert", *arguments, "--json", str(old), str(tmp_path / "new"))
    assert not any(item["notes"] for item in json.loads(done.stdout)["objects"])
    listed = json.loads(child("ls", "--json", str(tmp_path / "new"), "a").stdout)
    assert [row["type"] for row in listed] == ["models_of_old.Prices"] * 2


# ---- Keeping ----


def test_check_finds_damage_and_repairs_it(tmp_path: Path) -> None:
    site = str(tmp_path / "site")
    source = "import sys, parkit; parkit.set_default_site(sys.argv[1], create=True); "
    source += "parkit.Dict('shop/d', create=True).update({n: 'find me %d' % n for n in range(10)})"
    subprocess.run([sys.executable, "-c", source, site], check=True, timeout=60)
    assert "nothing is wrong" in child("check", site).stdout
    data = tmp_path / "site/ns/shop/@env/data.mdb"
    raw = data.read_bytes()
    assert b"find me 7" in raw
    data.write_bytes(raw.replace(b"find me 7", b"lost it 7"))
    found = json.loads(child("check", "--json", site, code=1).stdout)
    assert found["ok"] is False
    assert [problem["namespace"] for problem in found["problems"]] == ["shop"]
    assert "shop/d" in child("check", site, code=1).stdout
    assert "repaired" in child("check", "--repair", site).stdout
    assert json.loads(child("check", "--json", site).stdout)["ok"] is True
    assert child("check", str(tmp_path / "nothing"), code=1).stderr.startswith("parkit: ")


def test_backup_and_restore(site: str, tmp_path: Path, run: Run) -> None:
    Dict("shop/d", create=True)["k"] = "kept"
    backup, again = str(tmp_path / "backup"), str(tmp_path / "again")
    assert "nothing is wrong" in run("backup", "--memory", "--fresh", site, backup)
    assert "nothing is wrong" in run("restore", "--fresh", backup, again)
    assert "'k': 'kept'" in run("show", again, "shop/d")
    assert cli.main(["backup", site, backup]) == 1


def test_compactify_says_what_it_dropped(site: str, run: Run) -> None:
    Dict("kept", create=True)
    Dict(create=True)
    assert "1 objects" in run("compactify", site)
    assert run("ls", "-a", site, "default") == "kept\n"


# ---- Whether parkit can work ----


def test_doctor_finds_nothing_wrong_here(site: str, run: Run) -> None:
    printed = run("doctor", site)
    assert all(line.startswith("ok ") for line in printed.splitlines())
    found = {finding["what"]: finding for finding in json.loads(run("doctor", "--json", site))}
    assert set(found) == {"versions", "library", "fork", "settings", "site", "pool"}
    assert parkit.__version__ in found["versions"]["text"]


def test_doctor_names_what_is_wrong(tmp_path: Path) -> None:
    done = child("doctor", str(tmp_path / "nothing"), code=1)
    assert re.search(r"^BAD  site: .*there is no site here", done.stdout, re.M)
    done = child("doctor", code=1, DEFAULT_LMDB_SYNC="False")
    assert re.search(r"^BAD  settings: .*SYNC", done.stdout, re.M)


def test_doctor_says_that_the_library_is_not_built(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(function: Any, *arguments: Any) -> Any:
        raise ImportError("the library is not built")

    monkeypatch.setattr(_native, "call", fail)
    printed = run("doctor", code=1)
    assert "BAD  library: the library is not built" in printed
    assert "site" not in printed


# ---- As a program ----


def test_errors_are_one_sentence(tmp_path: Path) -> None:
    for arguments in (
        ("ls", str(tmp_path / "nowhere")),
        ("show", str(tmp_path / "nowhere"), "a/b"),
        ("convert", str(tmp_path / "nowhere"), str(tmp_path / "new")),
    ):
        done = child(*arguments, code=1)
        assert done.stdout == ""
        assert re.fullmatch(r"parkit: .+\n", done.stderr)
        assert "Traceback" not in done.stderr
        assert "nowhere" in done.stderr


def test_an_object_that_is_not_there(site: str, capsys: pytest.CaptureFixture[str]) -> None:
    Dict("a/b", create=True)
    for path in ("a/c", "c/d", "a/", ""):
        assert cli.main(["show", site, path]) == 1
        assert capsys.readouterr().err.startswith("parkit: ")


@pytest.mark.parametrize(
    "arguments",
    [(), ("nonsense",), ("ls", "--nonsense"), ("convert", "old"), ("convert", "a", "b", "--class", "c"),
     ("show", "a", "b", "-n", "-1"), ("tasks", "x", "--status", "odd"), ("ls",)],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARKIT_DEFAULT_SITE_PATH", raising=False)
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2


def test_help_and_version() -> None:
    assert child("--version").stdout == f"parkit {parkit.__version__}\n"
    assert "convert" in child("--help").stdout


def test_the_script_is_installed_and_loads_nothing_before_it_must() -> None:
    found = re.search(r'^\[project.scripts\]\nparkit = "([\w.]+):(\w+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert found
    assert found.groups() == (cli.main.__module__, cli.main.__name__)
    source = (
        "import sys\n"
        "from parkit import cli, _native\n"
        "try:\n"
        "    cli.main(['--version'])\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 0\n"
        "assert _native._modules is None\n"
        "print(sorted({'numpy', 'datetime', 'uuid', 'cloudpickle'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"parkit {parkit.__version__}", "[]"]


def test_a_reader_that_goes_away_is_no_failure(site: str) -> None:
    space = "many"
    with parkit.transaction(parkit.Namespace(space, create=True)):
        for i in range(3000):
            Object(f"{space}/object with a long name {i:05}", create=True)
    command = [sys.executable, "-m", "parkit", "ls", site, space]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0


# ---- docs/command-line.md ----


def test_the_page_names_every_command_and_option_and_no_other() -> None:
    page = (ROOT / "docs/command-line.md").read_text("utf-8")
    sections = dict(re.findall(r"^## `parkit (\w+)`\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    (commands,) = (action for action in cli.parser()._actions if isinstance(action.choices, dict))
    assert set(sections) == set(commands.choices)
    for name, command in commands.choices.items():
        options = {option for action in command._actions for option in action.option_strings} - {"-h", "--help"}
        assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", sections[name])) == options, name
        usage = re.search(r"```\n(parkit .*?)```", sections[name], re.S)
        assert usage, name
        for action in command._actions:
            if not action.option_strings:
                assert str(action.metavar) in usage[1], f"{name} {action.metavar}"


def test_show_shows_text_as_text(site: str, run: Run) -> None:
    text = File("house/text", create=True)
    text.set_content("h\u00e4" * 30)  # a character is cut in two after 80 bytes
    raw = File("house/raw", create=True)
    raw.set_content(b"\0\1")
    assert repr("h\u00e4" * 26 + "h") + "..." in run("show", site, "house/text")
    assert repr(b"\0\1") in run("show", site, "house/raw")
    text.set_content("short")
    assert "    'short'\n" in run("show", site, "house/text")


@pytest.mark.parametrize("given", ["x", "-1", "1.5"])
def test_a_number_of_items_that_is_none(given: str, site: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["show", site, "house/text", f"--items={given}"])
    assert f"{given!r} is not a number of items" in capsys.readouterr().err


def test_a_namespace_that_is_not_there_is_not_to_be_created_to_be_listed(
    site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["ls", site, "nope"]) == 1
    assert "no such namespace in the site; check the path" in capsys.readouterr().err
