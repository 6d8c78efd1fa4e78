"""Objects in forked children: whatever a child inherits it can use, and its parent goes on unharmed.

Every script runs in a process of its own, under a watchdog: a child that hangs is killed by its
alarm, and the script fails.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Script

PRELUDE = """
import os, signal, sys, threading, traceback
import parkit

def fork(function, *args):
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            function(*args)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child

def join(*children):
    for child in children:
        assert os.waitpid(child, 0)[1] == 0, 'a child failed or hung'

parkit.set_default_site(sys.argv[1], create=True)
"""


@pytest.fixture
def forking(script: Script, tmp_path: Path) -> Script:
    def run(source: str, *args: str, timeout: float = 60) -> object:
        return script(PRELUDE + source, str(tmp_path / "site"), *args, timeout=timeout)

    return run  # type: ignore[return-value]


@pytest.mark.parametrize("namespace", ["shop", "memory/shop"])
def test_a_child_uses_every_object_it_inherited(forking: Script, namespace: str) -> None:
    forking(
        """
namespace = sys.argv[2]
prices = parkit.Dict(namespace + '/prices', create=True)
lamp = parkit.Object(namespace + '/lamp', create=True, metadata={'kind': 'lamp'})
prices['apple'] = 1.25
lamp.colour = 'red'
directory = parkit.Directory(namespace)

def child():
    assert prices['apple'] == 1.25 and len(prices) == 1 and list(prices) == ['apple']
    assert lamp.colour == 'red' and lamp.metadata == {'kind': 'lamp'} and lamp.exists
    assert list(directory.names()) == ['lamp', 'prices'], list(directory.names())
    with parkit.transaction(prices):
        prices['pear'] = [2]
    with parkit.snapshot(prices):
        assert prices['pear'] == [2]
    lamp.colour = 'blue'
    new = parkit.Dict(namespace + '/new', create=True)
    new[1] = 2

join(fork(child))
assert prices['pear'] == [2] and lamp.colour == 'blue' and parkit.Dict(namespace + '/new')[1] == 2
""",
        namespace,
    )


def test_children_of_children_work_as_well(forking: Script) -> None:
    forking(
        """
generations = parkit.Dict('memory/generations', create=True)
def generation(n):
    generations[n] = os.getpid()
    if n < 4:
        join(fork(generation, n + 1))
        generations[('back', n)] = True
join(fork(generation, 0))
assert sorted(k for k in generations if isinstance(k, int)) == [0, 1, 2, 3, 4]
assert len(set(generations[n] for n in range(5))) == 5
""",
    )


def test_a_transaction_of_the_parent_does_not_exist_in_the_child(forking: Script) -> None:
    forking(
        """
d = parkit.Dict('memory/d', create=True)
d['x'] = 'old'
ready_read, ready_write = os.pipe()
with parkit.transaction(d):
    d['x'] = 'new'
    def child():
        assert d['x'] == 'old'          # what the parent has not committed is the parent's
        os.write(ready_write, b'.')
        d['child'] = 1                  # waits for the parent's turn to end
    children = [fork(child) for _ in range(3)]
    for _ in children:
        assert os.read(ready_read, 1) == b'.'
    d['y'] = 1
join(*children)
assert dict(d) == {'x': 'new', 'y': 1, 'child': 1}, dict(d)
""",
    )


def test_leaving_the_parents_scope_in_the_child_harms_nobody(forking: Script) -> None:
    forking(
        """
d = parkit.Dict('memory/d', create=True)
with parkit.transaction(d):
    d['x'] = 1
    child = os.fork()
    if child:
        join(child)
    else:
        signal.alarm(30)
if child == 0:
    # The scope was the parent's: ending it here commits nothing and undoes nothing.
    try:
        assert 'x' not in d or d['x'] == 1
        code = 0
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)
assert d['x'] == 1
""",
    )


def test_fork_amid_threads_that_write_and_wait(forking: Script) -> None:
    forking(
        """
d = parkit.Dict('memory/d', create=True)
durable = parkit.Dict('durable/d', create=True)
stop = threading.Event()
def writes(number):
    count = 0
    while not stop.is_set():
        d[number] = count
        with parkit.transaction(d):
            d[('tx', number)] = count
        if number == 0:
            durable['count'] = count
        count += 1
def waits():
    while not stop.is_set():
        parkit.wait(d, lambda: stop.is_set() or d.get('end', False), timeout=30)
threads = [threading.Thread(target=writes, args=(n,)) for n in range(3)] + [threading.Thread(target=waits)]
for thread in threads: thread.start()
def child(number):
    d[('child', number)] = number
    durable[number] = number
    assert d[('child', number)] == number
for number in range(int(sys.argv[2])):
    join(fork(child, number))
stop.set()
d['end'] = True
for thread in threads: thread.join(30)
assert not any(thread.is_alive() for thread in threads)
assert all(d[('child', n)] == n and durable[n] == n for n in range(int(sys.argv[2])))
""",
        "40",
    )


@pytest.mark.long
def test_a_thousand_forks_of_a_busy_process(forking: Script) -> None:
    forking(
        """
d = parkit.Dict('memory/d', create=True)
stop = threading.Event()
def writes(number):
    while not stop.is_set():
        d[number] = d.get(number, 0) + 1
threads = [threading.Thread(target=writes, args=(n,)) for n in range(3)]
for thread in threads: thread.start()
def child(number):
    d[('child', number)] = number
for number in range(0, 1000, 4):
    join(*[fork(child, number + more) for more in range(4)])
stop.set()
for thread in threads: thread.join()
assert sum(isinstance(key, tuple) for key in d) == 1000
""",
        timeout=600,
    )


def test_multiprocessing_by_fork(forking: Script) -> None:
    forking(
        """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
fork_context = multiprocessing.get_context('fork')
d = parkit.Dict('memory/d', create=True)
d['start'] = 0

def one(number, shared=d):
    shared[number] = number * number
    return shared['start'], shared[number]

process = fork_context.Process(target=one, args=(100,))
process.start(); process.join(30)
assert process.exitcode == 0 and d[100] == 10000

with fork_context.Pool(3) as pool:
    assert pool.map(one, range(20), chunksize=2) == [(0, n * n) for n in range(20)]
    # A reference as an argument finds the object in the worker.
    assert pool.apply(one, (21, d)) == (0, 441)
assert all(d[n] == n * n for n in range(20))

with ProcessPoolExecutor(3, mp_context=fork_context) as executor:
    assert list(executor.map(one, range(30, 40))) == [(0, n * n) for n in range(30, 40)]
""",
        timeout=90,
    )


def test_a_method_kept_over_a_fork_is_refused(forking: Script) -> None:
    forking(
        """
from parkit.errors import StaleHandleError
d = parkit.Dict('memory/d', create=True)
d['x'] = 1
get = d.__getitem__
assert get('x') == 1
def child():
    try:
        get('x')
    except StaleHandleError:
        pass
    else:
        raise AssertionError('it ran in the copy of the library that died with the fork')
    assert d['x'] == 1
join(fork(child))
assert get('x') == 1
""",
    )


def test_an_iterator_does_not_cross_a_fork(forking: Script) -> None:
    forking(
        """
d = parkit.Dict('memory/d', create=True)
from parkit.errors import StaleHandleError
d.update({n: n for n in range(5000)})
entries = iter(d)
assert next(entries) == 0
def child():
    try:
        list(entries)
    except StaleHandleError:
        pass
    else:
        raise AssertionError('the iterator went on in the child')
    assert list(d) == list(range(5000))
join(fork(child))
assert list(entries) == list(range(1, 5000))
""",
    )


def test_the_last_reference_in_a_child_calls_nothing_dead(forking: Script) -> None:
    forking(
        """
import gc
objects = [parkit.Dict('memory/d%d' % n, create=True) for n in range(20)]
for d in objects: d.update({n: n for n in range(2000)})
iterators = [iter(d) for d in objects]
for it in iterators: next(it)
def child():
    objects.clear()
    iterators.clear()
    gc.collect()
join(*[fork(child) for _ in range(3)])
assert [len(list(it)) for it in iterators] == [1999] * 20
""",
    )
