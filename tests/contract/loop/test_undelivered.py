"""Answers and letters that Kafka does not take: the record alone is answered otherwise, and nothing loops."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, not exported
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from app.stream.process import FATAL
from tests.contract.loop.rig import Rig, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]


def narrow(rig: Rig, topic: str, largest: int) -> None:
    """No request's records for a partition of the topic may be larger."""
    admin = AdminClient({"bootstrap.servers": rig.settings.kafka})
    entry = ConfigEntry("max.message.bytes", str(largest), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


def send(rig: Rig, values: list[tuple[str, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": rig.settings.kafka, "partitioner": "murmur2_random"})
    for key, value in values:
        producer.produce(rig.pipeline.source.name, value, key)
    producer.flush(30)
    rig.sent += len(values)


def payment(rig: Rig, payment_id: str, customer: str = "1") -> tuple[str, bytes]:
    rig.clock_ms += 1000
    event = {
        "payment_id": payment_id,
        "customer_id": customer,
        "terminal_id": "1",
        "amount_cents": 100,
        "time_ms": rig.clock_ms,
    }
    return customer, json.dumps(event).encode()


def letters(rig: Rig) -> list[tuple[Any, dict[str, bytes]]]:
    return [(message, dict(message.headers())) for message in rig.read(rig.pipeline.dead_letters)]


def test_an_answer_that_is_too_large_becomes_a_letter_and_its_neighbours_are_answered(rig: Rig) -> None:
    rig.produce(100, poison=False)
    rig.finish()
    largest = max(len(m.value()) + sum(len(n) + len(v) for n, v in m.headers()) for m in rig.read("scored-" + rig.tag))
    narrow(rig, rig.pipeline.answering.name, largest + 150)
    send(rig, [payment(rig, "x" * 64 if i % 20 == 7 else str(i), str(i % 5) * (64 if i % 20 == 7 else 1))
               for i in range(60)])  # fmt: skip
    member = rig.finish()
    found = letters(rig)
    assert [(h["stage"], h["code"]) for _, h in found] == [(b"deliver", b"undeliverable")] * 3
    assert all(b"x" * 64 in message.value() for message, _ in found)
    assert all(b"MSG_SIZE_TOO_LARGE" in h["reason"] for _, h in found)
    assert member.progress["dead_letters"] == 3
    rig.produce(100)
    rig.finish()
    rig.check()


def test_small_answers_that_do_not_fit_together_are_sent_in_smaller_requests(rig: Rig) -> None:
    narrow(rig, rig.pipeline.answering.name, 18_000)
    rig.produce(3000, poison=False)
    member = rig.finish()
    assert letters(rig) == []
    assert member.progress["aborted"] < 10
    rig.check()


def test_a_letter_that_is_too_large_becomes_a_stub_with_digest_and_sizes(rig: Rig) -> None:
    narrow(rig, rig.pipeline.dead_letters, 4_000)
    garbage = b"{" + b"\xe2\x82\xac" * 2_000
    send(rig, [payment(rig, str(i), "7") for i in range(30)] + [("7", garbage), ("7", b"{")])
    member = rig.finish()
    assert member.progress["aborted"] <= 3  # one that tells that something is too large, and one that tells what
    (stub, told), (whole, _) = letters(rig)
    assert whole.value() == b"{"
    assert (told["stage"], told["code"], told["stub"]) == (b"decode", b"not-json", b"true")
    content = json.loads(stub.value())
    assert content["value_bytes"] == len(garbage)
    assert content["value_blake2b"] == hashlib.blake2b(garbage, digest_size=32).hexdigest()
    assert content["stub_of"].encode() == told["source"]
    assert content["refused_by_kafka"] == "MSG_SIZE_TOO_LARGE"


def test_where_not_even_a_stub_is_taken_the_worker_ends_with_the_offsets_named(rig: Rig) -> None:
    rig.produce(50, poison=False)
    for topic in (rig.pipeline.answering.name, rig.pipeline.dead_letters):
        narrow(rig, topic, 200)
    member = rig.member()
    assert member.wait(within_s=90) == FATAL, member.log
    assert "did not commit 5 times" in member.fatal
    assert "offsets are" in member.fatal
    assert "0 to " in member.fatal


def test_a_flood_of_answers_that_do_not_fit_is_stopped_by_the_limit(new_rig: Any) -> None:
    rig = new_rig(dead_letter_limit=0.05)
    narrow(rig, rig.pipeline.answering.name, 200)
    rig.produce(500, poison=False)
    member = rig.member()
    wait_for("the limit", lambda: member.process.poll() is not None)
    assert member.wait() == FATAL, member.log
    assert "deliver/undeliverable" in member.fatal
    assert letters(rig) == []
