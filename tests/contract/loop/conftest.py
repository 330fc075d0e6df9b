"""A rig for each test, and no process left of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from app.settings import Settings
from tests.contract.loop.rig import Rig, pipeline_of


@pytest.fixture
def new_rig(kafka: str, redis_url: str) -> Iterator[Callable[..., Rig]]:
    """Makes a rig, with more partitions where it is `wide`; settings may be given by name."""
    rigs: list[Rig] = []

    def make(*, wide: bool = False, **settings: object) -> Rig:
        tag = "wide-" * wide + uuid.uuid4().hex[:8]
        values = {
            "kafka": kafka,
            "redis": redis_url,
            "flush_every_s": 0.2,
            "batch_records": 100,
            "dead_letter_limit": 1.0,  # a rig's payments are bad at random
            **settings,
        }
        rig = Rig(tag, Settings(**values), pipeline_of(tag))  # type: ignore[arg-type]
        rig.make_topics()
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        rig.stop()


@pytest.fixture
def rig(new_rig: Callable[..., Rig]) -> Rig:
    return new_rig()
