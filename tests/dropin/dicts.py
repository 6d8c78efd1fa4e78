"""Dict, against a dict, in a random walk."""

import random
import sys

from parkit import *

set_default_site(sys.argv[1], create=True)
seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
print("seed", seed)
random.seed(seed)

NOTHING = object()


def outcome(use):
    try:
        return use()
    except KeyError:
        return KeyError


for path in ("walk/dict", "memory/walk/dict"):
    twin, d = {}, Dict(path, create=True)
    for _ in range(1500):
        key = random.randrange(60)
        value = random.choice([random.random(), str(key), None, [key], {"k": key}])
        step = random.randrange(12)
        if step < 3:
            twin[key] = d[key] = value
        elif step == 3:
            assert outcome(lambda: twin[key]) == outcome(lambda: d[key])
        elif step == 4:
            assert twin.get(key) == d.get(key) and twin.get(key, 7) == d.get(key, 7)
        elif step == 5:
            assert twin.setdefault(key, value) == d.setdefault(key, value)
        elif step == 6:
            assert outcome(lambda: twin.pop(key)) == outcome(lambda: d.pop(key))
        elif step == 7:
            assert twin.pop(key, NOTHING) == d.pop(key, NOTHING)
        elif step == 8:
            assert outcome(lambda: twin.__delitem__(key)) == outcome(lambda: d.__delitem__(key))
        elif step == 9:
            more = {random.randrange(60): value for _ in range(5)}
            twin.update(more)
            d.update(more)
        elif step == 10:
            pairs = [(key, 1), (key + 1, 2)]
            twin.update(pairs)
            d.update(pairs)
        else:
            assert (key in twin) == (key in d)
        assert len(twin) == len(d)
    assert sorted(twin) == sorted(d) == sorted(d.keys())
    assert {key: d[key] for key in d} == twin
    assert dict(d.items()) == twin
    assert sorted(map(repr, d.values())) == sorted(map(repr, twin.values()))
    key, value = d.popitem()
    assert twin.pop(key) == value
    d.update(name="text", other=2)
    assert d["name"] == "text" and d["other"] == 2
    d.clear()
    assert len(d) == 0 and list(d) == [] and not d
    try:
        d.popitem()
    except KeyError:
        pass
    else:
        raise AssertionError("it is empty")

# Keys of any kind.
d = Dict("walk/keys", create=True)
keys = [None, True, 2, 2.5, 10**30, "ü", b"\0", ("a", 1), frozenset("ab"), ("nested", ("x", None))]
for n, key in enumerate(keys):
    d[key] = n
for n, key in enumerate(keys):
    assert d[key] == n and key in d

# An iterator sees the members of its beginning.
for key in d:
    d[("copied", key)] = 0
assert len(d) == 2 * len(keys)

print("dicts: fine")
