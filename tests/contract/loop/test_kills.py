"""A worker that dies after any step leaves nothing unanswered, nothing answered twice, and no window wrong."""

from __future__ import annotations

import signal

import pytest

from app.stream.observe import Step
from tests.contract.loop.rig import Rig, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]

AFTER_WORK = [
    Step.POLLED, Step.LOADED, Step.PREPARED, Step.BEGUN, Step.PRODUCED, Step.OFFSETS_SENT, Step.COMMITTED,
    Step.CONFIRMED, Step.FLUSHING, Step.FLUSHED,
]  # fmt: skip

NTH = {Step.FLUSHING: 2, Step.FLUSHED: 2}


@pytest.mark.parametrize("step", [Step.STARTED, Step.ASSIGNED, Step.RESOLVED, *AFTER_WORK, Step.REVOKED, Step.LEAVING])
def test_a_worker_killed_after_a_step_is_made_good_by_the_next(rig: Rig, step: Step) -> None:
    rig.produce(2000)
    killed = rig.member(step=step, nth=NTH.get(step, 7 if step in AFTER_WORK else 1))
    if step in (Step.REVOKED, Step.LEAVING):
        wait_for("some records scored", lambda: killed.progress["records"] > 0)
        killed.process.terminate()
    assert killed.wait() == -signal.SIGKILL, killed.log
    rig.produce(500)
    rig.finish()
    rig.check()


@pytest.mark.parametrize("step", [Step.POLLED, Step.LOADED, Step.CAUGHT_UP, Step.FLUSHING])
def test_a_worker_killed_while_its_state_catches_up_is_made_good_by_the_next(rig: Rig, step: Step) -> None:
    rig.produce(2000)
    first = rig.member(step=Step.CONFIRMED, nth=12)  # many commits ahead of the last flush
    assert first.wait() == -signal.SIGKILL, first.log
    second = rig.member(step=step)
    assert second.wait() == -signal.SIGKILL, second.log
    rig.finish()
    rig.check()


def test_dying_again_and_again_at_every_step_changes_nothing(rig: Rig) -> None:
    for nth, step in enumerate(AFTER_WORK[::-1]):
        rig.produce(300)
        member = rig.member(step=step, nth=1 + nth % 3)
        assert member.wait() == -signal.SIGKILL, member.log
    rig.finish()
    rig.check()
