"""How objects and namespaces come to be open in this process, and again in a forked one.

The library knows spaces (open namespaces) and handles (open objects) by numbers that are good for
one process. What Python keeps for good is where a thing is: a :class:`Reference`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from . import _classes, _native, errors, site
from ._scope import Asked, Scope
from .errors import (
    InvalidPathError,
    ObjectNotFoundError,
    ObjectTypeError,
    SiteNotFoundError,
    StaleHandleError,
    StorageFailedError,
)

if TYPE_CHECKING:
    from .object import Object


T = TypeVar("T")


class Reference(NamedTuple):
    """Which object it is, wherever one stands. The uuid tells it from one that took its name later."""

    site_uuid: str
    namespace: str
    name: str
    uuid: str

    @property
    def path(self) -> str:
        return f"{self.namespace}/{self.name}"


class Opened(NamedTuple):
    """An object as the library answers for it."""

    reference: Reference
    handle: int
    created: bool
    about: dict[str, Any]


# Space numbers by site and namespace as they were asked for, with the namespace's one spelling.
_spaces: dict[tuple[str, str], tuple[int, str]] = {}


# Namespaces that are open only because something passed by, the last one at the end, and how many of them stay open.
_passed: dict[tuple[str, str], None] = {}
_KEPT = 8


def open_space(site_uuid: str, namespace: str, *, create: bool = False, passing: bool = False) -> tuple[int, str]:
    """The number of a namespace of a known site, and the namespace's one spelling.

    With ``passing`` it is for a look at many: once others were passed by since, and nobody else has asked for it, it is
    closed. NamespaceNotFoundError where it was never made and create is not set.
    """
    found = _spaces.get((site_uuid, namespace))
    if found is not None:
        if _passed and not passing:
            _passed.pop((site_uuid, found[1]), None)
        return found
    namespace.encode()  # what cannot be UTF-8 would reach the core as something else
    request = json.dumps({"site": site_uuid, "namespace": namespace, "create": bool(create)})
    answer = json.loads(with_site(site_uuid, lambda: _native.call(_native.ctl.SpaceOpen, request)))
    found = answer["space"], answer["namespace"]
    _spaces[site_uuid, namespace] = _spaces[site_uuid, found[1]] = found
    if not passing:
        _passed.pop((site_uuid, found[1]), None)
    elif answer["fresh"] and not found[1].startswith("__"):  # the pool has those
        _passed[site_uuid, found[1]] = None
        _let_go_of_the_first()
    return found


def _let_go_of_the_first() -> None:
    """Close what was passed by first, down to as many as are kept, where nothing is under way."""
    for place in list(_passed)[:-_KEPT]:
        _passed.pop(place, None)
        for known in [known for known, found in _spaces.items() if (known[0], found[1]) == place]:
            _spaces.pop(known, None)
        request = json.dumps({"site": place[0], "namespace": place[1]})
        try:
            _native.call(_native.ctl.SpaceLetGo, request)
        except SiteNotFoundError:
            continue  # closed meanwhile, or opened by the parent before a fork: nothing is open


def number_of(site_uuid: str, namespace: str) -> int | None:
    """The number of a namespace if this process has it open."""
    found = _spaces.get((site_uuid, namespace))
    return None if found is None else found[0]


def reopen(space: int) -> int:
    """Open a namespace again whose number is no longer good: its storage failed, or its site was closed."""
    places = [place for place, found in _spaces.items() if found[0] == space]
    for place in places:
        _spaces.pop(place, None)
    if not places:
        raise StaleHandleError("use namespace: it was opened in another process, or closed; open it again")
    return open_space(*places[0])[0]


def on_space(site_uuid: str, namespace: str, call: Callable[[int], T], *, passing: bool = False) -> T:
    """Call something with the number of a namespace; once more if the namespace must be opened again."""
    space = open_space(site_uuid, namespace, passing=passing)[0]
    try:
        return call(space)
    except (StorageFailedError, StaleHandleError):
        return call(reopen(space))


def with_site(site_uuid: str, call: Callable[[], T]) -> T:
    """Call what needs a site that is open; opens one that only this process knows, not yet the library."""
    try:
        return call()
    except SiteNotFoundError:
        # Opened by the parent before a fork, say.
        if site.open_site(site.path_of(site_uuid)) != site_uuid:
            raise
        return call()


def parse_path(path: str | None) -> tuple[str, str]:
    """The namespace and the name that a path means; no name for an anonymous object."""
    if path is None:
        path = ""
    elif not isinstance(path, str):
        raise TypeError(f"the path of an object is a str, not {type(path).__name__}")
    elif not path.strip("/"):
        raise InvalidPathError(f"{path!r} is no path of an object: name one; None is for an anonymous object")
    path.encode()
    namespace, name = json.loads(_native.call(_native.ctl.PathParse, json.dumps(path)))
    return namespace, name


class writing(Scope):
    """A transaction on a space for parkit's own use: what it waits for, Ctrl-C ends."""

    __slots__ = ("space", "timeout")

    def __init__(self, space: int, timeout: float | None = None) -> None:
        #: Another one than was given, if the namespace had to be opened again.
        self.space = space
        #: For how many seconds to wait for the turn; None is the default.
        self.timeout = timeout

    def _parkit_scope(self) -> Asked:
        self._generation = _native.generation
        return self.space, 1, self.timeout

    def _parkit_reopen(self, space: int) -> None:
        self.space = reopen(space)


def open_object(
    cls: type[Object],
    site_uuid: str,
    namespace: str,
    name: str,
    *,
    create: bool,
    bind: bool,
    metadata: str = "",
    extra: str = "",
    limit: int = 0,
    cache: tuple[int, int, int] | None = None,
    flags: int = 0,
    attempts: int | None = None,
    versioned: bool = True,
    on_opened: Callable[[Opened], object] | None = None,
) -> Opened:
    """Bind or create an object for an instance of ``cls``.

    ``on_opened`` is called in a transaction, which is undone when it raises.
    """
    if name and not (create or bind):
        raise ValueError("create=False with bind=False asks for neither; set at least one of them")
    create_only = not name or (create and not bind)
    _, namespace = open_space(site_uuid, namespace, create=create or not name)
    request = {"name": name, "create": False, "bind": True}
    if on_opened is None and not create_only:
        try:
            return on_space(site_uuid, namespace, lambda space: _opened(cls, site_uuid, namespace, space, request))
        except ObjectNotFoundError:
            if not create:
                raise
    request.update(
        create=bool(create or not name),
        bind=bool(bind),
        kind=cls._parkit_kind,
        **{"class": _classes.name_of(cls)},
        bases=_classes.base_names(cls),
        versioned=bool(versioned),
        metadata=metadata,
        extra=extra,
        limit=limit,
        cache=cache,
        flags=cls._parkit_flags | flags,
        attempts=attempts,
    )
    with writing(open_space(site_uuid, namespace)[0]) as scope:
        opened = _opened(cls, site_uuid, namespace, scope.space, request)
        if on_opened is not None:
            on_opened(opened)
    return opened


def _opened(cls: type[Object], site_uuid: str, namespace: str, space: int, request: dict[str, Any]) -> Opened:
    about = json.loads(_native.call(_native.ctl.ObjectOpen, json.dumps({"space": space, **request})))
    reference = Reference(site_uuid, namespace, about["name"], about["uuid"])
    if not about["created"] and not _classes.accepts(cls, about["class"], about["bases"]):
        raise ObjectTypeError(
            f"{reference.path} is of the class {_classes.dotted(about['class'])}: "
            f"bind it with that class or one of its bases, not with {_classes.dotted(_classes.name_of(cls))}"
        )
    return Opened(reference, about["handle"], about["created"], about)


def find_object(site_uuid: str, namespace: str, name: str, uuid: str = "") -> Opened:
    """Open an object of any class; ObjectNotFoundError where there is none.

    With the uuid, one that was renamed is found under its new name; where there is none of that uuid, it may be another
    of that name.
    """
    _, namespace = open_space(site_uuid, namespace)
    if not name:
        raise ObjectNotFoundError(f"bind object {namespace}/: an object's name is not empty; name one that exists")
    name.encode()

    def find(space: int) -> str:
        request = {"space": space, "name": name, "bind": True, "reference": uuid}
        return _native.call(_native.ctl.ObjectOpen, json.dumps(request))

    about = json.loads(on_space(site_uuid, namespace, find))
    return Opened(Reference(site_uuid, namespace, about["name"], about["uuid"]), about["handle"], False, about)


def rebind(obj: Object) -> None:
    """Open an object again whose handle this copy of the library does not know, or whose namespace failed.

    Called by the lane, which then runs the operation once more.
    """
    reference = obj._parkit
    _spaces.pop((reference.site_uuid, reference.namespace), None)
    opened = find_object(*reference)
    if opened.reference.uuid != reference.uuid:
        error = ObjectNotFoundError(
            f"use object {reference.path}: it was dropped, and another one has its name now; bind that one"
        )
        error.subject = reference.path
        raise error
    if opened.reference != reference:  # it was renamed
        object.__setattr__(obj, "_parkit", opened.reference)
    set_handle(obj, opened.handle)


def control(obj: Object, function: str, request: Callable[[int], Any] = int) -> Any:
    """Call the control function of that name for an object; opens the object again if need be.

    ``request`` makes the function's argument of the handle.
    """
    try:
        return _native.call(getattr(_native.ctl, function), request(obj._handle or 0))
    except (StaleHandleError, StorageFailedError):
        rebind(obj)
        return _native.call(getattr(_native.ctl, function), request(obj._handle or 0))


def space_of(obj: Object) -> int:
    """The number of the namespace that an object is in."""
    place = obj._parkit[:2]
    found = _spaces.get(place)
    return open_space(*place)[0] if found is None else found[0]


def set_handle(obj: Object, handle: int) -> None:
    """Set the slot that the lane reads, past the class's own __setattr__."""
    object.__setattr__(obj, "_handle", handle)


def rebuild(cls: type[Any], site_uuid: str, namespace: str, name: str, uuid: str, site_path: str) -> Any:
    """What unpickling calls. The object is opened at its first use: reading a reference never fails."""
    site.learn(site_uuid, site_path)
    return instance(cls, Reference(site_uuid, namespace, name, uuid), None)


def restore(obj: Object, state: Any) -> None:
    """Make what was just unpickled the object that a reference of the original parkit means.

    Such a reference has no uuid. Where there is nothing of that name, it gets one that no object has: as of an object
    that was dropped.
    """
    if isinstance(state, tuple) and len(state) == 3 and isinstance(state[0], tuple):
        state = state[0]  # a File's, with how it was opened
    if not (isinstance(state, tuple) and len(state) == 3 and all(isinstance(part, str) for part in state)):
        raise TypeError(f"this is not how a reference to a {type(obj).__name__} was pickled")
    site_uuid, namespace, name = state
    try:
        uuid = find_object(site_uuid, namespace, name).reference.uuid
    except (ObjectNotFoundError, SiteNotFoundError):
        uuid = f"nothing:{site_uuid}/{namespace}/{name}"
    object.__setattr__(obj, "_handle", None)
    object.__setattr__(obj, "_parkit", Reference(site_uuid, namespace, name, uuid))


def instance(cls: type[Any], reference: Reference, handle: int | None) -> Any:
    """An instance for an object that exists; __init__ is for making and binding by name."""
    obj: Any = object.__new__(cls)
    object.__setattr__(obj, "_handle", handle)
    object.__setattr__(obj, "_parkit", reference)
    return obj


def make_error(code: int, op: str, subject: str, detail: str) -> Exception:
    """The exception of an error of the core, for the lane."""
    error = errors.from_code(code, op, subject, detail)
    if isinstance(error, StaleHandleError):
        _spaces.clear()  # some namespace failed, or was closed: the next use opens it again
    return error


def configure(object_type: type[Any]) -> None:
    """Tell the lane of Python's side, now and whenever the library is loaded anew."""

    def tell(lane: Any, _: Any) -> None:
        from . import _codec, _taken  # the first imports pickle: not needed before

        lane.configure(
            object_type,
            _codec.dumps,
            _codec.loads,
            _codec.slow_key,
            _codec.slow_value,
            make_error,
            rebind,
            _native.generation,
        )
        lane.taken_tellers(_taken.put_back, _taken.why)

    _native.on_load(tell)


def close_site(site_uuid: str) -> None:
    """Close a site in this process: what was bound through it is stale, and its uuid no longer known."""
    _native.call(_native.ctl.SiteClose, site_uuid)
    site.forget(site_uuid)
    for place in [place for place in _spaces if place[0] == site_uuid]:
        _spaces.pop(place, None)


_native.in_child(_spaces.clear)
_native.in_child(_passed.clear)
