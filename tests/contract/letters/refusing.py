"""A pipeline whose contract refused what it need not have, and the same pipeline mended; in a file of its own."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from app.record import Headers, Record
from app.replay.tail import tail
from app.settings import Settings
from tests.contract.cli.shell import Shell

DAY_MS = 86_400_000
START_MS = 1_522_540_831_000
PARTITIONS = 3
LIMIT = 10_000  # cents: a payment of more is refused by mistake

FILE = """
from dataclasses import replace
from typing import Annotated

from pydantic import Field, field_validator

from app import AsOf, EventFeatures
from app.pipelines.fraud import FRAUD, FRAUD_LABELS, of_payment
from schemas.payments import Payment

NAME = {name!r}


class Small(Payment):
    amount_cents: Annotated[int, Field(ge=0, le={limit})]


class Picky(Payment):
    @field_validator("amount_cents")
    @classmethod
    def small(cls, cents):
        if cents > {limit}:
            raise ValueError("too much")
        return cents


def failing_of(payment):
    if payment.amount_cents > {limit}:
        raise ValueError("too much")
    return of_payment(payment)


labels = replace(
    FRAUD_LABELS, name=f"{{NAME}}-labels", source=replace(FRAUD_LABELS.source, name=f"{{NAME}}.outcomes"), partitions=3
)
pipeline = replace(
    FRAUD,
    name=NAME,
    source=replace(FRAUD.source, name=f"{{NAME}}.payments"),
    answers=replace(FRAUD.answers, name=f"{{NAME}}.scored"),
    lookups=(AsOf(labels, "terminal", key="terminal_id"),),
    partitions=3,
)
refusing = replace(pipeline, source=replace(pipeline.source, model=Small))  # another contract, another state
picky = replace(pipeline, source=replace(pipeline.source, model=Picky))  # what no schema says
failing = replace(pipeline, event=EventFeatures(pipeline.event.columns, failing_of))
"""


class Refusing:
    """The pipeline's world: `mended` and `refusing` name its two declarations on the command line."""

    def __init__(self, shell: Shell, folder: Path, name: str) -> None:
        (folder / "own.py").write_text(FILE.format(name=name, limit=LIMIT))
        self.shell, self.name = shell, name
        self.mended, self.refusing = f"{folder}/own.py:pipeline", f"{folder}/own.py:refusing"
        self.picky, self.failing = f"{folder}/own.py:picky", f"{folder}/own.py:failing"
        self.source, self.scored, self.dead = f"{name}.payments", f"{name}.scored", f"{name}.payments.dead"
        endpoints = shell.stack.endpoints()
        assert endpoints is not None
        self.settings = Settings(kafka=endpoints.kafka, redis=endpoints.redis, home=shell.stack.home)
        self._random = random.Random(5)
        self._producer = Producer(
            {"bootstrap.servers": endpoints.kafka, "partitioner": "murmur2_random", "enable.idempotence": True}
        )
        self.clock_ms = START_MS
        self.sent = 0
        for variable in ("pipeline", "labels"):
            shell.run("topics", "apply", f"{folder}/own.py:{variable}")

    def produce(self, count: int, *, poison: float = 0.02) -> None:
        """Payments in order of time, none like another's; some records are none."""
        for _ in range(count):
            self.clock_ms += self._random.randrange(1, 100_000)
            customer = str(self._random.randrange(60))
            event = {
                "payment_id": str(self.sent),
                "customer_id": customer,
                "terminal_id": str(self._random.randrange(50)),
                "amount_cents": self._random.randrange(1, 40_000),
                "time_ms": self.clock_ms,
            }
            value: bytes | None = json.dumps(event).encode()
            if self._random.random() < poison:
                value = self._random.choice([b"{", None])
            self._producer.produce(self.source, value, customer, headers=[("source", b"mine/7/7"), ("attempt", b"9")])
            self._producer.poll(0)
            self.sent += 1
        assert self._producer.flush(30) == 0

    def put(self, topic: str, value: bytes | None, headers: Headers, *, like: Record | None = None) -> None:
        """One record as anybody may write it; with a key and in a partition `like` another one."""
        key, partition = (b"1", 0) if like is None else (like.key, like.partition)
        self._producer.produce(topic, value, key, partition, headers=list(headers))
        assert self._producer.flush(30) == 0

    def run(self, pipeline: str) -> None:
        self.shell.run("run", pipeline, "--until-end", "--dead-letter-limit", "1", "--observe", "off")

    def records(self, topic: str) -> list[Record]:
        return [record for batch in tail(self.settings, topic, start="beginning", until_end=True) for record in batch]

    def audited(self, code: int = 0) -> dict[str, int]:
        found: dict[str, int] = self.shell.json("audit", self.mended, code=code)
        return found


def told(record: Record) -> dict[str, str]:
    """The last header of each name."""
    return {name: (value or b"").decode() for name, value in record.headers or []}


def check_mended_windows(inputs: Iterable[Record], predictions: dict[str, dict[str, Any]]) -> None:
    """Each prediction's windows as a plain recount has them.

    What the first contract takes was answered live: the payments up to its own count that it takes. What it refused was
    answered by the mended contract's state, as of its own time: all payments until then count.
    """
    events: dict[str, list[tuple[Record, int, int]]] = defaultdict(list)
    for record in sorted(inputs, key=lambda record: (record.partition, record.offset)):
        if (record.value or b"{") != b"{":
            event = json.loads(record.value or b"")
            events[event["customer_id"]].append((record, event["time_ms"], event["amount_cents"]))
    assert sum(map(len, events.values())) == len(predictions)
    for mine in events.values():
        for place, (record, time_ms, amount) in enumerate(mine):
            known = mine if amount > LIMIT else [one for one in mine[: place + 1] if one[2] <= LIMIT]
            features = predictions[record.source.decode()]["features"]
            for days in (1, 7, 30):
                cents = [c for _, at, c in known if time_ms - days * DAY_MS < at <= time_ms]
                assert features[f"customer_count_{days}d"] == len(cents), (record.source, days)
                assert features[f"customer_mean_{days}d"] == sum(cents) / len(cents) / 100, record.source


def check_windows(
    inputs: Iterable[Record],
    predictions: dict[str, dict[str, Any]],
    counts: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> None:
    """Each prediction's windows, as a plain recount of the payments that count up to its own has them, and its own."""
    windows: dict[str, list[tuple[int, int]]] = defaultdict(list)
    seen = 0
    for record in sorted(inputs, key=lambda record: (record.partition, record.offset)):
        if (record.value or b"{") == b"{":
            continue
        event = json.loads(record.value or b"")
        mine = windows[event["customer_id"]]
        now = (event["time_ms"], event["amount_cents"])
        known = [*mine, now]
        if counts(event):
            mine.append(now)
        features = predictions[record.source.decode()]["features"]
        for days in (1, 7, 30):
            cents = [c for at, c in known if event["time_ms"] - days * DAY_MS < at <= event["time_ms"]]
            assert features[f"customer_count_{days}d"] == len(cents), (record.source, days)
            assert features[f"customer_mean_{days}d"] == sum(cents) / len(cents) / 100, record.source
        seen += 1
    assert seen == len(predictions)
