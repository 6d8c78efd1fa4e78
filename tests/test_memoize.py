"""Dict.memoize: what a result is kept under, and when it is used. test_memoize_together.py has what several ask for."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import parkit
from conftest import Script
from parkit import Dict, snapshot, transaction, wait
from parkit._memo_key import version_of

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def d() -> Dict[Any, Any]:
    return Dict("memo", create=True)


def counted(d: Dict[Any, Any], **options: Any) -> tuple[Any, list[Any]]:
    calls: list[Any] = []

    @d.memoize(name="counted", **options)
    def function(a: Any, b: Any = 2, *rest: Any, c: Any = 3, **more: Any) -> Any:
        calls.append((a, b, rest, c, more))
        return calls[-1]

    return function, calls


# ---- What a result is kept under ----


def test_a_result_is_computed_once(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)
    assert function(1) == function(1) == (1, 2, (), 3, {})
    assert len(calls) == 1
    assert function.cache_info() == (1, 1, None, 1)
    assert function.__wrapped__(1) == (1, 2, (), 3, {})
    assert len(calls) == 2
    assert d[function.cache_key(1)] == (1, 2, (), 3, {})


def test_arguments_are_one_however_they_are_given(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)
    for call in (
        lambda: function(1),
        lambda: function(a=1),
        lambda: function(1, 2),
        lambda: function(1, b=2),
        lambda: function(b=2, a=1, c=3),
        lambda: function(1.0, 2, c=3),
    ):
        call()
    assert len(calls) == 1
    function(1, 2, 4, x=1, y=2)
    function(1, 2, 4, y=2, x=1)
    assert len(calls) == 2
    function(1, 2, 4, x=2, y=2)
    assert len(calls) == 3
    with pytest.raises(TypeError, match="missing a required argument"):
        function()


class Plain:
    """An argument that is compared by identity, and pickled."""

    def __init__(self, n: int) -> None:
        self.n = n


class Unhashable(Plain):
    __hash__ = None  # type: ignore[assignment]


def test_arguments_of_any_type_count_by_their_value(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)
    other: Dict[Any, Any] = Dict("other", create=True)
    different = [
        None,
        "a",
        b"a",
        [1, 2],
        (1, 2),
        [2, 1],
        {1, 2},
        {"a": 1},
        {"a": 2},
        Plain(1),
        Plain(2),
        Unhashable(1),
        bytearray(10),
        bytearray(10**6),
        d,
        other,
        "x" * 5000,
        ["x" * 5000],
    ]
    for argument in different:
        function(argument)
    assert len(calls) == len(different)
    for argument in pickle.loads(pickle.dumps(different)):
        function(argument)
    assert len(calls) == len(different)


def test_an_argument_that_cannot_be_pickled_is_refused(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)
    with pytest.raises(TypeError, match=r"the argument b cannot be part of a key .*; leave it out with ignore="):
        function(1, threading.Lock())
    assert calls == []

    @d.memoize(ignore="lock")
    def locked(n: int, lock: Any) -> int:
        calls.append(n)
        return n

    assert locked(1, threading.Lock()) == locked(1, threading.Lock()) == 1
    assert calls == [1]


@pytest.mark.parametrize("ignore", ["a", 0, ["a"], (0,), {"a"}, -5])
def test_ignored_parameters_do_not_count(d: Dict[Any, Any], ignore: Any) -> None:
    function, calls = counted(d, ignore=ignore)
    function(1)
    function(2)
    function(a=3)
    assert len(calls) == 1
    function(1, 3)
    assert len(calls) == 2


@pytest.mark.parametrize("ignore", ["z", 5, [-6]])
def test_a_parameter_that_is_not_there_cannot_be_ignored(d: Dict[Any, Any], ignore: Any) -> None:
    with pytest.raises(ValueError, match="has no parameter"):
        counted(d, ignore=ignore)


def test_types_count_where_asked(d: Dict[Any, Any]) -> None:
    function, calls = counted(d, typed=True)
    function(1)
    function(1.0)
    function(True)
    function(1)
    function(1, 2, 3, x=1)
    function(1, 2, 3.0, x=1)
    function(1, 2, 3, x=True)
    assert len(calls) == 6


def test_a_key_of_ones_own(d: Dict[Any, Any]) -> None:
    function, calls = counted(d, key=lambda a, **more: a["id"])
    function({"id": 1, "text": "a"})
    function({"id": 1, "text": "b"})
    function({"id": 2, "text": "b"})
    assert len(calls) == 2
    assert function.cache_key({"id": 7})[0] == "counted"
    assert function.cache_key({"id": 7})[-1] == 7


def test_none_is_a_value_and_exceptions_are_none(d: Dict[Any, Any]) -> None:
    calls = []

    @d.memoize()
    def nothing(fail: bool) -> None:
        calls.append(fail)
        if fail:
            raise ZeroDivisionError

    assert nothing(False) is None
    assert nothing(False) is None
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            nothing(True)
    assert calls == [False, True, True]


def test_a_result_that_cannot_be_stored_says_so_and_leaves_no_claim(d: Dict[Any, Any]) -> None:
    results: list[Any] = [threading.Lock(), 1]

    @d.memoize()
    def function() -> Any:
        return results.pop(0)

    with pytest.raises(TypeError, match="pickle"):
        function()
    assert function() == 1


def test_a_result_may_end(d: Dict[Any, Any]) -> None:
    function, calls = counted(d, expire=0.03)
    function(1)
    wait(d, lambda: function.cache_key(1) not in d, timeout=20)
    function(1)
    assert len(calls) == 2
    with pytest.raises(ValueError, match="expire is above zero"):
        d.memoize(expire=0)


def test_forgetting(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)

    @d.memoize(name="counted.too")
    def other(n: int) -> int:
        return n

    d["counted"] = d[("counted",)] = "mine"
    assert function.invalidate(1) is False
    for n in range(3):
        function(n)
        other(n)
    assert function.invalidate(1) is True
    assert function.cache_info().currsize == 2
    function(1)
    assert len(calls) == 4
    function.cache_clear()
    assert function.cache_info() == (0, 0, None, 0)
    assert other.cache_info().currsize == 3  # type: ignore[attr-defined]
    assert d["counted"] == d[("counted",)] == "mine"


# ---- Which function it is ----


def made(source: str, **names: Any) -> Callable[..., Any]:
    exec(source, names)
    return names["f"]  # type: ignore[no-any-return]


def closing(value: Any) -> Callable[[], Any]:
    return lambda: value


def test_the_version_of_a_function_is_that_of_its_code() -> None:
    one = made("def f(a, b=1): return a + b")
    assert version_of(one) == version_of(made("\n\n# moved\ndef f(a, b=1):\n    return a + b"))
    for other in (
        "def f(a, b=1): return a - b",
        "def f(a, b=2): return a + b",
        "def f(a, *, b=1): return a + b",
        "def f(a, b=1): return a + b + 1",
        "def f(a, b=1): return (lambda: a + b)()",
        "def f(a, b=1): return (lambda: a - b)()",
        "def f(a, b=1): return g(a, b)",
    ):
        assert version_of(one) != version_of(made(other)), other
    first = made("def f(a): return (lambda: a in {1, 'b', 'c'})()")
    assert version_of(first) == version_of(made("def f(a): return (lambda: a in {'c', 'b', 1})()"))
    assert version_of(first) != version_of(made("def f(a): return (lambda: a in {'c', 'b', 2})()"))


def test_what_a_function_closes_over_counts() -> None:
    values: list[Any] = [
        1,
        1.5,
        "a",
        (1, 2),
        [1, 2],
        {1, 2},
        {"a": 1},
        {"a": 2},
        Plain(1),
        Plain(2),
        closing(1),
        closing(2),
        len,
        Plain,
    ]
    versions = [version_of(closing(value)) for value in values]
    assert len(set(versions)) == len(values)
    again = [version_of(closing(value)) for value in pickle.loads(pickle.dumps(values[:10]))]
    assert again == versions[:10]
    assert version_of(closing(threading.Lock())) == version_of(closing(threading.Lock()))


def test_a_changed_function_computes_anew(d: Dict[Any, Any]) -> None:
    def build(factor: int) -> Callable[[int], int]:
        @d.memoize()
        def times(n: int) -> int:
            return n * factor

        return times

    assert build(2)(3) == 6
    assert build(3)(3) == 9
    assert build(2).cache_info().currsize == 2  # type: ignore[attr-defined]
    build(4).cache_clear()  # type: ignore[attr-defined]
    assert len(d) == 0


def test_versions_are_the_same_in_every_process(d: Dict[Any, Any], site: str, script: Script, tmp_path: Path) -> None:
    (tmp_path / "mod.py").write_text(
        "import parkit\nd = parkit.Dict('memo')\n"
        "@d.memoize()\ndef f(n, kinds={'a', 'b', 'c', 'd'}, *, x=(1, 'y')):\n"
        "    return (lambda k: k in {'p', 'q', 'r'})(n)\n"
        "def g():\n    words = {'e', 'f', 'g', 'h'}\n    return d.memoize()(lambda n: n in words)\n"
    )
    source = (
        "import parkit, sys; parkit.set_default_site(sys.argv[1]); sys.path.insert(0, sys.argv[2])\n"
        "import mod; mod.f(1); mod.g()(2); print(mod.f.cache_key(1)[1])\n"
    )
    seen = {script(source, site, str(tmp_path), PYTHONHASHSEED=str(seed)).stdout for seed in range(3)}
    assert len(seen) == 1
    assert len(d) == 2


class Shop(Plain):
    """Methods of all kinds."""

    calls = 0

    def price(self, what: str) -> int:
        type(self).calls += 1
        return self.n * len(what)


def test_methods(d: Dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shop, "calls", 0)
    monkeypatch.setattr(Shop, "price", d.memoize()(Shop.price))
    assert Shop(2).price("ab") == Shop(2).price(what="ab") == 4
    assert Shop(3).price("ab") == 6
    assert Shop.calls == 2
    assert Shop.price.cache_key(Shop(2), "ab") in d  # type: ignore[attr-defined]


def test_methods_of_persistent_objects_and_of_classes(d: Dict[Any, Any]) -> None:
    calls = []

    class Lamp(parkit.Object):
        @d.memoize()
        def watts(self, hours: int) -> int:
            calls.append(hours)
            return hours * 40

        @staticmethod
        @d.memoize()
        def twice(n: int) -> int:
            calls.append(n)
            return 2 * n

    one, two = Lamp("one", create=True), Lamp("two", create=True)
    assert one.watts(2) == Lamp("one").watts(2) == two.watts(2) == 80
    assert Lamp.twice(4) == one.twice(4) == 8
    assert calls == [2, 2, 4]


def test_what_cannot_be_memoized(d: Dict[Any, Any]) -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def agenerator() -> Any:
        yield 1

    for function in (generator, agenerator):
        with pytest.raises(TypeError, match="is a generator"):
            d.memoize()(function)
    for thing in (len, Plain(1)):
        with pytest.raises(TypeError, match="takes a function written in Python"):
            d.memoize()(thing)  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"write @cache.memoize\(\)"):
        d.memoize(generator)  # type: ignore[arg-type]


class Upper(Dict[Any, Any]):
    """A Dict whose class replaces the hooks."""

    def encode_key(self, key: Any) -> bytes:
        return pickle.dumps(key)[::-1]

    def decode_key(self, data: bytes) -> Any:
        return pickle.loads(data[::-1])

    def encode_value(self, value: Any) -> bytes:
        return pickle.dumps(value)[::-1]

    def decode_value(self, data: bytes) -> Any:
        return pickle.loads(data[::-1])


def test_a_dict_with_hooks() -> None:
    function, calls = counted(Upper("upper", create=True))
    assert function(1) == function(1) == (1, 2, (), 3, {})
    assert len(calls) == 1
    assert function.cache_info().currsize == 1
    function.cache_clear()
    assert function.cache_info().currsize == 0


# ---- Recursion and scopes ----


def test_a_recursive_function(d: Dict[Any, Any]) -> None:
    calls = []

    @d.memoize()
    def fib(n: int) -> int:
        calls.append(n)
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(50) == 12586269025
    assert len(calls) == 51


def test_a_function_that_asks_for_itself_ends(d: Dict[Any, Any]) -> None:
    depth = []

    @d.memoize()
    def again(n: int) -> int:
        depth.append(n)
        return len(depth) if len(depth) == 3 else again(n)

    assert again(1) == 3
    assert again(1) == 3
    assert len(depth) == 3


def test_in_a_transaction_it_computes_itself(d: Dict[Any, Any]) -> None:
    function, calls = counted(d)
    with pytest.raises(ZeroDivisionError), transaction(d):
        function(1)
        function(1)
        raise ZeroDivisionError
    assert len(calls) == 1
    function(1)  # it was undone with the rest
    assert len(calls) == 2
    with snapshot(d):
        function(2)
    assert function.cache_key(2) in d


# ---- Pickled, and in tasks ----


def test_a_memoized_function_can_be_pickled_by_value(d: Dict[Any, Any]) -> None:
    import cloudpickle

    @d.memoize()
    def function(n: int) -> int:
        return n + 1

    function(1)
    twin: Any = pickle.loads(cloudpickle.dumps(function))
    assert twin.cache_key(1) == function.cache_key(1)  # type: ignore[attr-defined]
    assert twin(1) == function(1)
    assert twin.cache_info()[:2] == (1, 0)


def test_in_tasks_one_computes_for_all(d: Dict[Any, Any], pool: str) -> None:
    calls: Dict[Any, Any] = Dict("calls", create=True)

    @d.memoize(name="square")
    def square(n: int) -> int:
        with transaction(calls):
            calls[n] = calls.get(n, 0) + 1
        return n * n

    @parkit.asyncable
    def total(numbers: Any) -> int:
        return sum(square(n) for n in numbers)

    assert square(3) == 9
    tasks = [total(range(10)) for _ in range(4)]
    for submitted in tasks:
        assert submitted.wait(timeout=60).error is None, submitted.error
    assert [submitted.result for submitted in tasks] == [285] * 4
    assert dict(calls) == dict.fromkeys(range(10), 1)
