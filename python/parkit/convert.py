"""Converting a site that the original parkit wrote."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import StoragePathError
from .site import AnyPath, site_around

__all__ = ["Converted", "Report", "convert_site"]


class Converted(NamedTuple):
    """What became of one object of the old site."""

    path: str
    #: As the original wrote it, such as ``parkit.adapters.dict.Dict``; empty where that cannot be read.
    type: str
    uuid: str
    #: ``converted``; ``partly``, with problems; ``left out``, with a note why; ``failed``: it is not in the new site.
    result: str
    #: How many entries or items it has; of a file how many bytes.
    entries: int
    problems: list[str]
    notes: list[str]


class Report:
    """What :func:`convert_site` did: one :class:`Converted` for each object, in the order of their paths."""

    def __init__(self, path: str, site_uuid: str) -> None:
        #: The new site.
        self.path = path
        self.site_uuid = site_uuid
        self.objects: list[Converted] = []
        #: What of namespaces could not be read, a sentence each; objects may be missing for it.
        self.damage: list[str] = []

    @property
    def ok(self) -> bool:
        """Whether all was converted but for what has no place in the new site."""
        return not self.problems

    @property
    def problems(self) -> list[str]:
        """What was not converted as it should be, a sentence each."""
        found = [f"{item.path}: {problem}" for item in self.objects for problem in item.problems]
        return self.damage + found

    def counts(self) -> dict[str, int]:
        """How many objects there are of each result."""
        found = dict.fromkeys(("converted", "partly", "left out", "failed"), 0)
        for item in self.objects:
            found[item.result] += 1
        return found

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can write it."""
        return {
            "path": self.path,
            "site_uuid": self.site_uuid,
            "ok": self.ok,
            "counts": self.counts(),
            "damage": self.damage,
            "objects": [item._asdict() for item in self.objects],
        }

    def __str__(self) -> str:
        said = ", ".join(f"{count} {result}" for result, count in self.counts().items() if count) or "no objects"
        return "\n".join([f"{self.path}: {said}", *self.problems])

    def __repr__(self) -> str:
        return f"<Report {self.path!r}: {self.counts()}>"


def convert_site(
    old: AnyPath,
    new: AnyPath,
    /,
    *,
    hidden: bool = True,
    classes: Mapping[str, str | type[Any]] | None = None,
    strict: bool = False,
    progress: Callable[[int, int, str], object] | None = None,
) -> Report:
    """Make a site of what the original parkit (0.0.10) wrote.

    The old site is only read, and does not change by a byte; nobody should write to it meanwhile. The new one is there
    when all of it is, or not at all. It has the uuid of the old one, as its objects have theirs, with their versions,
    metadata, attributes and times of creation; so references among them lead on. Read what is not kept in
    ``docs/compatibility.md``.

    Values are pickles, and **unpickling runs what it finds in them**, and imports classes: convert only what you would
    have opened with the original.

    :param old: the directory of the old site
    :param new: where the new site is to be; nothing may be there
    :param hidden: whether anonymous objects and others whose names begin and end with two underscores are converted
    :param classes: what takes the place of classes that the original's data name: from their dotted names, such as
        ``'shop.models.Prices'``, to classes or to texts such as ``'models:Prices'``
    :param strict: whether to raise at the first thing that cannot be converted, rather than to report it
    :param progress: called with the number of objects that are done, how many there are, and the path of the next
    :returns: what was done with each object
    :raises SiteNotFoundError: there is no site of the original at ``old``
    :raises StoragePathError: there is something at ``new``, or it is in the directory of a site
    :raises ConversionError: with ``strict``, something cannot be converted; or the old site was written to meanwhile

    >>> report = convert_site(folder + '/original', folder + '/converted')
    >>> report.ok, report.counts()['converted']
    (True, 7)
    >>> uuid = import_site(report.path)
    >>> dict(Dict('shop/prices', site_uuid=uuid))
    {'apple': 1.25, 'pear': 2}
    """
    source, target = os.path.abspath(os.fspath(old)), os.path.abspath(os.fspath(new))
    if os.path.lexists(target):
        raise StoragePathError(f"{target} exists already: name a directory that is not there for the new site")
    place = os.path.join(os.path.realpath(os.path.dirname(target)), os.path.basename(target))
    if os.path.commonpath([os.path.realpath(source), place]) == os.path.realpath(source):
        raise StoragePathError(f"{target} is in the old site, which must not change: choose another place")
    around = site_around(target)
    if around:
        raise StoragePathError(f"{target} is in the directory of the site {around}: choose a place outside of it")
    if not os.path.isdir(os.path.dirname(target)):
        raise StoragePathError(f"{os.path.dirname(target)} is not a directory: make it first")
    from . import _conversion

    return _conversion.convert(source, target, hidden, classes or {}, strict, progress)
