"""The small things."""

import os
import sys

from parkit import *

set_default_site(sys.argv[1], create=True)

setenv("PARKIT_EXAMPLE", 3)
assert envexists("PARKIT_EXAMPLE") and not envexists("PARKIT_NO_EXAMPLE")
assert getenv("PARKIT_EXAMPLE", int) == 3 and getenv("PARKIT_EXAMPLE", str) == "3"
assert checkenv("PARKIT_EXAMPLE", int)
assert get_pagesize() == os.sysconf("SC_PAGESIZE")
assert get_memory_size([1, 2, 3]) > 0
assert create_string_digest("text") == create_string_digest("text") != create_string_digest("other")

rounds = 0
for _ in polling_loop(0.001):
    rounds += 1
    if rounds == 3:
        break
with Timer():
    sum(range(1000))

for error in (
    ObjectExistsError,
    ObjectNotFoundError,
    SiteNotFoundError,
    SiteNotSpecifiedError,
    StoragePathError,
    TransactionError,
):
    assert issubclass(error, RuntimeError)

print("utilities: fine")
