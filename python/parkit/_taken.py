"""What an exception says when something was taken, could not be read, and was put back."""

from __future__ import annotations

# How much of an exception's text a dead letter keeps, in characters.
_WHY = 500


def text(error: BaseException) -> str:
    """An exception as one line: its class and what it says."""
    import traceback  # not needed before

    return traceback.format_exception_only(type(error), error)[-1].strip()


def cut(why: str) -> str:
    """A reason as a dead letter keeps it."""
    return why[:_WHY].encode("utf-8", "replace").decode()


def why(error: BaseException) -> str:
    """The reason of a dead letter that could not be read."""
    return cut("it could not be read: " + text(error))


def put_back(error: BaseException, failure: BaseException | None, leased: bool) -> None:
    """Note in ``error`` what became of what was taken; ``failure`` kept it from being put back."""
    if failure is None:
        word = "What was taken could not be handed out, and was put back."
        if leased and isinstance(error, Exception):
            word += " The attempt counts: after max_attempts of them it is a dead letter."
    elif leased:
        word = f"The leased item could not be handed out; it is back when its lease ends, not now ({text(failure)})."
    else:
        word = (
            f"What was taken could not be handed out, nor put back ({text(failure)}). "
            "This exception has it as it was stored: parkit_raw and parkit_raw_key."
        )
    if failure is not None and error.__context__ is None:
        error.__context__ = failure
    if hasattr(error, "add_note"):  # from Python 3.11
        error.add_note("parkit: " + word)
