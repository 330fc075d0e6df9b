"""What cannot be replayed as asked: one sentence each, and nothing is planned, started or answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from app.errors import Refused
from app.replay import bounds
from app.replay.plans import Plans, Standing
from tests.contract.replay.world import World, at, planned, run

pytestmark = [pytest.mark.broker, pytest.mark.redis]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"start": at(3000), "end": at(1000)}, "is not after --from"),
        ({"start": "2031-01-01T00:00Z", "end": "now"}, "There is no event of shop.payments from 2031-01-01T00:00Z"),
        ({"start": "@7:0"}, "--from names partition 7, which shop.payments has not"),
        ({"start": "@0:99999"}, r"--from names offset 99999 of shop.payments/0, which ends at \d+"),
        ({"model": "fraud@77"}, r"There is no model fraud@77; there is fraud@1"),
        ({"model": "nothing"}, "There is no version of a model nothing"),
        ({"model": "recommendation"}, "takes|features|inputs"),
        ({"into": "shop.scored"}, "shop.scored is where the live pipeline answers"),
        ({"into": "shop.payments"}, "shop.payments is a topic of shop itself"),
        ({"into": "shop.outcomes"}, "shop.outcomes is a topic of shop itself"),
        ({"into": "narrow"}, "narrow has 1 partitions and shop.payments has 3"),
        ({"into": "x", "into_live": True}, "Say --into or --into-live"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_and_not_kept(world: World, asked: dict[str, Any], told: str) -> None:
    admin = AdminClient({"bootstrap.servers": world.settings.kafka})
    if "narrow" not in admin.list_topics(timeout=10).topics:
        admin.create_topics([NewTopic("narrow", 1, 1)])["narrow"].result(10)
    before = set(Plans(world.settings).all())

    with pytest.raises(Refused, match=told):
        planned(world, **asked)
    assert set(Plans(world.settings).all()) == before


def test_a_plan_that_is_not_there_is_told_with_those_that_are(world: World) -> None:
    plan, _ = planned(world)
    with pytest.raises(Refused, match=f"There is no plan 'nonsense'; there is .*{plan.id}"):
        Plans(world.settings).find("nonsense")


def test_offsets_are_answered_as_they_are_said(world: World) -> None:
    plan, _ = planned(world, "@1:10,2:20", "@1:15,2:20,0:7")
    spans = {p: (s.start, s.end) for p, s in plan.inputs.partitions.items() if s.end > s.start}
    assert spans == {1: (10, 15)}
    assert plan.inputs.events == 5


def test_late_events_between_others_are_counted_and_bounds_hold_all_that_was_asked_for(world: World) -> None:
    plan, _ = planned(world, at(1500), at(1600))
    start_ms, end_ms = (bounds.since(words).time_ms or 0 for words in (at(1500), at(1600)))
    inside, outside, between = set(), 0, 0
    for record in world.records(world.payments):
        stretch = plan.inputs.partitions[record.partition]
        within = stretch.start <= record.offset < stretch.end
        between += within
        time_ms = world.time_of(record)
        if time_ms is not None and start_ms <= time_ms < end_ms:
            assert within, record
            inside.add(record.source)
        outside += within and time_ms is not None
    assert inside
    assert plan.inputs.events == between
    assert plan.inputs.outside == outside - len(inside)


def test_a_topic_that_was_created_anew_is_not_replayed_by_the_old_plan(world: World) -> None:
    plan, _ = planned(world)
    other = msgspec.structs.replace(plan.inputs, topic_id="AAAAAAAAAAAAAAAAAAAAAA")
    Plans(world.settings).keep(msgspec.structs.replace(plan, inputs=other))
    with pytest.raises(Refused, match=r"shop.payments is another topic than when .* was planned"):
        run(world, plan)
    assert world.left(plan.id) in ([], [f"streaminfer.replays.{plan.id}"])


def test_a_group_that_has_lost_its_offsets_is_not_begun_again(world: World) -> None:
    plan, _ = planned(world, "@0:0", "@0:20")
    with Plans(world.settings).owner(plan.id) as owner:
        owner.tell(Standing("stopped", 0))  # as one that has begun says
    with pytest.raises(Refused, match=r"has no committed offset of shop.payments/0 any more"):
        run(world, plan)
