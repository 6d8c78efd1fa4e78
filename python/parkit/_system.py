"""The machine-wide site, which holds what belongs to no site of the user's."""

from __future__ import annotations

import os
from typing import Any

from . import _open, site
from .object import Object

#: Where the site is; without it a directory of the user's own in the temporary directory.
GLOBAL_SITE_PATH = "PARKIT_GLOBAL_SITE_STORAGE_PATH"


def global_site() -> str:
    """The uuid of the machine-wide site, which is made if need be: a memory site, as it is of this boot."""
    path = os.environ.get(GLOBAL_SITE_PATH)
    if not path:
        import tempfile

        path = os.path.join(tempfile.gettempdir(), f"parkit-{os.getuid()}")
    return site.open_site(path, create=True, memory=True)


class SystemObject(Object):
    """An object of the machine-wide site, which is opened, or made, when it is first used and not before."""

    __slots__ = ()

    _parkit_internal = True

    #: Where it is.
    _parkit_path: str

    @classmethod
    def at_first_use(cls) -> Any:
        """An instance that touches no disk yet."""
        self = cls.__new__(cls)
        object.__setattr__(self, "_handle", None)
        return self

    def _parkit_limit(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        # The slot is empty until the object is there, so whoever looks for the reference comes here.
        if name != "_parkit":
            return super().__getattr__(name)
        namespace, own = _open.parse_path(self._parkit_path)
        opened = _open.open_object(
            type(self), global_site(), namespace, own, create=True, bind=True, limit=self._parkit_limit()
        )
        object.__setattr__(self, "_handle", opened.handle)
        object.__setattr__(self, "_parkit", opened.reference)
        return opened.reference
