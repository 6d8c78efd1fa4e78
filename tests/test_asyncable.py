"""Functions as tasks: what they are stored as, and which code a worker runs."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Asyncable, Dict, asyncable, transaction
from parkit.errors import ObjectNotFoundError, ObjectTypeError, SiteNotSpecifiedError

LIMIT = 30.0


def codes(function: Asyncable[..., Any]) -> list[str]:
    """The versions of its code that an asyncable holds."""
    from parkit import _native

    return [name for name in _native.lane.attr_list(function) if name.startswith("__parkit_code_")]


class TestForms:
    def test_bare(self, site: str) -> None:
        @asyncable
        def plain(x: int) -> int:
            "Its words."
            return x

        assert isinstance(plain, Asyncable)
        assert (plain.path, plain.name, plain.namespace) == ("module/plain", "plain", "module")
        assert plain.__doc__ == "Its words."
        assert list(inspect.signature(plain).parameters) == ["x"]
        assert repr(plain) == "<Asyncable 'module/plain'>"
        assert parkit.Directory("module")["plain"] == plain

    def test_with_keywords(self, site: str) -> None:
        @asyncable(metadata={"unit": "m"}, retries=3, on_crash="fail")
        def one() -> None: ...

        @asyncable(path="my/place/two")
        def other() -> None: ...

        @asyncable("my/place/three")
        def third() -> None: ...

        @asyncable(fullpath=True)
        def whole() -> None: ...

        assert one.metadata == {"unit": "m"}
        assert other.path == "my/place/two"
        assert third.path == "my/place/three"
        assert whole.path == "module/test_asyncable/whole"

    def test_of_another_site(self, site: str, tmp_path: Path) -> None:
        there = parkit.import_site(tmp_path / "there", create=True, memory=True)

        @asyncable(site_uuid=there)
        def f() -> None: ...

        assert f.site_uuid == there
        assert f().site_uuid == there

    def test_lambdas_and_callables_have_names_or_need_one(self, site: str) -> None:
        class Adder:
            def __call__(self) -> int:
                return 1

        assert asyncable(lambda: 1).path == "module/<lambda>"
        assert asyncable(path="module/adder")(Adder()).path == "module/adder"
        with pytest.raises(ValueError, match="give it a path="):
            asyncable(Adder())
        with pytest.raises(TypeError, match="expected a function"):
            asyncable(path="x")(3)  # type: ignore[arg-type]

    def test_what_the_options_refuse(self, site: str) -> None:
        for options in ({"retries": -1}, {"async_limit": -1}, {"on_crash": "perhaps"}):
            with pytest.raises(ValueError, match=r"is a number from 0 on|is 'retry' or 'fail'"):
                asyncable(**options)  # type: ignore[call-overload]

    def test_the_name_of_something_else_is_refused(self, site: str) -> None:
        Dict("module/taken", create=True)
        with pytest.raises(ObjectTypeError):

            @asyncable
            def taken() -> None: ...

    def test_it_pickles_as_a_reference(self, site: str) -> None:
        @asyncable
        def f() -> None: ...

        again = pickle.loads(pickle.dumps(f))
        assert isinstance(again, Asyncable)
        assert again == f
        assert hash(again) == hash(f)

    def test_shared_attributes_are_the_users(self, site: str) -> None:
        @asyncable
        def f() -> None: ...

        f.note = "mine"
        assert f.attributes == ["note"]
        assert Asyncable("module/f").note == "mine"


class TestWithoutASite:
    def test_it_is_made_at_the_first_call(self, tmp_path: Path, script: Script) -> None:
        done = script(
            """
            import sys, os
            from parkit import asyncable, set_default_site, _native, Directory, SiteNotSpecifiedError
            @asyncable
            def f(x): return x
            assert f(2, sync=True) == 2
            assert not isinstance(vars(_native).get('_modules'), dict), 'the library was loaded'
            try:
                f(1)
            except SiteNotSpecifiedError as error:
                print('told')
            set_default_site(sys.argv[1], create=True)
            task = f(1)
            print(f.path, task.status, list(Directory('module').names()))
            """.replace("\n            ", "\n"),
            str(tmp_path / "site"),
            PARKIT_DEFAULT_SITE_PATH="",
        )
        assert done.stdout.split("\n")[:2] == ["told", "module/f submitted ['f']"]

    def test_using_it_says_that_a_site_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from parkit import site as sites

        monkeypatch.delenv("PARKIT_DEFAULT_SITE_PATH", raising=False)
        monkeypatch.setattr(sites, "_shared", None)
        monkeypatch.setattr(sites, "_thread", sites._ThreadDefault())

        @asyncable
        def f() -> None: ...

        with pytest.raises(SiteNotSpecifiedError):
            f()
        with pytest.raises(SiteNotSpecifiedError):
            _ = f.uuid


class TestCalls:
    def test_sync(self, site: str) -> None:
        @asyncable
        def where() -> int:
            return os.getpid()

        @asyncable(default_sync=True)
        def here() -> int:
            return os.getpid()

        @asyncable(disable_sync=True, default_sync=True)
        def never() -> int:
            return os.getpid()

        assert where(sync=True) == os.getpid()
        assert where().status == "submitted"
        assert here() == os.getpid()
        assert here.invoke() == os.getpid()
        assert here(sync=False).status == "submitted"
        assert never(sync=True).status == "submitted"  # type: ignore[attr-defined]
        assert Asyncable("module/here")() == os.getpid()

    def test_exceptions_of_a_call_here_are_the_functions_own(self, site: str) -> None:
        @asyncable
        def fail() -> None:
            raise KeyError("x")

        with pytest.raises(KeyError):
            fail(sync=True)

    def test_limit(self, pool: str) -> None:
        @asyncable(async_limit=2)
        def f() -> None: ...

        parkit.disable_tasks()
        first, second = f(), f()
        assert f() is None
        assert f.invoke() is None
        assert Asyncable("module/f")() is None
        parkit.enable_tasks()
        first.get(LIMIT)
        second.get(LIMIT)
        f().get(LIMIT)

    def test_invoke(self, pool: str) -> None:
        @asyncable
        def both(*args: int, **kwargs: int) -> Any:
            return args, kwargs

        assert both.invoke((1, 2), {"a": 3}).get(LIMIT) == ((1, 2), {"a": 3})
        assert both.invoke(args=(1,)).get(LIMIT) == ((1,), {})

    def test_its_tasks(self, site: str) -> None:
        @asyncable
        def f(x: int) -> int:
            return x

        @asyncable
        def g(x: int) -> int:
            return x

        tasks = [f(i) for i in range(5)]
        g(1)
        assert list(f.tasks()) == tasks
        assert f.function(3) == 3
        assert tasks[0].asyncable == f

    def test_what_cannot_be_pickled_is_refused_and_nothing_submitted(self, site: str) -> None:
        @asyncable
        def f(x: Any) -> None: ...

        with pytest.raises(TypeError, match="an argument cannot be pickled"):
            f(threading.Lock())
        assert list(f.tasks()) == []

    def test_a_function_that_cannot_be_pickled_can_be_called_here(self, site: str) -> None:
        lock = threading.Lock()

        @asyncable
        def f() -> bool:
            with lock:
                return True

        assert f(sync=True)
        with pytest.raises(TypeError, match="the function module/f cannot be pickled"):
            f()

    def test_functions_and_classes_of_the_program_as_arguments(self, pool: str) -> None:
        class Point:
            def __init__(self, x: int) -> None:
                self.x = x

        @asyncable
        def apply(function: Any, value: Any) -> Any:
            return function(value)

        result = apply(lambda p: Point(p.x + 1), Point(1)).get(LIMIT)
        assert isinstance(result, Point)
        assert result.x == 2

    def test_persistent_objects_as_arguments(self, pool: str) -> None:
        counts: Dict[str, int] = Dict("counts", create=True)

        @asyncable
        def count(where: Dict[str, int], what: str) -> Dict[str, int]:
            with transaction(where):
                where[what] = where.get(what, 0) + 1
            return where

        for task in [count(counts, "a") for _ in range(20)]:
            assert task.get(LIMIT) == counts
        assert counts["a"] == 20

    def test_coroutine_functions(self, pool: str) -> None:
        @asyncable
        async def later(x: int) -> int:
            import asyncio

            await asyncio.sleep(0)
            return x + 1

        assert later(1).get(LIMIT) == 2

    def test_methods(self, pool: str) -> None:
        class Scale:
            def __init__(self, factor: int) -> None:
                self.factor = factor

            @asyncable
            def times(self, x: int) -> int:
                return self.factor * x

        assert Scale(3).times(4).get(LIMIT) == 12

    def test_tasks_submit_tasks(self, pool: str) -> None:
        @asyncable
        def leaf(x: int) -> int:
            return x * x

        @asyncable
        def root(n: int) -> int:
            return sum(task.get() for task in [leaf(i) for i in range(n)])

        assert root(5).get(LIMIT) == 30

    def test_a_function_that_submits_itself(self, pool: str) -> None:
        seen: Dict[int, int] = Dict("seen", create=True)

        @asyncable
        def down(n: int) -> None:
            seen[n] = os.getpid()
            if n:
                down(n - 1)

        down(4)
        parkit.wait(seen, lambda: 0 in seen)
        assert sorted(seen) == [0, 1, 2, 3, 4]

    def test_in_a_transaction_on_the_tasks(self, site: str) -> None:
        @asyncable
        def f(x: int) -> int:
            return x

        f(0)
        with pytest.raises(ZeroDivisionError), transaction("__task__"):
            f(1)
            raise ZeroDivisionError
        assert len(list(f.tasks())) == 1
        with transaction("__task__"):
            two, three = f(2), f(3)
        assert [two.args, three.args] == [(2,), (3,)]

    def test_forked_children_call_it_too(self, pool: str) -> None:
        @asyncable
        def double(x: int) -> int:
            return 2 * x

        assert double(1).get(LIMIT) == 2
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.write(writing, str(double(21).get(LIMIT)).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        assert os.read(reading, 10) == b"42"
        assert os.waitpid(pid, 0)[1] == 0
        os.close(reading)
        assert double(3).get(LIMIT) == 6


class TestCodeByValue:
    def test_closures_of_one_name_keep_their_code(self, site: str) -> None:
        def make(n: int) -> Asyncable[[], int]:
            @asyncable
            def number() -> int:
                return n

            return number

        tasks = [make(n)() for n in range(5)]
        parkit.enable_tasks()
        try:
            assert [task.get(LIMIT) for task in tasks] == [0, 1, 2, 3, 4]
        finally:
            parkit.disable_tasks()

    def test_old_code_is_kept_while_tasks_wait_for_it(self, site: str) -> None:
        def make(n: int) -> Asyncable[[], int]:
            @asyncable
            def number() -> int:
                return n

            return number

        first, fortieth = [make(n) for n in range(100)][::40][:2]
        waiting = [make(1000)(), *(make(n)() for n in range(3))]
        for n in range(100):
            last = make(n)
        assert len(codes(last)) < 25
        tasks = [first(), fortieth(), *waiting]
        parkit.enable_tasks()
        try:
            assert [task.get(LIMIT) for task in tasks] == [0, 40, 1000, 0, 1, 2]
        finally:
            parkit.disable_tasks()

    def test_the_same_code_is_stored_once(self, site: str) -> None:
        def make() -> Asyncable[[], int]:
            @asyncable
            def number() -> int:
                return 1

            return number

        first = make()
        version = first.version
        first()
        first()
        assert make() == first
        assert first.version == version
        assert len(codes(first)) == 1

    def test_in_a_script(self, tmp_path: Path) -> None:
        (tmp_path / "helpers.py").write_text("NAME = 'helpers'\n")
        (tmp_path / "data.txt").write_text("data")
        (tmp_path / "script.py").write_text(
            textwrap.dedent("""
            import sys
            from dataclasses import dataclass
            from parkit import *
            import helpers
            set_default_site(sys.argv[1], create=True, memory=True)

            @asyncable
            def early(x):
                return later(x) + factor + table['a']

            def later(x):  # after the decorator has run
                return 2 * x

            factor, table = 10, {'a': 100}

            @dataclass
            class Point:
                x: int

            @asyncable
            def point(p):
                return Point(p.x + 1)

            @asyncable
            def files():
                return helpers.NAME, open('data.txt').read()

            def main():
                global factor
                assert early(1).get(30) == 112
                factor = 20
                assert early(1).get(30) == 122
                table['a'] = 200  # inside an object
                assert early(1).get(30) == 222
                made = point(Point(1)).get(30)
                assert made == Point(2) and isinstance(made, Point)
                assert files().get(30) == ('helpers', 'data')
                print('good')

            if __name__ == '__main__':
                enable_tasks()
                try:
                    main()
                finally:
                    disable_tasks()
            """)
        )
        done = subprocess.run(
            [sys.executable, "script.py", str(tmp_path / "site")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.stdout, done.stderr) == ("good\n", "")


@pytest.fixture
def program(tmp_path: Path, pool: str) -> Any:
    """Runs source in the directory of a module ``tasks_of_mine``, with the test's site."""

    def run(source: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from parkit import *\n" + textwrap.dedent(source)],
            cwd=tmp_path,
            env={**os.environ, "PARKIT_DEFAULT_SITE_PATH": pool},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


class TestCodeByReference:
    MODULE = """
        from parkit import asyncable, task

        LOADED = []

        @asyncable
        def value():
            return {value!r}

        @asyncable
        def twice():
            return [value() for _ in range(2)]  # a task of a task
    """

    def write(self, folder: Path, value: str) -> None:
        # A pyc is taken for its source's if size and time, in seconds, are the same.
        (folder / "tasks_of_mine.py").write_text(textwrap.dedent(self.MODULE.format(value=value)))

    def test_workers_follow_the_source(self, tmp_path: Path, program: Any) -> None:
        call = "from tasks_of_mine import value; print(value().get(30))"
        for text in ("first", "the second", "the third one"):
            self.write(tmp_path, text)
            assert program(call) == text + "\n"
            assert program(call) == text + "\n"
        assert len(codes(Asyncable("module/value"))) == 3

    def test_by_name_from_another_program(self, tmp_path: Path, program: Any) -> None:
        self.write(tmp_path, "by name")
        program("import tasks_of_mine")
        names = program(
            """
            print(bind_symbols('module'))
            print(value().get(30))
            """
        )
        assert names == "['twice', 'value']\nby name\n"
        assert Asyncable("module/value")().get(LIMIT) == "by name"
        assert [task.get(LIMIT) for task in Asyncable("module/twice")().get(LIMIT)] == ["by name"] * 2

    def test_submitting_in_a_worker_changes_nothing(self, tmp_path: Path, program: Any) -> None:
        self.write(tmp_path, "x")
        program("from tasks_of_mine import twice; twice().get(30)")
        value = Asyncable("module/value")
        version = value.version
        program("from tasks_of_mine import twice, value; twice().get(30); value().get(30)")
        assert value.version == version

    def test_a_module_that_is_gone_fails_the_task_only(self, tmp_path: Path, program: Any) -> None:
        self.write(tmp_path, "x")
        program("import tasks_of_mine")
        (tmp_path / "tasks_of_mine.py").unlink()
        task = Asyncable("module/value")()
        assert isinstance(task.wait(LIMIT).error, ModuleNotFoundError)

        @asyncable
        def alive() -> bool:
            return True

        assert alive().get(LIMIT)

    def test_a_function_that_is_gone_fails_the_task(self, tmp_path: Path, program: Any) -> None:
        self.write(tmp_path, "x")
        program("import tasks_of_mine")
        (tmp_path / "tasks_of_mine.py").write_text("")
        error = Asyncable("module/value")().wait(LIMIT).error
        assert "has no function value" in str(error)

    def test_stacked_decorators(self, tmp_path: Path, program: Any) -> None:
        (tmp_path / "tasks_of_mine.py").write_text(
            textwrap.dedent("""
            import functools
            from parkit import asyncable

            def louder(function):
                @functools.wraps(function)
                def inner(*args):
                    return function(*args) + '!'
                return inner

            @asyncable
            @louder
            def inside(): return 'inside'

            def plain(): return 'plain'
            outside = asyncable(path='module/other')(louder(plain))
            """)
        )
        assert program("from tasks_of_mine import *; print(inside().get(30), outside().get(30))") == "inside! plain!\n"


class TestDropped:
    def test_calls_and_tasks_say_so(self, site: str) -> None:
        @asyncable
        def f() -> None: ...

        task = f()
        f.drop()
        with pytest.raises(ObjectNotFoundError):
            f()
        parkit.enable_tasks()
        try:
            assert isinstance(task.wait(LIMIT).error, ObjectNotFoundError)
        finally:
            parkit.disable_tasks()
        with pytest.raises(ObjectNotFoundError):
            _ = task.asyncable

    def test_it_can_be_made_again(self, pool: str) -> None:
        def make() -> Asyncable[[], int]:
            @asyncable
            def f() -> int:
                return 1

            return f

        make().drop()
        assert make()().get(LIMIT) == 1


@pytest.mark.long
def test_type_checkers_see_the_signature(tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(
        textwrap.dedent("""
        from parkit import asyncable
        @asyncable
        def f(x: int, *, name: str = "") -> float:
            return x / 2
        @asyncable(retries=2)
        def g(x: int) -> list[str]:
            return []
        reveal_type(f(1))
        reveal_type(f(1, sync=True))
        reveal_type(f(1).get())
        reveal_type(g(1).wait().result)
        f("no")
        f(1, nome="x")
        """)
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "typed.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    lines = done.stdout.splitlines()
    revealed = [line.partition('Revealed type is "')[2].rstrip('"').replace("builtins.", "") for line in lines[:4]]
    assert revealed == ["parkit.task.Task[float]", "float", "float", "list[str] | None"]
    assert ":13: error" in done.stdout
    assert ":14: error" in done.stdout
