"""What File.set_content makes of a value, and File.get_content of what is stored.

numpy, pandas, pyarrow and polars are imported when they are needed, not before: a value of theirs is known by the
module that must have been imported to make it.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

TEXT = "text/plain"
BYTES = "application/octet-stream"
PICKLE = "application/python-pickle"
NDARRAY = "application/python-numpy-ndarray"
PANDAS = "application/python-pandas-dataframe"
POLARS = "application/python-polars-dataframe"

#: The metadata that are the content's own.
KEYS = ("content-type", "content-encoding", "content-properties", "last-modified")


class Encoded(NamedTuple):
    """Content as it is stored: its bytes and what they are."""

    data: Any
    type: str
    encoding: str | None = None
    properties: dict[str, Any] | None = None

    def about(self) -> str:
        return about(clock()(), self.type, self.encoding, self.properties)


def clock() -> Callable[[], str]:
    """What tells the time of a change. It imports nothing when it is asked, so that it can be at the very end."""
    from datetime import datetime, timezone  # slow to import

    return lambda: datetime.now(timezone.utc).replace(tzinfo=None).isoformat(" ", "microseconds")


def about(now: str, type_: str, encoding: str | None = None, properties: Mapping[str, Any] | None = None) -> str:
    """The description that is stored with content."""
    described: dict[str, Any] = {"content-type": type_}
    if encoding is not None:
        described["content-encoding"] = encoding
    if properties is not None:
        described["content-properties"] = properties
    return json.dumps({**described, "last-modified": now})


# ---- To bytes ----


def encode(value: Any, encoding: str) -> Encoded:
    if isinstance(value, str):
        return Encoded(value.encode(encoding), TEXT, encoding)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Encoded(_contiguous(value), BYTES)
    for package, encode_one in (("numpy", _encode_numpy), ("pandas", _encode_pandas), ("polars", _encode_polars)):
        module = sys.modules.get(package)
        encoded = None if module is None else encode_one(module, value)
        if encoded is not None:
            return encoded
    from .object import encode_pickle

    return Encoded(encode_pickle(value), PICKLE, properties={"type": _name(value)})


def _contiguous(value: Any) -> Any:
    return value.tobytes() if isinstance(value, memoryview) and not value.c_contiguous else value


def _encode_numpy(numpy: Any, value: Any) -> Encoded | None:
    # Of a subclass more is to be kept than its bytes.
    if type(value) is not getattr(numpy, "ndarray", None) and not isinstance(value, getattr(numpy, "memmap", ())):
        return None
    descr = _descr_of(value.dtype)
    if descr is None:
        return None
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    flat = numpy.ascontiguousarray(value.T if order == "F" else value).reshape(-1)
    properties = {
        "type": _name(value),
        "dtype": str(value.dtype),
        "descr": descr,
        "shape": list(value.shape),
        "order": order,
    }
    return Encoded(flat.view(numpy.uint8), NDARRAY, properties=properties)


def _descr_of(dtype: Any) -> Any:
    """What JSON can keep of a dtype; None where its arrays are not just bytes."""
    from numpy.lib import format as npy

    if dtype.hasobject or dtype.itemsize == 0:
        return None
    descr = json.loads(json.dumps(npy.dtype_to_descr(dtype)))
    return descr if _dtype_of(descr) == dtype else None


def _dtype_of(descr: Any) -> Any:
    from numpy.lib import format as npy

    def tuples(part: Any) -> Any:
        # JSON has no tuples: a field is one, and so are its shape and its title.
        if not isinstance(part, list):
            return part
        return [(*_title(name), tuples(kind), *map(tuple, shape)) for name, kind, *shape in part]

    return npy.descr_to_dtype(tuples(descr))


def _title(name: Any) -> tuple[Any]:
    return (tuple(name) if isinstance(name, list) else name,)


def _encode_pandas(pandas: Any, value: Any) -> Encoded | None:
    if type(value) is not getattr(pandas, "DataFrame", None):
        return None
    pyarrow = _require("pyarrow", "a pandas DataFrame")
    try:
        table = pyarrow.Table.from_pandas(value)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError, ValueError):
        return None  # Arrow has no type for what is in it: a pickle keeps it
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    properties = {"type": _name(value), "columns": [str(name) for name in value.columns], "nrows": len(value)}
    return Encoded(sink.getvalue(), PANDAS, properties=properties)


def _encode_polars(polars: Any, value: Any) -> Encoded | None:
    if type(value) is not getattr(polars, "DataFrame", None):
        return None
    sink = io.BytesIO()
    value.write_ipc(sink, compression="uncompressed")
    properties = {"type": _name(value), "columns": value.columns, "nrows": len(value)}
    return Encoded(sink.getbuffer(), POLARS, properties=properties)


# ---- And back ----


def decode(described: Mapping[str, Any], data: Any) -> Any:
    """The value of stored bytes. It may go on to use them."""
    type_ = described["content-type"]
    decode_one = _DECODERS.get(type_)
    if decode_one is None:
        raise ValueError(f"content of the type {type_!r} is read as a stream: open('rb')")
    return decode_one(described, data)


def _decode_text(described: Mapping[str, Any], data: Any) -> str:
    return str(data, described.get("content-encoding", "utf-8"))


def _decode_pickle(_: Mapping[str, Any], data: Any) -> Any:
    from .object import decode_pickle

    return decode_pickle(data)


def _decode_numpy(described: Mapping[str, Any], data: Any) -> Any:
    numpy = _require("numpy", "a numpy array")
    properties = described["content-properties"]
    dtype = _dtype_of(properties["descr"])
    array = numpy.ndarray(tuple(properties["shape"]), dtype, data, order=properties["order"])
    if not array.flags.aligned:
        # A small one, among others in a page, or one that was stored in parts.
        array, writable = array.copy("K"), array.flags.writeable
        array.flags.writeable = writable
    return array


def _decode_pandas(_: Mapping[str, Any], data: Any) -> Any:
    _require("pandas", "a pandas DataFrame")
    pyarrow = _require("pyarrow", "a pandas DataFrame")
    return pyarrow.ipc.open_file(pyarrow.py_buffer(data)).read_all().to_pandas()


def _decode_polars(_: Mapping[str, Any], data: Any) -> Any:
    return _require("polars", "a polars DataFrame").read_ipc(io.BytesIO(data))


_DECODERS: dict[str, Callable[[Mapping[str, Any], Any], Any]] = {
    TEXT: _decode_text,
    BYTES: lambda _, data: data,
    PICKLE: _decode_pickle,
    NDARRAY: _decode_numpy,
    PANDAS: _decode_pandas,
    POLARS: _decode_polars,
}

#: Types whose values are the stored bytes, or lie in them.
IN_PLACE = frozenset({BYTES, NDARRAY})


def _require(package: str, what: str) -> Any:
    import importlib

    try:
        module = importlib.import_module(package)
        if package == "pyarrow":
            importlib.import_module("pyarrow.ipc")
    except ImportError as error:
        raise ImportError(
            f"{what} needs the package {package}, which cannot be imported: pip install {package}", name=package
        ) from error
    return module


def _name(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
