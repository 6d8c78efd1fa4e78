"""Every code of the core has a class that a user can catch."""

from __future__ import annotations

import json
import pickle

import pytest

import parkit
from parkit import _native, errors

ORIGINAL = (
    "ObjectExistsError ObjectNotFoundError SiteNotFoundError SiteNotSpecifiedError StoragePathError TransactionError"
)


def test_every_code_of_the_core_has_a_class_and_no_other_has() -> None:
    codes = {int(code) for code in json.loads(_native.call(_native.ctl.ErrorCodes))}
    assert set(errors.CODES) == codes - {0}


@pytest.mark.parametrize("code", sorted(errors.CODES))
def test_an_error_says_what_where_and_what_to_do(code: int) -> None:
    error = errors.from_code(code, "open site", "/a/b", "it is not there; create it")
    assert type(error) is errors.CODES[code]
    assert str(error) == "open site /a/b: it is not there; create it"
    assert (error.code, error.operation, error.subject) == (code, "open site", "/a/b")


@pytest.mark.parametrize("code", sorted(errors.CODES))
def test_an_error_survives_pickling(code: int) -> None:
    error = errors.from_code(code, "use object", "x", "detail")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.code, again.subject) == (type(error), str(error), code, "x")


def test_all_have_one_base_which_is_a_runtime_error() -> None:
    for name in errors.__all__:
        thing = getattr(errors, name)
        if isinstance(thing, type) and not issubclass(thing, Warning):
            assert issubclass(thing, errors.ParkitError)
    assert issubclass(errors.ParkitError, RuntimeError)


@pytest.mark.parametrize("name", ORIGINAL.split())
def test_the_originals_exceptions_are_exported(name: str) -> None:
    assert getattr(parkit, name) is getattr(errors, name)
    assert issubclass(getattr(parkit, name), RuntimeError)


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        (4, (errors.ObjectNotFoundError, errors.StoragePathError)),
        (7, (TypeError,)),
        (8, (ValueError,)),
        (9, (ValueError, errors.StoragePathError)),
        (11, (errors.LockTimeout,)),
        (12, (TimeoutError, errors.TransactionError)),
        (13, (TimeoutError,)),
        (17, (OSError,)),
        (24, (PermissionError,)),
    ],
)
def test_pythons_own_classes_catch_them_too(code: int, kinds: tuple[type[BaseException], ...]) -> None:
    assert all(issubclass(errors.CODES[code], kind) for kind in kinds)


def test_a_full_disk_has_the_systems_number() -> None:
    import errno

    error = errors.from_code(17, "commit", "default", "the disk is full")
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOSPC


def test_a_code_that_nobody_knows_is_an_internal_error() -> None:
    error = errors.from_code(9999, "do", "it", "something new")
    assert type(error) is errors.InternalError
    assert "something new" in str(error)
    assert "9999" in str(error)


@pytest.mark.parametrize(("code", "kind"), [(1000, errors.WouldBlockError), (1001, errors.StaleHandleError)])
def test_what_the_lane_answers_by_itself_has_words(code: int, kind: type[Exception]) -> None:
    assert type(errors.from_code(code, "", "", "")) is kind
    assert str(errors.from_code(code, "", "", ""))
