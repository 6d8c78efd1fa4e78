"""Who does something to a collection: this thread, another thread, another process, a forked child.

Each has an Actor, which obeys one command at a time; what lies between it and the machine is a call, a pair of
queues, or a pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import select
import threading
import traceback
import warnings
from collections.abc import Iterator
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

from kind import EXPECTED, Op
from twins import KINDS

import parkit

#: Nothing that is asked here takes as long, unless it hangs.
PATIENCE = 60


class Undone(Exception):
    """What an aborted transaction is left by."""


class Broken(AssertionError):
    """An actor failed otherwise than an operation may."""


class Actor:
    """Obeys commands: on one collection, in scopes of its own thread."""

    def __init__(self) -> None:
        self.collection: Any = None
        self.kind = self.site = ""
        self.scopes: list[Any] = []
        self.iterators: dict[int, Iterator[Any]] = {}

    def bind(self, kind: str, path: str, site: str) -> None:
        self.release()
        if self.site != site:
            parkit.set_default_site(site)
            self.site = site
        self.kind, self.collection = kind, KINDS[kind].collection(path)

    def do(self, op: Op) -> tuple[str, Any]:
        return outcome(KINDS[self.kind].operations, self.collection, op)

    def version(self) -> int:
        found: int = self.collection.version
        return found

    def begin(self, mode: str) -> None:
        scope = parkit.transaction(self.collection, timeout=0) if mode == "write" else parkit.snapshot(self.collection)
        scope.__enter__()
        self.scopes.append(scope)

    def is_refused(self) -> bool:
        """Whether the turn to write is somebody else's."""
        try:
            with parkit.transaction(self.collection, timeout=0):
                return False
        except parkit.errors.LockTimeout:
            return True

    def end(self, keep: bool) -> None:
        scope = self.scopes.pop()
        if keep:
            scope.__exit__(None, None, None)
        else:
            scope.__exit__(Undone, Undone(), None)

    def iterate(self, number: int, op: Op) -> None:
        self.iterators[number] = getattr(KINDS[self.kind].operations, op.name)(self.collection, *op.args)

    def advance(self, number: int, count: int) -> list[Any]:
        return list(islice(self.iterators[number], count))

    def release(self) -> None:
        while self.scopes:
            self.end(False)
        self.iterators.clear()

    def call(self, method: str, *args: Any) -> Any:
        return getattr(self, method)(*args)

    def stop(self) -> None:
        self.release()


def outcome(operations: type, target: Any, op: Op) -> tuple[str, Any]:
    """What an operation gave, or the names of the classes of what it raised."""
    try:
        return "gave", getattr(operations, op.name)(target, *op.args)
    except EXPECTED as error:
        return "raised", [kind.__name__ for kind in type(error).__mro__]


def obey(actor: Actor, command: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, actor.call(*command)
    except Exception:  # noqa: BLE001 - it is told to who asked, and raised there
        return False, traceback.format_exc()


def answer(found: tuple[bool, Any], who: str) -> Any:
    if not found[0]:
        raise Broken(f"{who}:\n{found[1]}")
    return found[1]


class InThread:
    """An actor in a thread of its own: its scopes are that thread's."""

    def __init__(self) -> None:
        self.commands: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.run, name="stateful-actor", daemon=True)
        self.thread.start()

    def run(self) -> None:
        actor = Actor()
        while (command := self.commands.get()) is not None:
            self.answers.put(obey(actor, command))
        actor.stop()

    def call(self, *command: Any) -> Any:
        self.commands.put(command)
        return answer(self.answers.get(timeout=PATIENCE), "the other thread")

    def stop(self) -> None:
        self.commands.put(None)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def serve(commands: Connection) -> None:
    """The other process: until the pipe is closed."""
    actor = Actor()
    while True:
        try:
            command = commands.recv()
        except EOFError:
            actor.stop()
            return
        commands.send(obey(actor, command))


#: Forks processes that have imported parkit, but never used it: quicker than to start each.
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["actors"])


class InProcess:
    """An actor in a process of its own, which can be killed at any time and replaced."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.pipe, theirs = _server.Pipe()
        self.process = _server.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def call(self, *command: Any) -> Any:
        self.pipe.send(command)
        assert self.pipe.poll(PATIENCE), f"the other process does not answer {command}"
        return answer(self.pipe.recv(), "the other process")

    def kill(self) -> None:
        """kill -9, and another one in its place."""
        self.process.kill()
        self.end()
        self.start()

    def is_alive(self) -> bool:
        return self.process.exitcode is None

    def revive(self) -> None:
        """Another one, if it has died of what it was asked."""
        if self.process.exitcode is not None:
            self.end()
            self.start()

    def stop(self) -> None:
        self.pipe.close()
        self.end()
        assert self.process.exitcode == 0

    def end(self) -> None:
        self.process.join(PATIENCE)
        assert self.process.exitcode is not None, "the other process did not end"
        self.pipe.close()


def in_fork(actor: Actor, *command: Any) -> Any:
    """The actor's answer in a child that is forked now, amid whatever it is in, and that ends then."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads; it is what is tested
        pid = os.fork()
    if pid == 0:
        try:
            data = pickle.dumps(obey(actor, command))
            with open(writing, "wb") as pipe:
                pipe.write(data)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        data = b""
        while True:
            assert select.select([reading], [], [], PATIENCE)[0], f"the forked child does not answer {command}"
            more = os.read(reading, 1 << 20)
            if not more:
                break
            data += more
    finally:
        os.close(reading)
        os.waitpid(pid, 0)
    assert data, f"the forked child died of {command}"
    return answer(pickle.loads(data), "the forked child")
