"""What every persistent object has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from . import _classes, _native, _open, site
from .errors import ObjectNotFoundError, ParkitError

__all__ = ["Object"]

# The Kind of files, whose extra is what their content is.
_FILE = 4

_HOOKS = frozenset({"encode_attr_key", "decode_attr_key", "encode_attr_value", "decode_attr_value"})


class Object:
    """A persistent object: shared attributes, metadata and a version, under a name in a namespace.

    :param path: ``'some/name/space/name'``; a name alone is in the namespace ``default``; None makes
        an anonymous object there, and ``'memory'`` one in the namespace ``memory``
    :param metadata: what is stored with an object that is created; anything JSON can write
    :param site_uuid: the site; None is the default site of this thread
    :param create: create the object if there is none
    :param bind: use an object that is there; ``create=True, bind=False`` insists on a new one
    :param versioned: whether changes of an object that is created are counted in :attr:`version`
    :param on_init: called with True if the object was created, False if it was bound, in the
        transaction that does so; what it raises undoes everything
    :raises ObjectNotFoundError: there is no such object, and ``create`` is not set; if not even its
        namespace exists, a subclass that is also StoragePathError
    :raises ObjectExistsError: there is one, and ``bind`` is not set
    :raises TypeError: the object is neither of this class nor of a subclass
    :raises ValueError: the path cannot be one, or neither ``create`` nor ``bind`` is set
    :raises SiteNotSpecifiedError: no site is given and none is set

    Every attribute that the class does not define is *shared*: it is stored in the namespace, and
    every process sees it. Any value that can be pickled will do. Names that end in ``_binary`` are
    for bytes-like values, which are stored as they are, and inside ``with snapshot(obj):`` read in place, as a
    memoryview. Names that begin and end with two underscores
    are Python's own and stay in this process.

    >>> lamp = Object('house/lamp', create=True)
    >>> lamp.colour = 'red'
    >>> Object('house/lamp').colour
    'red'
    >>> lamp.attributes
    ['colour']
    >>> del lamp.colour
    """

    # The lane reads _handle. Where the object is found is in _parkit, a Reference.
    __slots__ = ("__dict__", "__weakref__", "_handle", "_parkit")

    _handle: int | None
    _parkit: _open.Reference

    #: What the core keeps of objects of the class: gocore/object's Kind.
    _parkit_kind: ClassVar[int] = 0
    #: Flags of the state with which they are created: gocore/object's FlagsGiven.
    _parkit_flags: ClassVar[int] = 0
    _parkit_attr_hooks: ClassVar[bool] = False

    def __init__(
        self,
        path: str | None = None,
        /,
        *,
        metadata: Mapping[str, Any] | None = None,
        site_uuid: str | None = None,
        create: bool = False,
        bind: bool = True,
        on_init: Callable[[bool], object] | None = None,
        versioned: bool = True,
    ) -> None:
        self._parkit_open(path, metadata, site_uuid, create, bind, on_init, versioned=versioned)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._parkit_attr_hooks = replaces(cls, Object, _HOOKS)
        if not cls.__dict__.get("_parkit_internal", False):
            _classes.define(cls)

    def _parkit_open(
        self,
        path: str | None,
        metadata: Mapping[str, Any] | None,
        site_uuid: str | None,
        create: bool,
        bind: bool,
        on_init: Callable[[bool], object] | None,
        extra: str = "",
        limit: int = 0,
        cache: tuple[int, int, int] | None = None,
        flags: int = 0,
        attempts: int | None = None,
        versioned: bool = True,
    ) -> _open.Opened:
        """Create or bind, for __init__ of this class and of those that have options of their own."""
        namespace, name = _open.parse_path(path)

        def take(opened: _open.Opened) -> None:
            _set(self, "_handle", opened.handle)
            _set(self, "_parkit", opened.reference)

        def take_and_call(opened: _open.Opened) -> None:
            assert on_init is not None
            take(opened)
            on_init(opened.created)

        opened = _open.open_object(
            type(self),
            site.resolve(site_uuid),
            namespace,
            name,
            create=create,
            bind=bind,
            metadata=_as_json(metadata),
            extra=extra,
            limit=limit,
            cache=cache,
            flags=flags,
            attempts=attempts,
            versioned=versioned,
            on_opened=None if on_init is None else take_and_call,
        )
        take(opened)
        return opened

    # ---- What it is ----

    @property
    def path(self) -> str:
        """The namespace and the name, joined by a slash."""
        return self._parkit.path

    @property
    def name(self) -> str:
        """The name in the namespace; of an anonymous object ``__<uuid>__``."""
        return self._parkit.name

    @property
    def namespace(self) -> str:
        """The path of the namespace."""
        return self._parkit.namespace

    @property
    def uuid(self) -> str:
        """The object's own number, which no other object ever has."""
        return self._parkit.uuid

    @property
    def site_uuid(self) -> str:
        """The uuid of the site."""
        return self._parkit.site_uuid

    @property
    def storage_path(self) -> str:
        """The path of the site's directory."""
        return site.path_of(self._parkit.site_uuid)

    @property
    def exists(self) -> bool:
        """Whether the object is still there: False once it was dropped, by whomever."""
        try:
            result: bool = _native.lane.exists(self)
        except ObjectNotFoundError:  # not even to be opened
            return False
        return result

    @property
    def version(self) -> int:
        """How many commits changed the object since it was created. Inside a transaction, as if it had not begun."""
        result: int = _native.lane.version(self)
        return result

    @property
    def versioned(self) -> bool:
        """Whether changes are counted in :attr:`version`."""
        result: bool = self._parkit_about()["versioned"]
        return result

    @property
    def descriptor(self) -> dict[str, Any]:
        """What is stored about the object: databases, uuid, versioned, created, type and metadata.

        ``created`` is text, in UTC; ``type`` is the name of the stored class. ``databases`` is
        always empty: in the original it named the LMDB databases of the object.
        """
        return as_descriptor(self._parkit_about())

    @property
    def metadata(self) -> dict[str, Any]:
        """A dictionary of the user's own that is stored with the object.

        It is a copy: assign a changed one to store it.

        :raises TypeError: JSON cannot write it

        >>> prices = Object('shop/prices', create=True, metadata={'currency': 'EUR'})
        >>> prices.metadata = prices.metadata | {'year': 2026}
        >>> prices.metadata
        {'currency': 'EUR', 'year': 2026}
        """
        return metadata_of(self._parkit_about())

    @metadata.setter
    def metadata(self, value: Mapping[str, Any]) -> None:
        text = _as_json(value)
        with _open.writing(_open.space_of(self)):
            _open.control(self, "ObjectSetMetadata", lambda handle: json.dumps({"handle": handle, "metadata": text}))

    @property
    def debug(self) -> dict[str, Any]:
        """Where and how the object is stored, for a look at it; what is in it may change."""
        from uuid import UUID

        from .namespace import Namespace

        place = self._parkit
        return {
            "encoded_name": place.name.encode(),
            "namespace": place.namespace,
            "uuid_bytes": UUID(place.uuid).bytes,
            "handle": self._handle,
            "channel": _native.lane.channel(self),
            "env_stat": Namespace(place.namespace, site_uuid=place.site_uuid)._stats(),
        }

    def drop(self) -> None:
        """Remove the object and all it holds.

        Whoever uses it afterwards, here or in another process, gets ObjectNotFoundError.

        :raises ObjectNotFoundError: it was dropped already

        >>> old = Object('house/old', create=True)
        >>> old.drop()
        >>> old.exists
        False
        """
        with _open.writing(_open.space_of(self)):
            _open.control(self, "ObjectDrop")

    def _parkit_about(self) -> dict[str, Any]:
        about: dict[str, Any] = json.loads(_open.control(self, "ObjectDescribe"))
        return about

    # ---- Python's own ----

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Object):
            return NotImplemented
        return self._parkit.uuid == other._parkit.uuid

    def __hash__(self) -> int:
        return hash(self._parkit.uuid)

    def __reduce__(self) -> tuple[Any, ...]:
        # A reference. The site's path is a hint for a process that has not opened the site.
        return _open.rebuild, (type(self), *self._parkit, site.hint_of(self._parkit.site_uuid))

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return self.__reduce__()

    def __setstate__(self, state: Any) -> None:
        # Of pickles of the original parkit only: ours have no state.
        _open.restore(self, state)

    def __repr__(self) -> str:
        reference = _slot(self, "_parkit")
        where = "not open" if reference is None else repr(reference.path)
        return f"<{type(self).__name__} {where}>"

    def _repr_html_(self) -> str:
        from . import _html

        return _html.of_object(self)

    def __dir__(self) -> list[str]:
        try:
            shared = self.attributes
        except ParkitError:
            shared = []
        return sorted({*super().__dir__(), *shared})

    # ---- Shared attributes ----

    @property
    def attributes(self) -> list[str]:
        """The names of the shared attributes, sorted."""
        names: list[str] = _native.lane.attr_list(self)
        if self._parkit_attr_hooks:
            names = [_decode_attr_key(self, name) for name in names]
        return names

    def __getattr__(self, name: str) -> Any:
        # Only for what is not found otherwise. _handle and _parkit come here before __init__ has run.
        if (name[:2] == "__" and name[-2:] == "__") or name in ("_handle", "_parkit"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        stored = _encode_attr_key(self, name) if self._parkit_attr_hooks else name
        if name[-7:] == "_binary":
            return _binary(self, stored)
        value = _native.lane.attr_get(self, stored)
        return _decode_attr_value(self, value) if self._parkit_attr_hooks else value

    def __setattr__(self, name: str, value: Any) -> None:
        if _is_local(type(self), name):
            if callable(getattr(type(self), name, None)) and name[:2] != "__":
                raise AttributeError(f"{name!r} is a method of {type(self).__name__}: an attribute needs another name")
            _set(self, name, value)
        elif self._parkit_attr_hooks:
            _native.lane.attr_set(self, _encode_attr_key(self, name), _encode_attr_value(self, name, value))
        elif name[-7:] == "_binary":
            _native.lane.attr_set(self, name, as_bytes(value, f"attribute {name}"))
        elif "\0" in name:
            raise ValueError(f"an attribute's name cannot hold NUL: {name!r}")
        else:
            _native.lane.attr_set(self, name, value)

    def __delattr__(self, name: str) -> None:
        if _is_local(type(self), name):
            object.__delattr__(self, name)
        elif self._parkit_attr_hooks:
            _native.lane.attr_del(self, _encode_attr_key(self, name))
        else:
            _native.lane.attr_del(self, name)

    # The hooks. A subclass may replace each by a function or by None, which leaves bytes as they are.
    # While none is replaced, none is called.

    if TYPE_CHECKING:
        # A subclass may put a method, a static one or None in the place of each.
        encode_attr_key: Any
        decode_attr_key: Any
        encode_attr_value: Any
        decode_attr_value: Any
    else:

        @staticmethod
        def encode_attr_key(name: str, /) -> bytes:
            """The bytes under which an attribute is stored, for subclasses to replace."""
            return name.encode()

        @staticmethod
        def decode_attr_key(data: bytes, /) -> str:
            """The name of an attribute from what :meth:`encode_attr_key` made of it."""
            return data.decode()

        @staticmethod
        def encode_attr_value(value: Any, /) -> bytes:
            """The bytes that are stored of an attribute's value, for subclasses to replace: a pickle."""
            return encode_pickle(value)

        @staticmethod
        def decode_attr_value(data: bytes, /) -> Any:
            """An attribute's value from what :meth:`encode_attr_value` made of it."""
            return decode_pickle(data)


def replaces(cls: type[Object], plain: type[Object], hooks: Iterable[str]) -> bool:
    """Whether a class has another one of the hooks than ``plain``, be it from a base that is not persistent."""
    return any(getattr(cls, hook, None) is not getattr(plain, hook, None) for hook in hooks)


def encode_pickle(value: Any) -> bytes:
    """What the hooks that encode values make of one unless they are replaced."""
    import pickle

    from . import _codec

    try:
        return pickle.dumps(value, 5)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError):
        return _codec.slow_value(value)


def encode_key_pickle(key: Any) -> bytes:
    """What the hook that encodes keys makes of one unless it is replaced: the same for the same parts."""
    import io
    import pickle

    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, 5)
    pickler.fast = True  # whether two parts are one object must not show
    pickler.dump(key)
    return buffer.getvalue()


def decode_pickle(data: Any) -> Any:
    """What the hooks that decode values do unless they are replaced."""
    import pickle

    return pickle.loads(data)


def as_descriptor(about: Mapping[str, Any]) -> dict[str, Any]:
    """What the core says about an object, as the original wrote it."""
    from datetime import datetime, timezone

    nanoseconds: int = about["created"]
    created = datetime.fromtimestamp(nanoseconds // 10**9, timezone.utc).replace(
        microsecond=nanoseconds // 1000 % 10**6, tzinfo=None
    )
    return {
        "databases": [],
        "uuid": about["uuid"],
        "versioned": about["versioned"],
        "created": created.isoformat(" ", "microseconds"),
        "type": _classes.dotted(about["class"]),
        "metadata": metadata_of(about),
    }


def metadata_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """The user's metadata in what the core says about an object, and of a file what its content is."""
    metadata: dict[str, Any] = json.loads(about["metadata"]) if about["metadata"] else {}
    if about["kind"] == _FILE and about["extra"]:
        metadata.update(json.loads(about["extra"]))
    return metadata


def _as_json(metadata: Mapping[str, Any] | None) -> str:
    if metadata is None:
        return ""
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata is a mapping that JSON can write, not {type(metadata).__name__}")
    try:
        return json.dumps(dict(metadata))
    except (TypeError, ValueError) as error:
        raise TypeError(f"metadata is a mapping that JSON can write: {error}") from error


_set = object.__setattr__


def _slot(obj: Object, name: str) -> Any:
    try:
        return object.__getattribute__(obj, name)
    except AttributeError:
        return None


def _is_local(cls: type[Object], name: str) -> bool:
    """Whether an attribute is the class's own, so that it stays in this process."""
    if name[:2] == "__" and name[-2:] == "__":
        return True
    # hasattr also finds what the metaclass has, and instances do not.
    return hasattr(cls, name) and any(name in base.__dict__ for base in cls.__mro__)


def _binary(obj: Object, name: str) -> Any:
    """An attribute of bytes: inside a scope a memoryview, in a snapshot of what is stored, else of a copy."""
    view = _native.lane.attr_view(obj, name)
    if view is not None:
        return memoryview(view)
    value = _native.lane.attr_get(obj, name)
    if type(value) is bytes and _native.lane.scope(_open.space_of(obj)):
        return memoryview(value)
    return value


def as_bytes(value: Any, what: str) -> bytes:
    try:
        with memoryview(value) as view:
            return view.tobytes()
    except TypeError:
        raise TypeError(f"{what} takes a bytes-like object, not {type(value).__name__}") from None


# The lane's names of attributes are text without NUL: what a hook made of one is taken byte by byte.


def _encode_attr_key(obj: Object, name: str) -> str:
    encode: Any = obj.encode_attr_key
    if encode is None or type(obj).encode_attr_key is Object.encode_attr_key:
        return name
    return as_bytes(encode(name), "encode_attr_key").decode("latin-1").replace("\0", "\u0100")


def _decode_attr_key(obj: Object, stored: str) -> str:
    decode: Any = obj.decode_attr_key
    if decode is None or type(obj).encode_attr_key is Object.encode_attr_key:
        return stored
    name: str = decode(stored.replace("\u0100", "\0").encode("latin-1"))
    return name


def _encode_attr_value(obj: Object, name: str, value: Any) -> bytes:
    encode: Any = None if name[-7:] == "_binary" else obj.encode_attr_value
    return as_bytes(value if encode is None else encode(value), f"attribute {name}")


def _decode_attr_value(obj: Object, data: Any) -> Any:
    decode: Any = obj.decode_attr_value
    return data if decode is None else decode(data)


_classes.root = Object
_classes.define(Object)
_open.configure(Object)
