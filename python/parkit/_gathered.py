"""What was written to a stream and is not stored yet."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator


class Gathered:
    """Parts of a file, each at its place, in order, none of which overlap.

    A part grows by what is written inside of it, over its end or right behind it. What is written right before it is a
    part of its own: to put it in front would move all the rest for each byte of who writes backwards.
    """

    __slots__ = ("_ends", "_parts", "_spare", "_starts", "size")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        # Each with room behind what it holds. The largest stays for the next one: to have memory anew from the system
        # for each mebibyte took as long as to store it.
        self._parts: list[bytearray] = []
        self._spare = bytearray()
        #: How many bytes the parts have.
        self.size = 0

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[tuple[int, memoryview]]:
        """The places and what comes there. What is given is good until the next is."""
        for start, end, part in zip(self._starts, self._ends, self._parts, strict=True):
            with memoryview(part) as whole, whole[: end - start] as view:
                yield start, view

    @property
    def end(self) -> int:
        """Where the last part ends; 0 if there is none."""
        return self._ends[-1] if self._ends else 0

    def clear(self) -> None:
        self._spare = max(self._spare, *self._parts, key=len) if self._parts else self._spare
        self._starts.clear()
        self._ends.clear()
        self._parts.clear()
        self.size = 0

    def _touched(self, at: int, end: int) -> tuple[int, int]:
        """Which parts something from ``at`` to ``end`` overlaps or follows."""
        first = bisect_left(self._ends, at)
        return first, max(first, bisect_left(self._starts, end))

    def growth(self, at: int, n: int) -> int:
        """By how many bytes :meth:`put` of n bytes would make :attr:`size` larger."""
        first, last = self._touched(at, at + n)
        return n - sum(max(0, min(at + n, self._ends[i]) - max(at, self._starts[i])) for i in range(first, last))

    def follows(self, at: int) -> bool:
        """Whether a part ends there."""
        i = bisect_left(self._ends, at)
        return i < len(self._ends) and self._ends[i] == at

    def put(self, at: int, data: memoryview) -> None:
        """Write something over the parts. It is copied."""
        end = at + len(data)
        if at == end:
            return
        first, last = self._touched(at, end)
        if first == last:
            part, self._spare = self._spare, bytearray()
            self._starts.insert(first, at)
            self._ends.insert(first, at)
            self._parts.insert(first, part)
        elif last - first > 1 or at < self._starts[first]:
            self._join(first, last, min(at, self._starts[first]))
        start, part, before = self._starts[first], self._parts[first], self._ends[first]
        if len(part) < end - start:
            part += bytes(max(end - start, 2 * len(part)) - len(part))
        part[at - start : end - start] = data
        self._ends[first] = max(before, end)
        self.size += self._ends[first] - before

    def _join(self, first: int, last: int, start: int) -> None:
        """Make several parts one, which begins at a place before them. What lies between them is to be written next."""
        end = self._ends[last - 1]
        whole = bytearray(end - start)
        for i in range(first, last):
            low, high = self._starts[i], self._ends[i]
            whole[low - start : high - start] = memoryview(self._parts[i])[: high - low]
            self.size -= high - low
        self._starts[first:last], self._ends[first:last], self._parts[first:last] = [start], [end], [whole]
        self.size += end - start

    def lay_over(self, at: int, buffer: memoryview) -> None:
        """Copy what the parts have of a place into a buffer that holds what is stored there."""
        end = at + len(buffer)
        first, last = self._touched(at, end)
        for i in range(first, last):
            start = self._starts[i]
            low, high = max(at, start), min(end, self._ends[i])
            if low < high:
                buffer[low - at : high - at] = memoryview(self._parts[i])[low - start : high - start]
