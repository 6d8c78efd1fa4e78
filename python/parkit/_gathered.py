"""What was written to a stream and is not stored yet."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Gathered:
    """Parts of a file, each at its place, in order, none of which overlap.

    A part grows by what is written inside of it, over its end or right behind it. What is written right before it is a
    part of its own: to put it in front would move all the rest for each byte of who writes backwards.
    """

    __slots__ = ("_parts", "_starts", "size")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._parts: list[bytearray] = []
        #: How many bytes the parts have.
        self.size = 0

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[tuple[int, bytearray]]:
        return zip(self._starts, self._parts, strict=True)

    @property
    def end(self) -> int:
        """Where the last part ends; 0 if there is none."""
        return self._starts[-1] + len(self._parts[-1]) if self._parts else 0

    def clear(self) -> None:
        self._starts.clear()
        self._parts.clear()
        self.size = 0

    def _touched(self, at: int, end: int) -> tuple[int, int]:
        """Which parts something from ``at`` to ``end`` overlaps or follows."""
        first = bisect_right(self._starts, at) - 1
        if first < 0 or self._starts[first] + len(self._parts[first]) < at:
            first += 1
        return first, max(first, bisect_left(self._starts, end))

    def growth(self, at: int, n: int) -> int:
        """By how many bytes :meth:`put` of n bytes would make :attr:`size` larger."""
        end = at + n
        first, last = self._touched(at, end)
        for start, part in zip(self._starts[first:last], self._parts[first:last], strict=True):
            n -= max(0, min(end, start + len(part)) - max(at, start))
        return n

    def follows(self, at: int) -> bool:
        """Whether a part ends there."""
        i = bisect_left(self._starts, at) - 1
        return i >= 0 and self._starts[i] + len(self._parts[i]) == at

    def put(self, at: int, data: memoryview) -> None:
        """Write something over the parts. It is copied."""
        end = at + len(data)
        if at == end:
            return
        first, last = self._touched(at, end)
        if last - first == 1 and self._starts[first] <= at:
            part, within = self._parts[first], at - self._starts[first]
            before = len(part)
            part[within : within + len(data)] = data
            self.size += len(part) - before
            return
        start, part = at, bytearray(data)
        if first < last:
            held = sum(map(len, self._parts[first:last]))
            low, head = self._starts[first], self._parts[first]
            high, tail = self._starts[last - 1], self._parts[last - 1]
            if low < at:
                part[:0] = head[: at - low]
                start = low
            if high + len(tail) > end:
                part += tail[end - high :]
            self.size -= held
        self._starts[first:last] = [start]
        self._parts[first:last] = [part]
        self.size += len(part)

    def lay_over(self, at: int, buffer: memoryview) -> None:
        """Copy what the parts have of a place into a buffer that holds what is stored there."""
        end = at + len(buffer)
        first, last = self._touched(at, end)
        for i in range(first, last):
            start, part = self._starts[i], self._parts[i]
            low, high = max(at, start), min(end, start + len(part))
            if low < high:
                buffer[low - at : high - at] = memoryview(part)[low - start : high - start]
