"""The exceptions that parkit raises."""


class Error(Exception):
    """Whatever parkit refuses or cannot do."""


class ForkedProcessError(Error):
    """The process was forked from one that used parkit, and the library cannot be loaded again in it."""


def from_code(code: int, op: str, subject: str, detail: str) -> Exception:
    """The exception for an error of the core."""
    return Error(f"{op} {subject}: {detail}")
