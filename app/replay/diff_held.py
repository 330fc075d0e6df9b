"""What waits for its other half: by place, in memory up to a bound, and beyond it in a file that nobody sees.

The file is SQLite's own temporary one: it has no name, and is gone with the process.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

MOST = 100_000  # in memory
CACHE_KB = 32_768  # of the file

Place = tuple[int, int]  # partition and offset of an input


class Held:
    """Values by place. At most `most` of them are in memory; places need no order."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._here: dict[Place, bytes] = {}
        self._there: sqlite3.Connection | None = None
        self._spilled = 0

    def close(self) -> None:
        if self._there is not None:
            self._there.close()

    def __len__(self) -> int:
        return len(self._here) + self._spilled

    def put(self, place: Place, value: bytes) -> None:
        """Keep a value; a place that is put twice has its last."""
        if self._spilled:
            self.pop(place)
        self._here[place] = value
        if len(self._here) > self._most:
            self._spill()

    def pop(self, place: Place) -> bytes | None:
        """The value at this place, which is held no more; None where there is none."""
        found = self._here.pop(place, None)
        if found is not None or not self._spilled:
            return found
        row = self._file().execute("DELETE FROM held WHERE p = ? AND o = ? RETURNING v", place).fetchone()
        if row is None:
            return None
        self._spilled -= 1
        value: bytes = row[0]
        return value

    def items(self) -> Iterator[tuple[Place, bytes]]:
        """Everything, by partition and offset. Nothing may be put or popped meanwhile."""
        if self._spilled:
            self._spill()
            with contextlib.closing(self._file().execute("SELECT p, o, v FROM held ORDER BY p, o")) as rows:
                for partition, offset, value in rows:
                    yield (partition, offset), value
            return
        yield from sorted(self._here.items())

    def _spill(self) -> None:
        rows = ((partition, offset, value) for (partition, offset), value in self._here.items())
        self._file().executemany("INSERT INTO held VALUES (?, ?, ?)", rows)
        self._spilled += len(self._here)
        self._here.clear()

    def _file(self) -> sqlite3.Connection:
        if self._there is None:
            self._there = sqlite3.connect("", isolation_level=None)
            self._there.execute(f"PRAGMA cache_size = -{CACHE_KB}")
            self._there.execute("PRAGMA journal_mode = OFF")
            self._there.execute("CREATE TABLE held (p INT, o INT, v BLOB, PRIMARY KEY (p, o)) WITHOUT ROWID")
            self._there.execute("BEGIN")
        return self._there
