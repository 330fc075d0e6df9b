"""Events to a topic, outside any transaction: what `produce` and load generators send with.

Idempotent, acknowledged by all replicas, keyed as every producer of ours is. A partition's events arrive in the order
of sending and without a gap: an event waits for Kafka as long as it takes, and when nothing has moved for
`patience_s`, everything that is still here is given up together. Records carry no timestamp of ours (protocol B9).
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app.access.clients import kafka_client
from app.errors import Unavailable
from app.settings import Settings

PATIENCE_S = 30.0
BATCH = 1_000_000  # bytes
POLL_EVERY = 500  # events: what became of the sent ones is heard that often
SETTLE_S = 1.1  # librdkafka may ask for its producer's number twice, half a second apart
WAIT_S = 0.1  # a longer wait inside librdkafka would keep Ctrl-C waiting
BEHIND_S = 1.0  # a sender that is this far behind at its end stops, and does not send what was due
GIVEN_UP = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})

T = TypeVar("T")
# A place to tell of it by, key, value, partition (-1: by the key, or any where there is none).
Event = tuple[int, bytes | None, bytes, int]


@dataclass(frozen=True)
class Pace:
    """When events are due: the i-th at i / rate seconds after the first, however late the one before was.

    At most `count` of them, and those due within `seconds`; without a rate all are due at once.
    """

    rate: float | None = None
    count: float | None = None
    seconds: float | None = None

    def of(self, events: Iterable[T], pause: Callable[[float], None]) -> Iterator[T]:
        """The events, each given when it is due; `pause` lets up to so many seconds go by."""
        if self.count == 0 or self.seconds == 0:
            return
        start = time.monotonic()
        until = math.inf if self.seconds is None else start + self.seconds
        for i, event in enumerate(events):
            if self.rate is not None:
                due = start + i / self.rate
                if due >= until:
                    return
                while (early := due - time.monotonic()) > 0:
                    pause(early)
            if time.monotonic() > until + (BEHIND_S if self.rate is not None else 0.0):
                return
            yield event
            if i + 1 == self.count:
                return


class Sender:
    """Sends to one topic. `largest` is the size of the largest event, `prompt` sends each at once.

    `batch` is what the topic takes at once: Kafka refuses a larger batch whole, so that an event which is too large
    must not share one with others.
    `failed` tells the place that `send` was given of each event that Kafka has refused, and why.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        *,
        largest: int,
        batch: int = BATCH,
        prompt: bool = False,
        failed: Callable[[int, str], None] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        quiet = logging.Logger("librdkafka")
        quiet.disabled = True
        self._topic = topic
        self._failed = failed or _silent
        self._patience_s = patience_s
        self._handed_over = 0
        self._moved = (0, time.monotonic())
        self.refused: Counter[str] = Counter()
        options: dict[str, Any] = {
            **kafka_client(settings),
            "enable.idempotence": True,
            "partitioner": "murmur2_random",  # the Java client's: an entity keeps its partition whoever produces
            "message.timeout.ms": 0,  # an event that timed out alone would leave a gap in its partition
            "message.max.bytes": largest + 64 * 1024,
            "batch.size": min(batch, BATCH),
            "queue.buffering.max.kbytes": 256 * 1024,
            "linger.ms": 0 if prompt else 20,
            "delivery.report.only.error": True,
        }
        self._producer = Producer(options, logger=quiet)
        self._ready_at = time.monotonic() + SETTLE_S

    @property
    def sent(self) -> int:
        """How many events Kafka has; exact after `finish`."""
        return self._handed_over - sum(self.refused.values()) - len(self._producer)

    def settle(self) -> None:
        """Wait until the first event goes out at once; of those that are due in time it would be late."""
        while (early := self._ready_at - time.monotonic()) > 0:
            self.pause(early)

    def send_all(self, events: Iterable[Event], pace: Pace) -> None:
        """Hand the events over when they are due. What was handed over is on its way until `finish`."""
        for place, key, value, partition in pace.of(events, self.pause):
            self.send(key, value, place=place, partition=partition)

    def send(self, key: bytes | None, value: bytes, *, place: int, partition: int = -1) -> None:
        """Hand one event over; waits while too many are on their way. Raises Unavailable where none gets through."""
        told = partial(self._refused, place)
        while True:
            try:
                self._producer.produce(self._topic, value, key, partition, told)
                break
            except BufferError:
                self._wait()
            except KafkaException as error:
                self._handed_over += 1
                self._refused(place, error.args[0], None)
                return
        self._handed_over += 1
        if not self._handed_over % POLL_EVERY:
            self._producer.poll(0)

    def finish(self, patience_s: float | None = None) -> None:
        """Wait until every event has arrived or is refused. Raises Unavailable where Kafka does not take them."""
        if patience_s is not None:
            self._patience_s = patience_s
        self._moved = (self.sent, time.monotonic())
        while len(self._producer):
            self._wait()

    def pause(self, seconds: float) -> None:
        """Let time go by, and hear what became of the events."""
        self._producer.poll(0)
        time.sleep(min(seconds, WAIT_S))

    def _wait(self) -> None:
        self._producer.poll(WAIT_S)
        sent, now = self.sent, time.monotonic()
        if sent != self._moved[0]:
            self._moved = (sent, now)
        elif now - self._moved[1] > self._patience_s:
            self._give_up()

    def _give_up(self) -> None:
        """All at once, so that of each partition's events only the last ones are missing."""
        self._producer.purge()
        self._producer.flush(WAIT_S)
        lost = sum(count for why, count in self.refused.items() if why == "given up")
        raise Unavailable(
            f"Kafka has taken nothing for {self._patience_s:.0f} s: {lost} events are given up, {self.sent} were sent "
            f"to {self._topic}."
        )

    def _refused(self, place: int, error: KafkaError | None, _: Message | None) -> None:
        if error is None:
            return
        why = "given up" if error.code() in GIVEN_UP else error.str()
        self.refused[why] += 1
        if error.code() not in GIVEN_UP:
            self._failed(place, why)


def _silent(place: int, why: str) -> None:
    """For those who only count."""
