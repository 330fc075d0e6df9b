"""The dead-letter limit ends a run before the batch that passes it is committed; who accepts them goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from tests.contract.loop.rig import Rig
from tests.contract.loop.supervised import Run

pytestmark = [pytest.mark.broker, pytest.mark.redis]


def bad(rig: Rig, count: int) -> None:
    """What a bad deploy of a producer sends: one customer's payments without their amounts."""
    producer = Producer({"bootstrap.servers": rig.settings.kafka, "partitioner": "murmur2_random"})
    for _ in range(count):
        producer.produce(rig.pipeline.source.name, b'{"payment_id":"1","customer_id":"1","terminal_id":"1"}', "1")
        rig.sent += 1
    producer.flush(30)


def test_a_bad_deploy_ends_the_run_before_its_records_are_committed(new_rig: Callable[..., Rig]) -> None:
    rig = new_rig(dead_letter_limit=0.05)
    rig.produce(1000, poison=False)
    Run(rig).finish()
    bad(rig, 400)
    run = Run(rig).run()
    assert run.code == 1
    assert "of them" in run.failure
    assert "validate/missing-field" in run.failure
    assert run.starts == 1  # a restart would not help
    assert list(rig.read(rig.pipeline.dead_letters)) == []
    rig.settings = rig.settings.model_copy(update={"accept_dead_letters": 150})
    run = Run(rig).run()
    assert run.code == 1
    assert 0 < len(list(rig.read(rig.pipeline.dead_letters))) <= 150
    rig.settings = rig.settings.model_copy(update={"accept_dead_letters": 400})
    Run(rig).finish()
    rig.check()
