"""A producer of payments, paced, in a process of its own: `python -m tests.e2e.sender KAFKA COUNT RATE SEED FILE`.

Knows nothing of the product but the wire. What the broker confirmed goes to FILE as pairs of int64, partition and
offset: the set that must be answered.
"""

from __future__ import annotations

import random
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

CUSTOMERS = 400
TERMINALS = 200
FIRST_MS = 1_522_540_800_000
SPAN_MS = 60 * 86_400_000  # twice the longest window, so that windows end as well as begin
POISON = 0.005
TICK = 5  # records between two looks at the clock: a steady stream keeps a transaction open nearly always


def payments(count: int, seed: int) -> Iterator[tuple[str, bytes | None]]:
    """Keys and values. Every customer pays now and then, in order; one record in two hundred is no payment."""
    plan = random.Random(seed)
    for i in range(count):
        customer = str(plan.randrange(CUSTOMERS))
        time_ms = FIRST_MS + i * SPAN_MS // count
        cents = int(plan.lognormvariate(8.0, 1.0)) + 1
        value = (
            f'{{"payment_id":"{i}","customer_id":"{customer}","terminal_id":"{plan.randrange(TERMINALS)}",'
            f'"amount_cents":{cents},"time_ms":{time_ms}}}'
        ).encode()
        yield customer, _poisoned(value, plan) if plan.random() < POISON else value


def _poisoned(value: bytes, plan: random.Random) -> bytes | None:
    return plan.choice(
        [
            None,
            b"",
            b"\xff\xfe" + value,
            value[: plan.randrange(1, len(value))],
            value.replace(b'"amount_cents":', b'"amount_cents":"', 1).replace(b',"time_ms"', b'","time_ms"', 1),
            value.replace(b'"customer_id"', b'"customer"', 1),
            b"[" + value + b"]",
        ]
    )


def send(kafka: str, *, count: int, rate: int, seed: int) -> array[int]:
    """Send `count` payments, `rate` a second. Gives partition and offset of each, one behind the other."""
    placed: array[int] = array("q")

    def delivered(error: object, message: Any) -> None:
        assert error is None, error
        placed.extend((message.partition(), message.offset()))

    producer = Producer(
        {
            "bootstrap.servers": kafka,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": 1,
            "on_delivery": delivered,
        }
    )
    began = time.monotonic()
    for i, (key, value) in enumerate(payments(count, seed)):
        producer.produce("payments", value, key)
        if i % TICK == 0:
            producer.poll(0)
            time.sleep(max(0.0, began + i / rate - time.monotonic()))
    assert producer.flush(60) == 0
    return placed


if __name__ == "__main__":
    kafka, count, rate, seed, file = sys.argv[1:]
    sent = send(kafka, count=int(count), rate=int(rate), seed=int(seed))
    Path(file).write_bytes(sent.tobytes())
