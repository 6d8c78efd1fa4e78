"""Keeping sites: checking and repairing them, backing them up, giving space back."""

from __future__ import annotations

import os

from . import _upkeep, site
from .errors import SiteNotFoundError
from .namespace import Namespace
from .report import Compacted, Problem, Quarantined, Report, Statistics

__all__ = ["Compacted", "Problem", "Quarantined", "Report", "Statistics", "backup", "check", "compactify", "restore"]

#: What may be checked.
Target = Namespace | str | os.PathLike[str] | None


def compactify(site_uuid: str | None = None) -> Compacted:
    """Drop all anonymous and hidden objects and all ended tasks of a site, and give the space back.

    :param site_uuid: the site; None is the default site of this thread
    :returns: an int, how many bytes the file system has again; it also says of which namespaces, how many
        objects and tasks were dropped, and which namespaces could not be made smaller
    :raises TransactionError: this thread has a transaction or snapshot open on a namespace of the site

    To make its file smaller, a namespace must not be open in another process, nor a transaction be open on it
    in this one: where that is so, what was dropped makes room for new data, the file keeps its size, and
    :attr:`Compacted.skipped` says why.

    Whoever still uses a dropped object gets ObjectNotFoundError, as always.

    >>> scratch = Dict(create=True)
    >>> freed = compactify()
    >>> scratch.exists, freed.objects
    (False, 1)
    """
    uuid = site.resolve(site_uuid)
    return _upkeep.compact(uuid, _upkeep.ask_site("KeptNamespaces", {"site": uuid}))


def backup(
    path: str | os.PathLike[str],
    /,
    site_uuid: str | None = None,
    *,
    memory: bool = False,
    fresh: bool = False,
) -> Report:
    """Write a copy of a site to the directory ``path``, while others use the site.

    :param path: a directory that must not exist, in one that does
    :param site_uuid: the site; None is the default site of this thread
    :param memory: also the memory namespaces of a site that has others. In the copy, and in what is restored from
        it, they are durable ones.
    :param fresh: give the copy a uuid of its own, so that one process can use both. Without it the copy *is* the site
        as it was: pickled references lead to it where the site is not known otherwise
    :returns: what was copied
    :raises StoragePathError: there is something at ``path`` already, or it is in the directory of a site
    :raises CorruptError: something is damaged, so that the copy would be; no copy was made
    :raises OSError: the disk is full, or cannot be written to

    The copy is a site: :func:`set_default_site` opens it, and :func:`restore` makes a site elsewhere of it.
    Each namespace is as one commit left it; different ones may be of different moments, since a transaction is
    of one namespace. The copy has its name only when it is complete, was read through and is on the disk.

    >>> tea = Dict('kitchen/tea', create=True)
    >>> tea['assam'] = 1
    >>> print(backup(folder + '/monday', memory=True, fresh=True).objects)
    1
    >>> copy = import_site(folder + '/monday')
    >>> Dict('kitchen/tea', site_uuid=copy)['assam']
    1
    """
    uuid = site.resolve(site_uuid)
    names: list[str] = _upkeep.ask_site("KeptNamespaces", {"site": uuid})
    if not memory and not _upkeep.ask_site("SiteIsMemory", {"site": uuid}):
        names = [name for name in names if name.split("/")[0] != "memory"]
    return _upkeep.back_up(uuid, names, path, fresh)


def restore(backup: str | os.PathLike[str], path: str | os.PathLike[str], /, *, fresh: bool = False) -> Report:
    """Make a site at ``path`` of a backup, or of any other site.

    :param backup: the directory of the backup; it is only read
    :param path: a directory that must not exist, in one that does
    :param fresh: give the site a uuid of its own, to use it beside the one that was backed up
    :returns: what was copied
    :raises SiteNotFoundError: there is no site at ``backup``
    :raises StoragePathError: there is something at ``path`` already, or it is in the directory of a site
    :raises CorruptError: the backup is damaged; no site was made

    >>> sugar = Dict('kitchen/sugar', create=True)
    >>> _ = backup(folder + '/sunday')
    >>> print(restore(folder + '/sunday', folder + '/again', fresh=True).problems)
    []
    """
    return _upkeep.report(
        _upkeep.ask("SiteRestore", {"path": site.as_path(backup), "target": site.as_path(path), "fresh": bool(fresh)})
    )


def check(target: Target = None, /, repair: bool = False) -> Report:
    """Read all of a site or a namespace, and say what is not as it should be.

    :param target: a :class:`Namespace`; the path of a site's directory, also of a backup; the uuid of a site; or the
        path of a namespace of the default site. A str is the first of these that it can be. None is the default site
    :param repair: set damaged records aside, and bring the rest into step
    :raises SiteNotFoundError: there is no site at the path
    :raises StoragePathError: there is no such namespace
    :raises NewerFormatError: a newer parkit wrote it
    :raises TransactionError: to be repaired, a namespace must have no transaction or snapshot of this thread open

    Looked at are the structure of the data files, the checksum of each record, names, what is said of objects, the
    lengths and positions of collections, and the records of tasks. Others may read and write meanwhile:
    what is checked of a namespace is one commit.

    What a repair takes out is kept, raw and with the reason: :meth:`Namespace.quarantine`. Everything that is
    whole stays. Where the structure of a data file is damaged, the repair makes a new one of all that can still
    be read; it keeps the damaged one, and needs the namespace for itself.

    >>> pears = Dict('orchard/pears', create=True)
    >>> print(check('orchard'))
    1 namespace, 1 objects, 5 records, ... bytes: nothing is wrong
    """
    place, names = _place(target)
    total = Report()
    if names is None:
        names = _upkeep.ask_site("KeptNamespaces", place)
    for name in names:
        if repair and "site" in place:
            _upkeep.await_turn(place["site"], name)
        total += _upkeep.report(_upkeep.ask_site("NamespaceCheck", place, namespace=name, repair=bool(repair)))
    return total


def _place(target: Target) -> tuple[dict[str, str], list[str] | None]:
    """Where the site is, and which of its namespaces are meant; None for all."""
    if isinstance(target, Namespace):
        return {"site": target.site_uuid}, [target.path]
    if target is None:
        return {"site": site.resolve(None)}, None
    path = site.as_path(target)
    if os.path.isfile(os.path.join(path, "site.json")):
        return site.place_of(path), None
    if isinstance(target, str):
        try:
            site.path_of(target)
        except SiteNotFoundError:
            if not os.path.isabs(target):
                return {"site": site.resolve(None)}, [target]
        else:
            return {"site": target}, None
    # Says what is wrong with it.
    return {"path": path}, None
