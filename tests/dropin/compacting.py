"""compactify: anonymous and hidden objects go, everywhere."""

import sys

from parkit import *

set_default_site(sys.argv[1], create=True)

kept, hidden = Dict("shop/kept", create=True), Dict("shop/__hidden__", create=True)
anonymous, memory = Array(), Queue("memory")
kept["x"] = 1
anonymous.extend(range(100))
compactify()
assert kept["x"] == 1 and kept.exists
assert not hidden.exists and not anonymous.exists and not memory.exists
for namespace in directories():
    assert not [n for n in Directory(namespace.path, include_hidden=True).names() if n.startswith("__")]

Dict()
compactify(get_default_site()[1])
assert list(Directory(include_hidden=True).names()) == []

print("compacting: fine")
