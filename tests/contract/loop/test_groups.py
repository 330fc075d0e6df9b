"""Workers that come, go, pause and return share the partitions, and each record is still answered once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from app.stream.observe import Step
from app.stream.process import FENCED
from tests.contract.loop.rig import PARTITIONS, Member, Rig, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]

ALL = set(range(PARTITIONS))
PROTOCOLS: dict[str, dict[str, Any]] = {
    "classic": {"session_timeout_ms": 2000},
    "classic-dynamic": {"session_timeout_ms": 2000, "static_members": False},
    "consumer": {"group_protocol": "consumer"},
}


def share(*members: Member) -> bool:
    """Whether the members own all partitions between them, and none twice."""
    owned = [p for member in members for p in member.live]
    return sorted(owned) == sorted(ALL)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_workers_join_die_and_return_under_load(new_rig: Callable[..., Rig], protocol: str) -> None:
    rig = new_rig(**PROTOCOLS[protocol])
    rig.produce(1500)
    first = rig.member("a-0")
    wait_for("the first to own all", lambda: share(first))
    rig.produce(500)
    second = rig.member("a-1")
    wait_for("both to share", lambda: share(first, second) and bool(second.live))
    rig.produce(1000)
    second.end(signal.SIGKILL)
    rig.produce(500)
    wait_for("the first to take over", lambda: share(first))
    third = rig.member("a-1")
    wait_for("the successor to share", lambda: share(first, third) and bool(third.live))
    rig.produce(500)
    assert first.end() == 0
    assert third.end() == 0
    rig.finish("a-2")
    rig.check()


@pytest.mark.parametrize("step", [Step.PREPARED, Step.PRODUCED, Step.OFFSETS_SENT, Step.FLUSHING])
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_zombie_that_wakes_up_changes_nothing(new_rig: Callable[..., Rig], protocol: str, step: Step) -> None:
    rig = new_rig(**PROTOCOLS[protocol], transaction_timeout_ms=4000, commit_deadline_s=3.0)
    rig.produce(1500)
    zombie = rig.member("a-0", step=step, nth=2 if step is Step.FLUSHING else 6, number=signal.SIGSTOP)
    wait_for("the worker to stop where it stands", lambda: zombie.stands_still)
    other = rig.member("a-1")
    wait_for("the other to own all, once the zombie's session and transaction end", lambda: other.live == ALL)
    rig.produce(500)
    zombie.process.send_signal(signal.SIGCONT)
    rig.produce(500)
    wait_for("both to share", lambda: share(other, zombie) and bool(zombie.live), within_s=60)
    assert zombie.end() == 0
    assert other.end() == 0
    rig.finish("a-2")
    rig.check()


def test_a_second_process_of_the_same_slot_ends_the_first_for_good(rig: Rig) -> None:
    rig.produce(500)
    first = rig.member("a-0")
    wait_for("the first to own all", lambda: first.live == ALL)
    second = rig.member("a-0")
    rig.produce(500)
    assert first.wait() == FENCED
    assert "--instance" in first.fatal
    wait_for("the second to own all", lambda: second.live == ALL)
    assert second.end() == 0
    rig.finish()
    rig.check()


def test_who_waits_for_a_dead_worker_s_transaction_scores_its_other_partitions_meanwhile(rig: Rig) -> None:
    rig.produce(600)
    rig.finish()
    rig.produce(300)
    topic = rig.pipeline.source.name
    dead = Producer({"bootstrap.servers": rig.settings.kafka, "transactional.id": f"dead-{rig.tag}"})
    dead.init_transactions(30)
    dead.begin_transaction()
    where: Any = {"bootstrap.servers": rig.settings.kafka, "group.id": rig.pipeline.name}
    nobody = Consumer(where)
    (held,) = nobody.committed([TopicPartition(topic, 0)], 30)
    dead.send_offsets_to_transaction([held], nobody.consumer_group_metadata(), 30)
    nobody.close()

    member = rig.member()
    wait_for("the others to be scored", lambda: member.live == {1, 2})
    ends = rig.ends()
    wait_for("all of theirs", lambda: all(member.progress["offsets"].get(str(p), 0) >= ends[p] for p in (1, 2)))
    assert member.live == {1, 2}
    dead.abort_transaction(30)
    wait_for("the partition that was held", lambda: member.live == {0, 1, 2})
    rig.finish()
    rig.check()
