"""The exceptions that parkit raises, and the one table from the core's codes to them.

All of them are :class:`ParkitError`, which is a ``RuntimeError`` as the original's exceptions were.
Where Python has a class of its own for what happened (``ValueError``, ``TimeoutError``, ``OSError``,
...), the exception is that too, so a handler may name either.

Each has ``code`` (the core's number, 0 where Python alone is concerned), ``operation`` (what was
being done) and ``subject`` (to what: a path, a key); the text says what to do.
"""

from __future__ import annotations

import errno

__all__ = [
    "ClaimLostError",
    "ClassNotFoundError",
    "ConflictError",
    "ConversionError",
    "CorruptError",
    "ForkedProcessError",
    "IllegalTransitionError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidPathError",
    "LeaseLostError",
    "LockTimeout",
    "NamespaceNotFoundError",
    "NewerFormatError",
    "NotFoundError",
    "NotOwnerError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "ObjectTypeError",
    "OriginalSiteError",
    "OtherPIDSpaceError",
    "ParkitError",
    "PoolError",
    "ReadOnlyError",
    "SiteNotFoundError",
    "SiteNotSpecifiedError",
    "StaleHandleError",
    "StorageFailedError",
    "StorageFullError",
    "StorageIOError",
    "StoragePathError",
    "TooBigError",
    "TooManyReadersError",
    "TransactionError",
    "UnsafeFileSystemError",
    "WaitInterrupted",
    "WaitTimeout",
    "WeakPromiseWarning",
    "WouldBlockError",
    "from_code",
]


class ParkitError(RuntimeError):
    """Whatever parkit refuses or cannot do."""

    code: int = 0
    operation: str = ""
    subject: str = ""


# ---- Looking things up ----


class NotFoundError(ParkitError, LookupError):
    """A record that was asked for is not there."""


class ObjectNotFoundError(ParkitError):
    """There is no object of that name, or it was dropped."""


class ObjectExistsError(ParkitError):
    """An object was to be created only (``create=True, bind=False``), and the name is taken."""


class ObjectTypeError(ParkitError, TypeError):
    """The object is neither of the class it was bound with nor of a subclass of it."""


class ClassNotFoundError(ParkitError, ImportError):
    """The class of a stored object cannot be found in this process."""


class SiteNotFoundError(ParkitError):
    """There is no site at that path, or no site of that uuid was opened in this process."""


class SiteNotSpecifiedError(ParkitError):
    """No site was named, and no default site is set for this thread."""


class StoragePathError(ParkitError):
    """A site or a namespace is not there, or cannot be."""


class NamespaceNotFoundError(ObjectNotFoundError, StoragePathError):
    """The namespace was never created in the site, so nothing is in it."""


# ---- Arguments ----


class InvalidArgumentError(ParkitError, ValueError):
    """An argument was refused before anything changed."""


class InvalidPathError(StoragePathError, ValueError):
    """A text that cannot be the path of a site, a namespace or an object."""


class TooBigError(ParkitError, ValueError):
    """A key or a value is larger than the store can hold."""


class ConversionError(ParkitError):
    """A site of the original parkit was not converted, since something in it could not be; the text says what."""


# ---- Transactions and waiting ----


class TransactionError(ParkitError):
    """A transaction could not be begun, was used out of order, or could not be committed."""


class LockTimeout(TransactionError, TimeoutError):
    """The turn to write did not come in time; the text names the process that holds it."""


class WouldBlockError(LockTimeout):
    """It was asked not to wait (``timeout=0``), and would have had to."""


class ConflictError(TransactionError):
    """The transaction lost against another one: run it again."""


class ClaimLostError(TransactionError):
    """The claim or lease that a write relied on is no longer held."""


class LeaseLostError(ClaimLostError):
    """An item taken by a lease is no longer held: its time was over, it was settled, or its process has ended.

    Another process may have the item by now; what was done with it here counts for nothing.
    """


class ReadOnlyError(TransactionError):
    """A write where only reading is allowed."""


class WaitTimeout(ParkitError, TimeoutError):
    """A wait for something other than the turn to write took too long."""


class WaitInterrupted(ParkitError, InterruptedError):
    """A wait was ended from outside."""


# ---- The store ----


class StorageFullError(ParkitError, OSError):
    """The disk, or the namespace's map, has no room. Deleting still works."""


class StorageIOError(ParkitError, OSError):
    """The system refused a read, a write or a flush."""


class StorageFailedError(ParkitError):
    """The namespace's storage failed in this process and must be opened again."""


class CorruptError(ParkitError):
    """A checksum or a structure in the store is wrong."""


class TooManyReadersError(ParkitError):
    """Every reader slot of the namespace is in use."""


class NewerFormatError(StoragePathError):
    """The site or the namespace was written by a newer parkit."""


class OriginalSiteError(StoragePathError):
    """The site was written by the original parkit: :func:`parkit.convert_site` makes one of this parkit of it."""


class NotOwnerError(StoragePathError, PermissionError):
    """The files of the site belong to another user."""


class UnsafeFileSystemError(StoragePathError):
    """The site would be on a network or user-space file system, where it could be damaged."""


class OtherPIDSpaceError(StoragePathError):
    """Processes of another pid namespace (a container) use the namespace."""


class StaleHandleError(ParkitError):
    """Something that was opened in another process, or that was closed, was used."""


class ForkedProcessError(ParkitError):
    """The process was forked from one that used parkit, and the library cannot be loaded again in it."""


# ---- Tasks ----


class IllegalTransitionError(ParkitError):
    """The task's state does not allow what was asked."""


class PoolError(ParkitError):
    """The daemons could not be started."""


class InternalError(ParkitError):
    """A bug in parkit."""


class WeakPromiseWarning(RuntimeWarning):
    """A setting in the environment weakens what parkit promises, or has no meaning here."""


#: By the numbers of gocore/errs; 0 is no error.
CODES: dict[int, type[ParkitError]] = {
    1: NotFoundError,
    2: ObjectNotFoundError,
    3: ObjectExistsError,
    4: NamespaceNotFoundError,
    5: SiteNotFoundError,
    6: SiteNotSpecifiedError,
    7: ObjectTypeError,
    8: InvalidArgumentError,
    9: InvalidPathError,
    10: TooBigError,
    11: WouldBlockError,
    12: LockTimeout,
    13: WaitTimeout,
    14: WaitInterrupted,
    15: ConflictError,
    16: ClaimLostError,
    17: StorageFullError,
    18: CorruptError,
    19: StorageIOError,
    20: StorageFailedError,
    21: ReadOnlyError,
    22: TooManyReadersError,
    23: NewerFormatError,
    24: NotOwnerError,
    25: UnsafeFileSystemError,
    26: OtherPIDSpaceError,
    27: TransactionError,
    28: StaleHandleError,
    29: IllegalTransitionError,
    30: PoolError,
    31: InternalError,
    32: LeaseLostError,
    33: OriginalSiteError,
}

# The system's number for what the core knows by a code of its own.
_ERRNO = {17: errno.ENOSPC, 24: errno.EPERM, 12: errno.ETIMEDOUT, 11: errno.EAGAIN, 13: errno.ETIMEDOUT}

# What the lane answers where the core says no more: it would have had to wait, or the handle is of another process.
_LANE = {1000: (11, "it would have had to wait"), 1001: (28, "it was opened in another process; open it again")}


def from_code(code: int, op: str, subject: str, detail: str) -> ParkitError:
    """The exception for an error of the core. A code that nobody knows is an InternalError."""
    if code in _LANE:
        code, default = _LANE[code]
        detail = detail or default
    kind = CODES.get(code)
    if kind is None:
        kind, detail = InternalError, f"{detail} (unknown code {code})"
    error = kind(": ".join(part for part in (" ".join(part for part in (op, subject) if part), detail) if part))
    error.code, error.operation, error.subject = code, op, subject
    if code in _ERRNO:
        error.errno = _ERRNO[code]  # type: ignore[attr-defined]
    return error
