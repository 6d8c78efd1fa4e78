"""Random use of a file against io's own: in binary against BytesIO, in text against a file on disk."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import parkit
from parkit import File, snapshot, transaction
from parkit._file_stream import Mode

CHUNK = 128 * 1024 - 21

#: Sizes and places about the bounds of a file, of its buffers and of its chunks.
near = st.sampled_from([0, 1, 5, 512, 8192, CHUNK, 2 * CHUNK])
sizes = st.builds(lambda base, more: max(0, base + more), near, st.integers(-3, 3)) | st.integers(0, 40)
numbers = itertools.count()


def filled(n: int, seed: int) -> bytes:
    return bytes((seed + i * 7) & 0xFF for i in range(251)) * (n // 251 + 1)


class BinaryFile(RuleBasedStateMachine):
    """A stream of a File beside a BytesIO, with others that look at the file, scopes, and content set at once."""

    def __init__(self) -> None:
        super().__init__()
        self.file = File(f"model/{next(numbers)}", create=True)
        self.twin = io.BytesIO()
        self.stream: Any = None
        self.scope: Any = None
        self.kept: Any = None
        self.seed = 0

    def data(self, n: int) -> bytes:
        self.seed += 1
        return filled(n, self.seed)[:n]

    @rule(mode=st.sampled_from(["r+b", "w+b", "a+b"]), buffering=st.sampled_from([-1, 0, 600, CHUNK]))
    @precondition(lambda self: self.stream is None)
    def open(self, mode: str, buffering: int) -> None:
        self.stream = self.file.open(mode, buffering)
        if mode == "w+b":
            self.twin = io.BytesIO()
        self.append = mode == "a+b"
        self.flushed = False
        self.twin.seek(0, io.SEEK_END if self.append else io.SEEK_SET)

    @rule()
    @precondition(lambda self: self.stream is not None)
    def close(self) -> None:
        self.stream.close()
        self.stream = None

    @rule(n=sizes)
    @precondition(lambda self: self.stream is not None)
    def write(self, n: int) -> None:
        data = self.data(n)
        assert self.stream.write(data) == n
        self.flushed = False
        if self.append and n:
            self.twin.seek(0, io.SEEK_END)
            self.flush()  # before, io takes it for written where the stream stood
        self.twin.write(data)

    @rule(n=sizes | st.just(-1))
    @precondition(lambda self: self.stream is not None)
    def read(self, n: int) -> None:
        assert self.stream.read(n) == self.twin.read(n)

    @rule(n=sizes)
    @precondition(lambda self: self.stream is not None)
    def readinto(self, n: int) -> None:
        mine, twin = bytearray(n), bytearray(n)
        count = self.twin.readinto(twin)
        got = 0
        while got < count:  # one call may give less, as io allows
            more = self.stream.readinto(memoryview(mine)[got:])
            assert more
            got += more
        assert mine == twin

    @rule(n=st.sampled_from([-1, 0, 3, 100]))
    @precondition(lambda self: self.stream is not None)
    def readline(self, n: int) -> None:
        assert self.stream.readline(n) == self.twin.readline(n)

    @rule(offset=sizes, whence=st.sampled_from([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END]), back=st.booleans())
    @precondition(lambda self: self.stream is not None)
    def seek(self, offset: int, whence: int, back: bool) -> None:
        offset = -offset if back else offset
        place = (0, self.twin.tell(), len(self.twin.getbuffer()))[whence] + offset
        if place < 0:
            with pytest.raises((ValueError, OSError)):
                self.stream.seek(offset, whence)
            return
        assert self.stream.seek(offset, whence) == place
        self.twin.seek(place)

    @rule(size=sizes | st.none())
    @precondition(lambda self: self.stream is not None)
    def truncate(self, size: int | None) -> None:
        at = self.twin.tell()
        wanted = at if size is None else size
        assert self.stream.truncate(size) == wanted
        self.flushed = True  # it stores what it cuts
        held = self.twin.getvalue()[:wanted]
        self.twin = io.BytesIO(held + bytes(wanted - len(held)))  # BytesIO does not grow by truncate
        self.twin.seek(at)

    @rule(n=sizes)
    @precondition(lambda self: self.stream is None)
    def set_content(self, n: int) -> None:
        data = self.data(n)
        self.file.set_content(data)
        self.twin = io.BytesIO(data)

    @rule()
    @precondition(lambda self: self.stream is None and self.scope is None)
    def begin(self) -> None:
        self.scope = transaction(self.file)
        self.scope.__enter__()
        self.kept = self.twin.getvalue()

    @rule(keep=st.booleans())
    @precondition(lambda self: self.stream is None and self.scope is not None)
    def end(self, keep: bool) -> None:
        if keep:
            self.scope.__exit__(None, None, None)
        else:
            error = KeyError()
            self.scope.__exit__(KeyError, error, None)
            self.twin = io.BytesIO(self.kept)
        self.scope = None

    @rule()
    @precondition(lambda self: self.stream is None and self.scope is None)
    def look_in_place(self) -> None:
        with snapshot(self.file):
            view = self.file.get_content()
            assert (b"" if view is None else view) == self.twin.getvalue()
            del view

    @invariant()
    def agree(self) -> None:
        if self.stream is not None:
            assert self.stream.tell() == self.twin.tell()
            if not self.flushed:
                return  # what was gathered need not be seen yet
        with self.file.open("rb") as again:
            assert again.read() == self.twin.getvalue()

    @rule()
    @precondition(lambda self: self.stream is not None)
    def flush(self) -> None:
        self.stream.flush()
        # What is replaced stays until something is stored.
        self.flushed = not getattr(self.stream, "raw", self.stream)._replaces

    @rule(at=sizes, n=sizes)
    @precondition(lambda self: self.stream is not None and self.flushed and not self.append)
    def write_by_another(self, at: int, n: int) -> None:
        """After a flush the stream holds nothing of its own to write; what it has read ahead it may keep."""
        data, place = self.data(n), self.twin.tell()
        with self.file.open("r+b") as other:
            other.seek(at)
            other.write(data)
        self.twin.seek(at)
        self.twin.write(data)
        self.twin.seek(place)
        self.stream.seek(0, io.SEEK_END)  # forgets what was read ahead
        self.stream.seek(place)

    def teardown(self) -> None:
        if self.stream is not None:
            self.stream.close()
        if self.scope is not None:
            self.scope.__exit__(None, None, None)


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("examples", "steps"), [(40, 20), pytest.param(1000, 50, marks=[pytest.mark.long, pytest.mark.timeout(900)])]
)
def test_random_use_agrees_with_bytesio(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        BinaryFile,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


texts = st.text(st.sampled_from("aé€\n\r\t\U0001f600 "), max_size=30)
operations = st.lists(
    st.tuples(st.just("write"), texts)
    | st.tuples(st.sampled_from(["read", "readline"]), st.sampled_from([-1, 0, 1, 5, 100]))
    | st.tuples(st.sampled_from(["start", "end", "here", "lines", "flush"]), st.just(None)),
    max_size=20,
)


@pytest.mark.usefixtures("site")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True)
@given(
    steps=operations,
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig", "latin-1", "ascii", "cp1252"]),
    errors=st.sampled_from([None, "replace", "ignore", "xmlcharrefreplace"]),
    newline=st.sampled_from([None, "", "\n", "\r", "\r\n"]),
)
def test_text_agrees_with_a_file_on_disk(
    steps: list[tuple[str, Any]], encoding: str, errors: str | None, newline: str | None, tmp_path: Path
) -> None:
    number = next(numbers)
    file = File(f"model/text-{number}", create=True)
    path = tmp_path / str(number)

    def both(call: Any) -> None:
        results = []
        for stream in (mine, twin):
            try:
                results.append(call(stream))
            except (UnicodeError, OSError) as error:
                results.append(type(error))
        assert results[0] == results[1]

    options: Any = {"encoding": encoding, "errors": errors, "newline": newline}
    with file.open("w+", **options) as mine, open(path, "w+", **options) as twin:
        places: list[Any] = []
        for name, argument in steps:
            if name == "write":
                both(lambda stream, text=argument: stream.write(text))
            elif name in ("read", "readline"):
                both(lambda stream, name=name, n=argument: getattr(stream, name)(n))
            elif name == "lines":
                both(list)
            elif name == "flush":
                both(lambda stream: stream.flush())
            elif name == "here":
                both(lambda stream: places.append(stream.tell()) or places[-1])
                if len(places) > 1 and places[-1] == places[-2]:
                    both(lambda stream: stream.seek(places[-1]))
            else:
                both(lambda stream, whence=0 if name == "start" else 2: stream.seek(0, whence))
    with file.open("rb") as stored:
        assert stored.read() == path.read_bytes()


@given(st.text(st.sampled_from("rwaxbt+z"), max_size=6))
def test_a_mode_is_one_or_it_is_refused(text: str) -> None:
    letters = set(text)
    sound = (
        len(letters) == len(text)
        and len(letters & set("rwa")) == 1
        and not {"b", "t"} <= letters
        and "z" not in letters
    )
    try:
        mode = Mode(text)
    except ValueError:
        assert not sound
    else:
        assert sound
        assert mode.read == ("r" in letters or "+" in letters)
        assert mode.write == ("r" not in letters or "+" in letters)


def test_the_chunk_of_the_core_is_the_one_that_is_tested_about(site: str) -> None:
    file = File("model/chunk", create=True)
    assert parkit._native.lane.sequence(file)[2] == CHUNK
