"""The library is loaded at first use, once, configured before anyone sees it; its errors become exceptions."""

from __future__ import annotations

import pytest

from conftest import Script
from parkit import _native

LOADED = "'_parkit_go' in open('/proc/self/maps').read()"


def test_import_loads_nothing(script: Script) -> None:
    script(f"import parkit; from parkit import _native; assert not {LOADED}")


def test_looking_at_the_names_loads_nothing(script: Script) -> None:
    script(f"""
import inspect
from parkit import _native
repr(_native.lane), inspect.unwrap(_native.lane), hasattr(_native.ctl, '__path__'), inspect.getdoc(_native.ctl)
assert not {LOADED}
""")


def test_first_use_puts_the_modules_in_place(script: Script) -> None:
    script(f"""
import types
from parkit import _native
_native.ctl.Version()
assert {LOADED}
assert type(_native.lane) is type(_native.ctl) is types.ModuleType
assert _native.lane.__file__ == _native.ctl.__file__ == _native.LIBRARY
""")


def test_gopys_functions_have_their_go_names() -> None:
    assert _native.ctl.Version is _native.ctl.parkit_go_Version


def test_callbacks_run_once_before_any_use(script: Script) -> None:
    script("""
from parkit import _native
seen = []
_native.on_load(lambda lane, ctl: seen.append((lane, ctl)))
assert seen == []
_native.ctl.Version()
assert seen == [(_native.lane, _native.ctl)]
_native.on_load(lambda lane, ctl: seen.append((lane, ctl)))
assert seen == 2 * [(_native.lane, _native.ctl)]
""")


def test_a_callback_may_use_the_library(script: Script) -> None:
    script("""
from parkit import _native
seen = []
_native.on_load(lambda lane, ctl: seen.append(_native.ctl.Version()))
assert _native.ctl.Version() == seen[0] and len(seen) == 1
""")


def test_a_library_that_could_not_be_configured_is_not_used(script: Script) -> None:
    script("""
from parkit import _native
calls = []
def fail_once(lane, ctl):
    calls.append(1)
    if len(calls) == 1:
        raise ValueError('on purpose')
_native.on_load(fail_once)
try:
    _native.ctl.Version()
except ValueError:
    pass
else:
    raise AssertionError('the failure was swallowed')
assert _native.ctl.Version()
assert len(calls) == 2
""")


def test_threads_that_come_at_once_load_once(script: Script) -> None:
    script("""
import threading
from parkit import _native
configured, start, results = [], threading.Barrier(8), []
_native.on_load(lambda lane, ctl: configured.append(lane))
def use():
    start.wait()
    _native.ctl.Version()
    results.append(len(configured))
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert results == 8 * [1]
""")


def test_a_library_that_was_not_built_is_an_import_error(script: Script) -> None:
    script("""
from parkit import _native
_native.LIBRARY = _native.LIBRARY + '.none'
try:
    _native.lane.ping
except ImportError as error:
    assert 'was not built' in str(error), error
else:
    raise AssertionError
""")


def test_an_error_of_the_core_is_told_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from parkit import errors

    crossed = []

    def record(*parts: object) -> Exception:
        crossed.append(parts)
        return KeyError("translated")

    monkeypatch.setattr(errors, "from_code", record)

    def fail() -> None:
        raise RuntimeError("14|open namespace|a%7Cb%25|wait | see")

    with pytest.raises(KeyError, match="translated") as caught:
        _native.call(fail)
    assert crossed == [(14, "open namespace", "a|b%", "wait | see")]
    assert caught.value.__suppress_context__


def test_another_runtime_error_stays_itself() -> None:
    for text in ("dictionary changed size during iteration", "1|2", "x|a|b|c", ""):
        error = RuntimeError(text)
        assert _native.translate(error) is error


def test_the_hook_for_panics_is_shut(script: Script) -> None:
    script(
        """
from parkit import _native
try:
    _native.ctl.Panic('te|xt')
except RuntimeError as error:
    code, op, subject, detail = str(error).split('|', 3)
    assert (op, subject) == ('panic', 'te%7Cxt') and 'PARKIT_TEST_HOOKS' in detail, error
else:
    raise AssertionError
assert _native.ctl.Version()
""",
        PARKIT_TEST_HOOKS="",
    )


@pytest.mark.parametrize("kind", ["text", "error", "index", "map"])
def test_a_panic_is_an_exception_and_the_last_thing_the_library_does(script: Script, kind: str) -> None:
    done = script(
        """
import sys
from parkit import _native
_native.ctl.Version()
for function, arguments in (_native.ctl.Panic, (sys.argv[1],)), (_native.ctl.Version, ()):
    try:
        function(*arguments)
    except RuntimeError as error:
        print(error)
    else:
        raise AssertionError('nothing was raised')
""",
        kind,
        PARKIT_TEST_HOOKS="1",
    )
    panic, refused = done.stdout.splitlines()
    assert "a bug in parkit" in panic
    assert "refuses further work" in refused
    assert "goroutine" in done.stderr, "the stack is on standard error"


def test_a_forked_child_of_a_panicked_process_works(script: Script) -> None:
    script(
        """
import os
from parkit import _native
try:
    _native.ctl.Panic('text')
except RuntimeError:
    pass
child = os.fork()
if not child:
    os._exit(0 if _native.ctl.Version() else 1)
assert os.waitpid(child, 0)[1] == 0
""",
        PARKIT_TEST_HOOKS="1",
    )


def test_pythons_signal_handling_is_left_alone(script: Script) -> None:
    script("""
import os, signal
from parkit import _native
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
_native.ctl.Version()
assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
for _ in range(3):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            _native.ctl.Version()
    except KeyboardInterrupt:
        continue
    raise AssertionError('SIGINT was lost')
""")


def test_a_crash_elsewhere_is_still_reported_by_faulthandler(script: Script) -> None:
    done = script("import ctypes; from parkit import _native; _native.ctl.Version(); ctypes.string_at(0)", code=-11)
    assert "Segmentation fault" in done.stderr
    assert "string_at" in done.stderr
