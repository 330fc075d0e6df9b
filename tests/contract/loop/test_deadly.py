"""Records that kill or hang whoever scores them are found, answered with a dead letter, and nothing else is."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from app.stream.supervisor import Event
from tests.contract.loop.deadly import WAYS
from tests.contract.loop.rig import Rig
from tests.contract.loop.supervised import Run

pytestmark = [pytest.mark.broker, pytest.mark.redis]

HANGS = {"hang", "hang-in-c"}


def send(rig: Rig, ways: list[str], *, customer: str = "3") -> None:
    """Payments of one customer that kill in these ways."""
    producer = Producer({"bootstrap.servers": rig.settings.kafka, "partitioner": "murmur2_random"})
    for way in ways:
        rig.clock_ms += 1000
        event = {
            "payment_id": f"{way}-{rig.sent}",
            "customer_id": customer,
            "terminal_id": way,
            "amount_cents": 100,
            "time_ms": rig.clock_ms,
        }
        producer.produce(rig.pipeline.source.name, json.dumps(event), customer)
        rig.sent += 1
    producer.flush(30)


def killers(rig: Rig) -> list[str]:
    """The ways of the payments that were answered with the letter for killers."""
    return sorted(
        json.loads(message.value())["terminal_id"]
        for message in rig.read(rig.pipeline.dead_letters)
        if dict(message.headers())["code"] == b"kills-worker"
    )


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_record_that_kills_its_worker_is_dead_lettered_alone(new_rig: Callable[..., Rig], way: str) -> None:
    rig = new_rig(score_deadline_s=2.0)
    rig.produce(300)
    send(rig, [way])
    rig.produce(300)
    run = Run(rig).finish()
    assert killers(rig) == [way]
    # Twice with its batch and once alone; what may have come from outside is tried alone once more.
    assert len(run.deaths) == (4 if way == "memory" else 3), run.deaths
    assert set(run.deaths) == {-signal.SIGALRM} or way not in HANGS
    rig.produce(100)
    Run(rig).finish()
    rig.check()


def test_many_killers_in_one_batch_cost_one_more_death_each(new_rig: Callable[..., Rig]) -> None:
    rig = new_rig(batch_records=1000)
    rig.produce(100)
    send(rig, ["exit"] * 6)
    rig.produce(100)
    run = Run(rig).finish()
    assert killers(rig) == ["exit"] * 6
    assert len(run.deaths) == 8, run.deaths


def test_a_worker_that_is_killed_from_outside_again_and_again_loses_no_record(rig: Rig) -> None:
    rig.produce(4000)
    run = Run(rig)
    left = [20]

    def kill(event: Event) -> None:
        if left[0] and event["records"]:
            left[0] -= 1
            pid = next(e["pid"] for e in reversed(run.events) if e["event"] == "worker" and e["slot"] == event["slot"])
            os.kill(pid, signal.SIGKILL)

    run.on["progress"] = kill
    run.finish()
    assert run.deaths
    assert killers(rig) == []
    rig.check()
