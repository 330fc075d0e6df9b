"""A group that has lost its offsets gets back the very ones that it had, and nothing is scored twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from app.errors import Refused
from app.replay.group import Group
from app.replay.recover import recover, refuse_forgotten
from tests.contract.loop.rig import wait_for
from tests.contract.states.harmed import Harmed, lose_markers

pytestmark = [pytest.mark.broker, pytest.mark.redis]
NewRig = Callable[..., Harmed]
BOTH = pytest.mark.parametrize("kind", ["fraud", "fraud-labels"])


def committed(rig: Harmed) -> dict[int, int | None]:
    group = Group(rig.settings, rig.pipeline.name, patience_s=20.0)
    try:
        return group.committed(rig.pipeline.source.name, list(range(rig.pipeline.partitions)))
    finally:
        group.close()


def expire(rig: Harmed) -> None:
    """What the broker does after a week without members."""
    admin = AdminClient({"bootstrap.servers": rig.settings.kafka})

    def gone() -> bool:
        try:
            admin.delete_consumer_groups([rig.pipeline.name])[rig.pipeline.name].result(20)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NON_EMPTY_GROUP:
                raise
            return False
        return True

    wait_for("the group's members to be missed", gone)


@BOTH
def test_a_group_that_expired_gets_its_offsets_back(new_rig: NewRig, kind: str) -> None:
    rig = new_rig(kind)
    rig.produce(700)
    rig.finish()
    before = committed(rig)
    expire(rig)
    assert set(committed(rig).values()) == {None}
    shown = recover(rig.settings, rig.pipeline, dry_run=True)
    assert {part.partition: part.offset for part in shown} == before
    assert set(committed(rig).values()) == {None}
    assert recover(rig.settings, rig.pipeline) == shown
    assert committed(rig) == before
    rig.produce(200)
    rig.finish("a-1")
    rig.check_all()


def test_without_recovery_a_run_is_refused_where_answers_are(new_rig: NewRig) -> None:
    rig = new_rig("fraud")
    refuse_forgotten(rig.settings, rig.pipeline, patience_s=10.0)  # a first run, with nothing sent yet
    rig.produce(300)
    refuse_forgotten(rig.settings, rig.pipeline, patience_s=10.0)
    rig.finish()
    refuse_forgotten(rig.settings, rig.pipeline, patience_s=10.0)
    expire(rig)
    with pytest.raises(Refused, match=f"`streaminfer offsets recover {rig.pipeline.name}`"):
        refuse_forgotten(rig.settings, rig.pipeline, patience_s=10.0)
    assert rig.member("a-1").wait() == 64
    assert f"`streaminfer offsets recover {rig.pipeline.name}`" in rig.members[-1].fatal


def test_a_folding_group_is_refolded_from_where_its_letters_end_if_redis_has_forgotten_too(new_rig: NewRig) -> None:
    rig = new_rig("fraud-labels")
    rig.produce(700)
    rig.finish()
    before = committed(rig)
    expire(rig)
    lose_markers(rig)
    for part in recover(rig.settings, rig.pipeline):
        assert part.offset <= (before[part.partition] or 0)
    rig.produce(100)
    rig.finish("a-1")
    rig.check_all()


def test_an_offset_that_was_moved_back_is_put_where_the_answers_end(new_rig: NewRig) -> None:
    rig = new_rig("fraud", static_members=False)
    rig.produce(400)
    rig.finish()
    before = committed(rig)
    group = Group(rig.settings, rig.pipeline.name, patience_s=20.0)
    group.set(rig.pipeline.source.name, {0: 3})
    (first, *_) = recover(rig.settings, rig.pipeline)
    assert (first.before, first.offset) == (3, before[0])
    group.close()
    rig.produce(100)
    rig.finish("a-1")
    rig.check_all()


def test_inputs_that_were_jumped_over_are_no_guess(new_rig: NewRig) -> None:
    rig = new_rig("fraud", static_members=False)
    rig.produce(300)
    rig.finish()
    rig.produce(300)
    group = Group(rig.settings, rig.pipeline.name, patience_s=20.0)
    at = committed(rig)[0]
    assert at is not None
    group.set(rig.pipeline.source.name, {0: at + 5})
    rig.finish("a-1")
    with pytest.raises(Refused, match=f"5 inputs before it are not, the first at {at}"):
        recover(rig.settings, rig.pipeline)
    group.close()


def test_a_group_with_members_is_left_alone(new_rig: NewRig) -> None:
    rig = new_rig("fraud")
    rig.produce(100)
    member = rig.member()
    wait_for("all to be committed", rig.done)
    with pytest.raises(Refused, match="has members"):
        recover(rig.settings, rig.pipeline)
    group = Group(rig.settings, rig.pipeline.name, patience_s=20.0)
    with pytest.raises(Refused, match="refuses to set"):
        group.set(rig.pipeline.source.name, {0: 1})  # one that joined since: the broker itself refuses
    group.close()
    assert member.end() == 0


def test_answers_that_were_deleted_are_not_taken_for_gaps(new_rig: NewRig) -> None:
    rig = new_rig("fraud")
    rig.produce(600)
    rig.finish()
    before = committed(rig)
    expire(rig)
    admin = AdminClient({"bootstrap.servers": rig.settings.kafka})
    cut = [TopicPartition(rig.pipeline.answering.name, p, 100) for p in range(rig.pipeline.partitions)]
    for future in admin.delete_records(cut).values():
        future.result(20)
    assert {part.partition: part.offset for part in recover(rig.settings, rig.pipeline)} == before
