"""What an event takes of everybody: CPU of worker, broker and Redis, bytes in the log, on the wire, in Redis.

The figures that a plan for a larger machine park is reckoned from (ops/decisions/0002).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis

from app.local.stack import Stack
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from tests.bench.ground import Ground, Running
from tests.processes import cpu_s

EVENTS = 200_000
WARM = 40_000


@dataclass(frozen=True)
class Taken:
    """Totals so far: CPU seconds by process, bytes by topic, and what Redis counts."""

    cpu_s: dict[str, float]
    redis: dict[str, float]


def sizes(ground: Ground, _: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """One worker scores a backlog; its outcomes are folded before."""
    say(f"\nsizes: {EVENTS:,} payments, one worker, transactions of {ground.settings.batch_records}")
    ground.fold_outcomes(WARM + EVENTS)
    ground.fill(WARM + EVENTS)
    before = _in_log(ground)
    running = Running(ground)
    running.until(WARM)
    first, start, began = running.progress["records"], _taken(ground, running), time.monotonic()
    running.until(WARM + EVENTS)
    count, end, took = running.progress["records"] - first, _taken(ground, running), time.monotonic() - began
    running.stop()
    after = _in_log(ground)
    cpu = {name: (end.cpu_s[name] - start.cpu_s[name]) / count * 1e6 for name in end.cpu_s}
    of_redis = {name: (end.redis[name] - start.redis[name]) / count for name in end.redis}
    grown = {name: (after[name] - before.get(name, 0)) / (WARM + EVENTS) for name in after}
    inputs = {name: before[name] / (WARM + EVENTS) for name in (FRAUD.source.name, FRAUD_LABELS.source.name)}
    kept = _kept(ground)
    say(f"  {count / took:8,.0f} events/s")
    for name, value in cpu.items():
        say(f"  {value:8.1f} us CPU an event: {name}")
    for name, value in inputs.items():
        say(f"  {value:8.0f} bytes an event in the log of {name}")
    for name in (FRAUD.answering.name, "__consumer_offsets", "__transaction_state"):
        say(f"  {grown.get(name, 0.0):8.1f} bytes an event in the log of {name}")
    for name, value in of_redis.items():
        say(f"  {value:8.3f} {name} an event")
    say(f"  {kept['bytes_an_entity']:8.0f} bytes of Redis memory an entity, of {kept['entities']:,.0f} entities")
    return {"cpu_us": cpu, "bytes_in": inputs, "bytes_out": grown, "redis": of_redis, "state": kept,
            "events_per_s": count / took}  # fmt: skip


def _taken(ground: Ground, running: Running) -> Taken:
    servers = {server.name: server.pid for server in Stack(ground.settings.home).status() if server.pid is not None}
    cpu = {"worker": running.cpu_s()} | {name: cpu_s(pid) for name, pid in servers.items()}
    with redis.Redis.from_url(ground.settings.redis) as client:
        said: Any = client.info()
    return Taken(
        cpu,
        {
            "bytes to Redis": said["total_net_input_bytes"],
            "bytes from Redis": said["total_net_output_bytes"],
            "commands to Redis": said["total_commands_processed"],
        },
    )


def _in_log(ground: Ground) -> dict[str, float]:
    """Bytes of each topic's segments on the broker's disk."""
    found: dict[str, float] = {}
    for path in ground.settings.home.rglob("*.log"):
        topic, _, partition = path.parent.name.rpartition("-")
        if topic and partition.isdecimal():
            found[topic] = found.get(topic, 0.0) + path.stat().st_size
    return found


def _kept(ground: Ground) -> dict[str, float]:
    with redis.Redis.from_url(ground.settings.redis) as client:
        said: Any = client.info("memory")
        size: Any = client.dbsize()
    return {"entities": float(size), "bytes_an_entity": said["used_memory_dataset"] / size}
