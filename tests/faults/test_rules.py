"""Rules of the protocol, each at the moment when breaking it would be seen.

The other tests of the loop kill, pause and harm without looking; here the moment is chosen, so that one broken rule
alone is enough for a wrong answer. `python -m tests.faults.mutations` breaks them.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from app.settings import consumer_config, producer_config
from app.stream.feed import Feed
from app.stream.observe import Step
from app.stream.transaction import Aborted, Batch, Transactions
from tests.contract.loop.rig import PARTITIONS, START_MS, Rig, delivered, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]

ALL = set(range(PARTITIONS))
NewRig = Callable[..., Rig]


def send(rig: Rig, values: list[tuple[str, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": rig.settings.kafka, "partitioner": "murmur2_random"})
    for customer, value in values:
        producer.produce(rig.pipeline.source.name, value, customer, on_delivery=delivered)
    producer.flush(30)
    rig.sent += len(values)


def at_once(numbers: range) -> list[tuple[str, bytes]]:
    """Payments of few customers, a hundred of them in the same millisecond: a row that saw one too many shows it."""
    return [
        (
            str(i % 5),
            json.dumps(
                {
                    "payment_id": str(i),
                    "customer_id": str(i % 5),
                    "terminal_id": str(i % 7),
                    "amount_cents": 100 + i,
                    "time_ms": START_MS + i // 100,
                }
            ).encode(),
        )
        for i in numbers
    ]


def test_a_batch_whose_transaction_ran_out_of_time_is_scored_again_and_none_behind_it_committed(
    new_rig: NewRig,
) -> None:
    rig = new_rig(batch_records=20, transaction_timeout_ms=2000, commit_deadline_s=1.5, session_timeout_ms=15_000)
    send(rig, at_once(range(600)))
    member = rig.member(step=Step.PRODUCED, nth=5, number=signal.SIGSTOP)
    wait_for("the worker to stop where it stands", lambda: member.stands_still)
    time.sleep(4.5)  # the fault itself: longer than the transaction may last
    os.kill(member.process.pid, signal.SIGCONT)
    wait_for("the abort", lambda: member.progress["aborted"] >= 1)
    send(rig, at_once(range(600, 700)))
    ends = {str(partition): end for partition, end in rig.ends().items()}
    wait_for("the last offsets to be committed", lambda: member.progress.get("offsets") == ends)
    assert member.end() == 0
    rig.finish()
    rig.check()


def test_a_partition_is_not_flushed_while_a_batch_of_it_is_in_flight(new_rig: NewRig, tmp_path: Path) -> None:
    rig = new_rig(flush_every_s=0.001)  # whenever it may be
    rig.produce(1000)
    stands = tmp_path / "stands"
    stands.touch()
    member = rig.member(step=Step.BEGUN, nth=4, number=stands)
    wait_for("some to be committed", lambda: member.progress["records"] > 0)
    time.sleep(1.0)  # the fault itself: a transaction that takes longer than flushes are apart
    assert member.end(signal.SIGKILL) == -signal.SIGKILL
    rig.finish()
    rig.check()


def test_who_gives_partitions_away_has_them_no_more(new_rig: NewRig) -> None:
    rig = new_rig(session_timeout_ms=2000)
    rig.produce(300)
    first = rig.member("a-0")
    wait_for("the first to own all", lambda: first.live == ALL)
    second = rig.member("a-1")
    wait_for("the second to have some", lambda: bool(second.live))
    wait_for("the first to have them no more", lambda: not first.live & second.live, within_s=10)
    wait_for("all to be had", lambda: first.live | second.live == ALL)
    rig.produce(300)
    assert first.end() == 0
    assert second.end() == 0
    rig.finish("a-2")
    rig.check()


class Owner:
    """Who owns partitions and does nothing with them."""

    def __init__(self, rig: Rig, slot: str) -> None:
        self.mine: frozenset[int] = frozenset()
        config = consumer_config(rig.settings, group=rig.tag, slot=slot)
        self.feed = Feed(config, rig.pipeline.source.name, self)
        self.feed.subscribe()

    def assigned(self, partitions: frozenset[int]) -> None:
        self.mine = partitions

    def revoked(self, partitions: frozenset[int]) -> None:
        self.mine -= partitions

    lost = revoked


def test_what_was_polled_before_its_partition_went_to_another_does_not_commit(rig: Rig) -> None:
    rig.produce(300)
    first = Owner(rig, f"{rig.tag}-0")
    wait_for("all partitions", lambda: not first.feed.poll(1, 0.1).records and len(first.mine) == PARTITIONS)
    for partition in ALL:
        assert first.feed.start(partition, 0)
    polled = first.feed.poll(1000, 10)
    assert polled.records
    second = Owner(rig, f"{rig.tag}-1")
    wait_for(
        "the second to have some",
        lambda: (
            not second.feed.poll(1, 0.1).records
            and first.feed.poll(1, 0.1) is not None
            and bool(second.mine)
            and bool(first.mine)
        ),
    )
    config = producer_config(rig.settings, slot=rig.tag, max_record_bytes=1000)
    transactions = Transactions(config, slot=rig.tag, topic=rig.pipeline.source.name)
    transactions.recover(30)
    (moved, *_) = second.mine
    aborted: list[Aborted] = []
    try:
        transactions.commit(Batch([], {moved: 1}, polled.group))
    except Aborted as error:
        aborted.append(error)
    committed = second.feed.found([moved], 10)[moved].committed
    assert committed is None, f"offset {committed} of a partition that another has was committed"
    assert [error.moved_on for error in aborted] == [True]
    for one in (first, second):
        one.feed.close()


def test_who_is_no_member_yet_has_nothing_to_commit_with(rig: Rig) -> None:
    owner = Owner(rig, f"{rig.tag}-0")
    assert owner.feed.poll(1, 0).group is None, "a commit with this would be accepted unchecked"
    wait_for("all partitions", lambda: not owner.feed.poll(1, 0.1).records and len(owner.mine) == PARTITIONS)
    assert owner.feed.poll(1, 0).group is not None
    owner.feed.close()


def test_a_worker_that_dies_before_its_letters_are_committed_leaves_none_of_them(rig: Rig) -> None:
    send(rig, [(str(i % 7), b"{") for i in range(60)])
    killed = rig.member(step=Step.OFFSETS_SENT, nth=2)
    assert killed.wait() == -signal.SIGKILL, killed.log
    rig.produce(100)
    rig.finish()
    rig.check()
