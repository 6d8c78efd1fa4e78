"""Tasks: calls of asyncables that workers run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import _native, _tasks, site
from .errors import NotFoundError, ObjectNotFoundError, ParkitError

if TYPE_CHECKING:
    from .asyncable import Asyncable

__all__ = [
    "Task",
    "TaskCancelledError",
    "TaskCrashedError",
    "TaskError",
    "TaskFailedError",
    "TaskNotFoundError",
    "WorkerTraceback",
    "task",
    "tasks",
]

R = TypeVar("R")

# How many tasks are asked for at once.
_BATCH = 512


class TaskNotFoundError(NotFoundError, ObjectNotFoundError):
    """There is no such task: it was dropped."""


class TaskError(ParkitError):
    """A task ended without a result, and without an exception of its function's."""


class TaskCrashedError(TaskError):
    """The worker that ran the task died, and no attempt was left; the text says how it died."""


class TaskCancelledError(TaskError):
    """The task was cancelled."""


class TaskFailedError(TaskError):
    """Stands for an exception that cannot be pickled, or not unpickled here, or that would end this program."""


class WorkerTraceback(Exception):
    """The traceback in the worker, as text: the cause of a failed task's :attr:`~Task.error`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class Task(Generic[R]):
    """One call of an asyncable: what was asked for, how far it is, how it ended.

    Tasks are made by calling an :func:`asyncable`. One is a reference: it is equal to any other to the
    same task, can be pickled, and be passed to tasks. What is kept of the task stays until
    :meth:`drop`; reading deletes nothing.

    >>> @asyncable
    ... def add(a, b):
    ...     return a + b
    >>> enable_tasks()
    True
    >>> sum = add(1, 2)
    >>> sum.wait().result
    3
    >>> sum.status, sum.args, sum.error
    ('finished', (1, 2), None)
    """

    __slots__ = ("__weakref__", "_ended", "_id", "_site_uuid", "_uuid")

    _site_uuid: str
    _id: int
    # In one that came from another process, until it was compared with what is here.
    _uuid: str | None
    # The state and the outcome, once the task has ended.
    _ended: tuple[int, bytes | None] | None

    def __init__(self) -> None:
        raise TypeError("tasks are made by calling an asyncable; tasks() gives those that there are")

    # ---- How far it is ----

    @property
    def status(self) -> str:
        """``submitted``, ``running``, ``finished``, ``failed``, ``crashed`` or ``cancelled``.

        :raises TaskNotFoundError: the task was dropped; so do all of its properties
        """
        return _tasks.STATES[self._state()]

    @property
    def done(self) -> bool:
        """Whether the task has ended, in whatever way."""
        return self._state() >= _tasks.FINISHED

    @property
    def running(self) -> bool:
        """Whether a worker runs the task."""
        return self._state() == _tasks.RUNNING

    def wait(self, timeout: float | None = None) -> Task[R]:
        """Wait until the task has ended, and return the task.

        Ctrl-C ends the wait, not the task.

        :param timeout: for how many seconds at most; None is for ever
        :raises WaitTimeout: the time ran out
        :raises TaskNotFoundError: the task was dropped, perhaps meanwhile
        """
        if self._ended is None:
            self._ended = self._ask("task_wait", timeout)
        return self

    def get(self, timeout: float | None = None) -> R:
        """Wait until the task has ended, and return its result or raise its :attr:`error`.

        What would end this program, such as the SystemExit of a function that called ``sys.exit()``, is
        raised as the cause of a TaskFailedError.

        >>> @asyncable
        ... def divide(a, b):
        ...     return a / b
        >>> divide(1, 2).get()
        0.5
        >>> divide(1, 0).get()
        Traceback (most recent call last):
        ZeroDivisionError: division by zero
        """
        self.wait(timeout)
        error = self.error
        if isinstance(error, Exception):
            raise error
        if error is not None:
            raise TaskFailedError(f"{self!r} failed by {type(error).__name__}: {error}") from error
        return self.result  # type: ignore[return-value]

    # ---- How it ended ----

    @property
    def result(self) -> R | None:
        """What the function returned, unpickled anew each time; None while the task has not finished."""
        ended = self._look()
        if ended is None or ended[0] != _tasks.FINISHED:
            return None
        assert ended[1] is not None, "a finished task has a result"
        value: R = _tasks.loads(ended[1])
        return value

    @property
    def error(self) -> BaseException | None:
        """Why there is no result; None if there is one, or none yet.

        Of a failed task it is the function's exception. Its ``__cause__`` is the traceback in the worker.
        """
        ended = self._look()
        if ended is None or ended[0] == _tasks.FINISHED:
            return None
        if ended[1] is not None:
            return load_error(ended[1])
        about = self._about()
        kind: type[TaskError] = TaskCrashedError
        detail = about["detail"] or "its worker died"
        if ended[0] == _tasks.CANCELLED:
            kind, detail = TaskCancelledError, "it was cancelled"
        error = kind(f"task {self._id} of {about['name']}: {detail}")
        error.subject = about["name"]
        return error

    # ---- What is known of it ----

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments of the call."""
        args: tuple[Any, ...] = _tasks.loads(self._ask("task_args"))[0]
        return args

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments of the call."""
        kwargs: dict[str, Any] = _tasks.loads(self._ask("task_args"))[1]
        return kwargs

    @property
    def asyncable(self) -> Asyncable[..., R]:
        """Whose function is called.

        :raises ObjectNotFoundError: it was dropped
        """
        from .asyncable import asyncable_of

        about = self._about()
        return asyncable_of(self._site_uuid, about["name"], about["asyncable"])

    @property
    def pid(self) -> int | None:
        """The process that runs the task, or ran it last."""
        return self._about()["pid"] or None

    @property
    def created(self) -> int:
        """When the task was submitted, in ns since 1970."""
        created: int = self._about()["created"]
        return created

    @property
    def start(self) -> int | None:
        """When a worker took the task, for the last time if it did several times; None before."""
        return self._about()["start"] or None

    @property
    def end(self) -> int | None:
        """When the task ended; None before."""
        return self._about()["end"] or None

    @property
    def attempts(self) -> int:
        """How often a worker took the task: more than once if it was run again."""
        attempts: int = self._about()["attempt"]
        return attempts

    @property
    def uuid(self) -> str:
        """The task's own number, which no other task ever has."""
        uuid: str = _native.call(_native.ctl.TaskUUID, self._number(), self._id)
        return uuid

    @property
    def site_uuid(self) -> str:
        """The uuid of the site."""
        return self._site_uuid

    @property
    def exists(self) -> bool:
        """Whether the task is still there: False once it was dropped, by whomever."""
        try:
            self._ask("task_state")
        except TaskNotFoundError:
            return False
        return True

    # ---- What can be done to it ----

    def cancel(self) -> bool:
        """End the task without a result: at once if it waits, by ending its worker if it runs.

        The worker gets SIGTERM, which raises SystemExit in the function, and after some seconds
        SIGKILL; the pool replaces it. :meth:`wait` waits for that.

        :return: whether the task had not ended yet
        """
        was = self._ask("task_cancel")
        if was == _tasks.RUNNING:
            # Where no monitor is there to end the worker, this does so.
            _native.call(_native.ctl.PoolCancel, self._number(), self._id)
        return bool(was < _tasks.FINISHED)

    def drop(self) -> None:
        """Remove the task, with its arguments and its result. One that waits is cancelled.

        :raises IllegalTransitionError: it is running; cancel it first
        :raises TaskNotFoundError: it was dropped already
        """
        self._ask("task_drop")
        self._ended = None

    # ---- Python's own ----

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Task):
            return NotImplemented
        return self._id == other._id and self._site_uuid == other._site_uuid

    def __hash__(self) -> int:
        return hash((self._id, self._site_uuid))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._site_uuid, self._uuid or self.uuid, site.path_of(self._site_uuid))

    def __repr__(self) -> str:
        try:
            about = self._about()
        except ParkitError as error:
            return f"<Task {self._id}: {type(error).__name__}>"
        name = about["name"].rpartition("/")[2]
        return f"<Task {self._id} of {name}: {_describe(about)}>"

    def _repr_html_(self) -> str:
        from html import escape

        try:
            about = self._about()
        except ParkitError as error:
            return f"<code>{escape(repr(self))}</code> <i>{escape(str(error))}</i>"
        colour = _COLOURS[about["state"]]
        text = f"<code>{escape(about['name'])}</code> task {self._id}: <b style='color:{colour}'>{_describe(about)}</b>"
        failure = self.error
        if failure is not None:
            text += f"<br><code>{escape(type(failure).__name__)}: {escape(str(failure)[:200])}</code>"
        return text

    # ---- How it is done ----

    def _number(self) -> int:
        number = _tasks.number(self._site_uuid)
        if self._uuid is not None:
            if self._uuid != _native.call(_native.ctl.TaskUUID, number, self._id):
                raise TaskNotFoundError(
                    f"task {self._uuid}: it is of a memory site from before the machine was started"
                )
            self._uuid = None
        return number

    def _ask(self, function: str, *args: Any) -> Any:
        number = self._number()
        try:
            return getattr(_native.lane, function)(number, self._id, *args)
        except NotFoundError as error:
            raise TaskNotFoundError(str(error)) from None

    def _about(self) -> dict[str, Any]:
        about: dict[str, Any] = self._ask("task_read")
        return about

    def _state(self) -> int:
        if self._ended is not None:
            return self._ended[0]
        state: int = self._ask("task_state")
        return state

    def _look(self) -> tuple[int, bytes | None] | None:
        if self._ended is None and self._ask("task_state") >= _tasks.FINISHED:
            self._ended = self._ask("task_wait", 0)
        return self._ended


_COLOURS = ("", "gray", "royalblue", "seagreen", "firebrick", "firebrick", "darkorange")


def task_of(site_uuid: str, number: int, uuid: str | None = None) -> Task[Any]:
    """The task of that number."""
    task: Task[Any] = Task.__new__(Task)
    task._site_uuid, task._id, task._uuid, task._ended = site_uuid, number, uuid, None
    return task


def _rebuild(site_uuid: str, uuid: str, site_path: str) -> Task[Any]:
    """What unpickling calls. The site is asked at the first use: reading a reference never fails."""
    site.learn(site_uuid, site_path)
    return task_of(site_uuid, int(uuid[19:].replace("-", ""), 16) & ~(3 << 62), uuid)


def _describe(about: dict[str, Any]) -> str:
    text = _tasks.STATES[about["state"]]
    if about["end"] and about["start"]:
        seconds = (about["end"] - about["start"]) / 1e9
        text += f" in {seconds * 1e3:.3g} ms" if seconds < 1 else f" in {seconds:.3g} s"
    if about["attempt"] > 1:
        text += f", attempt {about['attempt']}"
    return text


def task() -> Task[Any] | None:
    """The task that this worker runs; None in any other process.

    >>> @asyncable
    ... def who():
    ...     return task().uuid
    >>> mine = who()
    >>> mine.get() == mine.uuid
    True
    >>> task() is None
    True
    """
    return None if _tasks.current is None else task_of(*_tasks.current)


def tasks(status_filter: str | None = None, /, *, site_uuid: str | None = None) -> Iterator[Task[Any]]:
    """The tasks of a site, those submitted first before the others.

    They are read in parts as they go along: what is submitted meanwhile may be among them.

    :param status_filter: only those of this :attr:`~Task.status`
    :param site_uuid: the site; None is the default site of this thread
    :raises ValueError: there is no such status

    >>> len(list(tasks('finished'))) >= 2
    True
    """
    return _list(site.resolve(site_uuid), status_filter, None)


def tasks_of(site_uuid: str, asyncable: str) -> Iterator[Task[Any]]:
    """The tasks of an asyncable."""
    return _list(site_uuid, None, asyncable)


def _list(site_uuid: str, status: str | None, asyncable: str | None) -> Iterator[Task[Any]]:
    if status is not None and status not in _tasks.STATES[1:]:
        raise ValueError(f"{status!r} is no status of a task: {', '.join(_tasks.STATES[1:])}")
    number = _tasks.number_if_any(site_uuid)
    return iter(()) if number is None else _pages(site_uuid, status, asyncable)


def _pages(site_uuid: str, status: str | None, asyncable: str | None) -> Iterator[Task[Any]]:
    after, ids = 0, [0]
    while ids:
        request = {
            "tasks": _tasks.number(site_uuid),
            "state": status or "",
            "asyncable": asyncable or "",
            "after": after,
            "limit": _BATCH,
        }
        ids = json.loads(_native.call(_native.ctl.TaskList, json.dumps(request)))
        for after in ids:
            yield task_of(site_uuid, after)


# ---- Errors on their way from the worker ----


def dump_error(error: BaseException, text: str) -> bytes:
    """What is stored of an exception: itself if it can be, and in any case what it says and where it was."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    return _tasks.dumps((_pickled(error), name, _text(error), text), "an error")


def _pickled(error: BaseException) -> bytes | None:
    try:
        data = _tasks.dumps(error, "an error")
        return data if type(_tasks.loads(data)) is not None else None
    except Exception:  # noqa: BLE001 - the exception's own code runs here, which may raise anything
        return None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as other:  # noqa: BLE001 - the same
        return f"<its text cannot be had: {type(other).__name__}>"


def load_error(data: bytes) -> BaseException:
    """The exception of a failed task, with the worker's traceback as its cause."""
    pickled, name, message, text = _tasks.loads(data)
    error: BaseException = TaskFailedError(f"{name}: {message}")
    if pickled is not None:
        try:
            found = _tasks.loads(pickled)
        except Exception:  # noqa: BLE001 - its class may be one that this process does not have
            found = None
        if isinstance(found, BaseException):
            error = found
    error.__cause__ = WorkerTraceback(text)
    return error
