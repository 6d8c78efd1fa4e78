"""A worker: a process that runs tasks, one after the other.

``python -m parkit.daemons.worker SITE``. The monitor starts it and sees to it that it lives. What a task
prints goes to the log file that is its standard output.

Each turn of the loop is one crossing into the core: it records how a task ended and takes the next.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import CoroutineType
from typing import Any, NoReturn

from parkit import _code, _native, _tasks, site
from parkit.asyncable import asyncable_of, code_of
from parkit.errors import ClaimLostError
from parkit.syslog import log_to_syslog
from parkit.task import dump_error

_logger = logging.getLogger("parkit.worker")

# How many functions a worker keeps loaded.
_FUNCTIONS = 256

_Claim = tuple[int, int, int, bytes, int, str, bytes]


class Worker:
    """What a worker knows: its site, and the functions that it has loaded."""

    def __init__(self, site_uuid: str) -> None:
        self.site_uuid = site_uuid
        self.number = _tasks.number(site_uuid)
        self.functions: dict[tuple[bytes, int], _code.Loaded] = {}
        self.directory = ""
        # Whether SIGTERM may end what runs now: it is the user's function, not this loop.
        self.interruptible = False
        self.stopping = False
        # What SIGTERM raises in that function, to be told from what the function raises.
        self.end = SystemExit(128 + signal.SIGTERM)

    def run(self) -> None:
        """Run tasks until the pool wants no more of this worker."""
        lane = _native.lane
        lane.worker_register(self.number)
        os.environ.pop("PARKIT_WORKER_ID", None)  # what a task starts is not this worker
        claim: _Claim | None = lane.task_claim(self.number, None)
        while claim is not None:
            if self.stopping:
                lane.task_release(self.number, claim[0], claim[1])
                return
            finished, outcome, final = self.execute(claim)
            try:
                claim = lane.task_finish(self.number, claim[0], claim[1], finished, outcome, final, None)
            except ClaimLostError:
                # Cancelled or dropped meanwhile, or this worker is to end: the next claim says which.
                claim = lane.task_claim(self.number, None)

    def execute(self, claim: _Claim) -> tuple[bool, bytes, bool]:
        """Run a task: whether its function returned, the result or the error, and whether that is final."""
        number, _, _, uuid, version, name, args = claim
        _tasks.current = (self.site_uuid, number)
        generation = _native.generation
        final = True  # what fails but the function itself fails again
        try:
            self.interruptible = True
            loaded = self.functions.get((uuid, version)) or self.load(uuid, version, name)
            if loaded.directory != self.directory:
                self.enter(loaded.directory)
            positional, keywords = _tasks.loads(args)
            final = False
            result = loaded.function(*positional, **keywords)
            if type(result) is CoroutineType:
                result = _await(result)
            final = True
            outcome = _tasks.dumps(result, f"the result of {name}, {type(result).__name__},")
            self.interruptible = False
            finished = True
        except BaseException as error:
            self.interruptible = False
            if _native.generation != generation:
                _end_child(error)
            if error is self.end:
                raise
            outcome, finished = dump_error(error, _describe(error)), False
            _logger.warning("%s failed: %s", name, _in_short(error))
        if _native.generation != generation:
            _end_child(None)
        _tasks.current = None
        return finished, outcome, final

    def load(self, uuid: bytes, version: int, name: str) -> _code.Loaded:
        """The function of an asyncable, in the version that a task was submitted with."""
        code = code_of(asyncable_of(self.site_uuid, name, uuid), version)
        loaded = _code.load(code)
        if len(self.functions) >= _FUNCTIONS:
            self.functions.pop(next(iter(self.functions)))
        self.functions[uuid, version] = loaded
        return loaded

    def enter(self, directory: str) -> None:
        """Work where the program does that stored the function, as long as that is there."""
        try:
            os.chdir(directory or "/")
        except OSError:
            os.chdir("/")
        self.directory = directory

    def terminate(self, *_: object) -> None:
        """On SIGTERM: end the function that runs, or take no further task."""
        self.stopping = True
        _native.lane.worker_stop()
        if self.interruptible:
            self.interruptible = False
            raise self.end


def _end_child(error: BaseException | None) -> NoReturn:
    """End a process that the task forked and that came out of the function as well: it is no worker."""
    code: Any = 0
    if isinstance(error, SystemExit):
        code = error.code or 0
    elif error is not None:
        sys.stderr.write(_describe(error))
        code = 1
    _leave(code)


def _leave(code: Any) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _await(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def _in_short(error: BaseException) -> str:
    """Its type and text; an exception's __str__ may fail itself."""
    import traceback

    return traceback.format_exception_only(error)[-1].rstrip()


def _describe(error: BaseException) -> str:
    """The traceback, from the function on."""
    import traceback

    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next or error.__traceback__
    return "".join(traceback.format_exception(error))


def main(path: str) -> NoReturn:
    """Run as a worker of the site, and end the process."""
    import atexit
    import faulthandler

    faulthandler.enable()
    if sys.path and sys.path[0] == os.getcwd():
        del sys.path[0]  # where a worker is started is not where anybody's modules are
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _tasks.in_worker = True
    log_to_syslog()
    site.set_default_site(path)
    uuid = site.resolve(None)
    worker = Worker(uuid)
    signal.signal(signal.SIGTERM, worker.terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code: Any = 0
    try:
        worker.run()
    except ClaimLostError:
        pass  # retired
    except SystemExit as stop:
        code = stop.code
    # A thread that a task has left behind does not keep the process alive; what it registered
    # to be done at the end is done.
    atexit._run_exitfuncs()
    _leave(code)


if __name__ == "__main__":
    main(sys.argv[1])
