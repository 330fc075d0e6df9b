"""What retention deletes: told when a replay is planned, when it starts and while it runs. Runs last: records go."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from app.errors import Refused
from tests.contract.replay.world import World, at, end, planned, run, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]


def deleted(world: World, upto: int) -> None:
    """The first partition begins at this offset from now on."""
    admin = AdminClient({"bootstrap.servers": world.settings.kafka})
    place = TopicPartition(world.payments, 0, upto)
    admin.delete_records([place])[place].result(10)


def test_what_retention_deletes_is_refused_when_it_is_planned_and_when_it_starts(world: World) -> None:
    plan, _ = planned(world, at(2000), at(3000))
    deleted(world, 50)
    with pytest.raises(Refused, match=r"The offsets 0 to 49 of shop.payments/0 were deleted"):
        run(world, plan)
    with pytest.raises(Refused, match=r"/0 is needed from .*, 30.* days before .*, and begins at offset 50"):
        planned(world, at(2000), at(3000))
    with pytest.raises(Refused, match=r"The offsets 0 to 49 of shop.payments/0 were deleted by its retention"):
        planned(world, "@0:0", "@0:100")
    allowed, notes = planned(world, at(2000), at(2100), allow_gaps=True)
    assert allowed.incomplete
    assert "begins at offset 50" in " ".join(notes)
    run(world, allowed)
    marks = {mark for record in world.records(allowed.target) for mark in world.marks_of(record)}
    assert "incomplete" in marks


def test_under_a_running_replay_it_ends_and_says_what_is_lost_and_answers_nothing_half(world: World) -> None:
    plan = world.plan("--from", at(100), "--to", at(3000), "--rate", "150", "--allow-gaps")
    running = world.start(plan["id"])
    wait_for("some answers", lambda: world.done(plan) > 100)
    span = plan["inputs"]["partitions"]["0"]
    deleted(world, span["end"] - 10)
    code, out, why = end(running)

    assert (code, out) == (1, "")
    told = why.strip().splitlines()[-1]
    assert "shop.payments/0 were deleted" in told
    assert plan["id"] in told
    status = world.status(plan["id"])
    assert (status["state"], status["reason"]) == ("failed", told)
    answered = [source for source in world.by_source(plan["target"]) if source.startswith(b"shop.payments/0/")]
    letters = [source for source in world.by_source(plan["dead_letters"]) if source.startswith(b"shop.payments/0/")]
    offsets = sorted(int(source.rpartition(b"/")[2]) for source in (*answered, *letters))
    assert offsets == list(range(span["start"], span["start"] + len(offsets)))  # whole up to where it ended
    assert "were deleted by its retention" in world.refused("resume", plan["id"], code=1)
    world.shell.run("replay", "cancel", plan["id"])
