"""Everything that can arrive, among payments and through a real broker: each is answered as the table says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Producer, murmur2

from app.replay.audit import audit
from tests.contract.loop.rig import PARTITIONS, START_MS, Member, Rig, wait_for
from tests.hostile import KINDS, SCORED, Kind, Sent
from tests.processes import memory_kb

pytestmark = [pytest.mark.broker, pytest.mark.redis]

ROUNDS = 4  # of every kind
PAYMENTS = 20_000
PEAK_KB = 250 * 1024  # over what payments alone take: some batches of 5 MB records
LEFT_KB = 60 * 1024  # between the first half and the whole

Place = tuple[int, int]


class Mixed:
    """Sends payments and what is none, and keeps where each of the latter went."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._topic = rig.pipeline.source.name
        self._producer = Producer(
            {
                "bootstrap.servers": rig.settings.kafka,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "compression.type": "gzip",  # 5 MB fit into the topic's 1 MB
                "message.max.bytes": 20_000_000,
            }
        )
        self.places: dict[Place, tuple[Kind, Sent]] = {}

    def payments(self, count: int) -> None:
        for _ in range(count):
            key, value = self._rig.payment()
            self._producer.produce(self._topic, value, key, on_delivery=self._told(None, None))
            self._producer.poll(0)

    def hostile(self, kind: Kind) -> None:
        self._rig.sent += 1
        sent = kind.make(self._rig.clock_ms - START_MS + self._rig.sent)
        partition = (murmur2(sent.key or b"", PARTITIONS) + sent.misplaced) % PARTITIONS
        headers: Any = sent.headers
        told = self._told(kind, sent)
        self._producer.produce(self._topic, sent.value, sent.key, partition, told, headers=headers)

    def _told(self, kind: Kind | None, sent: Sent | None) -> Callable[[Any, Any], None]:
        def told(error: object, message: Any) -> None:
            assert error is None, (error, kind)
            if kind is not None and sent is not None:
                self.places[message.partition(), message.offset()] = kind, sent

        return told

    def finish(self) -> None:
        assert self._producer.flush(60) == 0


def settled(rig: Rig, member: Member) -> None:
    wait_for("all to be answered", lambda: member.progress["records"] >= rig.sent, within_s=120)


def answers(rig: Rig) -> dict[Place, tuple[str, Any]]:
    """Every answer by the record that it names last; an answer that names one twice fails."""
    found: dict[Place, tuple[str, Any]] = {}
    for topic in (rig.pipeline.answering.name, rig.pipeline.dead_letters):
        for message in rig.read(topic):
            source = [value for name, value in message.headers() if name == "source"][-1]
            _, partition, offset = source.decode().rsplit("/", 2)
            place = int(partition), int(offset)
            assert place not in found
            found[place] = topic, message
    return found


def ours(letter: Any, sent: Sent) -> dict[str, bytes]:
    """The headers that we put behind the record's own, which are as they came."""
    headers = cast("Sequence[tuple[str, bytes]]", letter.headers())
    assert list(headers[: len(sent.headers)]) == sent.headers
    return dict(headers[len(sent.headers) :])


def test_everything_that_can_arrive_is_answered_as_the_table_says(new_rig: Callable[..., Rig]) -> None:
    rig = new_rig(dead_letter_limit=0.05, batch_records=512)
    mixed = Mixed(rig)
    mixed.payments(PAYMENTS // 5)
    mixed.finish()
    member = rig.member()
    settled(rig, member)
    before = memory_kb(member.process.pid, "VmRSS")
    hostile = [kind for _ in range(ROUNDS) for kind in KINDS]
    share = (PAYMENTS - PAYMENTS // 5) // len(hostile)
    left = []
    for half in (hostile[: len(hostile) // 2], hostile[len(hostile) // 2 :]):
        for kind in half:
            mixed.payments(share)
            mixed.hostile(kind)
        mixed.finish()
        settled(rig, member)
        left.append(memory_kb(member.process.pid, "VmRSS"))
    peak = memory_kb(member.process.pid, "VmHWM") - before
    assert peak < PEAK_KB, f"{peak} kB more than before"
    assert left[1] - left[0] < LEFT_KB, f"{left[1] - left[0]} kB more after twice as many"
    assert member.end() == 0, member.log
    assert len(mixed.places) == len(hostile) >= 400
    found = answers(rig)
    assert len(found) == rig.sent
    for place, (topic, answer) in found.items():
        if place not in mixed.places:
            assert topic == rig.pipeline.answering.name, place
            continue
        kind, sent = mixed.places[place]
        assert answer.key() == sent.key
        if kind.verdict == SCORED:
            assert topic == rig.pipeline.answering.name, (kind.name, dict(answer.headers()))
            assert (b'"late"' in answer.value()) == kind.late, kind.name
            continue
        assert topic == rig.pipeline.dead_letters, kind.name
        assert answer.value() == sent.value, kind.name
        told = ours(answer, sent)
        assert (told["stage"].decode(), told["code"].decode()) == (kind.stage, kind.code), kind.name
    judged = audit(rig.settings, rig.pipeline)
    assert judged.ok
    assert judged.inputs == rig.sent
    print(f"RSS {before} kB, {peak} kB more at most, {left[0] - before} and {left[1] - before} kB more after each half")
