"""Counts that nothing can count twice: each cell names the next offset of the partition that it counts.

A record may come again. One below a cell's next offset is in it already, so it is left out; and since a cell and its
offset are one entry of one table, they are in the changelog together or not at all. Knows no Faust.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

from app.record import Record

Changes = Iterator[tuple[bytes, bytes | None]]
APART = "|"  # no topic's name has one
_encode = msgspec.json.Encoder().encode


class Cell(msgspec.Struct):
    """Counts of one partition's records below `next`."""

    next: int = 0


AnyCell = TypeVar("AnyCell", bound=msgspec.Struct)
OwnCell = TypeVar("OwnCell", bound=Cell)


class Cells(Generic[AnyCell]):
    """Cells of one kind by name, and which of them have changed since that was asked last."""

    def __init__(self, kind: type[AnyCell], *place: str) -> None:
        self.of: dict[str, AnyCell] = {}
        self._new = kind
        self._read = msgspec.json.Decoder(kind).decode
        self._prefix = APART.join((*place, kind.__name__.lower(), ""))
        self._changed: set[str] = set()

    def changing(self, name: str) -> AnyCell:
        """The cell, new where there is none, to be changed by the caller."""
        self._changed.add(name)
        found = self.of.get(name)
        if found is None:
            found = self.of[name] = self._new()
        return found

    def put(self, name: str, cell: AnyCell) -> None:
        self._changed.add(name)
        self.of[name] = cell

    def drop(self, name: str) -> None:
        if self.of.pop(name, None) is not None:
            self._changed.add(name)

    def changes(self) -> Changes:
        """What to write, None for what is dropped; told once."""
        changed, self._changed = self._changed, set()
        for name in changed:
            cell = self.of.get(name)
            yield (self._prefix + name).encode(), None if cell is None else _encode(cell)

    def restore(self, key: str, value: bytes) -> bool:
        """Take a cell as it was written; False where it is of another kind."""
        if not key.startswith(self._prefix):
            return False
        self.of[key.removeprefix(self._prefix)] = self._read(value)
        return True


def fresh(cell: OwnCell, records: list[tuple[Record, Any]]) -> list[tuple[Record, Any]]:
    """The records of one partition, in their order, that the cell does not count yet; it does from now on."""
    if not records:
        return records
    if records[0][0].offset < cell.next:
        records = [pair for pair in records if pair[0].offset >= cell.next]
    if records:
        cell.next = records[-1][0].next_offset
    return records
