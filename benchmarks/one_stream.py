"""Write bytes to a file and read them back, in pieces, and say how long it took and how much memory.

``one_stream.py contender folder size``; the answer is a line of JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

PIECE = 1 << 20


class Watch:
    """The most memory that the process has had, looked at every few milliseconds: the kernel's own mark
    does not tell what is the process's from what it maps of a file."""

    def __init__(self) -> None:
        self.start = self.now()
        self.most = [0, 0]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    @staticmethod
    def now() -> tuple[int, int]:
        """Bytes that are resident, and those of them that no file is behind."""
        with open("/proc/self/statm") as numbers:
            _, resident, shared = (int(number) for number in numbers.read().split()[:3])
        page = os.sysconf("SC_PAGE_SIZE")
        return resident * page, (resident - shared) * page

    def _look(self) -> None:
        while True:
            now = self.now()
            self.most = [max(most, now[i] - self.start[i]) for i, most in enumerate(self.most)]
            if self._over.wait(0.005):
                return

    def stop(self) -> list[int]:
        self._over.set()
        self._thread.join()
        return self.most


def pieces(size: int) -> Any:
    """Bytes that are never the same for long."""
    seed = bytes(range(256)) * (PIECE // 256)
    for start in range(0, size, PIECE):
        yield start.to_bytes(8, "big") + seed[8 : min(PIECE, size - start)]


def opener(contender: str, folder: Path) -> Any:
    if contender != "parkit":
        return lambda mode: open(folder / "plain", mode)
    import parkit

    parkit.set_default_site(folder / "site", create=True)
    return parkit.File("large/f", create=True).open


def main() -> None:
    contender, folder, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(exist_ok=True)
    begun = opener(contender, folder)
    watch = Watch()
    start = time.perf_counter()
    with begun("wb") as out:
        for piece in pieces(size):
            out.write(piece)
        out.flush()
        if contender != "parkit":
            os.fsync(out.fileno())
    written = time.perf_counter()
    with begun("rb") as back:
        for piece in pieces(size):
            assert back.read(len(piece)) == piece, "what was read is not what was written"
        assert back.read(1) == b"", "there is more than was written"
    done = time.perf_counter()
    resident, private = watch.stop()
    shutil.rmtree(folder)
    print(json.dumps({"write": written - start, "read": done - written, "resident": resident, "private": private}))


if __name__ == "__main__":
    main()
