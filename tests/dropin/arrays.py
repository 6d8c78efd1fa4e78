"""Array, against a list."""

import collections
import random
import sys

from parkit import *

set_default_site(sys.argv[1], create=True)
seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
print("seed", seed)
random.seed(seed)


def outcome(use):
    try:
        return use()
    except IndexError:
        return IndexError


for maxsize in (0, 10):
    twin = collections.deque(maxlen=maxsize or None)
    a = Array("memory", maxsize=maxsize)
    assert a.maxsize == (maxsize or None)
    for _ in range(1500):
        step = random.randrange(8)
        value = random.randrange(1000)
        place = random.randrange(-12, 12)
        if step < 2:
            twin.append(value)
            a.append(value)
        elif step == 2:
            values = [random.randrange(1000) for _ in range(random.randrange(15))]
            twin.extend(values)
            a.extend(values)
        elif step == 3:
            assert outcome(twin.pop) == outcome(a.pop)
        elif step == 4:
            assert outcome(twin.popleft) == outcome(a.popleft)
        elif step == 5:
            assert outcome(lambda: twin[place]) == outcome(lambda: a[place])
        elif step == 6 and len(twin) > abs(place):
            twin[place] = a[place] = value
        elif step == 7:
            start, stop = random.choice([None, place]), random.choice([None, random.randrange(-12, 12)])
            assert list(twin)[start:stop] == list(a[start:stop])
            assert list(reversed(list(twin)[start:stop])) == list(reversed(a[start:stop]))
        assert len(twin) == len(a) and bool(twin) == bool(a)
    assert list(twin) == list(a) and list(reversed(twin)) == list(reversed(a))
    a.clear()
    assert len(a) == 0 and not a and list(a[:]) == [] and list(a[-3:]) == []
    try:
        a[0] = 1
    except IndexError:
        pass
    else:
        raise AssertionError("it is empty")

a = Array("numbers", create=True)
a.extend([3, 2, 1, 4])
assert sum(a) == 10 and sorted(a) == [1, 2, 3, 4]
assert a[-1] == 4 and a[-4] == 3
assert list(a[1:3]) == [2, 1]

print("arrays: fine")
