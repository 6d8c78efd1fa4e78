"""Objects that another process binds by their paths, or gets by a reference."""

import multiprocessing
import pickle
import subprocess
import sys

from parkit import *

CHILD = """
import sys
from parkit import *
set_default_site(sys.argv[1])
d = Dict('shared/d')
assert d['from'] == 'parent'
d['answer'] = 42
a = Array('shared/a')
a.extend(range(3))
o = Object('shared/o')
o.colour = 'blue'
Queue('shared/q').put(('done', d.uuid))
"""


def child(path, references):
    # A process that is told where the site is.
    set_default_site(path)
    d, a, everything = references.get()
    a.extend(sorted(d))
    assert isinstance(everything["queue"], Queue)
    everything["queue"].put(sum(d.values()))


def main():
    path = sys.argv[1]
    set_default_site(path, create=True)
    d, a = Dict("shared/d", create=True), Array("shared/a", create=True)
    o, q = Object("shared/o", create=True), Queue("shared/q", create=True)
    d["from"] = "parent"
    subprocess.run([sys.executable, "-c", CHILD, path], check=True)
    assert q.get() == ("done", d.uuid)
    assert d["answer"] == 42 and list(a) == [0, 1, 2] and o.colour == "blue"

    # What is pickled is a reference, not the content.
    d.clear()
    d.update({n: n for n in range(1000)})
    pickled = pickle.dumps(d)
    assert len(pickled) < 1000
    again = pickle.loads(pickled)
    assert again == d and again.uuid == d.uuid and len(again) == 1000
    d["more"] = 0
    assert again["more"] == 0
    del d["more"]

    # References through a persistent queue, and inside of other objects.
    d["array"] = a
    assert d["array"] == a and list(d["array"]) == [0, 1, 2]
    del d["array"]
    q.put([d, a])
    assert q.get() == [d, a]

    # And through a queue of multiprocessing, to a process that is forked and one that is not.
    for method in ("fork", "spawn"):
        a.clear()
        context = multiprocessing.get_context(method)
        references = context.Queue()
        process = context.Process(target=child, args=(path, references))
        process.start()
        references.put((d, a, {"queue": q}))
        process.join(60)
        assert process.exitcode == 0
        assert list(a) == list(range(1000)) and q.get() == sum(range(1000))
    print("second_process: fine")


if __name__ == "__main__":
    main()
