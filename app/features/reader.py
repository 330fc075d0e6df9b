"""What a batch reads from Redis beside its own folded state: the form that every kind of lookup has.

A batch asks each reader what it lacks, reads all of it in one round trip together with the states, and gives each
reader what was found; until none lacks anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from app.contracts.admission import Admitted

Found = Sequence[Any]  # for each key its bytes or None; for each hash its fields so, or None where it is no hash


class Ask(NamedTuple):
    """Keys whose values are to be read; at one moment, if they are of one slot. With `fields`, the keys are hashes."""

    keys: Sequence[str | bytes]
    fields: Sequence[str] | None = None


class Reader(Protocol):
    """One lookup, as far as a worker has read it."""

    columns: tuple[str, ...]

    @property
    def held(self) -> int:
        """How much of it is in memory."""

    def begin(self) -> None:
        """A new batch: what was just read may be asked for again."""

    def asks(self, admitted: Sequence[Admitted]) -> list[Ask]:
        """What these events need and memory has not. Empty once all is there."""

    def take(self, found: Sequence[Found]) -> None:
        """One answer for each of the last asks, in their order."""

    def unread(self, admitted: Sequence[Admitted]) -> Iterable[Admitted]:
        """The events that cannot go on without what was asked for."""

    def hold(self, admitted: Sequence[Admitted]) -> dict[int, int]:
        """By partition, the first offset that must not be answered yet although Redis answered."""

    def read(self, event: Admitted) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """The event's row and the marks for what could not be exact. Only after all asks were answered."""

    def refresh(self, partitions: Iterable[int]) -> None:
        """Between batches, now and then; never raises Unavailable."""
