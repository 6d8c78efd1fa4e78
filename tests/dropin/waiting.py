"""Waiting for what others do."""

import subprocess
import sys
import threading

from parkit import *

set_default_site(sys.argv[1], create=True)

d, a = Dict("house/d", create=True), Array("house/a", create=True)

wait(d)  # without a condition it returns at once
wait(d, a, lambda: True)

thread = threading.Thread(target=lambda: [d.update({n: n}) for n in range(50)])
thread.start()
wait(d, lambda: len(d) == 50)
thread.join()

CHILD = """
import sys
from parkit import *
set_default_site(sys.argv[1])
d, a = Dict('house/d'), Array('house/a')
for n in range(20):
    wait(d, a, lambda: d.get('ping') == n)
    a.append(n)
"""
child = subprocess.Popen([sys.executable, "-c", CHILD, sys.argv[1]])
for n in range(20):
    d["ping"] = n
    wait(d, a, lambda: len(a) == n + 1)
assert child.wait(60) == 0
assert list(a) == list(range(20))

# The condition sees one moment.
d["x"] = d["y"] = 0
stop = threading.Event()


def turn():
    n = 0
    while not stop.is_set():
        n += 1
        with transaction(d):
            d["x"] = n
            d["y"] = n


thread = threading.Thread(target=turn)
thread.start()
for _ in range(100):
    wait(d, lambda: d["x"] == d["y"])
stop.set()
thread.join()

# Without objects the condition is looked at now and then.
flag = threading.Event()
timer = threading.Timer(0.01, flag.set)
timer.start()
wait(lambda: flag.is_set())

try:
    wait(d, Dict("elsewhere/d", create=True), lambda: True)
except ValueError:
    pass
else:
    raise AssertionError("they are of two namespaces")

print("waiting: fine")
