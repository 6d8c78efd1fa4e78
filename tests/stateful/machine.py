"""One machine for every collection: whoever does whatever to it, in whichever scopes, it is as its twin.

What is seen of a collection is one of three things: in a transaction its working copy, in a snapshot what was
committed when that began, else what is committed now. So a copy of the twin stands for each, and each scope,
death and fork has a line or two here that says which of them it replaces by which.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from actors import Actor, InProcess, InThread, in_fork, outcome
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kind import Op
from twins import KINDS

_number = count()

#: Who can do something: this thread, another one, another process.
NAMES = ("here", "thread", "process")


@dataclass
class Seat:
    """What an actor has open, by the model."""

    actor: Any
    #: The scopes: their mode, and of a savepoint the working copy as it was at its begin.
    scopes: list[tuple[str, Any]] = field(default_factory=list)
    working: Any = None
    frozen: Any = None


@dataclass
class Flight:
    """An iterator under way: whose, and what it has still to give."""

    who: str
    number: int
    left: list[Any]


def machine(name: str, thread: InThread, process: InProcess, site: str) -> type[RuleBasedStateMachine]:
    """The machine for a kind of collection, with actors that outlive its examples."""
    kind = KINDS[name]
    actors = st.sampled_from(NAMES)
    maxsizes = st.sampled_from([0, 0, 1, 4]) if kind.bounded else st.just(0)
    iterators = st.sampled_from(kind.iterators) if kind.iterators else st.nothing()

    class Machine(RuleBasedStateMachine):
        # ---- The model ----

        def seen(self, who: str) -> Any:
            """The twin of what an actor sees."""
            seat = self.seats[who]
            if seat.working is not None:
                return seat.working
            return self.committed if seat.frozen is None else seat.frozen

        def writer(self) -> str | None:
            """Whose the turn to write is."""
            return next((who for who, seat in self.seats.items() if seat.working is not None), None)

        def committed_now(self, twin: Any, commits: int = 1) -> None:
            before, after = (outcome(kind.operations, state, kind.content) for state in (self.committed, twin))
            self.committed = twin
            self.versions[0] += before != after
            self.versions[1] += commits

        def compare(self, found: tuple[str, Any], twin: Any, op: Op, who: str) -> Any:
            """What an actor says of an operation, and its twin."""
            want = outcome(kind.operations, twin, op)
            if want[0] == "raised":
                assert found[0] == "raised", f"{who}: {op} gave {found[1]!r}, and should raise {want[1][0]}"
                assert want[1][0] in found[1], f"{who}: {op} raised {found[1][0]}, and should raise {want[1][0]}"
            else:
                assert found == want, f"{who}: {op}"
            return want

        # ---- Beginning and end ----

        @initialize(maxsize=maxsizes)
        def make(self, maxsize: int) -> None:
            keywords = {"maxsize": maxsize} if kind.bounded else {}
            path = f"stateful/{name} {next(_number)}"
            process.revive()
            self.made = kind.collection(path, create=True, **keywords)
            self.path = path
            self.seats = {"here": Seat(Actor()), "thread": Seat(thread), "process": Seat(process)}
            self.committed = kind.twin(**keywords)
            self.versions = [self.made.version] * 2  # the lowest and the highest that it may be
            self.flights: list[Flight] = []
            self.deaths = self.forks = self.looks = 0
            for seat in self.seats.values():
                seat.actor.call("bind", name, path, site)

        def teardown(self) -> None:
            if not hasattr(self, "seats"):
                return
            for seat in self.seats.values():
                if seat.actor is not process or process.is_alive():
                    seat.actor.call("release")
            self.made.drop()

        # ---- Operations ----

        @rule(who=actors, op=kind.reads)
        def read(self, who: str, op: Op) -> None:
            self.compare(self.seats[who].actor.call("do", op), self.seen(who), op, who)

        @rule(who=actors, some=st.lists(kind.writes, min_size=1, max_size=3))
        def write(self, who: str, some: list[Op]) -> None:
            seat = self.seats[who]
            if self.writer() not in (None, who):
                assert seat.actor.call("is_refused")
                return
            for op in some:
                if seat.working is not None:
                    self.compare(seat.actor.call("do", op), seat.working, op, who)
                    continue
                # On its own, also in a snapshot, which does not show it.
                twin = copy.deepcopy(self.committed)
                self.compare(seat.actor.call("do", op), twin, op, who)
                self.committed_now(twin, 10**6 if op.name in kind.several else 1)

        @precondition(lambda self: self.forks < 2)
        @rule(op=kind.writes)
        def fork(self, op: Op) -> None:
            """A child of this process, in which none of its scopes exists."""
            self.forks += 1
            here = self.seats["here"].actor
            if self.writer() is not None:
                self.compare(in_fork(here, "do", kind.content), self.committed, kind.content, "fork")
                assert in_fork(here, "is_refused")
                return
            twin = copy.deepcopy(self.committed)
            self.compare(in_fork(here, "do", op), twin, op, "fork")
            self.committed_now(twin, 10**6 if op.name in kind.several else 1)

        # ---- Scopes ----

        @rule(who=actors, mode=st.sampled_from(["write", "read"]))
        def begin(self, who: str, mode: str) -> None:
            seat = self.seats[who]
            if len(seat.scopes) > 4:
                return
            if mode == "write" and self.writer() not in (None, who):
                assert seat.actor.call("is_refused")
                return
            seat.actor.call("begin", mode)
            before = None
            if mode == "write":
                before = copy.deepcopy(seat.working)
                if seat.working is None:
                    seat.working = copy.deepcopy(self.committed)
            elif seat.working is None and seat.frozen is None:
                seat.frozen, before = copy.deepcopy(self.committed), "outermost"
            seat.scopes.append((mode, before))

        @precondition(lambda self: any(seat.scopes for seat in self.seats.values()))
        @rule(who=actors, keep=st.booleans())
        def end(self, who: str, keep: bool) -> None:
            seat = self.seats[who]
            if not seat.scopes:
                return
            mode, before = seat.scopes.pop()
            seat.actor.call("end", keep)
            if mode == "read":
                if before is not None:
                    seat.frozen = None
            elif before is not None:
                seat.working = seat.working if keep else before
            else:
                if keep:
                    self.committed_now(seat.working)
                seat.working = None

        # ---- Iterators ----

        @precondition(lambda self: kind.iterators and len(self.flights) < 6)
        @rule(who=actors, op=iterators)
        def iterate(self, who: str, op: Op) -> None:
            number = next(_number)
            self.seats[who].actor.call("iterate", number, op)
            left = list(getattr(kind.operations, op.name)(self.seen(who), *op.args))
            self.flights.append(Flight(who, number, left))

        @precondition(lambda self: self.flights)
        @rule(which=st.integers(0, 5), many=st.sampled_from([1, 1, 20, 300, 10**6]))
        def advance(self, which: int, many: int) -> None:
            flight = self.flights[which % len(self.flights)]
            found = self.seats[flight.who].actor.call("advance", flight.number, many)
            assert found == flight.left[:many], flight.who
            flight.left = flight.left[many:]
            if len(found) < many:
                self.flights.remove(flight)

        # ---- Death ----

        @precondition(lambda self: self.deaths < 2)
        @rule(some=st.none() | st.lists(kind.writes, max_size=3))
        def kill(self, some: list[Op] | None) -> None:
            """The other process dies, wherever it is or in a transaction, and another one takes its place."""
            self.deaths += 1
            if some is not None:
                self.begin("process", "write")
                if self.writer() == "process":
                    self.write("process", some)
            process.kill()
            process.call("bind", name, self.path, site)
            self.seats["process"] = Seat(process)
            self.flights = [flight for flight in self.flights if flight.who != "process"]

        # ---- What always holds ----

        @invariant()
        def all_see_what_they_should(self) -> None:
            if not hasattr(self, "seats"):
                return
            # One of the others in turn: what they do themselves is compared anyway.
            self.looks += 1
            for who in ("here", NAMES[1 + self.looks % 2]):
                found = self.seats[who].actor.call("do", kind.content)
                self.compare(found, self.seen(who), kind.content, who)
            free = [seat for seat in self.seats.values() if not seat.scopes]
            if free:
                version = free[0].actor.call("version")
                assert self.versions[0] <= version <= self.versions[1]
                self.versions = [version, version]

    Machine.__name__ = Machine.__qualname__ = f"Machine of {name}"
    return Machine
