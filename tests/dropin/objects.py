"""What all objects have: making and binding, on_init, properties, metadata, dropping."""

import sys
import uuid

from parkit import *

set_default_site(sys.argv[1], create=True)

d = Dict("some/name/space/prices", metadata={"currency": "EUR"}, create=True)
assert d.path == "some/name/space/prices"
assert (d.namespace, d.name) == ("some/name/space", "prices")
assert d.site_uuid == get_default_site()[1] and d.storage_path == get_default_site()[0]
assert uuid.UUID(d.uuid).version == 4
assert d.exists and d.versioned and d.version == 0
assert d.metadata == {"currency": "EUR"}

# Versions: one for each write, one for a whole transaction.
d["pear"] = 1
d.update(apple=2, plum=3)
assert d.version == 2
with transaction(d):
    d["pear"] += 1
    d["plum"] += 1
    assert d.version == 2
assert d.version == 3

descriptor = d.descriptor
assert descriptor["uuid"] == d.uuid
assert descriptor["metadata"] == d.metadata
assert descriptor["type"].endswith(".Dict") and descriptor["type"].startswith("parkit.")
assert descriptor["versioned"] is True
assert set(descriptor) == {"databases", "uuid", "versioned", "created", "type", "metadata"}

d.metadata = {"currency": "USD", "notes": [1, None, "x"]}
assert Dict("some/name/space/prices").metadata == {"currency": "USD", "notes": [1, None, "x"]}

# Making and binding.
assert Dict("some/name/space/prices") == d
assert hash(Dict("some/name/space/prices", create=True)) == hash(d)
assert Dict("some/name/space/others", create=True) != d
for error, use in [
    (ObjectNotFoundError, lambda: Dict("some/name/space/none")),
    (StoragePathError, lambda: Dict("no/such/namespace/none")),
    (ObjectExistsError, lambda: Dict("some/name/space/prices", create=True, bind=False)),
    (ValueError, lambda: Dict("some/name/space/prices", create=False, bind=False)),
    (TypeError, lambda: Array("some/name/space/prices")),
    (ValueError, lambda: Dict("not allowed!/prices", create=True)),
]:
    try:
        use()
    except error:
        pass
    else:
        raise AssertionError(error)
assert Object("some/name/space/prices") == d  # a base of its class

assert Dict("plain", create=True).path == "default/plain"
assert Dict("a//b", create=True).path == "a/b"
anonymous, memory = Dict(), Dict("memory")
assert anonymous.namespace == "default" and anonymous.name[:2] == anonymous.name[-2:] == "__"
assert memory.namespace == "memory" and memory.name[:2] == "__"
assert Dict() != Dict()

# on_init runs in the transaction that makes or binds.
calls = []


def prepare(created):
    calls.append(created)
    if created:
        stock.rows = 0
        stock["first"] = True


class Stock(Dict):
    def __init__(self, path):
        global stock
        stock = self
        super().__init__(path, create=True, on_init=prepare)


Stock("shop/stock")
again = Stock("shop/stock")
assert calls == [True, False]
assert again.rows == 0 and dict(again) == {"first": True}


def fail(created):
    raise KeyError("on purpose")


try:
    Dict("shop/never", create=True, on_init=fail)
except KeyError:
    pass
assert "never" not in list(Directory("shop").names())

d.drop()
assert not d.exists
for use in (lambda: d["pear"], lambda: d.version, lambda: d.update(pear=1), lambda: d.drop()):
    try:
        use()
    except ObjectNotFoundError:
        pass
    else:
        raise AssertionError("it was dropped")

print("objects: fine")
