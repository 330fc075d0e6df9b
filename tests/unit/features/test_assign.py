"""Every row of what a new owner may find, and what it does then or says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as replaced

from app.errors import Fatal
from app.features.assign import Begin, Found, Resume, Wanted, as_planned, decide, refuse_short_log
from app.features.held import Held
from app.features.marker import Marker
from app.features.store import Store, connect
from app.features.window import Window
from tests.payments import NOON_MS, event

DAY_MS = 86_400_000
VIEW = Window("customer", amount="amount_cents", spans_ms={"30d": 30 * DAY_MS})
OTHER = Window("visits", amount="amount_cents", spans_ms={"1d": DAY_MS})
FOUND = Found("payments", "topic-1", partitions=6, partition=3, committed=50, log_start=0, log_end=80)


def marker(at: int, view: Window = VIEW, topic_id: str = "topic-1", partitions: int = 6) -> Marker:
    return Marker(topic_id, partitions, f"build of {view.name}", f"digest of {view.name}", since=0, next=at)


def wanted(*views: Window) -> list[Wanted]:
    return [Wanted(view, f"digest of {view.name}") for view in views]


def resumed(found: Found, *markers: Marker | None, views: tuple[Window, ...] = (VIEW,)) -> Resume:
    decision = decide(found, wanted(*views), markers)
    assert isinstance(decision, Resume), decision
    return decision


def refused(found: Found, *markers: Marker | None) -> str:
    with pytest.raises(Fatal) as refusal:
        decide(found, wanted(VIEW), markers)
    return str(refusal.value)


def test_state_that_is_where_the_group_is_goes_on() -> None:
    assert resumed(FOUND, marker(50)) == Resume(50, 50, (marker(50),), (False,))


def test_state_that_is_behind_the_group_is_folded_on_from_its_marker() -> None:
    assert resumed(FOUND, marker(20)) == Resume(20, 50, (marker(20),), (False,))


def test_state_that_is_not_there_is_folded_from_the_log_s_start_into_a_new_build() -> None:
    decision = resumed(replace(FOUND, log_start=10), None)
    (build,) = decision.builds
    assert (decision.fold_from, decision.committed, decision.new) == (10, 50, (True,))
    assert (build.topic_id, build.partitions, build.digest) == ("topic-1", 6, "digest of customer")
    assert (build.since, build.next) == (10, 10)
    assert build.build != resumed(FOUND, None).builds[0].build


def test_state_of_another_declaration_is_folded_anew_beside_the_old() -> None:
    old = replaced(marker(50), digest="another")
    decision = resumed(FOUND, old)
    assert (decision.fold_from, decision.new) == (0, (True,))
    assert decision.builds[0].build != old.build


def test_of_several_views_the_one_furthest_behind_says_where_to_fold_from() -> None:
    decision = resumed(FOUND, marker(40), marker(20, OTHER), views=(VIEW, OTHER))
    assert (decision.fold_from, decision.new) == (20, (False, False))
    decision = resumed(FOUND, marker(40), None, views=(VIEW, OTHER))
    assert (decision.fold_from, decision.new) == (0, (False, True))


def test_a_pipeline_without_views_goes_on_from_what_is_committed() -> None:
    assert resumed(FOUND, views=()) == Resume(50, 50, (), ())


def test_a_partition_that_nobody_ever_scored_begins_at_the_log_s_start() -> None:
    found = replace(FOUND, committed=None, log_start=0)
    assert decide(found, wanted(VIEW), (None,)) == Begin(0)


def test_a_group_that_expired_beside_its_state_is_refused() -> None:
    said = refused(replace(FOUND, committed=None), marker(50))
    assert "payments/3" in said
    assert "no committed offset" in said


def test_offsets_that_were_deleted_before_they_were_scored_are_named() -> None:
    said = refused(replace(FOUND, committed=50, log_start=60), marker(50))
    assert "50 to 59 of payments/3" in said
    assert "retention.ms" in said
    assert "60 by hand" in said


def test_a_group_beyond_the_end_of_the_log_is_refused() -> None:
    said = refused(replace(FOUND, committed=81), marker(50))
    assert "81 of payments/3" in said
    assert "ends at 80" in said


def test_a_group_at_the_very_end_or_start_of_the_log_is_not() -> None:
    assert resumed(replace(FOUND, committed=80), marker(80)).fold_from == 80
    assert resumed(replace(FOUND, committed=50, log_start=50), marker(50)).fold_from == 50


def test_state_of_a_topic_that_was_deleted_and_created_since_is_refused() -> None:
    said = refused(FOUND, marker(50, topic_id="topic-0"))
    assert "view customer" in said
    assert "another topic called payments" in said


def test_a_topic_that_was_widened_since_is_refused() -> None:
    said = refused(FOUND, marker(50, partitions=4))
    assert "payments had 4 partitions" in said
    assert "6 now" in said


def test_state_that_is_beyond_the_group_is_refused() -> None:
    said = refused(FOUND, marker(51))
    assert "view customer for payments/3" in said
    assert "folded up to 51" in said
    assert "offset 50" in said
    assert "features rebuild customer" in said


def test_state_that_ends_before_the_log_starts_is_refused() -> None:
    said = refused(replace(FOUND, log_start=30), marker(29))
    assert "folded up to 29" in said
    assert "starts at 30" in said
    assert resumed(replace(FOUND, log_start=30), marker(30)).fold_from == 30


def held(since: int, *, oldest_ms: int | None = None, newest_ms: int = 0) -> Held:
    """State that was folded from offset `since` on; the server is never asked."""
    build = replaced(marker(50), since=since, oldest_ms=oldest_ms, newest_ms=newest_ms)
    return Held(VIEW, 3, Store(connect("redis://127.0.0.1:1/0"), "fraud"), build)


def test_state_from_the_log_s_first_offset_is_whole_however_young() -> None:
    refuse_short_log(FOUND, held(0))
    refuse_short_log(FOUND, held(0, oldest_ms=0, newest_ms=1))


def test_state_that_reaches_back_over_the_horizon_is_whole() -> None:
    refuse_short_log(FOUND, held(30, oldest_ms=0, newest_ms=VIEW.within_ms + VIEW.lateness_ms))


@pytest.mark.parametrize("oldest_ms", [None, 1], ids=["nothing folded", "a millisecond too short"])
def test_state_that_does_not_reach_back_over_the_horizon_is_refused(oldest_ms: int | None) -> None:
    with pytest.raises(Fatal) as refusal:
        refuse_short_log(FOUND, held(30, oldest_ms=oldest_ms, newest_ms=VIEW.within_ms + VIEW.lateness_ms))
    said = str(refusal.value)
    assert "customer looks back 30 days" in said
    assert "payments/3 was deleted up to offset 30" in said
    assert "STREAMINFER_ACCEPT_INCOMPLETE=true" in said


def test_an_event_that_lies_a_horizon_after_the_first_is_answered_whole() -> None:
    young = held(30)
    assert not young.is_whole(0)
    young.take(b"596", None)
    young.fold(b"596", event("596", offset=30).event, 30, NOON_MS)
    horizon_ms = VIEW.within_ms + VIEW.lateness_ms
    assert not young.is_whole(NOON_MS + horizon_ms - 1)
    assert young.is_whole(NOON_MS + horizon_ms)


def test_a_state_of_a_replay_begins_where_the_plan_says_and_goes_on_from_its_marker() -> None:
    assert resumed(as_planned(FOUND, 30, [None]), None).fold_from == 30
    assert resumed(as_planned(FOUND, 30, [marker(40)]), marker(40)).fold_from == 40


@pytest.mark.parametrize(
    ("found", "fold_from", "told"),
    [
        (FOUND, None, "payments/3 is not in the plan of the replay PIPELINE: the topic has more partitions by now"),
        (replace(FOUND, committed=None), 30, "is not in the plan"),
        (replace(FOUND, log_start=40), 30, "The offsets 30 to 39 of payments/3 were deleted since the replay was"),
    ],
)
def test_what_a_plan_does_not_have_or_the_log_has_no_more_is_refused(
    found: Found, fold_from: int | None, told: str
) -> None:
    with pytest.raises(Fatal, match=told):
        as_planned(found, fold_from, [None])


def test_a_state_that_a_replay_has_already_needs_nothing_that_is_deleted() -> None:
    found = replace(FOUND, log_start=40)
    assert resumed(as_planned(found, 30, [marker(45)]), marker(45)).fold_from == 45
