"""Who runs a plan: one process at a time, whatever the others believe."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from app.errors import Fenced, Refused
from app.replay.fence import Membership, fence_of, held
from app.replay.plans import TOPIC, Plans, Standing
from tests.contract.replay.world import World, planned, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]


def test_a_plan_has_one_owner_and_the_next_one_only_after_it(world: World) -> None:
    plan, _ = planned(world)
    waited: list[str] = []
    with held(world.settings, plan.id, wait_s=0.0):
        with (
            pytest.raises(Refused, match="runs already"),
            held(world.settings, plan.id, wait_s=1.0, waiting=waited.append),
        ):
            pytest.fail("two owners")
        with (
            pytest.raises(Refused, match="runs already"),
            held(world.settings, plan.id, wait_s=600, moves=lambda: True),
        ):
            pytest.fail("two owners")
    assert waited
    with held(world.settings, plan.id, wait_s=30.0) as fence:
        assert fence.poll() == []


@contextlib.contextmanager
def turning(member: Membership, fenced: threading.Event) -> Iterator[None]:
    """As its owner's loop does: a member must be polled for another one to come in."""
    over = threading.Event()

    def turn() -> None:
        while not over.is_set():
            try:
                member.poll()
            except Fenced:
                fenced.set()
                return

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_of_two_who_came_in_at_once_one_is_fenced(world: World) -> None:
    plan, _ = planned(world)
    one = Membership(world.settings, fence_of(plan.id), TOPIC, strategy="range", reads=True)
    with contextlib.closing(one):
        assert one.join()
        fenced = threading.Event()
        other = Membership(world.settings, fence_of(plan.id), TOPIC, strategy="range", reads=True)
        with contextlib.closing(other), turning(one, fenced):
            has_won = other.join()
            if has_won:
                wait_for("the first one to be fenced", fenced.is_set, within_s=60.0)
            else:
                with pytest.raises(Fenced, match="Another process has taken over"):
                    other.poll()
        assert fenced.is_set() == has_won


def test_an_owner_that_was_taken_for_dead_writes_nothing_more(world: World) -> None:
    plan, _ = planned(world)
    plans = Plans(world.settings)
    with plans.owner(plan.id) as first:
        first.tell(Standing("running", 1, "first"))
        with plans.owner(plan.id) as second:
            second.tell(Standing("running", 2, "second"))
            with pytest.raises(Fenced, match=f"taken over the replay {plan.id}"):
                first.tell(Standing("failed", 3, "first"))
    assert plans.find(plan.id).standing.by == "second"
