"""A conversion under way: :func:`parkit.convert.convert_site`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from . import _classes, _native, _open, _original, site
from ._convert_objects import Filling, LeftOut, Plan, plan
from ._original_pickle import PLACES
from .convert import Converted, Report
from .errors import ConversionError, CorruptError, InvalidPathError, NotFoundError, StoragePathError
from .namespace import hidden as is_hidden

#: Namespaces in which the original kept what is about its processes: tasks, their queue, schedules.
_PROCESSES = ("__task__", "__sched__")

# How many objects are created at once.
_BATCH = 512

# How many bytes go into one transaction, about.
_GROUP = 8 << 20

Progress = Callable[[int, int, str], object]


def convert(
    source: str,
    target: str,
    hidden: bool,
    classes: Mapping[str, str | type[Any]],
    strict: bool,
    progress: Progress | None,
) -> Report:
    """Convert the site at ``source``; ``target`` is not there before, and after an error."""
    places = dict(PLACES)
    for dotted, cls in classes.items():
        places[dotted] = cls if isinstance(cls, str) else _classes.name_of(cls)
    site_uuid = _original.uuid_of(source)
    unfinished = f"{target}.{os.urandom(4).hex()}.unfinished"
    report = Report(target, site_uuid)
    try:
        if site.open_site(unfinished, create=True, uuid=site_uuid) != site_uuid:
            raise StoragePathError(f"{unfinished} was made by somebody else; convert again")
        try:
            # What references say of the site's place is where it will be.
            site.moved(site_uuid, target)
            _Conversion(source, site_uuid, report, hidden, places, strict, progress).run()
        finally:
            _open.close_site(site_uuid)
        os.rename(unfinished, target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _flush(os.path.dirname(target))
    return report


class _Created(NamedTuple):
    name: str
    uuid: bytes
    plan: Plan


class _Group:
    """A transaction on a namespace for many small objects, or for a part of a large one: a commit costs a flush."""

    def __init__(self, space: int) -> None:
        self._space = space
        self._bytes = 0
        self._scope: _open.writing | None = None

    def __enter__(self) -> _Group:
        self._scope = _open.writing(self._space)
        self._scope.__enter__()
        return self

    def wrote(self, count: int) -> None:
        """Note how much was written; commit if that is enough."""
        self._bytes += count
        if self._bytes >= _GROUP and self._scope is not None:
            self._bytes = 0
            scope, self._scope = self._scope, None
            scope.__exit__(None, None, None)
            self.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self._scope is not None:
            self._scope.__exit__(*error)


class _Conversion:
    """First all objects are made, so that references find them, then they are filled."""

    def __init__(
        self,
        source: str,
        site_uuid: str,
        report: Report,
        hidden: bool,
        classes: Mapping[str, str],
        strict: bool,
        progress: Progress | None,
    ) -> None:
        self._source, self._site, self._report = source, site_uuid, report
        self._hidden, self._classes, self._strict, self._progress = hidden, classes, strict, progress
        self._done = self._total = 0

    def run(self) -> None:
        opened: list[tuple[str, _original.OriginalNamespace]] = []
        try:
            for path, directory in _original.namespaces_of(self._source):
                try:
                    opened.append((path, _original.OriginalNamespace(directory)))
                except CorruptError as error:
                    self._damaged(path, str(error))
            created = [(path, old, self._create(path, old)) for path, old in opened]
            self._total = sum(len(made) for _, _, made in created)
            for path, old, made in created:
                if made:
                    with _Group(_open.open_space(self._site, path)[0]) as group:
                        for item in made:
                            self._fill(path, old, item, group)
                for damage in old.damage:
                    self._damaged(path, damage)
        finally:
            changed = [path for path, old in opened if old.close()]
        if changed:
            raise ConversionError(
                f"the old site was written to while it was converted, in {', '.join(changed)}: end the programs that "
                "use it, and convert it again"
            )
        self._report.objects.sort(key=lambda item: item.path)

    def _create(self, path: str, old: _original.OriginalNamespace) -> list[_Created]:
        """Make the objects of a namespace, empty."""
        made: list[_Created] = []
        if path.split("/")[0] in _PROCESSES:
            for name, _ in self._names(path, old):
                self._note(path, name, "left out", notes=["it is about processes of the original, which are gone"])
            return made
        try:
            space, _ = _open.open_space(self._site, path, create=True)
        except InvalidPathError as error:
            self._damaged(path, str(error))
            return made
        pending: list[_Created] = []
        for name, uuid in self._names(path, old):
            if is_hidden(name) and not self._hidden:
                self._note(path, name, "left out", notes=["hidden objects were not asked for"])
                continue
            written = ""
            try:
                raw = old.read(_original.DESCRIPTORS, uuid)
                written = _original.descriptor_of(raw)["type"]
                item = _Created(name, uuid, plan(old, name, uuid, raw, self._classes))
            except LeftOut as reason:
                self._note(path, name, "left out", notes=[str(reason)], written=written)
                continue
            except Exception as error:  # noqa: BLE001 (importing a class runs its module)
                self._note(path, name, "failed", problems=[f"{type(error).__name__}: {error}"], written=written)
                continue
            pending.append(item)
            if len(pending) == _BATCH:
                made += self._open(path, space, pending)
                pending = []
        return made + self._open(path, space, pending)

    def _names(self, path: str, old: _original.OriginalNamespace) -> Iterator[tuple[str, bytes]]:
        try:
            for name, uuid in old.entries(_original.NAMES):
                yield name.decode("utf-8", "replace"), _original.whole(uuid)
        except NotFoundError:
            return  # a namespace in which nothing was ever made
        except CorruptError as error:
            self._damaged(path, str(error))

    def _open(self, path: str, space: int, items: list[_Created]) -> list[_Created]:
        done = []
        with _open.writing(space) as scope:
            for item in items:
                request = json.dumps({"space": scope.space, **item.plan.request})
                try:
                    _native.call(_native.ctl.ObjectOpen, request)
                except (ValueError, StoragePathError) as error:
                    self._note(path, item.name, "failed", problems=[str(error)], item=item)
                    continue
                done.append(item)
        return done

    def _fill(self, path: str, old: _original.OriginalNamespace, item: _Created, group: _Group) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total, f"{path}/{item.name}")
        self._done += 1
        opened = _open.find_object(self._site, path, item.name)
        obj = _open.instance(item.plan.cls, opened.reference, opened.handle)
        filling = Filling(old, item.plan, obj, item.uuid, self._classes, group.wrote)
        before = len(old.damage)
        try:
            filling.run()
        except (CorruptError, NotFoundError, NotImplementedError, LookupError, ValueError, TypeError) as error:
            filling.problems.append(f"{type(error).__name__}: {error}")
        filling.problems += list(old.damage)[before:]
        try:
            version = old.version(item.uuid)
        except CorruptError as error:
            filling.problems.append(f"its version cannot be read: {error}")
            version = 0
        _open.control(obj, "ObjectSetVersion", lambda handle: json.dumps({"handle": handle, "version": version}))
        result = "partly" if filling.problems else "converted"
        self._note(path, item.name, result, filling.entries, filling.problems, filling.notes, item)

    def _note(
        self,
        path: str,
        name: str,
        result: str,
        entries: int = 0,
        problems: list[str] | None = None,
        notes: list[str] | None = None,
        item: _Created | None = None,
        written: str = "",
    ) -> None:
        where, kind = f"{path}/{name}", written if item is None else item.plan.written
        uuid = "" if item is None else item.plan.request["uuid"]
        self._report.objects.append(Converted(where, kind, uuid, result, entries, problems or [], notes or []))
        if self._strict and problems:
            raise ConversionError(f"{where} cannot be converted: {problems[0]}")

    def _damaged(self, path: str, damage: str) -> None:
        self._report.damage.append(f"{path}: {damage}")
        if self._strict:
            raise ConversionError(f"the namespace {path} is damaged: {damage}")


def _flush(directory: str) -> None:
    """Have the system write down that the site has its name."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
