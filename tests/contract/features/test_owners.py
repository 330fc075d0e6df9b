"""Whatever happens to owners: the state is a fold of the log up to the marker, and every row equals a recount."""

from __future__ import annotations

import uuid
from random import Random

import pytest
import redis

from app.contracts.admission import Admitted
from app.features import held as held_room
from tests.contract.features.owners import Life, MortalStore, Sent, live, written

pytestmark = pytest.mark.redis


def drawn(seed: int) -> tuple[list[Admitted], list[Life]]:
    """A log of a few customers, mostly in order, and owners of whom most die with a flush half written."""
    chance = Random(seed)
    log = [Sent(chance.randrange(7), chance.choice((0, 1, 3, 10, 30, -5, -20, -21))) for _ in range(40)]
    lives = [
        Life(
            batches=[chance.randint(0, 12) for _ in range(chance.randint(1, 3))],
            left=chance.randint(0, 4),
            zombie_at=chance.randint(0, 5),
            failover_at=chance.randint(0, 10),
            known=chance.randint(0, 6),
        )
        for _ in range(chance.randint(2, 6))
    ]
    return written(log), lives


@pytest.mark.parametrize("seeds", [range(first, first + 50) for first in range(0, 200, 50)], ids=str)
def test_whoever_dies_wherever_in_a_flush_every_row_is_right_and_no_event_counts_twice(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, seeds: range
) -> None:
    monkeypatch.setattr(held_room, "SLICE", 2)
    for seed in seeds:
        log, lives = drawn(seed)
        live(MortalStore(client, f"test-{uuid.uuid4().hex[:12]}"), log, lives)
