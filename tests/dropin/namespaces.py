"""Walking through a site, and names in the calling module."""

import sys

from parkit import *

set_default_site(sys.argv[1], create=True)


class Invoice(Dict):
    pass


Dict("shop/prices", create=True, metadata={"kind": "table"})["pear"] = 3
Invoice("shop/invoice", create=True)["total"] = 12
Array("shop/log", create=True)
Queue("shop/west/queue", create=True)
Object("shop/__secret__", create=True)
Dict("alone", create=True)
Dict()  # anonymous, hence hidden

assert sorted(d.path for d in directories()) == ["default", "shop", "shop/west"]
assert [d.path for d in directories("shop")] == ["shop/west"]
assert all(isinstance(d, Directory) for d in directories())

shop = Directory("shop")
assert isinstance(shop, Namespace) and shop.path == "shop"
assert (shop.storage_path, shop.site_uuid) == get_default_site()
assert sorted(shop.names()) == ["invoice", "log", "prices"]
assert sorted(Directory("shop", include_hidden=True).names()) == ["__secret__", "invoice", "log", "prices"]
for method in (shop.names, shop.descriptors, shop.metadata, shop.entities, shop.objects):
    assert len(list(method(include_hidden=True))) == len(list(method())) + 1
assert {type(obj) for obj in shop} == {Dict, Invoice, Array}
assert {obj.path for obj in shop.objects()} == {"shop/invoice", "shop/log", "shop/prices"}
assert shop["prices"]["pear"] == 3
assert type(shop.get("invoice")) is Invoice
assert dict(shop.metadata())["prices"] == {"kind": "table"}
assert dict(shop.descriptors())["log"]["type"].endswith("Array")
try:
    shop["none"]
except ObjectNotFoundError:
    pass
else:
    raise AssertionError("there is no such object")
del shop["log"]
assert sorted(shop.names()) == ["invoice", "prices"]
shop.maxsize = 512 * get_pagesize() * 1024
assert shop.maxsize == 512 * get_pagesize() * 1024

# Globals of this module.
assert bind_symbol("shop", "prices") is True
assert prices["pear"] == 3  # noqa: F821
assert bind_symbol("shop", "prices") is False
assert bind_symbol("shop", "prices", overwrite=True) is True
assert bind_symbol("shop", "none") is False
invoice = "taken"
assert sorted(bind_symbols("shop", recursive=True)) == ["queue"]
assert queue.empty() and invoice == "taken"  # noqa: F821
assert sorted(bind_symbols(shop, overwrite=True)) == ["invoice", "prices"]
assert invoice["total"] == 12

print("namespaces: fine")
