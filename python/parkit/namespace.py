"""Namespaces: what is in them, and walking over them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from . import _classes, _native, _open, site
from .errors import ObjectNotFoundError
from .object import Object, as_descriptor, metadata_of

if TYPE_CHECKING:
    from .report import Compacted, Quarantined, Report, Statistics

__all__ = ["Directory", "Namespace", "directories"]

# How many objects are asked for at once.
_BATCH = 512

_MISSING: Any = object()


class Namespace:
    """A namespace of a site, with the objects in it.

    :param namespace: its path, such as ``'some/name/space'``; None is ``default``
    :param create: make the namespace if there is none
    :param site_uuid: the site; None is the default site of this thread
    :param include_hidden: whether listings have the names that begin and end with two underscores,
        which are those of anonymous objects and of parkit's own
    :raises StoragePathError: there is no such namespace, and ``create`` is not set
    :raises ValueError: the path cannot be a namespace's: segments are of ASCII letters, digits and ``_-.``

    Listings are sorted by name. They are read in parts as they go along: to see one moment, iterate in
    a :func:`snapshot`.

    >>> apples = Dict('fruit/apples', create=True)
    >>> fruit = Namespace('fruit')
    >>> list(fruit.names())
    ['apples']
    >>> fruit['apples'] == apples
    True
    >>> del fruit['apples']
    >>> apples.exists
    False
    """

    __slots__ = ("__weakref__", "_include_hidden", "_passing", "_path", "_site_uuid")

    def __init__(
        self,
        namespace: str | None = None,
        /,
        *,
        create: bool = False,
        site_uuid: str | None = None,
        include_hidden: bool = False,
    ) -> None:
        if namespace is not None and not isinstance(namespace, str):
            raise TypeError(f"the path of a namespace is a str, not {type(namespace).__name__}")
        self._site_uuid = site.resolve(site_uuid)
        _, self._path = _open.open_space(self._site_uuid, namespace or "", create=create)
        self._include_hidden = include_hidden
        # Whether it is one of many: then it does not keep the namespace open.
        self._passing = False

    @property
    def path(self) -> str:
        """The path in its one spelling."""
        return self._path

    @property
    def site_uuid(self) -> str:
        """The uuid of the site."""
        return self._site_uuid

    @property
    def storage_path(self) -> str:
        """The path of the site's directory."""
        return site.path_of(self._site_uuid)

    @property
    def maxsize(self) -> int:
        """How large the namespace may become, in bytes: a multiple of the page size.

        It is address space, not disk space, and grows by itself when it is used up. Setting it
        needs a moment in which no transaction is open in this process.

        :raises ValueError: not a multiple of the page size
        """
        size: int = self._stats()["map_size"]
        return size

    @maxsize.setter
    def maxsize(self, value: int) -> None:
        # The core's own wait for the turn does not hear Ctrl-C: it comes when the turn was just free.
        with _open.writing(self._parkit_space()):
            pass
        self._ask(lambda space: _native.call(_native.ctl.SpaceSetMaxSize, space, int(value)))

    # ---- One object ----

    def get(self, name: str, default: Any = _MISSING, /) -> Any:
        """The object of that name, of its stored class.

        :raises ObjectNotFoundError: there is none, and no default is given
        :raises ClassNotFoundError: its class cannot be imported in this process
        """
        try:
            return self._instance(_open.find_object(self._site_uuid, self._path, name))
        except ObjectNotFoundError:
            if default is _MISSING:
                raise
            return default

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __delitem__(self, name: str) -> None:
        with _open.writing(self._parkit_space()):
            _native.call(_native.ctl.ObjectDrop, _open.find_object(self._site_uuid, self._path, name).handle)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            _open.find_object(self._site_uuid, self._path, name)
        except (ObjectNotFoundError, ValueError):
            return False
        return True

    # ---- All of them ----

    def __iter__(self) -> Iterator[Any]:
        """The objects, each of its stored class.

        :raises ClassNotFoundError: the class of one cannot be imported in this process; :meth:`names`,
            :meth:`descriptors` and :meth:`entities` import nothing
        """
        for about in self._objects():
            yield self._instance_of(about, _classes.find(about["class"]))

    # Of each listing: include_hidden says whether it has the names that begin and end with two underscores;
    # None is what the Namespace was made with.

    def names(self, *, include_hidden: bool | None = None) -> Iterator[str]:
        """The names of the objects; the hidden ones too if ``include_hidden``, or if the Namespace was made so."""
        for name in self._pages("SpaceNames", lambda name: str(name)):
            if not self._hides(name, include_hidden):
                yield name

    def descriptors(self, *, include_hidden: bool | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """The name and the :attr:`descriptor <Object.descriptor>` of each object; hidden ones as of :meth:`names`."""
        for about in self._objects(include_hidden):
            yield about["name"], as_descriptor(about)

    def metadata(self, *, include_hidden: bool | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """The name and the metadata of each object; hidden ones as of :meth:`names`."""
        for about in self._objects(include_hidden):
            yield about["name"], metadata_of(about)

    def entities(self, *, include_hidden: bool | None = None) -> Iterator[Object]:
        """The objects, each as a plain :class:`Object`: nothing is imported. Hidden ones as of :meth:`names`."""
        for about in self._objects(include_hidden):
            yield self._instance_of(about, Object)

    def _objects(self, include_hidden: bool | None = None) -> Iterator[dict[str, Any]]:
        for about in self._pages("SpaceObjects", lambda about: str(about["name"])):
            if not self._hides(about["name"], include_hidden):
                yield about

    def _pages(self, function: str, name_of: Any) -> Iterator[Any]:
        after = ""
        while True:
            page = json.loads(self._ask(partial(self._page, function, after)))
            yield from page
            if len(page) < _BATCH:
                return
            after = name_of(page[-1])

    def _page(self, function: str, after: str, space: int) -> str:
        request = json.dumps({"space": space, "after": after, "limit": _BATCH})
        page: str = _native.call(getattr(_native.ctl, function), request)
        return page

    def _hides(self, name: str, include_hidden: bool | None = None) -> bool:
        return not (self._include_hidden if include_hidden is None else include_hidden) and hidden(name)

    def _instance(self, opened: _open.Opened) -> Any:
        return _open.instance(_classes.find(opened.about["class"]), opened.reference, opened.handle)

    def _instance_of(self, about: dict[str, Any], cls: type[Any]) -> Any:
        # Opened when it is used: a listing need not look each object up again.
        return _open.instance(cls, _open.Reference(self._site_uuid, self._path, about["name"], about["uuid"]), None)

    def _parkit_space(self) -> int:
        return _open.open_space(self._site_uuid, self._path)[0]

    def _stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = json.loads(self._ask(lambda space: _native.call(_native.ctl.SpaceStats, space)))
        return stats

    def _ask(self, call: Callable[[int], Any]) -> Any:
        return _open.on_space(self._site_uuid, self._path, call, passing=self._passing)

    # ---- Its objects elsewhere ----

    def rename(self, old: str, new: str, /, *, overwrite: bool = False) -> None:
        """Give the object ``old`` the name ``new`` in this namespace.

        It stays the same object: handles of all processes go on working, though :attr:`Object.name` is the name
        under which an object was bound. Pickled references by the old name find it by its uuid.

        :param overwrite: drop an object of the new name first, in the same transaction
        :raises ObjectNotFoundError: there is no object ``old``
        :raises ObjectExistsError: there is one of the new name, and ``overwrite`` is not set
        :raises ValueError: the new name cannot be one

        >>> Dict('attic/boxes', create=True)['blue'] = 1
        >>> Namespace('attic').rename('boxes', 'crates')
        >>> Dict('attic/crates')['blue']
        1
        """
        from . import _upkeep

        _upkeep.rename(self._site_uuid, self._path, old, new, overwrite)

    def copy(self, name: str, path: str, /, *, overwrite: bool = False, site_uuid: str | None = None) -> None:
        """Make a copy of an object at ``path``: with its data, attributes and metadata, and a uuid of its own.

        The copy is made in one transaction of its namespace, which waits for its turn and keeps others from writing
        there meanwhile; the object is copied as one commit left it. Inside a :func:`transaction` of that namespace it
        is part of that. Items of a queue that somebody has leased are not in the copy's hands: they are items again.

        :param path: the path of an object, as for making one: ``'some/name/space/name'``; its namespace is made
            if need be
        :param overwrite: drop an object that is there first, in the same transaction
        :param site_uuid: another site; None is that of this namespace
        :raises ObjectNotFoundError: there is no object ``name``
        :raises ObjectExistsError: there is one at ``path``, and ``overwrite`` is not set
        :raises CorruptError: a record of it is damaged: see :func:`check`
        :raises ValueError: ``path`` cannot be one

        >>> Dict('cellar/wine', create=True)['red'] = 12
        >>> Namespace('cellar').copy('wine', 'books/stock')
        >>> Dict('books/stock')['red'], Dict('books/stock') == Dict('cellar/wine')
        (12, False)
        """
        target = self._site_uuid if site_uuid is None else site.resolve(site_uuid)
        from . import _upkeep

        _upkeep.copy(self._site_uuid, self._path, name, path, target, overwrite)

    def move(self, name: str, path: str, /, *, overwrite: bool = False, site_uuid: str | None = None) -> None:
        """Move an object to ``path``; its uuid, version and all it holds stay.

        Within the namespace this is :meth:`rename`. Elsewhere handles of the object, and pickled references, get
        ObjectNotFoundError from then on: bind it at its new path. It is stored there for good before it is dropped
        here: a crash in between leaves it in both places, never in none.

        :param path: as for :meth:`copy`, as are the other parameters and the errors
        :raises TransactionError: this thread has a transaction or snapshot open on the namespace it is moved to

        >>> Dict('desk/draft', create=True)['page'] = 1
        >>> Namespace('desk').move('draft', 'archive/draft')
        >>> Dict('archive/draft')['page'], 'draft' in Namespace('desk')
        (1, False)
        """
        target = self._site_uuid if site_uuid is None else site.resolve(site_uuid)
        from . import _upkeep

        _upkeep.move(self._site_uuid, self._path, name, path, target, overwrite)

    # ---- Keeping it ----

    def size(self, name: str, /) -> int:
        """How many bytes the records of an object take, keys and frames included.

        What the storage needs beside them, a few per cent and what fills up pages, is not in it.

        :raises ObjectNotFoundError: there is none of that name

        >>> Dict('shed/tools', create=True)['saw'] = bytes(1000)
        >>> 1000 < Namespace('shed').size('tools') < 1300
        True
        """
        from . import _upkeep

        _upkeep.check_name(name)
        if not name:
            raise ObjectNotFoundError(f"measure object {self._path}/: an object's name is not empty")
        size: int = self._sizes(name)[name]
        return size

    def sizes(self) -> dict[str, int]:
        """The :meth:`size` of each object, by name."""
        return {name: size for name, size in sorted(self._sizes("").items()) if not self._hides(name)}

    def _sizes(self, name: str) -> dict[str, int]:
        from . import _upkeep

        sizes: dict[str, int] = self._ask(lambda space: _upkeep.ask("SpaceSizes", {"space": space, "name": name}))
        return sizes

    def statistics(self) -> Statistics:
        """How large the namespace is, and who reads it.

        >>> Namespace('shed', create=True).statistics().entries > 0
        True
        """
        stats = self._stats()
        from .report import Statistics

        return Statistics(**{**stats, "oldest_reader": stats["oldest_reader"] or None})

    def compactify(self) -> Compacted:
        """What :func:`compactify` does, for this namespace."""
        from . import _upkeep

        return _upkeep.compact(self._site_uuid, [self._path])

    def backup(self, path: str | os.PathLike[str], /, *, fresh: bool = False) -> Report:
        """Write a copy of the namespace to the directory ``path``, as a site that has this namespace only.

        What :func:`backup` says holds for it. A memory namespace is a durable one in the copy.
        """
        from . import _upkeep

        return _upkeep.back_up(self._site_uuid, [self._path], path, fresh)

    def quarantine(self) -> list[Quarantined]:
        """What repairs took out of the namespace, oldest first: see :func:`check`.

        It is kept in files ``quarantine-<time>.jsonl`` beside the namespace's data, which may be removed.

        >>> Namespace('shed', create=True).quarantine()
        []
        """
        from . import _upkeep

        return _upkeep.quarantined(self._site_uuid, self._path)

    # ---- Python's own ----

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Namespace):
            return NotImplemented
        return (self._site_uuid, self._path) == (other._site_uuid, other._path)

    def __hash__(self) -> int:
        return hash((self._site_uuid, self._path))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._site_uuid, self._path, self._include_hidden, self.storage_path)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}>"


class Directory(Namespace):
    """A :class:`Namespace`, under the name that goes with :func:`directories`."""

    __slots__ = ()

    def objects(self, *, include_hidden: bool | None = None) -> Iterator[Any]:
        """The objects, each of its stored class: what iterating gives. Hidden ones as of :meth:`Namespace.names`."""
        for about in self._objects(include_hidden):
            yield self._instance_of(about, _classes.find(about["class"]))


def directories(
    path: str | None = None, /, *, site_uuid: str | None = None, include_hidden: bool = False
) -> Iterator[Directory]:
    """The namespaces below ``path``, sorted; not that of ``path`` itself.

    :param path: None is the whole site
    :param include_hidden: also namespaces with a segment that begins and ends with two underscores;
        passed on to each Directory

    A namespace is opened when it is looked at, and closed again some namespaces later if nothing else uses it, so that
    a process can walk over more of them than it may have open at a time.

    :raises ValueError: the path cannot be a namespace's

    >>> for place in 'garden/east', 'garden/west/pond':
    ...     tree = Dict(place + '/tree', create=True)
    >>> [directory.path for directory in directories('garden')]
    ['garden/east', 'garden/west/pond']
    """
    uuid = site.resolve(site_uuid)
    prefix = ""
    if path is not None and path.strip("/"):
        # Any name will do: the core's spelling of the namespace is wanted.
        prefix = _open.parse_path(f"{path}/_")[0] + "/"
    return _below(uuid, prefix, include_hidden)


def _below(uuid: str, prefix: str, include_hidden: bool) -> Iterator[Directory]:
    for found in json.loads(_open.with_site(uuid, lambda: _native.call(_native.ctl.SiteNamespaces, uuid))):
        below = found.startswith(prefix)
        if below and (include_hidden or not any(map(hidden, found[len(prefix) :].split("/")))):
            directory = Directory.__new__(Directory)  # __init__ would open the namespace
            directory._site_uuid, directory._path = uuid, found
            directory._include_hidden, directory._passing = include_hidden, True
            yield directory


def hidden(name: str) -> bool:
    """Whether listings leave the name out."""
    return len(name) >= 4 and name.startswith("__") and name.endswith("__")


def _rebuild(cls: type[Namespace], site_uuid: str, path: str, include_hidden: bool, site_path: str) -> Namespace:
    site.learn(site_uuid, site_path)
    return cls(path, site_uuid=site_uuid, include_hidden=include_hidden)
