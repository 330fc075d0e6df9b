"""The features that an answer was made from, read off the answer itself: how answers are scored again as they were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from app.features.reader import Ask, Found

if TYPE_CHECKING:
    from app.contracts.admission import Admitted

FEATURES = "features"  # the field of an answer that shows what the model was given


@dataclass(frozen=True)
class Recorded:
    """Every feature of an answer, under the names that its contract gives them, in their order."""

    columns: tuple[str, ...]
    key: str = "event_id"
    name: str = "recorded"


class RecordedReader:
    """Needs nothing but the event, which is an old answer."""

    def __init__(self, lookup: Recorded) -> None:
        self.columns = lookup.columns

    @property
    def held(self) -> int:
        return 0

    def begin(self) -> None:
        """Nothing is kept from one batch to the next."""

    def asks(self, admitted: Sequence[Admitted]) -> list[Ask]:  # noqa: ARG002 - a reader's
        return []

    def take(self, found: Sequence[Found]) -> None:
        """Nothing was asked for."""

    def unread(self, admitted: Sequence[Admitted]) -> Iterable[Admitted]:  # noqa: ARG002 - a reader's
        return ()

    def hold(self, admitted: Sequence[Admitted]) -> dict[int, int]:  # noqa: ARG002 - a reader's
        return {}

    def read(self, event: Admitted) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        """The old answer's features and marks."""
        return msgspec.structs.astuple(event.event.features), tuple(event.event.marks)

    def refresh(self, partitions: Iterable[int]) -> None:
        """Nothing is told to anybody."""
