"""Print what is logged on this machine, as it is logged: ``python -m parkit.tools.tailsyslog [--level LEVEL]``."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Iterable, Iterator

from parkit import snapshot, stream
from parkit._system import global_site
from parkit.site import path_of
from parkit.syslog import syslog

_LEVEL = re.compile(r"^\S+ \S+ (\w+)@")


def wanted(lines: Iterable[str], level: int) -> Iterator[str]:
    """The lines of at least a level; those that do not say theirs go on after the one before them."""
    keep = True
    for line in lines:
        found = _LEVEL.match(line)
        if found:
            number = logging.getLevelName(found[1])
            keep = not isinstance(number, int) or number >= level
        if keep:
            yield line


def main(arguments: list[str] | None = None) -> int:
    """Follow the log until Ctrl-C."""
    parser = argparse.ArgumentParser("python -m parkit.tools.tailsyslog", description="Follow the log of this machine.")
    parser.add_argument("--level", default="NOTSET", help="leave out what is below it: DEBUG, INFO, WARNING, ERROR")
    parser.add_argument("-n", "--lines", type=int, default=10, help="begin with so many of the last lines (10)")
    options = parser.parse_args(arguments)
    level = logging.getLevelName(options.level.upper())
    if not isinstance(level, int):
        parser.error(f"{options.level} is no level")
    with snapshot(syslog):  # so that it follows from where the last lines end
        print(f"{len(syslog)} lines in {path_of(global_site())}", file=sys.stderr)
        last = list(syslog[-options.lines :]) if options.lines > 0 else []
        following = stream(syslog)
    try:
        for line in wanted(last, level):
            print(line)
        sys.stdout.flush()
        for line in wanted(following, level):
            print(line, flush=True)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
