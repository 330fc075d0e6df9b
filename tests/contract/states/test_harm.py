"""After any harm the state in Redis is what a fresh fold of the log says, of every entity, and no answer was wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from app.local.leash import Leash
from app.local.stack import Stack
from app.stream.observe import Step
from tests.contract.features.lossy import LossyWay
from tests.contract.loop.rig import wait_for
from tests.contract.states.harmed import Copy, Harmed, lose_markers, restart_redis_empty

pytestmark = [pytest.mark.broker, pytest.mark.redis, pytest.mark.parametrize("kind", ["fraud", "fraud-labels"])]
NewRig = Callable[..., Harmed]


@pytest.mark.parametrize("step", [Step.CONFIRMED, Step.FLUSHING])
def test_a_worker_killed_between_commit_and_flush(new_rig: NewRig, kind: str, step: Step) -> None:
    rig = new_rig(kind)
    rig.produce(2000)
    killed = rig.member(step=step, nth=3)
    assert killed.wait() == -signal.SIGKILL, killed.log
    rig.produce(300)
    rig.finish()
    rig.check_all()


def test_a_redis_that_is_restarted_empty(new_rig: NewRig, kind: str, frail: Stack, leash: Leash) -> None:
    rig = new_rig(kind)
    rig.produce(1500)
    member = rig.member()
    wait_for("all to be committed", rig.done)
    restart_redis_empty(frail, leash)
    rig.produce(500)
    wait_for("the rest to be committed", rig.done)
    assert member.end() == 0, member.log
    rig.finish()
    rig.check_all()


def test_a_redis_that_is_set_back_to_an_older_copy_of_itself(new_rig: NewRig, kind: str) -> None:
    rig = new_rig(kind)
    rig.produce(1000)
    rig.finish()
    copy = Copy(rig.settings.redis)
    member = rig.member()
    rig.produce(500)
    wait_for("all to be committed", rig.done)
    copy.restore()
    rig.produce(500)
    wait_for("the rest to be committed", rig.done)
    assert member.end() == 0, member.log
    rig.finish()
    rig.check_all()


def test_markers_that_are_lost_while_the_states_are_kept(new_rig: NewRig, kind: str) -> None:
    rig = new_rig(kind)
    rig.produce(1000)
    member = rig.member()
    wait_for("all to be committed", rig.done)
    assert lose_markers(rig) == rig.pipeline.partitions
    rig.produce(500)
    wait_for("the rest to be committed", rig.done)
    assert member.end() == 0, member.log
    rig.finish()
    rig.check_all()


def test_a_rebalance_in_the_midst_of_a_flush(new_rig: NewRig, kind: str) -> None:
    rig = new_rig(kind, session_timeout_ms=6000)
    rig.produce(1500)
    first = rig.member("a-0", step=Step.FLUSHING, nth=2, number=signal.SIGSTOP)
    wait_for("the first to stand in its flush", lambda: first.stands_still)
    second = rig.member("a-1")
    wait_for("the second to have begun", lambda: bool(second.hear()))
    os.kill(first.process.pid, signal.SIGCONT)
    rig.produce(500)
    wait_for("both to share", lambda: bool(first.live) and bool(second.live))
    wait_for("all to be committed", rig.done)
    assert first.end() == 0, first.log
    assert second.end() == 0, second.log
    rig.finish("a-2")
    rig.check_all()


def test_a_zombie_that_flushes_late(new_rig: NewRig, kind: str) -> None:
    rig = new_rig(kind, transaction_timeout_ms=4000, commit_deadline_s=3.0)
    rig.produce(1500)
    zombie = rig.member("a-0", step=Step.FLUSHING, nth=2, number=signal.SIGSTOP)
    wait_for("the zombie to stand in its flush", lambda: zombie.stands_still)
    other = rig.member("a-1")
    rig.produce(500)
    wait_for("the other to take over", lambda: len(other.live) == rig.pipeline.partitions)
    os.kill(zombie.process.pid, signal.SIGCONT)
    wait_for("the zombie to come to terms", lambda: zombie.process.poll() is not None or bool(zombie.live))
    for member in (zombie, other):
        if member.process.poll() is None:
            assert member.end() == 0, member.log
    rig.finish("a-2")
    rig.check_all()


def test_a_reply_to_a_flush_that_is_lost(new_rig: NewRig, kind: str, frail: Stack) -> None:
    endpoints = frail.endpoints()
    assert endpoints is not None
    with LossyWay(endpoints.redis) as way:
        rig = new_rig(kind, redis=way.url)
        rig.produce(500)
        member = rig.member()
        for _ in range(5):
            before = way.flushes
            way.lose()
            rig.produce(300)
            wait_for("a flush to be lost, and another to be tried", lambda seen=before: way.flushes > seen + 1)  # type: ignore[misc]
        wait_for("all to be committed", rig.done)
        assert member.end() == 0, member.log
        rig.finish()
        rig.check_all()
        rig.stop()
