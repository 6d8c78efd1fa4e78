"""Who may wait for whom: no history of joining and leaving lets flights wait in a circle, over several processes."""

from __future__ import annotations

import os
import random
import threading
from typing import Any

from parkit._flights import Flight, _Flights


def place(n: int) -> tuple[str, bytes]:
    return "dict", b"%03d" % n


class Process:
    """A process of the model: its flights, and chains of computations, each a stack of flights that it leads."""

    def __init__(self) -> None:
        self.flights = _Flights()
        self.chains: list[Chain] = []

    def chain(self) -> Chain:
        self.chains.append(Chain(self))
        return self.chains[-1]


class Chain:
    def __init__(self, process: Process) -> None:
        self.process = process
        self.led: list[Flight] = []
        #: What it waits for: a flight of its process, or the claim on a place.
        self.waits: Flight | tuple[str, bytes] | None = None
        self.mine: Flight | None = None


def step(rng: random.Random, chain: Chain, claims: dict[Any, Chain]) -> str:
    """Have a chain that does not wait do something: ask for a place, or end what it computes."""
    flights = chain.process.flights
    if chain.led and rng.random() < 0.4:
        done = chain.led.pop()
        if claims.get(done.place) is chain:
            del claims[done.place]
        flights.leave(done)
        return "ended"
    mine = Flight(place(rng.randrange(8)))
    mine.thread = id(chain)
    flight = flights.join(mine, chain.led[-1] if chain.led else None, blocks=True)
    if flight is None:
        flights.leave(mine)
        return "alone"
    chain.mine = mine
    if flight is not mine:
        chain.waits = flight
        return "waits"
    return claim(chain, claims)


def claim(chain: Chain, claims: dict[Any, Chain]) -> str:
    mine, flights = chain.mine, chain.process.flights
    assert mine is not None
    flights.come_back(mine)
    chain.waits = None
    if mine.place not in claims:
        claims[mine.place] = chain
        chain.led.append(mine)
        return "leads"
    if not flights.go_abroad(mine):
        chain.led.append(mine)  # it computes without a claim
        return "alone abroad"
    chain.waits = mine.place
    return "waits abroad"


def wake(chain: Chain, claims: dict[Any, Chain]) -> None:
    """End a wait whose reason has gone."""
    if isinstance(chain.waits, Flight):
        if chain.waits.landed.done():
            assert chain.mine is not None
            chain.process.flights.leave(chain.mine)
            chain.waits = None
    elif chain.waits is not None and chain.waits not in claims:
        claim(chain, claims)


def described(processes: list[Process]) -> list[Any]:
    return [
        [([f.place[1] for f in chain.led], getattr(chain.waits, "place", chain.waits)) for chain in process.chains]
        for process in processes
    ]


def wake_all(chains: list[Chain], claims: dict[Any, Chain]) -> None:
    """One that is woken may wake others."""
    before = None
    while before != (before := [chain.waits for chain in chains]):
        for chain in chains:
            wake(chain, claims)


def test_somebody_can_always_go_on() -> None:
    seed = int(os.environ.get("PARKIT_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"seed {seed}")
    rng = random.Random(seed)
    seen = dict.fromkeys(["ended", "alone", "waits", "leads", "waits abroad", "alone abroad"], 0)
    for _ in range(150):
        processes = [Process() for _ in range(rng.randint(1, 3))]
        chains = [process.chain() for process in processes for _ in range(rng.randint(1, 4))]
        claims: dict[Any, Chain] = {}
        for _ in range(200):
            wake_all(chains, claims)
            ready = [chain for chain in chains if chain.waits is None]
            assert ready, f"seed {seed}: all wait: {[chain.waits for chain in chains]}"
            seen[step(rng, rng.choice(ready), claims)] += 1
        # Whoever waits ends when the others only end what they have begun.
        wake_all(chains, claims)
        while any(chain.led or chain.waits is not None for chain in chains):
            ready = [chain for chain in chains if chain.waits is None and chain.led]
            assert ready, f"seed {seed}: they wait in a circle: {described(processes)}"
            for chain in ready:
                done = chain.led.pop()
                if claims.get(done.place) is chain:
                    del claims[done.place]
                chain.process.flights.leave(done)
            wake_all(chains, claims)
    assert all(seen.values()), seen


def test_one_leads_and_the_others_wait() -> None:
    flights = _Flights()
    first, second, third = (Flight(place(1)) for _ in range(3))
    second.thread = third.thread = -1
    assert flights.join(first, None, blocks=True) is first
    assert flights.join(second, None, blocks=True) is first
    flights.leave(second)
    assert not first.landed.done()
    flights.leave(first)
    assert first.landed.done()
    assert flights.join(third, None, blocks=True) is third


def test_a_thread_does_not_wait_for_itself() -> None:
    flights = _Flights()
    first, second = Flight(place(1)), Flight(place(1))
    assert first.thread == second.thread == threading.get_ident()
    assert flights.join(first, None, blocks=True) is first
    assert flights.join(second, None, blocks=True) is None
    assert flights.join(second, None, blocks=False) is first
