"""Interactions as records, made by hand, and whether MovieLens-100k and the model made from it are here."""

from __future__ import annotations

import msgspec
import pytest

from app.record import Record
from app.settings import PROJECT

DAY_MS = 86_400_000
NOON_MS = 1_522_584_000_000  # Sunday, 2018-04-01 12:00 UTC
TAKEN_MS = NOON_MS + DAY_MS  # when Kafka took the records
MODELS = PROJECT / "models"

needs_movielens = pytest.mark.skipif(
    not (MODELS / "recommendation" / "1" / "model.yaml").is_file(),
    reason="ops/setup could not fetch MovieLens-100k, whose licence keeps it out of the repository",
)


def interaction(number: int, *, user: str = "12", item: str = "i1", time_ms: int = NOON_MS) -> bytes:
    """An interaction's value."""
    return msgspec.json.encode({"interaction_id": str(number), "user_id": user, "item_id": item, "time_ms": time_ms})


def record(value: bytes | None, *, offset: int, partition: int = 0, user: str = "12") -> Record:
    return Record("interactions", partition, offset, TAKEN_MS, user.encode(), value, None)
