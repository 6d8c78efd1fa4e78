"""The fast lane: the module ``lane`` of the shared library, written in C and Go (``parkit_go/lane*``).

There is no file ``_lane.py``: at runtime the module is had as ``_native.lane``, and this stub says what is
in it. ``tests/test_stub.py`` holds the two together.

Common to all of it:

- An *object* is an instance of a subclass of the class given to :func:`configure`. Its slot ``_handle`` holds a
  number of this copy of the library. Where it is another copy's (after a fork), or none, the lane calls ``rebind`` and
  runs the operation again.
- A *space* is the number of a namespace, from ``ctl.SpaceOpen``; *tasks* is that of a site's tasks, from
  ``ctl.TasksOpen``, and *task* the id of one. The first two carry the generation, so that of an ancestor process is
  never taken for another thing here: StaleHandleError.
- Operations belong to the innermost scope that the thread has open on the namespace, else they are transactions of
  their own.
- The GIL is held while nothing can block, and released before the first wait. Waits on the main thread look at Python's
  signals every 50 ms.
- Arguments are positional. Errors of the core are raised as what ``make_error`` makes of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, final

from ._scope import Scope
from .object import Object

#: A task that a worker took: id, token, attempt, uuid of the asyncable, version of its code, path of the asyncable,
#: pickled arguments.
_Claim = tuple[int, int, int, bytes, int, str, bytes]

# ---- The module ----

def configure(
    object_type: type[Object],
    dumps: Callable[[Any, int], bytes],
    loads: Callable[[Any], Any],
    slow_key: Callable[[Any], bytes | tuple[Any]],
    slow_value: Callable[[Any], bytes],
    make_error: Callable[[int, str, str, str], BaseException],
    rebind: Callable[[Object], None],
    generation: int,
    /,
) -> None:
    """Tell the lane of Python's side; to be called before anything else, and once for each copy of the library.

    :param object_type: the base of all persistent classes; ``_handle`` must be a slot of it
    :param dumps: ``pickle.dumps``; ``loads``: ``pickle.loads``
    :param slow_key: the bytes of a key that C does not know, or ``(other,)`` for a key of an easier type that is equal
    :param slow_value: the pickle of a value that ``dumps`` refused
    :param make_error: the exception for ``(code, operation, subject, detail)``
    :param rebind: opens an object again, and sets its ``_handle``
    :param generation: how often this process and its ancestors were forked
    :raises TypeError: ``_handle`` is no slot
    """

def ping() -> int:
    """1, by way of C and Go and back: what a crossing costs."""

# ---- The codec, for tests and for what must compare encodings ----

def encode_key(key: Any, /) -> tuple[bytes, bytes | None]:
    """The order-preserving encoding of a key, and the key itself as a value where that is needed to have it back.

    :raises TypeError: it cannot be hashed or pickled
    :raises OverflowError: an int of more than 2**27 bits
    :raises ValueError: tuples nested more than 200 deep
    """

def decode_key(encoded: bytes, own: bytes | None, /) -> Any:
    """The key of what :func:`encode_key` gave.

    :raises ValueError: damaged bytes
    """

def encode_value(value: Any, /) -> bytes:
    """A value as it is stored.

    :raises TypeError: neither pickle nor cloudpickle takes it
    """

def decode_value(stored: bytes, /) -> Any:
    """The value of what :func:`encode_value` gave.

    :raises ValueError: damaged bytes; and whatever unpickling raises
    """

# ---- What all objects have ----

def length(obj: Object, /) -> int:
    """The number of entries.

    :raises ObjectNotFoundError: it was dropped; so do all functions on objects but :func:`exists` and :func:`channel`
    """

def version(obj: Object, /) -> int:
    """How many commits changed it; in a transaction, before that."""

def exists(obj: Object, /) -> bool:
    """Whether it is there."""

def channel(obj: Object, /) -> int:
    """What to give to :func:`wait_change`. Several objects may have the same."""

def attr_get(obj: Object, name: str, /) -> Any:
    """A shared attribute.

    :raises AttributeError: there is none of that name
    """

def attr_set(obj: Object, name: str, value: Any, /) -> None:
    """Set a shared attribute. A name has 1 to 255 bytes in UTF-8, and no NUL."""

def attr_del(obj: Object, name: str, /) -> None:
    """Remove a shared attribute.

    :raises AttributeError: there is none of that name
    """

def attr_list(obj: Object, /) -> list[str]:
    """The names of the shared attributes, sorted."""

# ---- Dicts ----

def dict_install(cls: type[Object], /) -> None:
    """Put ``__getitem__``, ``__setitem__``, ``__delitem__`` and ``__contains__`` in C on a class.

    They call this copy of the library: in a forked child they must be taken off again before anyone uses them.
    """

def dict_get(obj: Object, key: Any, /) -> Any:
    """The value of a key.

    :raises KeyError: it is not there
    :raises CorruptError: its record is damaged
    """

def dict_get_default(obj: Object, key: Any, default: Any, /) -> Any:
    """The value of a key, or ``default`` itself."""

def dict_contains(obj: Object, key: Any, /) -> bool:
    """Whether a key is there."""

def dict_set(obj: Object, key: Any, value: Any, /) -> None:
    """Set the value of a key. An entry that is there keeps the key it was first given."""

def dict_setdefault(obj: Object, key: Any, default: Any, /) -> Any:
    """The value of a key; if it is not there, ``default`` itself, which is stored."""

def dict_del(obj: Object, key: Any, /) -> None:
    """Remove a key.

    :raises KeyError: it is not there
    """

def dict_pop(obj: Object, key: Any, default: Any = ..., decode: Callable[[Any], Any] = ..., /) -> Any:
    """Remove a key and return its value, or what ``decode`` makes of that. If it cannot be had, the entry is put back.

    :raises KeyError: it is not there, and no default is given
    """

def dict_popitem(obj: Object, last: bool, decode: Callable[[tuple[Any, Any]], Any] = ..., /) -> Any:
    """Remove the last or the first entry in the order of keys; ``decode``, of the pair, as of dict_pop.

    :raises KeyError: there is none
    """

def dict_update(obj: Object, entries: dict[Any, Any] | Iterable[Any], /) -> None:
    """Set all entries of a dict or of a sequence of pairs, in one transaction.

    All are encoded before the first is written.
    """

def dict_clear(obj: Object, /) -> None:
    """Remove all entries."""

# ---- Dicts as caches ----

def dict_store(obj: Object, key: Any, value: Any, ttl: int | None, how: Literal[0, 1, 2, 3], /) -> bool:
    """Set the value of a key, and what the entry lasts for, in nanoseconds; whether it was set.

    :param how: 0 always, 1 only if the key is not there, 2 with the end that the entry has, if it is there, 3 always,
        and end this process's claim on the key
    :raises StorageFullError: there is no room within the dict's limits, and nothing gives way
    :raises TooBigError: the entry is larger than the dict may be
    """

def dict_touch(obj: Object, key: Any, ttl: int | None, /) -> bool:
    """Have an entry last for so many nanoseconds from now; whether it is there."""

def dict_due(obj: Object, key: Any, /) -> int:
    """When an entry ends, in nanoseconds since 1970; 0 for never.

    :raises KeyError: it is not there
    """

def dict_incr(obj: Object, key: Any, delta: Any, default: Any, /) -> Any:
    """Add to a value, or to ``default`` if the key is not there, and return the sum; its end stays.

    NotImplemented, and nothing is changed: not both are numbers of 64 bits, or the sum is none.

    :raises KeyError: the key is not there, and ``default`` is None
    """

def dict_claim(obj: Object, key: Any, /) -> tuple[Literal[0, 1, 2], Any]:
    """Claim a key that has no value, for this process, so that others wait until it is stored.

    Not to be called in a scope. 0, with the value: it is there. 1: the claim is this process's. 2: it is another's;
    then the object's channel moves when the value is there, or that claim has ended, if only by death.
    """

def dict_unclaim(obj: Object, key: Any, /) -> None:
    """End this process's claim on a key, if there is one, and wake who waits."""

def dict_sweep(obj: Object, /) -> tuple[int, bool]:
    """Remove some of the entries that have ended: how many, and whether there are more."""

def dict_volume(obj: Object, /) -> int:
    """How many bytes the entries take."""

def dict_limits(obj: Object, /) -> tuple[int, int, int]:
    """How many entries there may be, how many bytes they may take (0 for any), and the kind of eviction."""

def dict_iter(obj: Object, what: Literal[0, 1, 2] | int, flags: int, lo: Any, hi: Any, /) -> iterator:
    """Iterate over the entries as they are now, in the order of keys.

    :param what: 0 keys, 1 values, 2 pairs
    :param flags: 1 from the last to the first, 2 ``lo`` is a bound, 4 ``hi`` is one, 8 without ``lo`` itself, 16
        without ``hi`` itself
    """

@final
class iterator(Iterator[Any]):
    """What :func:`dict_iter` and :func:`array_iter` give.

    It holds a read transaction for at most half a second after it was last asked.
    """

    def __iter__(self) -> iterator: ...
    def __next__(self) -> Any: ...

# ---- Arrays ----

def array_install(cls: type[Object], /) -> None:
    """Put ``append`` in C on a class, as :func:`dict_install` does."""

def array_get(obj: Object, index: int, /) -> Any:
    """The item at an index, from the end if negative.

    :raises IndexError: there is none; so does :func:`array_set`
    """

def array_set(obj: Object, index: int, value: Any, /) -> None:
    """Replace the item at an index."""

def array_append(obj: Object, value: Any, /) -> None:
    """Add an item at the end. A full array loses its first one."""

def array_extend(obj: Object, values: Iterable[Any], /) -> None:
    """Add several items at the end, in one transaction. All are encoded before the first is written."""

def array_pop(obj: Object, last: bool, decode: Callable[[Any], Any] = ..., /) -> Any:
    """Remove the last or the first item; ``decode`` as of dict_pop.

    :raises IndexError: there is none
    """

def array_clear(obj: Object, /) -> None:
    """Remove all items."""

def array_slice_length(obj: Object, part: slice, /) -> int:
    """How many items a slice names."""

def array_iter(obj: Object, part: slice, /) -> iterator:
    """Iterate over the items that a slice names, as they are now."""

def array_tail(obj: Object, position: int, /) -> tuple[iterator, int]:
    """Iterate over the items from a position on, and the position that the next item will get."""

def array_wait(obj: Object, position: int, timeout: float | None, /) -> None:
    """Wait until the next item will get another position than this one.

    :raises WaitTimeout: the time ran out
    :raises TransactionError: called in a transaction of the namespace
    """

def sequence(obj: Object, /) -> tuple[int, int, int, int, int]:
    """Of an array or a queue: length, next position, bound of the length (0 for none), items not done with, flags."""

# ---- Queues ----

def queue_errors(full: type[Exception], empty: type[Exception], shut_down: type[Exception], /) -> None:
    """Tell the lane of the exceptions; to be called before queues are used, and once for each copy of the library."""

def queue_put(
    obj: Object, item: Any, rank: tuple[Any, ...] | None, block: bool | None, timeout: float | None, /
) -> None:
    """Add an item.

    :param rank: of a priority queue only: where the item belongs, in the order of keys
    :param block: whether to wait for room; None is True, but False in a transaction
    :raises Full: there is no room; ShutDown: the queue was shut down
    :raises TransactionError: it would have to wait in a transaction
    :raises ObjectTypeError: a rank is given, or is missing, against the queue's kind
    """

def queue_get(obj: Object, block: bool | None, timeout: float | None, decode: Callable[[Any], Any] = ..., /) -> Any:
    """Remove the next item; ``decode`` as of dict_pop.

    :raises Empty: there is none; ShutDown: nor will there be
    """

def queue_join(obj: Object, timeout: float | None, /) -> None:
    """Wait until no item is pending.

    :raises WaitTimeout: the time ran out
    """

def queue_done(obj: Object, /) -> None:
    """Say that an item is done with.

    :raises ValueError: there is none that was taken
    """

def queue_clear(obj: Object, /) -> None:
    """Remove all items, which count as done with."""

def queue_limit(obj: Object, limit: int, /) -> None:
    """Change the bound on the length, 0 for none."""

def queue_attempts(obj: Object, attempts: int, /) -> None:
    """Set how often an item may be leased, 0 for no bound."""

def queue_blocking(obj: Object, blocking: bool, /) -> None:
    """Say whether the queue waits where its caller does not say."""

def queue_shut(obj: Object, shut: bool, /) -> None:
    """Shut the queue down, or open it again."""

# ---- Files ----

def file_read(file: Object, offset: int, n: int, writable: bool, /) -> Any:
    """Up to ``n`` bytes from an offset, or all there are for -1: bytes, or a bytearray if they are to be written to."""

def file_readinto(file: Object, offset: int, buffer: Any, /) -> int:
    """Read into a buffer; returns how many bytes there were."""

def file_write(file: Object, offset: int, data: Any, about: str | None, /) -> int:
    """Write bytes at an offset, or at the end for -1, and return the offset behind them.

    :param about: a description of the content, with which the file is emptied first; None leaves both
    :raises TooBigError: the file would be larger than any can be
    """

def file_set(file: Object, data: Any, about: str, /) -> None:
    """Replace the whole content, and its description."""

def file_truncate(file: Object, size: int, /) -> None:
    """Cut the file, or make it longer by zeros."""

def file_about(file: Object, /) -> str:
    """The description of the content; empty where there is none."""

# ---- Views ----

@final
class View:
    """Memory of the store, in a snapshot, by way of the buffer protocol: for ``memoryview(view)``.

    It keeps the snapshot open. One that is let go of after the snapshot's scope has ended gives a ResourceWarning.
    """

    def __buffer__(self, flags: int, /) -> memoryview: ...

def file_view(file: Object, /) -> View | None:
    """A view of a file's content; None where the thread's scope is no snapshot, or the content not in one piece."""

def attr_view(obj: Object, name: str, /) -> View | None:
    """A view of the bytes of an attribute; None where the scope is no snapshot, or there are no bytes of that name."""

# ---- Leases; a lease is (owner, number, attempts, deadline in ns since 1970 or 0) ----

def queue_lease(
    obj: Object,
    block: bool | None,
    timeout: float | None,
    hold: float | None,
    decode: Callable[[Any], Any] = ...,
    /,
) -> tuple[Any, tuple[int, int, int, int]]:
    """Remove the next item as queue_get does, by a lease. If it cannot be had, the lease is ended.

    :param hold: for how many seconds; None is for as long as the process lives
    """

def queue_settle(
    obj: Object, what: int, lease: tuple[int, int, int, int], seconds: float | None, why: str, /
) -> tuple[int, int, int, int]:
    """Say what becomes of a leased item: done with (0), put back (1) or as if it had not been taken (2), given up (3),
    held on to (4).

    :param seconds: of 1, until it can be taken again; of 4, how long it is held
    :raises LeaseLostError: the lease does not hold the item
    """

def queue_attend(obj: Object, /) -> None:
    """While items are leased, have this process see to those that come back: to be called before any other wait."""

def queue_length(obj: Object, /) -> int:
    """The number of items to take, after those of leases that have ended came back."""

def queue_state(obj: Object, /) -> tuple[int, int, int, int, int, int, int]:
    """Likewise: length, bound, items not done with, leased ones, dead letters, attempts, flags."""

def queue_dead(obj: Object, after: int, /) -> list[tuple[int, int, int, str, bytes]]:
    """The next dead letters behind a number: number, attempts, when in ns since 1970, why, the encoded item."""

# ---- What was taken and cannot be read ----

def taken_tellers(
    put_back: Callable[[BaseException, BaseException | None, bool], object], why: Callable[[BaseException], str], /
) -> None:
    """Tell the lane who notes in an exception what became of what was taken, and who makes a reason to give up of it.

    :param put_back: is given the exception, what kept from putting back, and whether it was a lease that was ended
    """

def queue_revive(obj: Object, what: int, number: int, /) -> int:
    """Put a dead letter back (0) or remove it (1), all for the number 0; how many that were."""

# ---- Scopes ----

def scope_install(cls: type[Scope], works: bool, /) -> None:
    """Put ``__enter__`` and ``__exit__`` in C on a class of scopes; ``parkit/_scope.py`` says what they ask of it.

    They call this copy of the library: in a forked child they must be taken off again before anyone uses them. A
    ``with`` that was entered in the parent still has them: then they do nothing.

    :param works: the class has ``_parkit_begun`` and ``_parkit_finish``
    """

def begin(space: int, mode: Literal[0, 1] | int, timeout: float | None, /) -> None:
    """Open a scope on this thread: 0 a snapshot, 1 a transaction.

    A transaction inside a transaction is a savepoint, a snapshot inside a scope joins it, a transaction inside a
    snapshot is one of its own.

    :param timeout: how many seconds to wait for the turn to write; None is 60
    :raises LockTimeout: it did not come in time
    """

def end(space: int, commit: bool, /) -> None:
    """Close the innermost scope of the namespace: make what was done in it last, or undo it.

    :raises TransactionError: this thread has none open
    """

def scope(space: int, /) -> int:
    """What this thread has open: 0 nothing, 1 a snapshot, 2 a transaction; the innermost counts."""

def in_transaction() -> bool:
    """Whether this thread has a transaction open, on whatever namespace."""

# ---- Waiting ----

def change_count(space: int, channel: int, /) -> int:
    """How often something on the channel changed, modulo 2**32. Channel 0 is any change in the namespace."""

def wait_change(space: int, channel: int, seen: int, timeout: float | None, /) -> int:
    """Sleep until the count differs from ``seen``, and return it; -1 when the time ran out. None is for ever.

    Take the count before the look at what is waited for: then no change is slept through.
    """

# ---- Telling event loops of changes ----

def bridge_open(eventfd: int, /) -> int:
    """A listener that writes to an eventfd when it has events. It does not close the eventfd."""

def bridge_close(bridge: int, /) -> None:
    """Forget all watches. The eventfd is not written to any more."""

def bridge_watch(bridge: int, token: int, space: int, channel: int, seen: int, /) -> bool:
    """Have one event when the count of a channel is no longer ``seen``; False, and no event, if that is so already.

    The token, an int from 0 to 2**64 - 1, is free again after its event.
    """

def bridge_forget(bridge: int, token: int, /) -> None:
    """Have no event. That of a watch that is over may still come."""

def bridge_take(bridge: int, /) -> list[tuple[int, tuple[int, str, str, str] | None]]:
    """The events since the last call: tokens, with the parts of an error where the namespace has failed."""

# ---- Tasks, for those who submit them ----

def task_submit(tasks: int, spec: bytes, args: bytes, due: int = ..., /) -> int | None:
    """Submit a task, and return its id; None where its asyncable's limit is reached.

    :param spec: which function and how, as ``readSpec`` in parkit_go/lane_task.go takes it
    :param args: the arguments, pickled
    :param due: not before this time, in ns since 1970
    """

def task_wait(tasks: int, task: int, timeout: float | None, /) -> tuple[int, bytes | None]:
    """Wait until the task has ended: its state, and its result or error if it has one. None is for ever.

    :raises WaitTimeout: the time ran out
    :raises NotFoundError: there is no such task; so do all functions on tasks
    """

def task_state(tasks: int, task: int, /) -> int:
    """Where the task stands, by gocore/tasks' numbers."""

def task_args(tasks: int, task: int, /) -> bytes:
    """The arguments, pickled."""

def task_read(tasks: int, task: int, /) -> Mapping[str, Any]:
    """What is known of the task: gocore/tasks.Record, its fields in snake_case. Times are ns since 1970, 0 for none."""

def task_cancel(tasks: int, task: int, /) -> int:
    """Cancel the task, or have its worker ended; its state before."""

def task_drop(tasks: int, task: int, /) -> None:
    """Remove the task with all that belongs to it.

    :raises IllegalTransitionError: it is running
    """

# ---- Tasks, for workers ----

def worker_register(tasks: int, /) -> int:
    """Make this process a worker, for as long as it lives: its id."""

def worker_stop() -> None:
    """Have this process claim no further task; a claim that waits gives None within 50 ms. Fit for a signal handler."""

def task_claim(tasks: int, timeout: float | None, /) -> _Claim | None:
    """Take the next task, waiting for one; None when the time ran out, or the process is to stop.

    :raises ClaimLostError: this worker is to get no further task
    """

def task_finish(
    tasks: int, task: int, token: int, finished: bool, outcome: bytes, final: bool, timeout: float | None, /
) -> _Claim | None:
    """Record how a task ended and take the next one, in one transaction; if none is ready, as :func:`task_claim`.

    :param finished: whether ``outcome`` is a result; else it is an error
    :param final: an error that is not tried again, whatever retries are left
    :raises ClaimLostError: the claim was lost; nothing is recorded
    """

def task_release(tasks: int, task: int, token: int, /) -> None:
    """Give a task back that was not begun."""

# ---- The pool ----

def pool_start(tasks: int, request: str, /) -> bool:
    """Have a pool, and wait until a worker is ready; whether this call began it.

    :param request: ``poolRequest`` in parkit_go/ctl_task.go, as JSON
    :raises PoolError: none could be started; the text says why
    """

def pool_stop(tasks: int, grace: float | None, /) -> bool:
    """End the pool, and wait until no process of it is left; whether there was one. None is no grace."""
