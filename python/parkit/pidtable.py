"""pidtable: which processes of this machine use parkit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from . import _native
from ._system import SystemObject
from .dict import Dict
from .errors import ParkitError
from .transaction import transaction

__all__ = ["PidTable", "pidtable"]

_DAEMONS = "parkit.daemons."


class PidTable(SystemObject, Dict[int, "dict[str, Any]"]):
    """The class of :data:`pidtable`: a :class:`Dict` from process numbers to what is known of the processes.

    It is as it was at the last :meth:`get_snapshot`.

    >>> pidtable.get_snapshot() == dict(pidtable)
    True
    """

    __slots__ = ()

    _parkit_path = "memory/pidtable/__pidtable__"

    def get_snapshot(self) -> dict[int, dict[str, Any]]:
        """The processes of this user that have loaded parkit's library and live, by their numbers.

        Each is a dictionary: ``create_time`` (seconds since 1970), ``process_uid`` (of this process, whatever its
        number is used for later), and of daemons ``node_uid`` (``'worker-<uuid>'`` or ``'monitor-<uuid>'``) and
        ``cluster_uid`` (the uuid of their site), which are None for others.

        >>> os.getpid() in pidtable.get_snapshot()
        True
        """
        found = dict(_processes())
        with transaction(self):
            for pid in set(self) - set(found):
                del self[pid]
            self.update({pid: entry for pid, entry in found.items() if self.get(pid) != entry})
        return found


#: The processes that use parkit.
pidtable: PidTable = PidTable.at_first_use()


def _processes() -> Iterator[tuple[int, dict[str, Any]]]:
    """What the kernel knows: nobody has to announce or to remove itself, also not one that is killed."""
    import uuid

    library = os.path.basename(_native.LIBRARY).encode()
    booted, ticks = _boot_time(), os.sysconf("SC_CLK_TCK")
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/maps", "rb") as file:
                maps = file.read()
            if library not in maps and b"/memfd:parkit" not in maps:
                continue
            with open(f"/proc/{name}/stat", "rb") as file:
                started = int(file.read().rpartition(b")")[2].split()[19])
            with open(f"/proc/{name}/cmdline", "rb") as file:
                arguments = os.fsdecode(file.read()).split("\0")
        except OSError:  # another user's, or gone meanwhile
            continue
        process_uid = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{booted} {started} {name}"))
        node, cluster = _daemon(arguments)
        yield (
            int(name),
            {
                "create_time": booted + started / ticks,
                "process_uid": process_uid,
                "node_uid": node and f"{node}-{process_uid}",
                "cluster_uid": cluster,
            },
        )


def _boot_time() -> int:
    with open("/proc/stat", "rb") as file:
        for line in file:
            if line.startswith(b"btime "):
                return int(line.split()[1])
    return 0


def _daemon(arguments: list[str]) -> tuple[str | None, str | None]:
    """What kind of daemon a command line is of, and of which site."""
    from itertools import pairwise

    from .site import get_site_uuid

    for module, path in pairwise(arguments):
        if module.startswith(_DAEMONS):
            try:
                return module.removeprefix(_DAEMONS), get_site_uuid(path)
            except ParkitError:  # the site was removed
                return module.removeprefix(_DAEMONS), None
    return None, None
