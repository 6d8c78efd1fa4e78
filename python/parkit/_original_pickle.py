"""Pickles of the original parkit, read as if this parkit had written them.

They name the original's classes by their modules, which are others here. What else they name must be importable, as
for any pickle; and as with any pickle, reading one runs whatever it says.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

#: Where the original's classes are here. Those that are not named have nothing that would take their place.
PLACES = {
    "parkit.adapters.array.Array": "parkit.array:Array",
    "parkit.adapters.asyncable.Asyncable": "parkit.asyncable:Asyncable",
    "parkit.adapters.dict.Dict": "parkit.dict:Dict",
    "parkit.adapters.file.File": "parkit.file:File",
    "parkit.adapters.fileio.FileIO": "parkit.file:FileIO",
    "parkit.adapters.object.Object": "parkit.object:Object",
    "parkit.adapters.queue.LifoQueue": "parkit.queue:LifoQueue",
    "parkit.adapters.queue.Queue": "parkit.queue:Queue",
    "parkit.storage.entity.Entity": "parkit.object:Object",
}


class OriginalUnpickler(pickle.Unpickler):
    """Reads one pickle. References become those of the site that is open under the same uuid."""

    def __init__(self, data: bytes, classes: Mapping[str, str]) -> None:
        super().__init__(io.BytesIO(data))
        self._classes = classes

    def find_class(self, module: str, name: str) -> Any:
        place = self._classes.get(f"{module}.{name}")
        if place is not None:
            module, _, name = place.partition(":")
        elif module.startswith(("parkit.adapters.", "parkit.storage.")):
            raise pickle.UnpicklingError(f"{module}.{name} of the original parkit has no counterpart")
        return super().find_class(module, name)


class Unread:
    """A value whose pickle cannot be read here and now: it is stored, and read when somebody wants it."""

    def __init__(self, data: bytes, classes: Mapping[str, str]) -> None:
        # What is stored is short, and knows classes that get a place only later.
        self._data, self._classes = data, {old: new for old, new in classes.items() if PLACES.get(old) != new}

    def __reduce__(self) -> tuple[Any, ...]:
        return read_later, (self._data, self._classes)


def load(data: bytes, classes: Mapping[str, str]) -> Any:
    """The value of a pickle. What it names may raise anything."""
    return OriginalUnpickler(data, classes).load()


def read_later(data: bytes, classes: Mapping[str, str]) -> Any:
    """What an Unread is when somebody wants it. Sites have this name stored: it must stay."""
    return load(data, {**PLACES, **classes})


def is_pickle(data: bytes) -> bool:
    """Whether it looks like one that the original made: of protocol 2 or later, to its end."""
    return len(data) > 2 and data[0] == 0x80 and 2 <= data[1] <= 5 and data[-1:] == b"."
