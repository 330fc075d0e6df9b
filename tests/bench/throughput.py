"""Events a second of one worker with everything on, against a raw transactional copy of the same topic."""

from __future__ import annotations

import argparse
import queue
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.cimpl import NewTopic

from app.pipelines.fraud import FRAUD
from tests.bench.ground import Ground, Running

WARM = 40_000  # events that are not counted: imports, the first fetches, the first loads of state


def throughput(ground: Ground, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Rounds of both, one after the other, on the same input; medians and the ratio round by round."""
    size = ground.settings.batch_records
    say(f"\nthroughput: one worker, {options.events:,} events a round, transactions of {size}")
    ground.topics([NewTopic("copied", FRAUD.partitions, 1)])
    ground.fold_outcomes(options.rounds * (WARM + options.events))
    rounds = []
    for i in range(options.rounds):
        scored, cpu_us = score(ground, options.events, i)
        copied = _copy(ground, options.events, i)
        rounds.append({"scored": scored, "copied": copied, "ratio": scored / copied, "cpu_us": cpu_us})
        say(f"  round {i + 1}: {scored:8,.0f}/s scored, {cpu_us:5.1f} us CPU an event; {copied:8,.0f}/s copied; "
            f"ratio {scored / copied:.2f}")  # fmt: skip
    median = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    say(f"  median : {median['scored']:8,.0f}/s scored, {median['cpu_us']:5.1f} us CPU an event; "
        f"{median['copied']:8,.0f}/s copied; ratio {median['ratio']:.2f}")  # fmt: skip
    return {"median": median, "rounds": rounds}


def score(ground: Ground, events: int, i: int) -> tuple[float, float]:
    """Events a second of a worker in round `i`, and CPU microseconds an event."""
    ground.fill(WARM + events, skip=i * (WARM + events))
    return rate(Running(ground), events)


def rate(running: Running, events: int) -> tuple[float, float]:
    """Events a second from the first commit after the warm-up to the last, and CPU microseconds an event."""
    running.until(WARM)
    first, cpu, began = running.progress["records"], running.cpu_s(), time.monotonic()
    running.until(WARM + events)
    count = running.progress["records"] - first
    result = count / (time.monotonic() - began), (running.cpu_s() - cpu) / count * 1e6
    running.stop()
    return result


def _copy(ground: Ground, events: int, i: int) -> float:
    """The bare loop: consume, produce the same bytes, send offsets, commit; two producers in turn on a thread."""
    kafka, size = ground.settings.kafka, ground.settings.batch_records
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"copy-{i}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe(["payments"])
    batches: queue.Queue[tuple[list[Any], Any] | None] = queue.Queue(1)
    thread = threading.Thread(target=_commit_all, args=(kafka, f"copy-{i}", batches))
    thread.start()
    seen, first, began = 0, 0, 0.0
    while seen < WARM + events:
        messages = consumer.consume(1, 1.0)
        messages += consumer.consume(size - 1, 0)
        if messages:
            batches.put((messages, consumer.consumer_group_metadata()))
        seen += len(messages)
        if not began and seen >= WARM:
            first, began = seen, time.monotonic()
    batches.put(None)
    thread.join()
    took = time.monotonic() - began
    consumer.close()
    return (seen - first) / took


def _commit_all(kafka: str, name: str, batches: queue.Queue[tuple[list[Any], Any] | None]) -> None:
    producers = []
    for turn in "ab":
        producer = Producer(
            {
                "bootstrap.servers": kafka,
                "transactional.id": f"{name}.{turn}",
                "linger.ms": 0,
                "retry.backoff.ms": 5,
                "delivery.report.only.error": True,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        producer.init_transactions(30)
        producers.append(producer)
    n = 0
    while (batch := batches.get()) is not None:
        messages, group = batch
        producer, n = producers[n % 2], n + 1
        producer.begin_transaction()
        offsets: dict[int, int] = {}
        for message in messages:
            producer.produce("copied", message.value(), message.key())
            offsets[message.partition()] = message.offset() + 1
        places = [TopicPartition("payments", p, offset) for p, offset in offsets.items()]
        producer.send_offsets_to_transaction(places, group, 30)
        producer.commit_transaction(30)
