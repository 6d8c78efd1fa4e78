"""Sites: the default one of a thread, importing others, the environment."""

import os
import sys
import threading

from parkit import *

path = sys.argv[1]

assert get_default_site() is None
try:
    Dict("nowhere", create=True)
except SiteNotSpecifiedError as error:
    assert isinstance(error, RuntimeError)
else:
    raise AssertionError("there is no site")

set_default_site(path, create=True)
storage_path, site_uuid = get_default_site()
assert storage_path == path
assert get_site_uuid(path) == site_uuid
assert os.path.isdir(path)

# A second site, for some objects only.
other = get_site_uuid(path + "-archive", create=True)
assert other != site_uuid
import_site(path + "-archive")
assert get_default_site() == (path, site_uuid)  # it was set before
kept = Dict("year/2021", create=True, site_uuid=other)
kept["pages"] = 12
assert kept.site_uuid == other
assert kept.storage_path == path + "-archive"
try:
    Dict("year/2021")
except ObjectNotFoundError:
    pass
else:
    raise AssertionError("it is in the other site")
assert [d.path for d in directories(site_uuid=other)] == ["year"]
assert list(Namespace("year", site_uuid=other).names()) == ["2021"]

with transaction("year", site_uuid=other):
    kept["pages"] += 1
assert Dict("year/2021", site_uuid=other)["pages"] == 13

try:
    Dict("x", create=True, site_uuid="00000000-0000-4000-8000-000000000000")
except SiteNotFoundError:
    pass
else:
    raise AssertionError("nobody imported that site")


# A thread may have a default site of its own.
def work():
    set_default_site(path + "-archive")
    seen.append(list(Dict("year/2021").items()))


seen = []
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert seen == [[("pages", 13)]]
assert get_default_site() == (path, site_uuid)

print("sites: fine")
