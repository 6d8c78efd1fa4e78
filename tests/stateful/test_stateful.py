"""Every collection beside its Python twin: transactions, savepoints, snapshots, threads, processes, deaths and forks.

The seed of each run is printed; ``pytest --hypothesis-seed=N`` runs it again. What fails is shown as the
shortest program that does, with a decorator that repeats it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from actors import InProcess, InThread
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from machine import machine
from twins import KINDS

# Views of files are kept beyond their snapshots on purpose, which is told of when they go.
pytestmark = pytest.mark.filterwarnings("ignore:a view of stateful:ResourceWarning")

QUICK = settings(
    max_examples=15,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LONG = settings(QUICK, max_examples=400, stateful_step_count=80)


@pytest.fixture
def others() -> Iterator[tuple[InThread, InProcess]]:
    process, thread = InProcess(), InThread()
    yield thread, process
    thread.stop()
    process.stop()


def run(
    name: str, how: settings, others: tuple[InThread, InProcess], site: str, request: pytest.FixtureRequest
) -> None:
    given = request.config.getoption("--hypothesis-seed")
    number = random.randrange(1 << 32) if given in (None, "random") else int(given)
    print(f"seed {number}")
    run_state_machine_as_test(seed(number)(machine(name, *others, site)), settings=how)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.timeout(600)  # to tell of a failure in short takes longer than to find it
def test_it_is_as_its_twin(
    name: str, others: tuple[InThread, InProcess], site: str, request: pytest.FixtureRequest
) -> None:
    run(name, QUICK, others, site, request)


@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.timeout(3600)
def test_it_is_as_its_twin_for_long(
    name: str, others: tuple[InThread, InProcess], site: str, request: pytest.FixtureRequest
) -> None:
    run(name, LONG, others, site, request)
