"""Redis or Kafka away: the loop waits, says so once, goes on, and nothing is lost or wrong."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import pytest
import redis

from app.local.leash import Leash
from app.local.stack import Stack
from app.stream.committer import WATCHDOG_EXIT
from app.stream.process import FENCED
from tests.contract.loop.rig import PARTITIONS, Member, Rig, wait_for
from tests.contract.loop.servers import bounce_broker, rig_on, server

pytestmark = [pytest.mark.broker, pytest.mark.redis]

ALL = set(range(PARTITIONS))
# What the supervisor mends by a start in the same slot: librdkafka overran its own deadline, or the broker has taken a
# member that joined under a new name for another process (protocol A7).
MENDED = frozenset({WATCHDOG_EXIT, FENCED})


@pytest.fixture
def frail(new_stack: Callable[[], Stack], leash: Leash) -> Iterator[tuple[Stack, Rig]]:
    """A stack that may be harmed, and a rig on it."""
    stack = new_stack()
    stack.up(leash=leash)
    rig = rig_on(stack)
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


@pytest.mark.parametrize(
    ("seconds_beyond", "mended"), [(0.5, frozenset()), (9.0, MENDED)], ids=["for a moment", "beyond every deadline"]
)
def test_without_kafka_the_loop_waits_says_so_once_and_goes_on(
    frail: tuple[Stack, Rig], seconds_beyond: float, mended: frozenset[int]
) -> None:
    """Beyond the session's time-out the broker may fence the worker that joins again: then its successor goes on."""
    stack, rig = frail
    rig.produce(3000)
    member = rig.member()
    wait_for("work to begin", lambda: member.progress["records"] > 0)
    broker = server(stack, "kafka")
    os.kill(broker, signal.SIGSTOP)
    with contextlib.suppress(AssertionError):  # for so long, unless the worker ends
        wait_for("the worker's end", lambda: member.process.poll() is not None, within_s=seconds_beyond)
    os.kill(broker, signal.SIGCONT)
    rig.produce(500)
    _goes_on(rig, member, mended)
    assert _log(member).count("does not initialise the producers") <= 1
    rig.finish()
    rig.check()


def test_a_broker_that_dies_and_comes_back_loses_nothing(frail: tuple[Stack, Rig], leash: Leash) -> None:
    """The worker may end in a way that its supervisor mends: then its successor goes on."""
    stack, rig = frail
    rig.produce(3000)
    member = rig.member()
    wait_for("work to begin", lambda: member.progress["records"] > 0)
    bounce_broker(stack, leash)
    rig.produce(500)
    _goes_on(rig, member, MENDED)
    rig.finish()
    rig.check()


def _goes_on(rig: Rig, member: Member, mended: frozenset[int]) -> None:
    """It scores all that is there and leaves, or ends with one of the codes that are `mended` by a restart."""
    ends = rig.ends()
    try:
        wait_for("all to be scored", lambda: member.process.poll() is not None or _done(member, ends), within_s=60)
    except AssertionError as never:
        raise AssertionError(f"{never}; it said:\n{_log(member)[-3000:]}\n{member.events[-3:]}") from None
    code = member.end() if member.process.poll() is None else member.wait()
    assert code == 0 or code in mended, (code, member.fatal, member.log)


def _done(member: Member, ends: dict[int, int]) -> bool:
    offsets = member.progress.get("offsets", {})
    return member.live == ALL and all(offsets.get(str(p), -1) >= end for p, end in ends.items())


def _log(member: Member) -> str:
    member.hear()
    return member.log
