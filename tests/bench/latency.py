"""From the moment a payment was meant to be sent to the moment an outside reader has its committed prediction."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Producer

from tests.bench.ground import Ground, Running

RATE = 1000
WARM_S = 5  # not counted
READER = """
import json, sys, time
from confluent_kafka import Consumer, TopicPartition
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "outside", "isolation.level": "read_committed",
                     "enable.auto.commit": False, "auto.offset.reset": "error", "fetch.wait.max.ms": 100})
ends = [consumer.get_watermark_offsets(TopicPartition("payments.scored", p), 10)[1] for p in range(6)]
consumer.assign([TopicPartition("payments.scored", p, end) for p, end in enumerate(ends)])
consumer.consume(1, 1.0)
print("ready", flush=True)
want, seen = int(sys.argv[2]), []
deadline = time.monotonic() + want / 1000 * 2 + 60
while len(seen) < want and time.monotonic() < deadline:
    for message in consumer.consume(1, 0.2) + consumer.consume(1000, 0):
        seen.append((json.loads(message.value())["event_id"], time.time()))
print(json.dumps(seen))
"""


def latency(ground: Ground, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Open loop: event i is due at i/rate, and is late from then on, whoever holds it up."""
    import json

    count = RATE * (options.seconds + WARM_S)
    say(f"\nlatency: {RATE:,} events/s for {options.seconds} s, intended send time to an outside reader")
    ground.fold_outcomes(count)
    running = Running(ground)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, ground.settings.kafka, str(count)], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    while not running.progress.get("partitions"):
        time.sleep(0.05)
    assert reader.stdout.readline().strip() == "ready"
    due = _send(ground, count)
    seen = json.loads(reader.stdout.readline())
    running.stop()
    reader.wait()
    late_ms = sorted((at - due[event]) * 1000 for event, at in seen if due[event] >= min(due.values()) + WARM_S)
    quantiles = statistics.quantiles(late_ms, n=100)
    result = {"p50_ms": quantiles[49], "p95_ms": quantiles[94], "p99_ms": quantiles[98], "max_ms": late_ms[-1]}
    say("  " + ", ".join(f"{name[:-3]} {value:.1f} ms" for name, value in result.items()) + f"; {len(seen):,} read")
    return result


def _send(ground: Ground, count: int) -> dict[str, float]:
    producer = Producer({"bootstrap.servers": ground.settings.kafka, "partitioner": "murmur2_random", "linger.ms": 0})
    due: dict[str, float] = {}
    start = time.time() + 0.1
    for i, (key, value) in enumerate(ground.events(count)):
        at = start + i / RATE
        due[value.split(b'"', 4)[3].decode()] = at
        while (left := at - time.time()) > 0:
            time.sleep(left)
        producer.produce("payments", value, key)
        producer.poll(0)
    producer.flush(30)
    return due
