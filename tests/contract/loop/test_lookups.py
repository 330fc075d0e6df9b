"""Lookups in every layout through a real Kafka, and a real Redis of either kind: features, marks, dead letters."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from app.stream.observe import Step
from tests.contract.loop.looking import LookingRig, looking_of

pytestmark = [pytest.mark.broker, pytest.mark.redis]


@pytest.fixture
def rig(kafka: str, server_url: str) -> Iterator[LookingRig]:
    tag = uuid.uuid4().hex[:8]
    # Rows are bad at random, and more of the records than any limit would let through.
    settings = Settings(kafka=kafka, redis=server_url, flush_every_s=0.2, batch_records=100, dead_letter_limit=1.0)
    rig = LookingRig(tag, settings, looking_of(tag))
    rig.make_topics()
    yield rig
    rig.stop()


def test_what_others_wrote_is_used_marked_or_refused_as_it_is_declared(rig: LookingRig, tmp_path: Path) -> None:
    expected = rig.write(tmp_path)
    rig.produce(1500)
    killed = rig.member(step=Step.FLUSHING, nth=2)
    assert killed.wait() == -signal.SIGKILL, killed.log
    rig.produce(500)
    member = rig.finish()
    seen = rig.check_lookups(expected)
    assert all(seen[word] > 20 for word in ("exact", "defaulted", "degraded", "stale", "missing")), seen
    rig.check()
    said = killed.log + member.log
    assert "is not a number of its type" in said
    assert "much" not in said
