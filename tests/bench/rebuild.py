"""How fast state is made anew from the log: by `features rebuild`, `features verify`, and a worker that lost it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import redis
from confluent_kafka import Producer

from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.replay.rebuild import rebuild as fold_anew
from app.replay.verify import verify
from app.simulate.events import label_events, payment_events
from tests.bench.ground import Ground, Running

EVENTS = 400_000


def rebuild(ground: Ground, _: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """The published simulation's first payments, and their outcomes."""
    result: dict[str, Any] = {}
    for pipeline, events in ((FRAUD_LABELS, label_events), (FRAUD, payment_events)):
        name, view = pipeline.name, pipeline.views[0]
        say(f"\nrebuild: {EVENTS:,} events of {pipeline.source.name}")
        _fill(ground, pipeline.source.name, events(ground.payments), EVENTS)
        ground.streaminfer("run", name, "--until-end")
        began, cpu = time.monotonic(), time.process_time()
        fold_anew(ground.settings, pipeline, view.name)
        rebuilt = EVENTS / (time.monotonic() - began), (time.process_time() - cpu) / EVENTS * 1e6
        began = time.monotonic()
        (verdict,) = verify(ground.settings, pipeline)
        assert verdict.ok, verdict.examples
        verified = EVENTS / (time.monotonic() - began)
        caught_up, cpu_us = _caught_up(ground, name)
        result[name] = {"rebuild": rebuilt[0], "cpu_us": rebuilt[1], "verify": verified, "worker": caught_up}
        say(
            f"  {rebuilt[0]:8,.0f}/s features rebuild ({rebuilt[1]:.1f} us CPU an event)\n"
            f"  {verified:8,.0f}/s features verify, over {verdict.entities:,} entities\n"
            f"  {caught_up:8,.0f}/s a worker that finds no state ({cpu_us:.1f} us CPU an event)"
        )
    return result


def _caught_up(ground: Ground, name: str) -> tuple[float, float]:
    """Events a second of a worker whose state is gone, from its first sign of life until all partitions are live."""
    with redis.Redis.from_url(ground.settings.redis) as client:
        client.flushall()
    running = Running(ground, name)
    while not running.progress.get("partitions"):
        time.sleep(0.005)
    began, cpu = time.monotonic(), running.cpu_s()
    while any(phase != "live" for phase in running.progress["partitions"].values()):
        time.sleep(0.005)
    took, cpu = time.monotonic() - began, running.cpu_s() - cpu
    running.stop()
    return EVENTS / took, cpu / EVENTS * 1e6


def _fill(ground: Ground, topic: str, events: Any, count: int) -> None:
    producer = Producer(
        {
            "bootstrap.servers": ground.settings.kafka,
            "partitioner": "murmur2_random",
            "linger.ms": 10,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    for i, (key, value) in zip(range(count), events, strict=False):
        producer.produce(topic, value, key)
        if i % 1000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0
