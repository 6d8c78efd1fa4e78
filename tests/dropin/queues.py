"""Queue and LifoQueue as the original's scripts call them: what cannot be done at once is an exception."""

import queue
import sys

from parkit import *
from parkit.queue import LifoQueue

set_default_site(sys.argv[1], create=True)


def refused(error, use):
    try:
        use()
    except error:
        return True
    return False


for kind, order in ((Queue, [0, 1]), (LifoQueue, [1, 0])):
    q = kind("house/" + kind.__name__, create=True, maxsize=2)
    assert q.empty() and not q.full() and q.qsize() == len(q) == 0
    assert refused(queue.Empty, q.get)
    q.put(0)
    q.put(1)
    assert q.full() and not q.empty() and q.qsize() == 2
    assert refused(queue.Full, lambda: q.put(2))
    assert [q.get(), q.get()] == order
    assert refused(queue.Empty, q.get)
    q.put({"any": ["thing"]})
    assert kind("house/" + kind.__name__).get() == {"any": ["thing"]}
    q.put(1)
    q.clear()
    assert q.empty()

# A worker's loop: take until there is nothing left.
jobs, done = Queue("house/jobs", create=True), Array("house/done", create=True)
for n in range(20):
    jobs.put(n)
while True:
    try:
        with transaction(jobs):
            done.append(jobs.get())
    except queue.Empty:
        break
assert list(done) == list(range(20))

# What fails after an item was taken leaves the item in its place.
jobs.put("first")
jobs.put("second")
try:
    with transaction(jobs):
        assert jobs.get() == "first"
        raise RuntimeError
except RuntimeError:
    pass
assert [jobs.get(), jobs.get()] == ["first", "second"]

print("queues: fine")
