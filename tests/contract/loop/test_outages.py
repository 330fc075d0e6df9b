"""Redis or Kafka away: the loop waits, says so once, goes on, and nothing is lost or wrong."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator

import pytest
import redis

from app.local.leash import Leash
from app.local.stack import Stack
from app.settings import Settings
from app.stream.committer import WATCHDOG_EXIT
from tests.contract.loop.rig import PARTITIONS, Member, Rig, pipeline_of, wait_for
from tests.contract.loop.servers import bounce_broker, server

pytestmark = [pytest.mark.broker, pytest.mark.redis]

ALL = set(range(PARTITIONS))


@pytest.fixture
def frail(new_stack: Callable[[], Stack], leash: Leash) -> Iterator[tuple[Stack, Rig]]:
    """A stack that may be harmed, and a rig on it."""
    stack = new_stack()
    endpoints = stack.up(leash=leash)
    tag = uuid.uuid4().hex[:8]
    settings = Settings(
        kafka=endpoints.kafka,
        redis=endpoints.redis,
        home=stack.home,
        flush_every_s=0.2,
        batch_records=100,
        transaction_timeout_ms=6000,
        commit_deadline_s=5.0,
        redis_timeout_s=0.3,
    )
    rig = Rig(tag, settings, pipeline_of(tag))
    rig.make_topics()
    yield stack, rig
    rig.stop()
    stack.down()


def empty(rig: Rig) -> None:
    """What a Redis without its data would be."""
    client = redis.Redis.from_url(rig.settings.redis)
    client.flushall()
    client.close()


def test_without_redis_a_miss_waits_and_what_is_in_memory_goes_on(frail: tuple[Stack, Rig]) -> None:
    stack, rig = frail
    rig.produce(1500)
    member = rig.member()
    wait_for("all that is there to be scored", lambda: member.progress["records"] >= 1500)
    os.kill(server(stack, "redis"), signal.SIGSTOP)
    rig.produce(500)  # of the same customers and terminals: all of it is in memory
    wait_for("what is in memory to be scored without Redis", lambda: member.progress["records"] >= 2000)
    rig.customers = 120
    rig.produce(300)
    wait_for("the outage to be said", lambda: "Redis does not answer" in _log(member))
    assert member.progress["records"] < 2300
    os.kill(server(stack, "redis"), signal.SIGCONT)
    wait_for("the rest to be scored", lambda: member.progress["records"] >= 2300)
    wait_for("the return to be said", lambda: "Redis answers again" in _log(member))
    assert _log(member).count("does not answer") == 1
    assert member.end() == 0
    rig.finish()
    rig.check()


def test_a_redis_that_comes_back_empty_is_filled_again_from_the_log(frail: tuple[Stack, Rig]) -> None:
    _, rig = frail
    rig.produce(1500)
    rig.finish()
    empty(rig)
    rig.produce(500)
    rig.finish()
    rig.check()


def test_state_that_vanishes_under_a_worker_is_noticed_and_folded_again(frail: tuple[Stack, Rig]) -> None:
    _, rig = frail
    rig.produce(1000)
    member = rig.member()
    wait_for("all that is there to be scored", lambda: member.progress["records"] >= 1000)
    empty(rig)
    rig.customers = 120
    rig.produce(1000)
    wait_for("the rest to be scored", lambda: member.progress["records"] >= 2000)
    assert member.end() == 0
    rig.finish()
    rig.check()


@pytest.mark.parametrize("seconds_beyond", [0.5, 9.0], ids=["for a moment", "beyond every deadline"])
def test_without_kafka_the_loop_waits_says_so_once_and_goes_on(frail: tuple[Stack, Rig], seconds_beyond: float) -> None:
    stack, rig = frail
    rig.produce(3000)
    member = rig.member()
    wait_for("work to begin", lambda: member.progress["records"] > 0)
    broker = server(stack, "kafka")
    os.kill(broker, signal.SIGSTOP)
    with pytest.raises(AssertionError):  # nothing may end the worker in this time
        wait_for("the worker's end", lambda: member.process.poll() is not None, within_s=seconds_beyond)
    os.kill(broker, signal.SIGCONT)
    rig.produce(500)
    wait_for("all to be scored", lambda: member.live == ALL and _done(rig, member), within_s=60)
    assert member.end() == 0
    rig.finish()
    rig.check()


def test_a_broker_that_dies_and_comes_back_loses_nothing(frail: tuple[Stack, Rig], leash: Leash) -> None:
    """The watchdog may end the worker, where librdkafka does not keep its own deadline: its successor goes on."""
    stack, rig = frail
    rig.produce(3000)
    member = rig.member()
    wait_for("work to begin", lambda: member.progress["records"] > 0)
    bounce_broker(stack, leash)
    rig.produce(500)
    wait_for("all to be scored", lambda: member.process.poll() is not None or _done(rig, member), within_s=60)
    assert member.process.poll() in (None, WATCHDOG_EXIT), member.log
    if member.process.poll() is None:
        assert member.end() == 0
    rig.finish()
    rig.check()


def _done(rig: Rig, member: Member) -> bool:
    assert member.process.poll() is None, (member.fatal, member.log)
    ends = rig.ends()
    return all(member.progress["offsets"].get(str(p), -1) >= end for p, end in ends.items())


def _log(member: Member) -> str:
    member.hear()
    return member.log
