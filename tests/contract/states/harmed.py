"""Two pipelines under harm: one that scores, one that only folds. Both are checked the same way after each harm."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, cast

import redis
from confluent_kafka import Producer

from app.local.leash import Leash
from app.local.stack import Stack
from app.replay.log import Log
from app.replay.verify import Verdict, verify
from app.settings import Settings
from app.stream.topics import Topics
from tests.contract.loop.rig import DAY_MS, Rig, pipeline_of, wait_for
from tests.contract.loop.servers import server


class Harmed(Rig):
    """A rig whose state can be compared with the log."""

    def verdict(self, *, one_in: int = 1) -> Verdict:
        (found,) = verify(self.settings, self.pipeline, one_in=one_in)
        return found

    def check_all(self) -> None:
        """No answer wrong, doubled or lost, and no state but as the log says."""
        self.check()
        found = self.verdict()
        assert (found.differences, found.not_folded, found.unjudged) == (0, [], 0), found.examples
        assert found.partitions == self.pipeline.partitions
        assert found.entities == self.entities()

    def entities(self) -> int:
        """How many there are with an event: what is no event here is short."""
        events = (m for m in self.read(self.pipeline.source.name) if len(m.value() or b"") > 40)
        return len({message.key() for message in events})

    def done(self) -> bool:
        """Whether the group has committed all that is there."""
        committed = self._log.committed(self.pipeline.source.name, list(range(self.pipeline.partitions)))
        assert all(member.process.poll() in (None, 0, -signal.SIGKILL) for member in self.members), self.members[-1].log
        return all(committed[p] == end for p, end in self.ends().items())

    @contextlib.contextmanager
    def load(self) -> Iterator[None]:
        """Records come in, one lot after the other, as long as this lasts."""
        ending = threading.Event()

        def send() -> None:
            while not ending.is_set():
                self.produce(50)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            yield
        finally:
            ending.set()
            sender.join()

    @cached_property
    def _log(self) -> Log:
        return Log(self.settings, self.pipeline.name, patience_s=20.0)


class HarmedLabels(Harmed):
    """Outcomes of payments at terminals, `customers` of them; some come twice, some contradict, some are no events."""

    def produce(self, count: int, *, poison: bool = True) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka, "partitioner": "murmur2_random"})
        for _ in range(count):
            self.clock_ms += self._random.randrange(0, 200_000)
            number = self.sent if self._random.random() < 0.95 else self._random.randrange(self.sent + 1)
            terminal = str(number % self.customers)
            event = {
                "payment_id": str(number),
                "terminal_id": terminal,
                "payment_time_ms": self.clock_ms - self._random.choice([7, 7, 7, 30]) * DAY_MS,
                "known_at_ms": self.clock_ms,
                "fraud": self._random.random() < 0.1,
            }
            value: bytes | None = json.dumps(event).encode()
            if poison and self._random.random() < 0.02:
                value = self._random.choice([b"{", None])
            producer.produce(self.pipeline.source.name, value, terminal)
            self.sent += 1
            producer.poll(0)
        assert producer.flush(30) == 0

    def check(self) -> None:
        """Each record that is no event has one dead letter, and no other has any."""
        inputs = {(m.partition(), m.offset()): m.value() for m in self.read(self.pipeline.source.name)}
        assert len(inputs) == self.sent
        letters = [_source(message) for message in self.read(self.pipeline.dead_letters)]
        assert sorted(letters) == sorted(at for at, value in inputs.items() if value in (b"{", None))


def rig_on(stack: Stack, kind: str, **settings: Any) -> Harmed:
    endpoints = stack.endpoints()
    assert endpoints is not None
    tag = {"fraud": "", "fraud-labels": "labels-"}[kind] + uuid.uuid4().hex[:8]
    values: dict[str, Any] = {
        "kafka": endpoints.kafka,
        "redis": endpoints.redis,
        "home": stack.home,
        "session_timeout_ms": 2000,
    }
    # Records are bad at random, and a small batch may have more of them than the limit lets through.
    values |= {"flush_every_s": 0.2, "batch_records": 100, "redis_timeout_s": 0.5, "dead_letter_limit": 1.0} | settings
    made = (HarmedLabels if kind == "fraud-labels" else Harmed)(tag, Settings(**values), pipeline_of(tag))
    made.make_topics()
    Topics(made.settings).await_leaders([spec.name for spec in made.pipeline.topics()])
    return made


def restart_redis_empty(stack: Stack, leash: Leash) -> None:
    """Its machine is gone, and another takes its place."""
    os.kill(server(stack, "redis"), signal.SIGKILL)
    wait_for("Redis' end", lambda: not all(found.alive for found in stack.status()))
    shutil.rmtree(stack.home / "redis" / "data")
    stack.up(leash=leash)


class Copy:
    """All that one Redis holds now, to be put back."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        keys = cast("list[bytes]", list(self._client.scan_iter(count=10_000)))
        self._values = {key: cast("bytes", self._client.dump(key)) for key in keys}

    def restore(self) -> None:
        with self._client.pipeline(transaction=True) as all_at_once:
            all_at_once.flushall()
            for key, value in self._values.items():
                all_at_once.restore(key, 0, value)
            all_at_once.execute()
        self._client.close()


def marker_keys(rig: Rig) -> list[bytes]:
    return [key for key in _keys(rig) if key.endswith(b"/marker")]


def state_keys(rig: Rig) -> list[bytes]:
    return [key for key in _keys(rig) if not key.endswith((b"/marker", b"/draft"))]


def _keys(rig: Rig) -> list[bytes]:
    with redis.Redis.from_url(rig.settings.redis) as client:
        keys = cast("Iterable[bytes]", client.scan_iter(match=f"{{{rig.pipeline.name}/*/*", count=10_000))
        return sorted(keys)


def lose_markers(rig: Rig) -> int:
    """Gives how many there were."""
    with redis.Redis.from_url(rig.settings.redis) as client:
        return sum(client.delete(key) for key in marker_keys(rig))


def _source(message: Any) -> tuple[int, int]:
    value = [value for name, value in message.headers() if name == "source"][-1]
    _, partition, offset = value.decode().rsplit("/", 2)
    return int(partition), int(offset)
