"""The command line: ``parkit …`` or ``python -m parkit …``. ``docs/command-line.md`` says what each command does.

Each command is a function of its parsed arguments that returns the exit code: 0, or 1 where there are problems. The
work is that of the package; here is only how it is asked for and shown.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from . import __version__, _native, _open, convert, keep, namespace, site
from .errors import ParkitError
from .task import tasks

__all__ = ["main", "parser"]

_FINE, _PROBLEMS = 0, 1

#: What is raised for what the user asked or has, not for a defect of parkit.
_EXPECTED = (ParkitError, OSError, ValueError)


class _Usage(Exception):
    """The arguments do not go together with what there is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 fine, 1 problems found, 2 wrong usage.

    :param arguments: without the program's name; those of the process if not given
    """
    asked = parser()
    options = asked.parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()  # here, where a reader that went away can be told from a failure
        return code
    except BrokenPipeError:
        # Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FINE
    except _Usage as error:
        asked.error(str(error))
    except KeyboardInterrupt:
        print("parkit: interrupted", file=sys.stderr)
        return 130
    except _EXPECTED as error:
        print(f"parkit: {' '.join(str(error).split())}", file=sys.stderr)
        return _PROBLEMS


# ---- What there is to say ----


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    top = argparse.ArgumentParser(prog="parkit", description="Look after sites of parkit.")
    top.add_argument("--version", action="version", version=f"parkit {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        made.set_defaults(run=run)
        return made

    found = command("ls", _ls, "list the namespaces of a site, or the objects of a namespace")
    _site_argument(found)
    found.add_argument("namespace", nargs="?", metavar="NAMESPACE", help="whose objects to list")
    found.add_argument(
        "-l", "--long", action="store_true", help="with lengths, sizes, versions, times of creation and classes"
    )
    found.add_argument("-a", "--all", action="store_true", help="with anonymous and other hidden ones")
    found.add_argument("--json", action="store_true", help="print JSON")

    found = command("show", _show, "show what an object is, and the beginning of what is in it")
    found.add_argument("site", metavar="SITE", help="the site's directory")
    found.add_argument("path", metavar="PATH", help="of the object: namespace/name")
    found.add_argument("-n", "--items", type=_count, default=10, metavar="N", help="how many items to show (10)")
    found.add_argument("--json", action="store_true", help="print JSON; values as Python writes them")

    found = command("tasks", _tasks, "list the tasks of a site")
    _site_argument(found)
    found.add_argument("--status", choices=_statuses(), help="only those of this status")
    found.add_argument("--json", action="store_true", help="print JSON")

    found = command("convert", _convert, "make a site of one that the original parkit (0.0.10) wrote")
    found.add_argument("old", metavar="OLD", help="the directory of the original's site; it is only read")
    found.add_argument("new", metavar="NEW", help="where the new site is to be; nothing may be there")
    found.add_argument("--no-hidden", action="store_true", help="leave out anonymous and other hidden objects")
    found.add_argument("--strict", action="store_true", help="stop at the first thing that cannot be converted")
    found.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        type=_replaced,
        metavar="OLD=MODULE:CLASS",
        help="which class takes the place of one that the original's data name; may be given again",
    )
    found.add_argument(
        "--path", action="append", default=[], metavar="DIR", help="where classes are imported from; may be given again"
    )
    found.add_argument("--json", action="store_true", help="print the report as JSON, with every object")

    found = command("check", _check, "read all of a site, and say what is not as it should be")
    found.add_argument("site", metavar="SITE", help="the site's directory, or that of a backup")
    found.add_argument("--repair", action="store_true", help="set damaged records aside, and bring the rest into step")
    found.add_argument("--json", action="store_true", help="print JSON")

    found = command("backup", _backup, "write a copy of a site while it is used")
    found.add_argument("site", metavar="SITE", help="the site's directory")
    found.add_argument("path", metavar="PATH", help="where the copy is to be; nothing may be there")
    found.add_argument("--memory", action="store_true", help="also the memory namespaces")
    found.add_argument("--fresh", action="store_true", help="give the copy a uuid of its own")

    found = command("restore", _restore, "make a site of a backup")
    found.add_argument("backup", metavar="BACKUP", help="the directory of the backup; it is only read")
    found.add_argument("path", metavar="PATH", help="where the site is to be; nothing may be there")
    found.add_argument("--fresh", action="store_true", help="give the site a uuid of its own")

    found = command("compactify", _compactify, "drop what is anonymous, hidden or done, and give space back")
    found.add_argument("site", metavar="SITE", help="the site's directory")

    found = command("doctor", _doctor, "look whether parkit can work here, and with a site")
    _site_argument(found)
    found.add_argument("--json", action="store_true", help="print JSON")
    return top


def _site_argument(found: argparse.ArgumentParser) -> None:
    found.add_argument(
        "site", nargs="?", metavar="SITE", help=f"the site's directory; ${site.DEFAULT_SITE_PATH} if not given"
    )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of items: 0, 1, 2, ...")
    return int(text)


def _replaced(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new.count(":") == 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form OLD=MODULE:CLASS")
    return old, new


def _statuses() -> list[str]:
    from ._tasks import STATES

    return list(STATES[1:])


def _opened(path: str | None) -> str:
    """The uuid of the site that a command is about."""
    place = path or os.environ.get(site.DEFAULT_SITE_PATH)
    if not place:
        raise _Usage(f"name a site, or set {site.DEFAULT_SITE_PATH} to the path of one")
    return site.open_site(place)


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, default=repr))


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


# ---- Looking ----


def _ls(options: argparse.Namespace) -> int:
    uuid = _opened(options.site)
    if options.namespace is None:
        _ls_site(uuid, options)
    else:
        _ls_namespace(namespace.Namespace(options.namespace, site_uuid=uuid, include_hidden=options.all), options)
    return _FINE


def _ls_site(uuid: str, options: argparse.Namespace) -> None:
    rows = []
    for found in namespace.directories(site_uuid=uuid, include_hidden=options.all):
        about: dict[str, Any] = {"namespace": found.path}
        if options.long:
            stats = found._stats()
            about.update(objects=sum(1 for _ in found.names()), bytes=stats["used"], durable=stats["durable"])
        rows.append(about)
    if options.json:
        _print_json(rows)
    elif options.long:
        head = ("NAMESPACE", "OBJECTS", "BYTES", "KIND")
        body = [
            (row["namespace"], str(row["objects"]), str(row["bytes"]), "durable" if row["durable"] else "memory")
            for row in rows
        ]
        _print_table([head, *body])
    else:
        for row in rows:
            print(row["namespace"])


def _ls_namespace(found: namespace.Namespace, options: argparse.Namespace) -> None:
    if not options.long and not options.json:
        for name in found.names():
            print(name)
        return
    sizes = found.sizes()
    rows = [{**_described(thing), "bytes": sizes.get(thing.name, 0)} for thing in found.entities()]
    if options.json:
        _print_json(rows)
        return
    head = ("NAME", "LENGTH", "BYTES", "VERSION", "CREATED", "CLASS")
    body = [tuple(str(row[name]) for name in ("name", "length", "bytes", "version", "created", "type")) for row in rows]
    _print_table([head, *body])


def _described(thing: Any) -> dict[str, Any]:
    descriptor = thing.descriptor
    return {
        "name": thing.name,
        "path": thing.path,
        "type": descriptor["type"],
        "uuid": thing.uuid,
        "created": descriptor["created"],
        "version": thing.version,
        "length": _native.lane.length(thing),
        "metadata": descriptor["metadata"],
    }


def _show(options: argparse.Namespace) -> int:
    from . import _cli_show

    uuid = _opened(options.site)
    where, name = _open.parse_path(options.path)
    thing = _cli_show.bound(uuid, where, name)
    about = _described(thing)
    about["attributes"] = _cli_show.attributes(thing)
    about["content"] = _cli_show.content(thing, options.items)
    about["more"] = _cli_show.more(thing, about["content"])
    if options.json:
        _print_json(about)
    else:
        print("\n".join(_cli_show.lines(about)))
    return _FINE


def _tasks(options: argparse.Namespace) -> int:
    rows = []
    for found in tasks(options.status, site_uuid=_opened(options.site)):
        about = found._about()
        rows.append({"uuid": found.uuid, "status": found.status, "function": about["name"], "pid": found.pid})
        rows[-1].update(created=found.created, start=found.start, end=found.end)
    if options.json:
        _print_json(rows)
    elif rows:
        names = ("status", "function", "pid", "uuid")
        body = [tuple("" if row[name] is None else str(row[name]) for name in names) for row in rows]
        _print_table([tuple(name.upper() for name in names), *body])
    return _FINE


# ---- Converting ----


def _convert(options: argparse.Namespace) -> int:
    sys.path[:0] = [os.path.abspath(path) for path in options.path]
    report = convert.convert_site(
        options.old,
        options.new,
        hidden=not options.no_hidden,
        classes=dict(options.classes),
        strict=options.strict,
        progress=_progress if sys.stderr.isatty() else None,
    )
    if options.json:
        _print_json(report.as_dict())
    else:
        print(report)
        for item in report.objects:
            for note in item.notes:
                print(f"{item.path}: {item.result}: {note}")
    return _FINE if report.ok else _PROBLEMS


def _progress(done: int, total: int, path: str) -> None:
    print(f"\r{done} of {total}: {path:.60}\x1b[K", end="\r" if done + 1 == total else "", file=sys.stderr, flush=True)


# ---- Keeping ----


def _check(options: argparse.Namespace) -> int:
    report = keep.check(os.path.abspath(options.site), repair=options.repair)
    if options.json:
        counts = {name: getattr(report, name) for name in ("namespaces", "objects", "records", "bytes", "omitted")}
        problems = [problem._asdict() for problem in report.problems]
        _print_json({"ok": report.ok, **counts, "problems": problems, "quarantine": report.quarantine})
    else:
        print(report)
    return _FINE if report.ok else _PROBLEMS


def _backup(options: argparse.Namespace) -> int:
    print(keep.backup(options.path, _opened(options.site), memory=options.memory, fresh=options.fresh))
    return _FINE


def _restore(options: argparse.Namespace) -> int:
    print(keep.restore(options.backup, options.path, fresh=options.fresh))
    return _FINE


def _compactify(options: argparse.Namespace) -> int:
    print(keep.compactify(_opened(options.site)))
    return _FINE


# ---- Whether parkit can work ----


def _doctor(options: argparse.Namespace) -> int:
    from . import _cli_doctor

    findings = _cli_doctor.examine(options.site or os.environ.get(site.DEFAULT_SITE_PATH))
    if options.json:
        _print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            print(f"{'ok ' if finding.ok else 'BAD'}  {finding.what}: {finding.text}")
    return _FINE if all(finding.ok for finding in findings) else _PROBLEMS
