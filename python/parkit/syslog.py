"""syslog: an Array of the machine, to which the loggers of its processes write."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ._system import SystemObject
from .array import Array

if TYPE_CHECKING:
    import logging

__all__ = ["SysLog", "log_to_syslog", "syslog"]

#: How many entries it keeps.
MAX_ENTRIES = "PARKIT_MAX_SYSLOG_ENTRIES"
#: 1: every process that imports parkit writes what is logged in it, from INFO on, as the original did.
SWITCH = "PARKIT_SYSLOG"

_MARK = " : "
FORMAT = f"%(asctime)s %(levelname)s@%(name)s{_MARK}%(message)s"


class SysLog(SystemObject, Array[str]):
    """The class of :data:`syslog`: an :class:`Array` of lines, the oldest of which go when it is full.

    It is of the machine, not of a site, and of this boot. Workers write to it what is logged in them, from INFO on,
    with the number of the task; other processes do after :func:`log_to_syslog`. ``python -m
    parkit.tools.tailsyslog`` follows it.

    >>> syslog.append('2026-11-21 12:00:00,000 INFO@house : by hand')
    >>> syslog[-1]
    '2026-11-21 12:00:00,000 INFO@house : by hand'
    """

    __slots__ = ()

    _parkit_path = "memory/syslog/__syslog__"

    def _parkit_limit(self) -> int:
        text = os.environ.get(MAX_ENTRIES, "")
        if text and not (text.isdigit() and int(text)):
            raise ValueError(f"the environment variable {MAX_ENTRIES} is a number of entries, not {text!r}")
        return int(text or 100_000)


#: What was logged on this machine, the oldest entry first.
syslog: SysLog = SysLog.at_first_use()


def log_to_syslog(level: int | str = "INFO", logger: logging.Logger | None = None) -> logging.Handler:
    """Have what is logged written to :data:`syslog` too.

    :param level: from which level on; the logger's own level is lowered to it
    :param logger: whose records, and those of the loggers below it; None is the root logger. A handler there makes
        a later ``logging.basicConfig()`` do nothing, so call that before.
    :return: the handler, for ``logger.removeHandler``

    >>> import logging
    >>> handler = log_to_syslog('INFO', logging.getLogger('house'))
    >>> logging.getLogger('house.door').info('opened')
    >>> syslog[-1].endswith(' INFO@house.door : opened')
    True
    >>> logging.getLogger('house').removeHandler(handler)
    """
    import logging

    from . import _tasks

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                syslog.append(self.format(record))
            except Exception:  # noqa: BLE001
                # Anything, as it may come from the __str__ of what is logged. As all handlers do: to standard
                # error, since a log does not end what it reports on.
                self.handleError(record)

        def format(self, record: logging.LogRecord) -> str:
            text = super().format(record)
            if _tasks.current is None:
                return text
            head, mark, message = text.partition(_MARK)
            return f"{head}{mark}[task {_tasks.current[1]}] {message}"

    handler = Handler(level)
    handler.setFormatter(logging.Formatter(FORMAT))
    logger = logging.getLogger() if logger is None else logger
    if not logger.isEnabledFor(handler.level):
        logger.setLevel(handler.level)
    logger.addHandler(handler)
    return handler


if os.environ.get(SWITCH, "").strip().lower() in ("1", "true", "yes", "on"):
    log_to_syslog()
