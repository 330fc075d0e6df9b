"""What is an event and what is not, by the contracts as they are written for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message

TIMES = range(946_684_800_000, 4_102_444_800_000)  # 2000 to 2100
CENTS = range(10**12 + 1)
AHEAD_MS = 3_600_000  # of the time at which Kafka took the record


@dataclass(frozen=True)
class Contract:
    """Which fields an event has and of what kind, which of them is the key, and which the time."""

    key: str
    time: str
    fields: Mapping[str, str]


CONTRACTS = {
    "payments": Contract(
        "customer_id",
        "time_ms",
        {"payment_id": "id", "customer_id": "id", "terminal_id": "id", "amount_cents": "cents", "time_ms": "time"},
    ),
    "payments.labels": Contract(
        "terminal_id",
        "known_at_ms",
        {"payment_id": "id", "terminal_id": "id", "payment_time_ms": "time", "known_at_ms": "time", "fraud": "bool"},
    ),
    "interactions": Contract(
        "user_id", "time_ms", {"interaction_id": "id", "user_id": "id", "item_id": "id", "time_ms": "time"}
    ),
}


def event(message: Message, topic: str, width: int) -> dict[str, Any] | None:
    """The event, or None for a record that is none."""
    contract, value, key = CONTRACTS[topic], message.value(), message.key()
    if not isinstance(value, bytes) or not isinstance(key, bytes):
        return None
    try:
        found = json.loads(value.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(_is(found.get(name), kind) for name, kind in contract.fields.items()):
        return None
    if found[contract.key].encode() != key or place(key, width) != message.partition():
        return None
    return found if found[contract.time] <= message.timestamp()[1] + AHEAD_MS else None


def _is(value: object, kind: str) -> bool:
    if kind == "id":
        return isinstance(value, str) and 1 <= len(value) <= 64
    if kind == "bool":
        return isinstance(value, bool)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and value in (CENTS if kind == "cents" else TIMES)


def place(key: bytes, width: int) -> int:
    """The partition of a key, as Kafka's own producers place it: murmur2, of which the sign is dropped."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(key)) & mask
    whole = len(key) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if whole < len(key):
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return ((h ^ h >> 15) & 0x7FFFFFFF) % width
