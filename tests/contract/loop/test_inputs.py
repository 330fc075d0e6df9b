"""What the input's own transactions do to the loop."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from tests.contract.loop.rig import Rig, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]


def transactional(rig: Rig) -> Producer:
    """Somebody who writes the input in transactions."""
    producer = Producer(
        {
            "bootstrap.servers": rig.settings.kafka,
            "transactional.id": f"outside-{rig.tag}",
            "partitioner": "murmur2_random",
        }
    )
    producer.init_transactions(30)
    return producer


def offer(rig: Rig, producer: Producer, count: int) -> None:
    producer.begin_transaction()
    for i in range(count):
        customer = str(i % 7)
        value = (
            f'{{"payment_id":"x{i}","customer_id":"{customer}","terminal_id":"1","amount_cents":100000,'
            f'"time_ms":{rig.clock_ms}}}'
        )
        producer.produce(rig.pipeline.source.name, value, customer)


def test_records_of_an_aborted_transaction_are_not_answered_and_do_not_hide_the_end(rig: Rig) -> None:
    rig.produce(300)
    producer = transactional(rig)
    offer(rig, producer, 100)
    producer.flush(30)  # an abort drops what was not sent
    producer.abort_transaction(30)
    rig.produce(300)
    offer(rig, producer, 100)
    producer.flush(30)
    producer.abort_transaction(30)  # the log ends with what nobody can read
    rig.finish()
    rig.check()


def test_records_of_an_open_transaction_wait_for_its_end(rig: Rig) -> None:
    rig.produce(300)
    producer = transactional(rig)
    offer(rig, producer, 100)
    producer.flush(30)
    member = rig.member()
    wait_for("what is committed to be scored", lambda: member.progress["records"] == 300)
    producer.commit_transaction(30)
    rig.sent += 100
    wait_for("the rest to be scored", lambda: member.progress["records"] == 400)
    assert member.end() == 0
    rig.finish()
    rig.check()
