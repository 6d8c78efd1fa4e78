"""File and pandas: as the file argument, and as its content."""

import sys

import pandas as pd

from parkit import *

set_default_site(sys.argv[1], create=True)

df = pd.DataFrame([{"a": i, "b": str(i)} for i in range(1000)])
f = File(mode="wb")
assert f.size == 0
f.set_content(df)
assert f.metadata["content-type"] == "application/python-pandas-dataframe"
assert df.equals(f.get_content())

g = File("frame", mode="wb", create=True)
with g:
    df.to_feather(g)
g.mode = "rb"
with g:
    assert df.equals(pd.read_feather(g))

print("files_pandas: fine")
