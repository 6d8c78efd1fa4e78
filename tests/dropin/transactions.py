"""Transactions and snapshots, nested, over several objects and namespaces."""

import sys
import threading

from parkit import *

set_default_site(sys.argv[1], create=True)

accounts, log = Dict("bank/accounts", create=True), Array("bank/log", create=True)
accounts.update(ann=100, bob=50)


def move(source, target, amount):
    with transaction(accounts):
        accounts[source] -= amount
        accounts[target] += amount
        log.append((source, target, amount))
        if accounts[source] < 0:
            raise ValueError("too much")


move("ann", "bob", 30)
try:
    move("ann", "bob", 300)
except ValueError:
    pass
assert dict(accounts) == {"ann": 70, "bob": 80}
assert list(log) == [("ann", "bob", 30)]

# By an object, a namespace, its path, or nothing for the namespace 'default'.
for scope in (accounts, Namespace("bank"), "bank", accounts.namespace):
    with transaction(scope):
        accounts["ann"] += 1
        log.append("tip")
assert accounts["ann"] == 74
loose = Dict("loose", create=True)
with transaction():
    loose["a"] = 1
    loose["b"] = 2
assert loose.version == 1

# Nested, and all of it is undone from the outside.
try:
    with transaction(accounts):
        accounts["ann"] = 0
        with transaction(accounts):
            accounts["bob"] = 0
        assert accounts["bob"] == 0
        raise KeyError
except KeyError:
    pass
assert dict(accounts) == {"ann": 74, "bob": 80}

with transaction(accounts):
    with transaction(log):
        with transaction("bank"):
            accounts["ann"] = 75
    # Another namespace is not part of it.
    loose["c"] = 3
assert accounts["ann"] == 75 and loose["c"] == 3

# A snapshot stays what it was; other namespaces, and other threads, go on.
a1, a2 = Array("one/a", create=True), Array("two/a", create=True)
a1.extend([1, 2, 3])
a2.extend([1, 2, 3])
with snapshot(a1.namespace):
    a1[0] = -1
    a2[0] = -1
    assert a1[0] == 1 and a2[0] == -1
    thread = threading.Thread(target=lambda: (a1.append(4), seen.append(list(a1))))
    seen = []
    thread.start()
    thread.join()
    assert seen == [[-1, 2, 3, 4]] and list(a1) == [1, 2, 3]
assert a1[0] == -1 and len(a1) == 4

# Objects can be made and dropped in a transaction.
try:
    with transaction("one"):
        Dict("one/new", create=True)["x"] = 1
        a1.drop()
        raise KeyError
except KeyError:
    pass
assert a1.exists and "new" not in list(Directory("one").names())
with transaction("one"):
    Dict("one/new", create=True)["x"] = 1
    a1.drop()
assert not a1.exists and Dict("one/new")["x"] == 1

print("transactions: fine")
