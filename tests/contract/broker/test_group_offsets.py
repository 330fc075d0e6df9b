"""What the exactness protocol takes for granted of offsets in a transaction (KIP-447), asked of the real broker."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, Producer, TopicPartition

from tests.contract.broker.clients import Clients, settle

pytestmark = pytest.mark.broker


def refusal(producer: Producer, offsets: list[TopicPartition], metadata: object) -> KafkaError:
    """Sends offsets that the broker must refuse, and clears up after it."""
    producer.begin_transaction()
    with pytest.raises(KafkaException) as refused:
        producer.send_offsets_to_transaction(offsets, metadata, 30)
    error = refused.value.args[0]
    assert isinstance(error, KafkaError)
    if not error.fatal():
        assert error.txn_requires_abort()
        producer.abort_transaction(30)
    return error


def test_offsets_take_effect_with_the_transaction_that_bears_them(clients: Clients) -> None:
    topic, group, writer = clients.topic(), clients.name("group"), clients.producer()
    reader = clients.member(group, topic)
    settle(reader)
    for offset, end in ((5, writer.commit_transaction), (9, writer.abort_transaction)):
        writer.begin_transaction()
        writer.send_offsets_to_transaction([TopicPartition(topic, 0, offset)], reader.consumer_group_metadata(), 30)
        end(30)
        assert clients.committed(group, topic) == 5


def test_offsets_are_not_told_while_a_transaction_might_change_them(clients: Clients) -> None:
    topic, group, writer = clients.topic(), clients.name("group"), clients.producer()
    reader = clients.member(group, topic)
    settle(reader)
    writer.begin_transaction()
    writer.send_offsets_to_transaction([TopicPartition(topic, 0, 5)], reader.consumer_group_metadata(), 30)
    with pytest.raises(KafkaException):
        clients.committed(group, topic, timeout_s=0.5)
    writer.abort_transaction(30)
    assert clients.committed(group, topic) == OFFSET_INVALID


GROUPS = [
    pytest.param({"session_timeout_ms": 6000, "partition_assignment_strategy": "range"}, id="classic"),
    pytest.param({"group_protocol": "consumer"}, id="KIP-848"),
]


@pytest.mark.parametrize("options", GROUPS)
def test_a_member_that_left_cannot_commit(clients: Clients, options: dict[str, Any]) -> None:
    topic, group, writer = clients.topic(partitions=2), clients.name("group"), clients.producer()
    leaver, stayer = clients.member(group, topic, **options), clients.member(group, topic, **options)
    settle(leaver, stayer)
    metadata = leaver.consumer_group_metadata()
    leaver.close()
    error = refusal(writer, [TopicPartition(topic, 0, 5)], metadata)
    assert error.code() in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION)
    assert clients.committed(group, topic) == OFFSET_INVALID


@pytest.mark.parametrize("options", GROUPS)
def test_old_metadata_cannot_commit_a_partition_that_moved(clients: Clients, options: dict[str, Any]) -> None:
    topic, group, writer = clients.topic(partitions=2), clients.name("group"), clients.producer()
    first = clients.member(group, topic, **options)
    settle(first)
    before = first.consumer_group_metadata()
    settle(first, clients.member(group, topic, **options))
    (kept,) = (one.partition for one in first.assignment())
    moved = 1 - kept
    # Not of the partition that stayed: a KIP-848 group takes its offsets with the old metadata too, and may.
    error = refusal(writer, [TopicPartition(topic, moved, 5)], before)
    assert error.code() in (KafkaError.ILLEGAL_GENERATION, KafkaError.STALE_MEMBER_EPOCH)
    writer.begin_transaction()
    writer.send_offsets_to_transaction([TopicPartition(topic, kept, 7)], first.consumer_group_metadata(), 30)
    writer.commit_transaction(30)
    assert clients.committed(group, topic, partition=kept) == 7
    assert clients.committed(group, topic, partition=moved) == OFFSET_INVALID


def test_a_static_member_whose_name_was_taken_over_cannot_commit(clients: Clients) -> None:
    topic, group, writer = clients.topic(), clients.name("group"), clients.producer()
    zombie = clients.member(group, topic, group_instance_id="slot-0", session_timeout_ms=6000)
    settle(zombie)
    metadata = zombie.consumer_group_metadata()
    successor = clients.member(group, topic, group_instance_id="slot-0", session_timeout_ms=6000)
    settle(successor)
    error = refusal(writer, [TopicPartition(topic, 0, 5)], metadata)
    assert error.code() == KafkaError.FENCED_INSTANCE_ID
    assert clients.committed(group, topic) == OFFSET_INVALID


def test_two_producers_that_take_turns_leave_the_last_offset(clients: Clients) -> None:
    topic, out, group = clients.topic(), clients.topic("out"), clients.name("group")
    turns = (clients.producer(), clients.producer())
    reader = clients.member(group, topic)
    settle(reader)
    for turn in range(20):
        writer = turns[turn % 2]
        writer.begin_transaction()
        writer.produce(out, str(turn).encode())
        writer.send_offsets_to_transaction([TopicPartition(topic, 0, turn + 1)], reader.consumer_group_metadata(), 30)
        writer.commit_transaction(30)
    assert clients.committed(group, topic) == 20
    assert clients.seen(out) == [str(turn).encode() for turn in range(20)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "crossed"])
def test_of_two_open_transactions_the_offset_sent_last_stays(clients: Clients, order: tuple[int, int]) -> None:
    topic, group = clients.topic(), clients.name("group")
    writers = (clients.producer(), clients.producer())
    reader = clients.member(group, topic)
    settle(reader)
    for writer, offset in zip(writers, (10, 20), strict=True):
        writer.begin_transaction()
        writer.send_offsets_to_transaction([TopicPartition(topic, 0, offset)], reader.consumer_group_metadata(), 30)
    for which in order:
        writers[which].commit_transaction(30)
    assert clients.committed(group, topic) == 20
