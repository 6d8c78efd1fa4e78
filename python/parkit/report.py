"""What checks, compactions and statistics of namespaces give back."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Compacted", "Problem", "Quarantined", "Report", "Statistics"]

# How many problems are shown.
_SHOWN = 20


class Problem(NamedTuple):
    """One thing that is not as it should be."""

    #: The namespace it is in.
    namespace: str
    #: The name of the object, ``'object 7'`` if its name was lost; empty where it concerns no single object.
    object: str
    #: What of it, in words: ``"entry 'k' of object 7"``.
    key: str
    #: What is wrong.
    what: str
    #: What a repair did; empty where nothing was done.
    done: str

    def __str__(self) -> str:
        place = "/".join(filter(None, (self.namespace, self.object)))
        return f"{place}: {self.key}: {self.what}" + (f" [{self.done}]" if self.done else "")


class Report:
    """What a check looked at and found; printable.

    >>> plums = Dict('orchard/plums', create=True)
    >>> plums['victoria'] = 3
    >>> report = check('orchard')
    >>> report.ok, report.objects, report.problems
    (True, 1, [])
    """

    __slots__ = {
        "bytes": "How many bytes keys and records have, an int.",
        "namespaces": "How many namespaces were looked at, an int.",
        "objects": "How many objects there are, an int.",
        "omitted": "How many further problems were counted only, an int.",
        "problems": "What is wrong, a list of :class:`parkit.report.Problem`; 10,000 a namespace at most.",
        "quarantine": "The files in which a repair set damaged records aside, a list of paths; "
        ":meth:`Namespace.quarantine` reads them.",
        "records": "How many records there are, an int.",
    }

    def __init__(
        self,
        namespaces: int = 0,
        objects: int = 0,
        records: int = 0,
        bytes: int = 0,  # noqa: A002 (what it is)
        problems: list[Problem] | None = None,
        omitted: int = 0,
        quarantine: list[str] | None = None,
    ) -> None:
        self.namespaces = namespaces
        self.objects = objects
        self.records = records
        self.bytes = bytes
        self.problems: list[Problem] = problems or []
        self.omitted = omitted
        self.quarantine: list[str] = quarantine or []

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong: nothing was found, or all of it was repaired."""
        return not self.omitted and all(problem.done for problem in self.problems)

    def __add__(self, other: Report) -> Report:
        if not isinstance(other, Report):
            return NotImplemented
        return Report(
            self.namespaces + other.namespaces,
            self.objects + other.objects,
            self.records + other.records,
            self.bytes + other.bytes,
            self.problems + other.problems,
            self.omitted + other.omitted,
            self.quarantine + other.quarantine,
        )

    def _summary(self) -> str:
        found = len(self.problems) + self.omitted
        verdict = "nothing is wrong" if not found else f"{found} problem{'s' if found > 1 else ''}"
        if found and self.ok:
            verdict += ", repaired"
        return (
            f"{self.namespaces} namespace{'s' if self.namespaces != 1 else ''}, {self.objects} objects, "
            f"{self.records} records, {self.bytes:,} bytes: {verdict}"
        )

    def __str__(self) -> str:
        lines = [self._summary(), *map(str, self.problems[:_SHOWN])]
        more = len(self.problems) + self.omitted - _SHOWN
        if more > 0:
            lines.append(f"and {more} more")
        return "\n  ".join(lines + [f"set aside in {path}" for path in self.quarantine])

    def __repr__(self) -> str:
        return f"<Report {self._summary()}>"

    def _repr_html_(self) -> str:
        from html import escape  # not needed before

        rows = "".join(
            f"<tr><td><code>{escape(problem.namespace)}/{escape(problem.object)}</code></td><td>{escape(problem.key)}"
            f"</td><td>{escape(problem.what)}</td><td>{escape(problem.done)}</td></tr>"
            for problem in self.problems[:_SHOWN]
        )
        return f"<table><caption>{escape(self._summary())}</caption>{rows}</table>"


class Compacted(int):
    """How many bytes a compaction gave back to the file system, with what it did besides.

    >>> freed = compactify()
    >>> freed >= 0, freed.skipped
    (True, {})
    """

    #: The bytes of each namespace.
    freed: dict[str, int]
    #: Why a namespace could not be made smaller, which needs it for itself.
    skipped: dict[str, str]
    #: How many anonymous and hidden objects were dropped, and how many tasks that had ended.
    objects: int
    tasks: int

    def __new__(
        cls,
        freed: dict[str, int] | None = None,
        skipped: dict[str, str] | None = None,
        objects: int = 0,
        tasks: int = 0,
    ) -> Compacted:
        freed = {} if freed is None else freed
        made = super().__new__(cls, sum(freed.values()))
        made.freed, made.skipped, made.objects, made.tasks = freed, skipped or {}, objects, tasks
        return made

    def __reduce__(self) -> tuple[type[Compacted], tuple[dict[str, int], dict[str, str], int, int]]:
        return type(self), (self.freed, self.skipped, self.objects, self.tasks)

    def __str__(self) -> str:
        lines = [f"{int(self):,} bytes given back, {self.objects} objects and {self.tasks} tasks dropped"]
        lines += [f"{namespace}: not made smaller: {why}" for namespace, why in self.skipped.items()]
        return "\n  ".join(lines)


class Statistics(NamedTuple):
    """How large a namespace is, and who reads it. Sizes are in bytes."""

    #: What the file system spends on its data.
    file_size: int
    #: How far the data file is in use; unused pages in between count.
    used: int
    #: Address space reserved for it: it grows by itself.
    map_size: int
    page_size: int
    #: How many records there are, and how many levels their tree has.
    entries: int
    depth: int
    #: Whether commits survive a power cut.
    durable: bool
    #: How many commits there ever were.
    commits: int
    #: How many reader slots processes have taken.
    readers: int
    #: The process whose open snapshot or transaction reads the oldest commit; None for none. What was deleted
    #: since that commit takes up room until it ends.
    oldest_reader: int | None
    #: How many commits came since that one.
    behind: int
    #: How long the oldest read of this process has been open, in seconds; 0.0 for none.
    oldest_read: float


class Quarantined(NamedTuple):
    """A record that a repair took out of a namespace, as it was."""

    namespace: str
    #: The object's name, or what was known of it.
    object: str
    #: What it was, in words.
    key: str
    #: Why it was taken out.
    reason: str
    #: When, in nanoseconds since 1970.
    time: int
    #: The key and the record as they were stored: see ``docs/storage-layout.md``.
    dbkey: bytes
    record: bytes
