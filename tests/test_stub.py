"""The stubs of the library's two modules say what is in the library that was built, and no more."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import parkit
from parkit import _native

FOLDER = Path(parkit.__file__).parent
STUBS = {"lane": FOLDER / "_lane.pyi", "ctl": FOLDER / "_ctl.pyi"}


def functions(module: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(STUBS[module].read_text("utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def classes(module: str) -> set[str]:
    return {node.name for node in ast.parse(STUBS[module].read_text("utf-8")).body if isinstance(node, ast.ClassDef)}


def built(module: str) -> dict[str, Any]:
    """What the library has, without what gopy adds for itself."""
    content = vars(_native.load()[module])
    if module == "ctl":
        prefix = "parkit_go_"
        return {name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)}
    return {name: value for name, value in content.items() if not name.startswith("__")}


EACH = [(module, name) for module in STUBS for name in functions(module)]


@pytest.mark.parametrize("module", STUBS)
def test_the_stub_and_the_library_have_the_same_names(module: str) -> None:
    assert set(functions(module)) | classes(module) == set(built(module))
    assert {name for name, value in built(module).items() if isinstance(value, type)} == classes(module)


def declared(module: str, name: str) -> tuple[int, int]:
    """How many arguments the stub says the function takes, at least and at most."""
    arguments = functions(module)[name].args
    assert [*arguments.kwonlyargs, arguments.vararg, arguments.kwarg] == [None, None]
    most = len(arguments.posonlyargs) + len(arguments.args)
    return most - len(arguments.defaults), most


def taken(function: Any) -> tuple[int, int]:
    """How many the built one takes, from what it says when it is given too many: it does nothing then."""
    with pytest.raises(TypeError) as caught:
        function(*[None] * 50)
    text = str(caught.value)
    for pattern in (
        r"takes (\d+) to (\d+) arguments, not 50",
        r"takes exactly (?P<n>\d+) arguments? \(50 given\)",
        r"takes at most (?P<n>\d+) arguments? \(50 given\)",  # gopy's have no optional ones
    ):
        found = re.search(pattern, text)
        if found:
            numbers = [int(number) for number in found.groups()]
            return numbers[0], numbers[-1]
    if "takes exactly one argument (50 given)" in text:
        return 1, 1
    assert "takes no arguments (50 given)" in text, text
    return 0, 0


@pytest.mark.parametrize(("module", "name"), EACH)
def test_they_take_as_many_arguments(module: str, name: str) -> None:
    assert declared(module, name) == taken(built(module)[name])


@pytest.mark.parametrize("name", functions("ctl"))
def test_gopys_arguments_have_the_names_and_types_of_go(name: str) -> None:
    documentation = built("ctl")[name].__doc__
    found = re.match(r"parkit_go_\w+\(([\w, ]*)\)", documentation)
    assert found
    names = [argument for argument in found[1].split(", ") if argument]
    arguments = functions("ctl")[name].args.args
    assert [argument.arg for argument in arguments] == names
    types = dict(re.findall(r"type: (\w+): (.+)", documentation))
    python = {"char *": "str", "int64_t": "int", "bool": "bool", "double": "float"}
    for argument in arguments:
        assert argument.annotation is not None
        assert ast.unparse(argument.annotation) == python[types[argument.arg]]


@pytest.mark.parametrize("name", functions("lane"))
def test_the_lane_takes_no_keywords_and_the_stub_says_so(name: str) -> None:
    arguments = functions("lane")[name].args
    assert arguments.args == []
    with pytest.raises(TypeError, match="keyword"):
        built("lane")[name](nobody=1)


@pytest.mark.parametrize(("module", "name"), EACH)
def test_every_function_is_documented(module: str, name: str) -> None:
    assert ast.get_docstring(functions(module)[name])
    assert built(module)[name].__doc__
