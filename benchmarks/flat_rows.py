"""Whether an operation's cost stays flat: many keys, many objects, large values. Minutes of work: ``--long``."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

from mappings import Lmdb, Mapping, Pairs, ParkitDict
from measure import Row, Section, in_turn, timed

KINDS: list[type[Mapping]] = [ParkitDict, Lmdb]


class Counts(NamedTuple):
    keys: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    objects: int = 10_000
    sizes: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
    operations: int = 10_000
    rounds: int = 7
    large_rounds: int = 3


def run(folder: Path, counts: Counts, say: Callable[[str], None]) -> list[Section]:
    return [_keys(folder, counts, say), _objects(folder, counts, say), _sizes(folder, counts, say)]


# ---- Keys ----

_KEY_WORK: list[tuple[str, str, Callable[[Mapping, Pairs], object]]] = [
    ("get", "`d[k]`", lambda mapping, pairs: mapping.get([key for key, _ in pairs])),
    ("set", "`d[k] = v`", lambda mapping, pairs: mapping.set(pairs)),
    ("transaction_set", "set, in one transaction", lambda mapping, pairs: mapping.set_in_transaction(pairs)),
]


def _keys(folder: Path, counts: Counts, say: Callable[[str], None]) -> Section:
    rows = [Row(f"{work}_{many}", f"{title}, {many:,} keys") for work, title, _ in _KEY_WORK for many in counts.keys]
    section = Section("Many keys in one dict", rows, [kind.name for kind in KINDS])
    with ExitStack() as stack:
        opened: dict[tuple[int, str], Mapping] = {}
        for many in counts.keys:
            say(f"many keys: filling {many:,}")
            for kind in _installed(section):
                mapping = stack.enter_context(closing(kind(folder / f"keys-{many}-{kind.__name__.lower()}")))
                mapping.update([(f"key-{number:07d}", number) for number in range(many)])
                opened[many, kind.name] = mapping
        chosen = random.Random(2)
        for number in range(-1, counts.rounds):
            say(f"many keys: round {number + 1} of {counts.rounds}")
            for many in counts.keys:
                pairs = [(f"key-{chosen.randrange(many):07d}", value) for value in range(counts.operations)]
                for work, _, do in _KEY_WORK:
                    for name in in_turn([name for size, name in opened if size == many], number):
                        mapping = opened[many, name]
                        seconds = timed(lambda do=do, mapping=mapping, pairs=pairs: do(mapping, pairs), len(pairs))
                        if number >= 0:
                            section.cell(f"{work}_{many}", name).samples.append(seconds)
    return section


# ---- Objects ----


def _objects(folder: Path, counts: Counts, say: Callable[[str], None]) -> Section:
    """Dicts of one key each: in a namespace of its own, and among many."""
    import parkit

    many = counts.objects
    works = [("create", "create a dict"), ("bind", "bind a dict by name"), ("get", "`d[k]`"), ("set", "`d[k] = v`")]
    rows = [
        Row(f"{work}_{objects}", f"{title}, {objects:,} objects in the namespace")
        for work, title in works
        for objects in (1, many)
    ]
    section = Section("Many objects in one namespace", rows, ["parkit"])
    uuid = parkit.import_site(folder / "site", create=True)

    def path(space: str, number: int) -> str:
        return f"memory/{space}/d{number:06d}"

    def make(space: str, number: int) -> Any:
        found: Any = parkit.Dict(path(space, number), create=True, site_uuid=uuid)
        return found

    say(f"many objects: creating {many:,}")
    few = [make("few", 0)]
    crowd = []
    for number in range(many):
        begin = time.perf_counter()
        crowd.append(make("crowd", number))
        seconds = time.perf_counter() - begin
        if number < many // 10 or number >= many - many // 10:  # the first tenth, and the last
            section.cell(f"create_{1 if number < many // 2 else many}", "parkit").samples.append(seconds)
    for d in (*few, *crowd):
        d["key"] = 0
    chosen = random.Random(3)
    for number in range(-1, counts.rounds):
        say(f"many objects: round {number + 1} of {counts.rounds}")
        for space, dicts in (("few", few), ("crowd", crowd)):
            picked = [chosen.randrange(len(dicts)) for _ in range(counts.operations)]
            some = picked[: max(1, counts.operations // 10)]
            found = {
                "bind": timed(
                    lambda space=space, some=some: [parkit.Dict(path(space, one), site_uuid=uuid) for one in some],
                    len(some),
                ),
                "get": timed(lambda dicts=dicts, picked=picked: [dicts[one]["key"] for one in picked], len(picked)),
                "set": timed(
                    lambda dicts=dicts, picked=picked: [dicts[one].__setitem__("key", one) for one in picked],
                    len(picked),
                ),
            }
            if number >= 0:
                for work, seconds in found.items():
                    section.cell(f"{work}_{len(dicts)}", "parkit").samples.append(seconds)
    section.notes.append(f"Creating: the first tenth and the last tenth of {many:,}.")
    return section


# ---- Sizes ----


def _sizes(folder: Path, counts: Counts, say: Callable[[str], None]) -> Section:
    works = [("set", "`d[k] = v`"), ("get", "`d[k]`")]
    rows = [
        Row(f"{work}_{size}", f"{title}, bytes of {_size(size)}", unit="MB/s", size=size)
        for work, title in works
        for size in counts.sizes
    ]
    section = Section("Large values", rows, [kind.name for kind in KINDS])
    with ExitStack() as stack:
        opened = {
            kind.name: stack.enter_context(closing(kind(folder / f"sizes-{kind.__name__.lower()}")))
            for kind in _installed(section)
        }
        for size in counts.sizes:
            times = max(1, min(1_000, 20_000_000 // size))
            value = random.Random(4).randbytes(min(size, 1_000_000)) * max(1, size // 1_000_000)
            pairs = [(f"key-{number}", value) for number in range(min(times, 10))]
            pairs *= max(1, times // len(pairs))
            keys = [key for key, _ in pairs]
            for number in range(-1, counts.rounds if size < 10_000_000 else counts.large_rounds):
                say(f"large values: {_size(size)}, round {number + 1}")
                for name in in_turn(list(opened), number):
                    mapping = opened[name]
                    setting = timed(lambda mapping=mapping, pairs=pairs: mapping.set(pairs), len(pairs))
                    getting = timed(lambda mapping=mapping, keys=keys: mapping.get(keys), len(keys))
                    if number >= 0:
                        section.cell(f"set_{size}", name).samples.append(setting)
                        section.cell(f"get_{size}", name).samples.append(getting)
            for mapping in opened.values():
                mapping.clear()
    return section


def _size(size: int) -> str:
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size >= one:
            return f"{size // one} {unit}"
    return f"{size} B"


def _installed(section: Section) -> list[type[Mapping]]:
    try:
        import lmdb  # noqa: F401
    except ModuleNotFoundError:
        section.missing(Lmdb.name, "lmdb is not installed")
        return [kind for kind in KINDS if kind is not Lmdb]
    return KINDS
