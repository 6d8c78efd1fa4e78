"""An Array as a log that other processes follow, one entry at a time or in batches."""

import subprocess
import sys

from parkit import *

FOLLOWER = """
import sys
from parkit import *
set_default_site(sys.argv[1])
path, batch = sys.argv[2], sys.argv[3] == 'batch'
log, ready = Array(path), Queue('logs/ready')
news = stream(log, batch=batch)
ready.put(path)
seen = []
for entry in news:
    seen.extend(entry if batch else [entry])
    if seen[-1] == 'end':
        break
assert seen == [*range(500), 'end'], seen
Queue('logs/seen').put((path, len(seen)))
"""

path = sys.argv[1]
set_default_site(path, create=True)
ready, seen = Queue("logs/ready", create=True), Queue("logs/seen", create=True)

# The second one drops its oldest entries, which the followers have seen by then.
for name, maxsize in (("logs/all", 0), ("logs/last", 1000)):
    log = Array(name, create=True, maxsize=maxsize)
    log.extend(["of earlier"] * 700)
    followers = [subprocess.Popen([sys.executable, "-c", FOLLOWER, path, name, how]) for how in ("batch", "one", "one")]
    for _ in followers:
        wait(ready, lambda: not ready.empty())
        assert ready.get() == name
    for n in range(500):
        log.append(n)
    log.append("end")
    assert [follower.wait(60) for follower in followers] == [0, 0, 0]
    assert len(log) == (maxsize or 1201)
    for _ in followers:
        assert seen.get() == (name, 501)

print("log_stream: fine")
