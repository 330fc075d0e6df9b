"""A plain recount of the log: each customer's windows by their definition, and what Redis says of them.

Computes nothing with the product's code. The blobs' layout is read here by hand, so that a fault of the packing cannot
hide behind the same fault of the unpacking.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import redis

from tests.e2e.outside import Place

DAY_MS = 86_400_000
HORIZON_MS = 30 * DAY_MS


@dataclass
class Windows:
    """One customer's payments in order of time, with the running sum of cents before each and after the last."""

    times: list[int] = field(default_factory=list)
    sums: list[int] = field(default_factory=lambda: [0])

    def add(self, time_ms: int, cents: int) -> None:
        assert not self.times or time_ms >= self.times[-1], "the sender sends in order"
        self.times.append(time_ms)
        self.sums.append(self.sums[-1] + cents)

    def count_and_mean(self, days: int) -> tuple[float, float]:
        """Of the payments in the `days` up to the newest, itself included; the mean in whole currency units."""
        start = bisect_right(self.times, self.times[-1] - days * DAY_MS)
        count = len(self.times) - start
        return float(count), (self.sums[-1] - self.sums[start]) / count / 100

    def recent(self) -> list[tuple[int, int]]:
        """Time and cents of the payments that a window can still see."""
        return recent(self.times, self.sums)


def recent(times: list[int], sums: list[int]) -> list[tuple[int, int]]:
    cents = [after - before for before, after in pairwise(sums)]
    return [(at, amount) for at, amount in zip(times, cents, strict=True) if at > times[-1] - HORIZON_MS]


def recount(
    inputs: Mapping[Place, bytes | None], predictions: Mapping[Place, Mapping[str, Any]]
) -> tuple[dict[str, Windows], list[str]]:
    """Each customer's windows at the log's end, and predictions whose windows are not what the log had then."""
    windows: dict[str, Windows] = {}
    wrong: list[str] = []
    for place in sorted(predictions):
        value = inputs[place]
        assert value is not None, f"payments/{place} is a tombstone and has a prediction"
        event = json.loads(value)
        mine = windows.setdefault(event["customer_id"], Windows())
        mine.add(event["time_ms"], event["amount_cents"])
        features = predictions[place]
        for days in (1, 7, 30):
            got = features[f"customer_count_{days}d"], features[f"customer_mean_{days}d"]
            if got != mine.count_and_mean(days):
                wrong.append(f"payments/{place}: {days} days are {got} instead of {mine.count_and_mean(days)}")
    return windows, wrong


def in_redis(url: str, partitions: Iterable[int]) -> tuple[dict[str, list[tuple[int, int]]], dict[int, int]]:
    """Every customer's recent payments as Redis has them, and up to which offset each partition is folded."""
    client: Any = redis.Redis.from_url(url)
    found: dict[str, list[tuple[int, int]]] = {}
    folded: dict[int, int] = {}
    for partition in partitions:
        tag = f"{{fraud/customer/{partition}}}"
        (key,) = client.scan_iter(match=f"\\{tag}/*/marker", count=100_000)  # of the one declaration
        marker = json.loads(client.get(key))
        folded[partition] = marker["next"]
        prefix = f"{tag}/{marker['build']}/".encode()
        for key in client.scan_iter(match=prefix.replace(b"{", b"\\{") + b"*", count=1000):
            found[key.removeprefix(prefix).decode()] = _unpacked(client.get(key)[8:])
    client.close()
    return found, folded


def _unpacked(body: bytes) -> list[tuple[int, int]]:
    """A letter for the width, the first time, the steps from it to each time, the sums before each amount and after."""
    width = {b"I": 4, b"q": 8}[body[:1]]
    (first,) = struct.unpack_from("<q", body, 1)
    count = (len(body) - 9) // width
    numbers = struct.unpack_from(f"<{count}{body[:1].decode()}", body, 9)
    half = count // 2
    return recent([first + step for step in numbers[:half]], list(numbers[half:]))
