"""Workers join and leave under load, and a group is not shared out where its members only come back.

Sessions are long here: whoever has another's partitions within the test did not wait for one to end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from app.replay.audit import audit
from app.replay.idle import idle_sentence
from app.replay.lag import lag_of
from app.telemetry.watch import ask_kafka
from tests.contract.loop.rig import MANY, Member, Rig, wait_for
from tests.pauses import Sending, Watching, generation

pytestmark = [pytest.mark.broker, pytest.mark.redis]

ALL = set(range(MANY))
RATE = 300
SESSION_MS = 100_000  # more than all waits of a test together, on a machine that has time


@pytest.fixture
def wide(new_rig: Callable[..., Rig]) -> Callable[..., Rig]:
    """Makes a rig whose payments come to all of many partitions, and have come to each."""

    def make(**settings: object) -> Rig:
        rig = new_rig(wide=True, session_timeout_ms=SESSION_MS, **settings)
        rig.customers = 500
        rig.produce(1000, poison=False)
        return rig

    return make


def share(*members: Member) -> bool:
    """Whether the members own all partitions between them, each some and none twice."""
    owned = [p for member in members for p in member.live]
    return sorted(owned) == sorted(ALL) and all(member.live for member in members)


def owns(member: Member, partitions: set[int]) -> bool:
    return member.live == partitions


def wanted(rig: Rig) -> tuple[int, int | None]:
    """How many workers are wanted, as `lag` tells and as a run does."""
    return lag_of(rig.settings, rig.pipeline).workers_wanted, ask_kafka(rig.settings, rig.pipeline)().workers_wanted


def payments(rig: Rig) -> Iterator[tuple[str, bytes]]:
    while True:
        yield rig.payment()


def flowing(rig: Rig) -> Sending:
    return Sending(rig.settings.kafka, rig.pipeline.source.name, payments(rig), rate=RATE)


def watching(rig: Rig) -> Watching:
    return Watching(rig.settings.kafka, [rig.pipeline.answering.name])


def answered_since(seen: Watching, moment: float, partitions: set[int]) -> bool:
    return all(seen.first_after(p, moment) is not None for p in partitions)


def all_committed(rig: Rig, members: list[Member]) -> bool:
    told = [member.progress.get("offsets", {}) for member in members]
    return all(any(offsets.get(str(p)) == end for offsets in told) for p, end in rig.ends().items() if end)


def judge(rig: Rig, members: list[Member], sent: int) -> None:
    """All is answered once, as the product's audit and a plain recount have it. The members leave."""
    wait_for("all to be committed", lambda: all_committed(rig, members))
    assert [member.end() for member in members] == [0] * len(members)
    found = audit(rig.settings, rig.pipeline)
    assert (found.inputs, found.predictions, found.ok) == (sent, sent, True), found
    rig.sent = sent  # a payment that was made as the sending ended is none
    rig.check()


def test_one_worker_becomes_four_and_then_two_under_load(wide: Callable[..., Rig]) -> None:
    rig = wide(leave_at_end=True, worker_rate=30, drain_s=10)
    assert wanted(rig) == (4, 4)  # for 100 a second of what is left, and 17 that arrive
    with flowing(rig) as sending, watching(rig) as seen:
        members = [rig.member("a-0")]
        wait_for("the first to own all", lambda: share(*members))
        began = time.monotonic()
        members += [rig.member(f"a-{i}") for i in (1, 2, 3)]
        wait_for("four to share", lambda: share(*members))
        for leaver in members[2:]:
            assert leaver.end() == 0
        wait_for("two to share", lambda: share(*members[:2]))
        moment = time.monotonic()
        wait_for("answers of all partitions", lambda: answered_since(seen, moment, ALL))
        ended = time.monotonic()
    pauses = seen.pauses(began, ended)
    assert set(pauses) == ALL
    assert max(pauses.values()) < SESSION_MS / 1000 / 2, pauses
    judge(rig, members[:2], 1000 + sending.sent)
    by_command, by_run = wanted(rig)
    assert by_run is not None
    assert 1 <= by_command <= MANY
    assert abs(by_command - by_run) <= 1, "only what arrived by then may differ"


def test_workers_that_come_back_one_after_the_other_disturb_nobody(wide: Callable[..., Rig]) -> None:
    rig = wide()
    with flowing(rig) as sending:
        members = [rig.member(f"a-{i}") for i in range(3)]
        wait_for("three to share", lambda: share(*members))
        before = generation(rig.settings.kafka, rig.pipeline.name)
        told = idle_sentence(
            rig.settings, rig.pipeline, [f"{rig.pipeline.name}.b-{i}" for i in range(10)], patience_s=20
        )
        assert told == (
            f"10 workers and 3 that are there share 12 partitions of {rig.pipeline.source.name}: 1 of them has nothing "
            "to do until another leaves."
        )
        mine = [f"{rig.pipeline.name}.a-{i}" for i in range(12)]  # three of them were here before
        assert idle_sentence(rig.settings, rig.pipeline, mine, patience_s=20) == ""
        for i, leaver in enumerate(members):
            its = leaver.live
            assert leaver.end() == 0
            members[i] = rig.member(f"a-{i}")
            wait_for("it to have its partitions again", partial(owns, members[i], its))
        assert generation(rig.settings.kafka, rig.pipeline.name) == before > 0
    judge(rig, members, 1000 + sending.sent)
