"""What a File of the original parkit says of its content, as File says it here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

#: The metadata that are the content's own.
KEYS = ("content-type", "content-encoding", "content-properties", "last-modified")

_PICKLE = "application/python-pickle"
_NDARRAY = "application/python-numpy-ndarray"
_BYTES = "application/octet-stream"

_NUMBER = re.compile(r"(int|uint|float|complex)(8|16|32|64|128|256)")


def is_pickle(about: Mapping[str, Any]) -> bool:
    return about.get("content-type") == _PICKLE


def described(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The description of content from the original's metadata; empty where these say nothing of it."""
    about = {key: metadata[key] for key in KEYS if key in metadata}
    if "content-type" not in about:
        return {}
    if isinstance(about.get("last-modified"), str):
        about["last-modified"] = _in_utc(about["last-modified"])
    if about["content-type"] == _NDARRAY:
        properties = about.get("content-properties") or {}
        descr = _descr(str(properties.get("dtype")))
        if descr is None or "shape" not in properties:
            # Kept, but nobody can tell what of; the object's report says so.
            return {**about, "content-type": _BYTES}
        about["content-properties"] = {
            "type": properties.get("type", "numpy.ndarray"),
            "dtype": properties["dtype"],
            "descr": descr,
            "shape": list(properties["shape"]),
            "order": "C",  # the original stored no other
        }
    return about


def is_array(metadata: Mapping[str, Any]) -> bool:
    return metadata.get("content-type") == _NDARRAY


def _in_utc(local: str) -> str:
    try:
        moment = datetime.fromisoformat(local).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return local
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds")


def _descr(dtype: str) -> str | None:
    """The text by which numpy's own files name a dtype."""
    if dtype == "bool":
        return "|b1"
    number = _NUMBER.fullmatch(dtype)
    if number is not None:
        kind, size = number[1][0], int(number[2]) // 8
        return f"{'|' if size == 1 else '<'}{kind}{size}"
    return dtype if re.fullmatch(r"[<>|=]?[a-zA-Z]\d*(\[\w+\])?", dtype) else _of_time(dtype)


def _of_time(dtype: str) -> str | None:
    time = re.fullmatch(r"(datetime|timedelta)64(\[\w+\])", dtype)
    return None if time is None else f"<{'M' if time[1] == 'datetime' else 'm'}8{time[2]}"
