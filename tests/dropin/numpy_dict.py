"""The original's recipe: a Dict whose arrays are stored without pickling."""

import sys

import numpy as np

from parkit import *

set_default_site(sys.argv[1], create=True)


class NumpyDict(Dict):
    def get_metadata(self, value):
        if isinstance(value, np.ndarray):
            return dict(shape=value.shape, dtype=value.dtype)
        return None

    def decode_value(self, bytestring, metadata):
        if metadata is None:
            return super().decode_value(bytestring)
        if isinstance(bytestring, memoryview):
            return np.ndarray(metadata["shape"], metadata["dtype"], buffer=bytestring)
        return np.ndarray(metadata["shape"], metadata["dtype"], buffer=bytearray(bytestring))

    def encode_value(self, value):
        if isinstance(value, np.ndarray):
            return value.data
        return super().encode_value(value)


d = NumpyDict()
data = np.random.rand(10, 10)
d["numpy"] = data
d["other"] = [1, 2, 3]
assert d["other"] == [1, 2, 3]
assert np.array_equal(d["numpy"], data)
with snapshot(d):
    assert np.array_equal(d["numpy"], data)

# Outside of a scope it is a copy, which can be written to.
array = d["numpy"]
array[0] = 1
assert np.array_equal(d["numpy"], data)

print("numpy_dict: fine")
