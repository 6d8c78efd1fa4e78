"""What the documents say of the code, as far as a program can tell, is so."""

from __future__ import annotations

import json
import math
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import parkit
from parkit import _native, errors

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md")])


def read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def tables(page: str) -> Iterator[tuple[tuple[str, ...], list[list[str]]]]:
    """The tables of a page of docs/: each with its head, and its rows as lists of cells."""
    head: tuple[str, ...] | None = None
    rows: list[list[str]] = []
    for line in [*read(f"docs/{page}").splitlines(), ""]:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            if head is not None:
                yield head, rows
            head, rows = None, []
        elif head is None:
            head = tuple(cells)
        elif not set("".join(cells)) <= set("-: "):
            rows.append(cells)


def table(page: str, *head: str) -> list[list[str]]:
    found = [rows for columns, rows in tables(page) if columns == head]
    assert len(found) == 1, f"{page} has {len(found)} tables with the columns {head}"
    return found[0]


def code_bytes(rows: list[list[str]]) -> set[int]:
    return {int(row[0].strip("`"), 16) for row in rows}


def constants(path: str, name: str) -> dict[str, int]:
    """The constants of a Go file whose names match, and the numbers they are set to."""
    found = re.findall(rf"^\s+({name})\s+(?:byte )?= (0x[0-9A-F]+|\d+)\b", read(path), re.M)
    assert found, f"{path} has no constant {name}"
    return {constant: int(value, 0) for constant, value in found}


def iota(path: str, first: str) -> list[str]:
    """The names of a group of constants that Go counts up, from the first one on."""
    match = re.search(rf"^\t({first}\b.*?)\n\)", read(path), re.M | re.S)
    assert match, f"{path} has no {first}"
    return re.findall(r"^\s*(\w+)", match[1], re.M)


# ---- docs/storage-layout.md ----


@pytest.mark.parametrize(
    ("head", "path", "name"),
    [
        (("byte", "rest of the key", "content"), "gocore/keys/layout.go", r"Space[A-Z]\w+"),
        (("byte", "type", "followed by"), "gocore/keys/key.go", r"tag[A-Z]\w+"),
        (("entry flag", "meaning"), "gocore/keys/record.go", r"Flag[A-Z]\w+"),
        (("extension", "content"), "gocore/keys/value.go", r"Ext[A-Z]\w+"),
    ],
)
def test_the_layout_names_every_byte_and_no_other(head: tuple[str, ...], path: str, name: str) -> None:
    assert code_bytes(table("storage-layout.md", *head)) == set(constants(path, name).values())


def test_the_layout_names_every_tag_of_objects_and_of_tasks() -> None:
    head = ("tag", "rest of the key", "content")
    objects, tasks = (rows for columns, rows in tables("storage-layout.md") if columns == head)
    assert code_bytes(objects) == set(constants("gocore/keys/layout.go", r"Tag[A-Z]\w+").values())
    assert code_bytes(tasks) == set(constants("gocore/tasks/keys.go", r"tag[A-Z]\w+").values())


@pytest.mark.parametrize(
    ("what", "path", "first"),
    [
        ("record", "gocore/tasks/record.go", "fieldState"),
        ("call", "gocore/tasks/record.go", "callName"),
        ("worker", "gocore/tasks/workers.go", "workerPID"),
    ],
)
def test_the_layout_numbers_every_field_of_tasks(what: str, path: str, first: str) -> None:
    names = iota(path, first)
    rows = table("storage-layout.md", f"{what}, field", "content")
    assert [int(row[0]) for row in rows] == list(range(1, len(names) + 1))
    for name, row in zip(names, rows, strict=True):
        word = re.sub(r"^(field|call|worker)", "", name).lower()
        alias = {"codeversion": "version", "args": "arguments", "backoff": "wait"}
        assert alias.get(word, word) in row[1].lower(), f"field {row[0]} is {name}"


def test_the_layout_names_the_kinds_and_states_by_their_numbers() -> None:
    text = read("docs/storage-layout.md").replace("\n", " ")
    for number, name in enumerate(iota("gocore/object/descriptor.go", "KindObject")):
        assert re.search(rf"\b{number} {name.removeprefix('Kind').lower()}\b", text), name
    for number, name in enumerate(iota("gocore/tasks/state.go", "Submitted"), start=1):
        assert re.search(rf"\b{number} {name.lower()}\b", text), name


def test_the_layout_names_every_member_of_a_descriptor_and_of_the_sites_file(site: str) -> None:
    members = re.findall(r'msgpack:"(\w+)"', read("gocore/object/descriptor.go"))
    assert [row[0].strip("`") for row in table("storage-layout.md", "member", "type", "content")] == members
    stored = json.loads((Path(site) / "site.json").read_text("utf-8"))
    assert [row[0].strip("`") for row in table("storage-layout.md", "member", "content")] == list(stored)


def test_the_formats_are_those_of_the_code() -> None:
    for path, name in [
        ("gocore/keys/layout.go", "FormatVersion"),
        ("gocore/site/about.go", "Format"),
        ("gocore/tasks/store.go", "FormatVersion"),
    ]:
        assert re.search(rf"^const {name} = 1$", read(path), re.M)


def python_value(text: str) -> Any:
    return eval(text, {"__builtins__": {"float": float, "frozenset": frozenset}})


def hex_of(data: bytes | None) -> str:
    return data.hex(" ") if data else ""


@pytest.mark.parametrize("row", table("storage-layout.md", "key", "encoded", "the record's own key"))
def test_the_examples_of_keys_are_right(row: list[str]) -> None:
    key, encoded, own = (cell.strip("`") for cell in row)
    made = _native.lane.encode_key(python_value(key))
    assert (hex_of(made[0]), hex_of(made[1])) == (encoded, own)
    again = _native.lane.decode_key(*made)
    assert repr(again) == repr(python_value(key))


@pytest.mark.parametrize("row", table("storage-layout.md", "value", "stored"))
def test_the_examples_of_values_are_right(row: list[str]) -> None:
    value, stored = (cell.strip("`") for cell in row)
    assert hex_of(_native.lane.encode_value(python_value(value))) == stored
    assert _native.lane.decode_value(bytes.fromhex(stored)) == python_value(value)


def test_a_key_is_shortened_as_the_layout_says() -> None:
    import hashlib

    entry = parkit_entry_key("x" * 600)
    assert len(entry) == 511
    assert entry[-16:] == hashlib.sha256(b"\x20" + b"x" * 600).digest()[:16]
    assert entry[:495] == (b"\x21\x01\x02\x20" + b"x" * 600)[:495]


def parkit_entry_key(key: str) -> bytes:
    """The database key of the only entry of the first object of a new namespace, read from LMDB's file."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        uuid = parkit.get_site_uuid(f"{folder}/site", create=True)
        try:
            parkit.Dict("layout/d", create=True, site_uuid=uuid)[key] = 1
            data = Path(folder, "site", "ns", "layout", "@env", "data.mdb").read_bytes()
        finally:
            _native.call(_native.ctl.SiteClose, uuid)
            parkit.site._paths.pop(uuid)
    at = data.index(b"\x21\x01\x02\x20" + key[:400].encode())
    return data[at : at + 511]


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not sys.platform.startswith("linux") or not shutil.which("cc"),
    reason="the offsets are those of x86-64 Linux, and a compiler tells them",
)
def test_the_page_is_laid_out_as_the_layout_says(tmp_path: Path) -> None:
    rows = table("storage-layout.md", "offset", "field", "bytes", "meaning")
    fields = [row[1].strip("`") for row in rows]
    lines = [f'printf("%zu %zu\\n", offsetof(pk_page, {f}), sizeof ((pk_page *)0)->{f});' for f in fields]
    source = tmp_path / "offsets.c"
    source.write_text(
        "\n".join(["#include <stdio.h>", '#include "page.h"', "int main(void) {", *lines, "return 0; }\n"])
    )
    header = ROOT / "gocore" / "store" / "lmdbstore"
    subprocess.run(["cc", f"-I{header}", str(source), "-o", str(tmp_path / "offsets")], check=True)
    printed = subprocess.run([str(tmp_path / "offsets")], check=True, capture_output=True, text=True).stdout
    assert [line.split() for line in printed.splitlines()] == [[row[0], row[2]] for row in rows]
    declared = re.search(r"typedef struct \{(.*?)\} pk_page;", (header / "page.h").read_text("utf-8"), re.S)
    assert declared
    names = re.findall(r"(\w+)(?:\[\w+\])?;", re.sub(r"//.*", "", declared[1]))
    assert fields == names, "the page has other fields"


LIMITS: list[tuple[str, Any, type[Exception]]] = [
    ("an int as a key", lambda d: d.__setitem__(1 << (1 << 27), 1), OverflowError),
    ("tuples within tuples in a key", lambda d: d.__setitem__(nested(201), 1), ValueError),
    ("the name of an object or an attribute", lambda d: parkit.Dict("a" * 256, create=True), ValueError),
    ("the name of an object or an attribute", lambda d: setattr(d, "a" * 256, 1), ValueError),
    ("a namespace", lambda d: parkit.Dict("a" * 256 + "/b", create=True), ValueError),
    ("a namespace", lambda d: parkit.Dict("a/../b", create=True), ValueError),
    ("a namespace", lambda d: parkit.Dict("a b/c", create=True), ValueError),
]


def nested(depth: int) -> tuple[Any, ...]:
    key: tuple[Any, ...] = ()
    for _ in range(depth - 1):
        key = (key,)
    return key


@pytest.mark.parametrize(("what", "beyond", "error"), LIMITS)
def test_what_is_beyond_a_limit_raises_what_the_layout_says(
    site: str, what: str, beyond: Any, error: type[Exception]
) -> None:
    [row] = [row for row in table("storage-layout.md", "what", "at most", "beyond it") if row[0] == what]
    assert row[2] == f"`{error.__name__}`"
    limited = parkit.Dict("d", create=True)
    with pytest.raises(error):
        beyond(limited)
    limited[nested(200)] = 1
    limited[(1 << (1 << 20)) + 1] = math.inf
    assert len(limited) == 2


# ---- docs/architecture.md ----


def test_the_table_of_errors_is_the_codes_table() -> None:
    rows = table("architecture.md", "code", "name", "exception", "is also")
    names = json.loads(_native.call(_native.ctl.ErrorCodes))
    assert {row[0]: row[1] for row in rows} == {code: name for code, name in names.items() if code != "0"}
    for code, _, exception, bases in rows:
        raised = type(errors.from_code(int(code), "", "", ""))
        assert f"`{raised.__name__}`" == exception
        direct = [f"`{base.__name__}`" for base in raised.__bases__ if base is not errors.ParkitError]
        assert bases == ", ".join(direct)


# ---- All pages ----


def words(path: Path) -> str:
    return path.read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    text = re.sub(r"```.*?```", "", words(page), flags=re.S)
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(target)
    assert missing == []


def anchors(page: Path) -> set[str]:
    """Those that Git hosts make of a page's headings."""
    headings = [line.lstrip("# ").lower() for line in words(page).splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_tests_that_a_page_names_are_there(page: Path) -> None:
    text = words(page)
    named = set(re.findall(r"`((?:gocore|parkit_go|python|tests|docs|tools|benchmarks|notebooks)/[\w./*-]+)`", text))
    assert [name for name in sorted(named) if not list(ROOT.glob(name.rstrip("/")))] == []
    python_tests = "".join(path.read_text("utf-8") for path in ROOT.glob("tests/**/*.py"))
    go_tests = "".join(path.read_text("utf-8") for path in ROOT.glob("gocore/**/*.go"))
    absent = [name for name in set(re.findall(r"`(test_\w+)`", text)) if f"def {name}(" not in python_tests]
    absent += [
        name for name in set(re.findall(r"`((?:Test|Benchmark)[A-Z]\w+)`", text)) if f"func {name}(" not in go_tests
    ]
    # A test of the conformance suite is named by its group and its own name.
    for group, name in set(re.findall(r"`([A-Z]\w+)/(\w+)`", text)):
        if f'{{"{group}", ' not in go_tests or f'{{"{name}", ' not in go_tests:
            absent.append(f"{group}/{name}")
    assert absent == []


ENVIRONMENT = r"\b(?:PARKIT|DEFAULT_LMDB|MEMORY_LMDB)_[A-Z_]*[A-Z]\b"


def test_every_setting_of_the_environment_is_explained() -> None:
    explained = set(re.findall(ENVIRONMENT, read("docs/guarantees.md")))
    sources = [*ROOT.glob("gocore/**/*.go"), *ROOT.glob("parkit_go/*.go"), *ROOT.glob("python/parkit/**/*.py")]
    used = set()
    for path in sources:
        if not path.name.endswith("_test.go"):
            used |= set(re.findall(ENVIRONMENT, path.read_text("utf-8")))
    profile = read("gocore/site/profile.go")
    for name in re.findall(r'(?:flag|fixed|weakening|meaningless|size|readers)\("([A-Z_]+)"', profile):
        used |= {f"DEFAULT_LMDB_{name}", f"MEMORY_LMDB_{name}"}
    examples = {"PARKIT_EXAMPLE", "PARKIT_NO_SUCH_VARIABLE"}
    assert used - examples - explained == set(), "docs/guarantees.md does not explain them"
    assert explained - used == set(), "nothing reads them"


def test_every_page_can_be_reached() -> None:
    linked = "".join(words(page) for page in PAGES)
    assert [page.name for page in DOCS.glob("*.md") if not re.search(rf"\((docs/)?{page.name}[)#]", linked)] == []
