"""What a transaction costs by how many partitions it touches: the reason why a worker should not have too many.

A raw producer, transactions of the product's size, no consumer and no offsets: what is left is the broker's.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic

from app.local.stack import Stack
from tests.bench.ground import Ground
from tests.processes import cpu_s

TOUCHED = (1, 6, 25, 50, 100)
TRANSACTIONS, WARM = 100, 20
VALUE = b"x" * 700  # an answer's size


def commits(ground: Ground, _: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Transactions one after the other, over more and more partitions of one topic."""
    size = ground.settings.batch_records
    say(f"\ncommits: transactions of {size} records of {len(VALUE)} bytes, one after the other")
    ground.topics([NewTopic("touched", max(TOUCHED), 1)])
    producer = Producer({"bootstrap.servers": ground.settings.kafka, "transactional.id": "bench", "linger.ms": 0,
                         "retry.backoff.ms": 5, "retry.backoff.max.ms": 20})  # fmt: skip
    producer.init_transactions(60)
    result: dict[str, Any] = {}
    for touched in TOUCHED:
        for _warm in range(WARM):
            _transact(producer, size, touched)
        cpu_s = _broker_cpu_s(ground)
        took = [_transact(producer, size, touched) for _turn in range(TRANSACTIONS)]
        cpu_ms = (_broker_cpu_s(ground) - cpu_s) / TRANSACTIONS * 1000
        result[str(touched)] = {"ms": statistics.median(took) * 1000, "broker_cpu_ms": cpu_ms}
        say(
            f"  {touched:4} partitions: {statistics.median(took) * 1000:7.1f} ms a transaction, {cpu_ms:7.1f} ms of CPU"
        )
    few, many = result[str(TOUCHED[0])], result[str(TOUCHED[-1])]
    each = {name: (many[name] - few[name]) / (TOUCHED[-1] - TOUCHED[0]) for name in few}
    say(f"  each further partition: {each['ms']:.2f} ms, {each['broker_cpu_ms']:.2f} ms of the broker's CPU")
    return {**result, "each": each}


def _transact(producer: Producer, size: int, touched: int) -> float:
    began = time.monotonic()
    producer.begin_transaction()
    for i in range(size):
        producer.produce("touched", VALUE, partition=i % touched)
    producer.commit_transaction(60)
    return time.monotonic() - began


def _broker_cpu_s(ground: Ground) -> float:
    pid = next(server.pid for server in Stack(ground.settings.home).status() if server.name.startswith("kafka"))
    return cpu_s(pid or 0)
