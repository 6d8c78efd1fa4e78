"""syslog and pidtable: what the processes of the machine log, and which they are."""

import logging
import os
import sys

from parkit import *

set_default_site(sys.argv[1], create=True)

assert isinstance(syslog, Array) and syslog.maxsize
before = len(syslog)
logger = logging.getLogger("house.door")
logger.setLevel(logging.INFO)
logger.info("opened by %s", "Ann")
assert len(syslog) > before
assert any("opened by Ann" in line and "house.door" in line for line in list(syslog[-20:]))

assert os.getpid() in pidtable.get_snapshot()
assert all("create_time" in entry for entry in pidtable.get_snapshot().values())

print("system: fine")
