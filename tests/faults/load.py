"""Steady senders: payments, their outcomes ahead of them, and interactions. Knows nothing of the product but the wire.

Event time runs ahead of the clock: a third of a day each second, so that windows of thirty days begin and end within
minutes. Outcomes are six days ahead of payments, which is twenty seconds: longer than most faults last, so that nearly
every payment finds them.
"""

from __future__ import annotations

import json
import random
import threading
import time
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer

DAY_MS = 86_400_000
FIRST_MS = 1_522_540_800_000
DAYS_A_SECOND = 0.3
LEAD_MS = 6 * DAY_MS
BEFORE_MS = 37 * DAY_MS  # as far as terminals are looked back on
DELAY_MS = 7 * DAY_MS
POISON = 0.005
STRAY = 0.002  # records in a partition that their key does not belong to
LATE = 0.01
FILMS = 1_200
TICK_S = 0.01

Record = tuple[str, bytes | None, int | None]  # key, value, and the partition where it is a wrong one


@dataclass(frozen=True)
class Rates:
    """Records a second."""

    payments: int = 120
    outcomes: int = 60
    interactions: int = 40
    customers: int = 300
    terminals: int = 150
    people: int = 120


def payments(rates: Rates, draw: random.Random) -> Iterator[Record]:
    """Every customer pays now and then; some payments come late, some far too late."""
    for i, time_ms in enumerate(_times(FIRST_MS, rates.payments)):
        late_ms = draw.randrange(0, 3 * 3_600_000) if draw.random() < LATE else 0
        customer = str(draw.randrange(rates.customers))
        event = {
            "payment_id": f"p{i}",
            "customer_id": customer,
            "terminal_id": str(draw.randrange(rates.terminals)),
            "amount_cents": int(draw.lognormvariate(8.0, 1.0)) + 1,
            "time_ms": time_ms - late_ms,
        }
        yield _spoiled(customer, event, draw)


def outcomes(rates: Rates, draw: random.Random) -> Iterator[Record]:
    """Known seven days after the payment, a few of them much later; some are told twice, and not always the same."""
    last: dict[str, dict[str, Any]] = {}
    for i, known_ms in enumerate(_times(FIRST_MS - BEFORE_MS, rates.outcomes)):
        terminal = str(draw.randrange(rates.terminals))
        slow_ms = draw.randrange(0, 20 * DAY_MS) if draw.random() < 0.02 else 0
        event = {
            "payment_id": f"o{i}",
            "terminal_id": terminal,
            "payment_time_ms": known_ms - DELAY_MS - slow_ms,
            "known_at_ms": known_ms,
            "fraud": draw.random() < 0.1,
        }
        if terminal in last and draw.random() < 0.02:
            event = {**last[terminal], "known_at_ms": known_ms, "fraud": draw.random() < 0.5}
        last[terminal] = event
        yield _spoiled(terminal, event, draw)


def interactions(rates: Rates, draw: random.Random) -> Iterator[Record]:
    """Well known films more often than others, and some that no model knows."""
    for i, time_ms in enumerate(_times(FIRST_MS, rates.interactions)):
        person = str(draw.randrange(rates.people))
        film = f"x{draw.randrange(50)}" if draw.random() < 0.03 else str(1 + int(FILMS * draw.random() ** 2))
        late_ms = draw.randrange(0, 3 * 3_600_000) if draw.random() < LATE else 0
        event = {"interaction_id": f"i{i}", "user_id": person, "item_id": film, "time_ms": time_ms - late_ms}
        yield _spoiled(person, event, draw)


def _times(first_ms: int, rate: int) -> Iterator[int]:
    step, i = DAYS_A_SECOND * DAY_MS / rate, 0
    while True:
        yield first_ms + int(i * step)
        i += 1


def _spoiled(key: str, event: dict[str, Any], draw: random.Random) -> Record:
    value = json.dumps(event, separators=(",", ":")).encode()
    if draw.random() < STRAY:
        return key, value, draw.randrange(6)
    if draw.random() >= POISON:
        return key, value, None
    name = next(iter(event)).encode()
    kinds = [None, b"", b"\xff\xfe" + value, value[: draw.randrange(1, len(value))], b"[" + value + b"]"]
    kinds += [value.replace(b'"%b"' % name, b'"another"'), value.replace(b'_ms":', b'_ms":"', 1).replace(b"}", b'"}')]
    return key, draw.choice(kinds), None


@dataclass
class Sent:
    """What Kafka confirmed of one partition, in order: offsets, and when the broker took them."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    times_ms: array[int] = field(default_factory=lambda: array("q"))

    def since(self, time_ms: int) -> int | None:
        """The first offset that was taken at or after this time."""
        place = bisect_left(self.times_ms, time_ms)
        return self.offsets[place] if place < len(self.offsets) else None


STREAMS: dict[str, tuple[Callable[[Rates, random.Random], Iterator[Record]], Callable[[Rates], int], float]] = {
    "payments": (payments, lambda rates: rates.payments, 0.0),
    "payments.labels": (
        outcomes,
        lambda rates: rates.outcomes,
        (BEFORE_MS + LEAD_MS) / DAY_MS / DAYS_A_SECOND,
    ),
    "interactions": (interactions, lambda rates: rates.interactions, 0.0),
}


class Load:
    """Sends until it is stopped. `sent[topic][partition]` grows meanwhile; `hold(topic)` lets one stream rest."""

    def __init__(self, kafka: str, rates: Rates, seed: int) -> None:
        self.sent: dict[str, dict[int, Sent]] = {topic: defaultdict(Sent) for topic in STREAMS}
        self.failed: list[str] = []
        self.behind_s = 0.0
        self._rates = rates
        self._streams = {
            topic: iter(make(rates, random.Random(f"{seed}-{topic}"))) for topic, (make, _, _) in STREAMS.items()
        }
        self._gone = dict.fromkeys(STREAMS, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 2,
                "log_level": 0,
            }
        )

    def ahead(self) -> None:
        """Send what lies before the beginning: outcomes of the weeks before."""
        for topic, (_, rate, lead_s) in STREAMS.items():
            self._advance(topic, int(lead_s * rate(self._rates)))
        self._producer.flush(60)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when all that was sent is confirmed. Raises TimeoutError where Kafka does not confirm it."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(30)
        if self._producer.flush(120):
            raise TimeoutError("Kafka does not confirm what was sent.")

    def total(self, topic: str) -> int:
        return sum(len(of.offsets) for of in list(self.sent[topic].values()))

    def _send(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(TICK_S):
            for topic, (_, rate, lead_s) in STREAMS.items():
                self._advance(topic, int((time.monotonic() - began + lead_s) * rate(self._rates)))

    def _advance(self, topic: str, until: int) -> None:
        while self._gone[topic] < until:
            key, value, partition = next(self._streams[topic])
            while True:
                try:
                    self._producer.produce(topic, value, key, -1 if partition is None else partition, self._delivered)
                    break
                except BufferError:  # a Kafka that is away: what is due waits
                    if self._stop.is_set():
                        return
                    self._producer.poll(0.1)
            self._gone[topic] += 1
        self._producer.poll(0)

    def _delivered(self, error: object, message: Any) -> None:
        if error is not None:
            self.failed.append(str(error))
            return
        sent = self.sent[message.topic()][message.partition()]
        sent.times_ms.append(message.timestamp()[1])
        sent.offsets.append(message.offset())
