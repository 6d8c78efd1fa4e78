"""What each collection is held to: a plain Python object, and operations that both it and the collection take.

An operation is a function whose first argument is either of the two, so that the same lines say what is done
and what should come of it. Where Python has the collection under the same methods the twin is that; else it is
a few lines here. An operation may raise what is in EXPECTED and must then have changed nothing.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from parkit.queue import ShutDown

EXPECTED = (LookupError, AttributeError, ValueError, queue.Empty, queue.Full, ShutDown)


class Op(NamedTuple):
    """One operation and its arguments, which can be pickled: another process is told of it so."""

    name: str
    args: tuple[Any, ...] = ()


class Kind(NamedTuple):
    """A collection, its twin and what is done to both."""

    collection: Callable[..., Any]
    #: Makes the twin; keywords are those that the collection is made with.
    twin: Callable[..., Any]
    #: The class whose functions are the operations.
    operations: type
    writes: st.SearchStrategy[Op]
    reads: st.SearchStrategy[Op]
    #: What the whole of it is, of both: the machine compares it after each step.
    content: Op = Op("content")
    #: Ways to begin an iterator, by a function of the operations; none where there is nothing to iterate.
    iterators: tuple[Op, ...] = ()
    #: Whether it is made with a maxsize.
    bounded: bool = False
    #: Operations that are several commits where no transaction is open.
    several: frozenset[str] = frozenset()


def ops(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Op]:
    return st.builds(lambda *args: Op(name, args), *arguments)


def of_these(values: list[Any]) -> st.SearchStrategy[Any]:
    """sampled_from, but for its repr, which would have all of them."""
    return st.integers(0, len(values) - 1).map(lambda index: values[index])


SMALL = st.integers(-5, 5)
# Some fill a page of the store, some several.
VALUES = st.one_of(
    SMALL,
    st.text(max_size=3),
    st.none(),
    of_these([1.5, b"", "é" * 300, (1, [2]), {"a": 1}, 2**70, True, bytes(2030), b"x" * 5000, bytes(20_000)]),
)
