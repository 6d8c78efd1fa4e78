"""Environment variables, sizes, loops and timers."""

from __future__ import annotations

import time
from typing import Any

import pytest

import parkit
from parkit import Timer, checkenv, envexists, getenv, polling_loop, setenv

NAME = "PARKIT_TEST_VARIABLE"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [("12", int, 12), ("1.5", float, 1.5), ("yes", bool, True), ("False", bool, False), ("x", str, "x"), ("", str, "")],
)
def test_reading_a_variable(text: str, kind: Any, value: Any) -> None:
    setenv(NAME, text)
    assert envexists(NAME)
    assert checkenv(NAME, kind)
    assert getenv(NAME, kind) == value
    assert getenv(NAME) == text


@pytest.mark.parametrize(("text", "kind"), [("many", int), ("", float), ("perhaps", bool)])
def test_a_variable_that_cannot_be_read(text: str, kind: Any) -> None:
    setenv(NAME, text)
    assert not checkenv(NAME, kind)
    with pytest.raises(ValueError, match=f"{NAME} is '{text}', which is no {kind.__name__}"):
        getenv(NAME, kind)


def test_a_variable_that_is_not_set() -> None:
    assert not envexists(NAME)
    assert not checkenv(NAME)
    with pytest.raises(ValueError, match="not set"):
        getenv(NAME)


def test_setting_a_variable() -> None:
    for value in (3, True, "x"):
        setenv(NAME, value)
        assert getenv(NAME) == str(value)
    setenv(NAME, None)
    setenv(NAME, None)
    assert not envexists(NAME)


def test_a_digest() -> None:
    assert parkit.create_string_digest("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert parkit.create_string_digest("a", "bc") == parkit.create_string_digest("abc")
    assert parkit.create_string_digest(b"a", "bc") == parkit.create_string_digest("abc")
    assert len(parkit.create_string_digest()) == 40


def test_sizes() -> None:
    assert parkit.get_memory_size() % parkit.get_pagesize() == 0


def test_the_size_of_an_object() -> None:
    text = "x" * 10_000
    twice: list[Any] = [text, text, {"k": [text]}]
    assert 10_000 < parkit.get_memory_size(twice) < 12_000
    twice.append(twice)  # it refers to itself
    assert 10_000 < parkit.get_memory_size(twice) < 12_000
    assert parkit.get_memory_size(None) > 0
    for shared in (int, parkit, parkit.wait):
        with pytest.raises(TypeError):
            parkit.get_memory_size(shared)


def test_a_polling_loop() -> None:
    begin = time.monotonic()
    assert list(polling_loop(0.01, max_iterations=4)) == [0, 1, 2, 3]
    assert time.monotonic() - begin >= 0.03
    assert list(polling_loop(0, max_iterations=3, initial_offset=0.01)) == [0, 1, 2]
    assert list(polling_loop(1, max_iterations=0)) == []


def test_a_polling_loop_that_takes_too_long() -> None:
    begin = time.monotonic()
    seen = []
    with pytest.raises(TimeoutError):
        for step in polling_loop(0.01, timeout=0.055):
            seen.append(step)
    assert len(seen) >= 2
    assert 0.05 < time.monotonic() - begin < 5


def test_a_timer(capsys: pytest.CaptureFixture[str]) -> None:
    timer = Timer("work").start()
    first = timer.elapsed
    assert timer.stop() >= first > 0
    assert timer.elapsed == timer.elapsed
    assert capsys.readouterr().out.startswith("work: ")
    with pytest.raises(RuntimeError):
        timer.stop()
    with timer, pytest.raises(RuntimeError):
        timer.start()
