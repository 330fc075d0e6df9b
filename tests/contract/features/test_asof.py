"""Another pipeline's view read as of an event's time: never more than was known then, and never silently less."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import pytest
import redis
from confluent_kafka import murmur2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.contracts.admission import Admitted
from app.errors import Fatal
from app.features import asof, pace
from app.features.memory import Loaded
from app.features.store import Store, connect
from tests.contract.features.outcomes import NOON_MS, WIDTH, Labels, label, row_of
from tests.payments import DAY_MS, event

pytestmark = pytest.mark.redis

NOTHING = (0.0,) * 6
ONE_FRAUD = (1.0, 1.0) * 3


@pytest.fixture
def labels(client: redis.Redis, pipeline_name: str) -> Iterator[Labels]:
    made = Labels(client, pipeline_name, keep_ms=60 * DAY_MS)
    yield made
    for key in list(client.scan_iter(match=f"{{{made.pipeline.name}/*")):
        client.delete(key)


def payment(terminal: str, *, time_ms: int, offset: int = 0, partition: int = 0) -> Admitted:
    return event("1", offset=offset, partition=partition, terminal=terminal, time_ms=time_ms)


# -- what was known ----------------------------------------------------------------------------------------------------


def test_a_payment_before_the_watermark_reads_what_was_known_then(labels: Labels) -> None:
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS), label("b", "9", offset=1, known_ms=NOON_MS + 10))
    memory = labels.scoring(labels.reader())
    for step, expected in ((-1, NOTHING), (0, ONE_FRAUD), (9, ONE_FRAUD)):
        one = payment("9", time_ms=NOON_MS + step)
        assert memory.load([one]).held == {}
        assert row_of(memory, one) == (expected, ())


def test_a_payment_at_the_watermark_is_marked_because_another_outcome_may_bear_that_time(labels: Labels) -> None:
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
    memory = labels.scoring(labels.reader())
    one = payment("9", time_ms=NOON_MS)
    memory.load([one])
    assert row_of(memory, one) == (ONE_FRAUD, ("behind",))


def test_a_terminal_without_outcomes_is_known_to_have_none(labels: Labels) -> None:
    other = next(str(i) for i in range(10, 99) if murmur2(str(i).encode(), WIDTH) == murmur2(b"9", WIDTH))
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
    memory = labels.scoring(labels.reader())
    one = payment(other, time_ms=NOON_MS - 1)
    memory.load([one])
    assert row_of(memory, one) == (NOTHING, ())


def test_where_nothing_was_ever_folded_every_payment_is_marked(labels: Labels) -> None:
    for partition in range(WIDTH):
        labels.store.client.delete(labels.store.marker_key("terminal", partition, labels.digest))
    memory = labels.scoring(labels.reader())
    one = payment("9", time_ms=NOON_MS)
    memory.load([one])
    assert row_of(memory, one) == (NOTHING, ("behind",))


outcomes = st.tuples(st.integers(0, 20), st.integers(0, 2), st.booleans())


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(outcomes, min_size=1, max_size=25), st.integers(1, 5), st.lists(st.integers(-1, 22), max_size=12))
def test_an_unmarked_row_holds_exactly_what_was_known_at_that_moment(
    client: redis.Redis, steps: list[tuple[int, int, bool]], flush_after: int, reads: list[int]
) -> None:
    """Readers come between the writer's flushes and keep what they read; the oracle knows everything at once."""
    labels = Labels(client, keep_ms=None, name=f"p{murmur2(repr((steps, reads)).encode(), 10**6)}")
    try:
        memory = labels.scoring(labels.reader())
        log = sorted(steps)
        folded = [
            label(str(i), str(terminal), offset=i, known_ms=NOON_MS + step, fraud=fraud)
            for i, (step, terminal, fraud) in enumerate(log)
        ]
        for first in range(0, len(folded), flush_after):
            labels.fold(*folded[first : first + flush_after])
            for read in reads:
                for terminal in range(3):
                    one = payment(str(terminal), time_ms=NOON_MS + read)
                    memory.load([one])
                    row, marks = row_of(memory, one)
                    known = [fraud for step, of, fraud in log if of == terminal and step <= read]
                    if "behind" not in marks:
                        assert row[0] == len(known)
                        assert row[1] == (sum(known) / len(known) if known else 0.0)
    finally:
        for key in list(client.scan_iter(match=f"{{{labels.pipeline.name}/*")):
            client.delete(key)


# -- memory and round trips --------------------------------------------------------------------------------------------


def test_what_lies_before_a_watermark_is_read_once(labels: Labels) -> None:
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
    memory = labels.scoring(labels.reader())
    memory.load([payment("9", time_ms=NOON_MS - 5)])
    assert memory.load([payment("9", time_ms=NOON_MS - 1)]) == Loaded()
    assert memory.load([payment("9", time_ms=NOON_MS)]).asked


def test_another_build_is_noticed_and_read_in_the_same_load(labels: Labels) -> None:
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
    memory = labels.scoring(labels.reader())
    memory.load([payment("9", time_ms=NOON_MS - 1)])
    partition = murmur2(b"9", WIDTH)
    (held,) = labels.memory.owned[partition].held
    fresh = msgspec.structs.replace(held.marker, build="another", next=0, newest_ms=0)
    labels.own(partition, fresh)
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS), label("b", "9", offset=1, known_ms=NOON_MS + 1))
    one = payment("9", time_ms=NOON_MS)
    memory.load([one])
    assert row_of(memory, one) == (ONE_FRAUD, ())


def test_an_ended_log_is_complete_for_ever_until_it_goes_on(labels: Labels) -> None:
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
    for partition in range(WIDTH):
        labels.memory.end(partition)
    labels.flush()
    reader = labels.reader()
    memory = labels.scoring(reader)
    late = payment("9", time_ms=NOON_MS + DAY_MS // 2)
    memory.load([late])
    assert row_of(memory, late) == (ONE_FRAUD, ())
    labels.fold(label("b", "9", offset=1, known_ms=NOON_MS + DAY_MS // 4))
    memory.refresh()
    memory.load([late])
    assert row_of(memory, late) == ((2.0, 1.0) * 3, ("behind",))


def test_redis_away_holds_who_needs_it_and_nobody_else(labels: Labels) -> None:
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
    memory = labels.scoring(labels.reader())
    memory.load([payment("9", time_ms=NOON_MS - 1)])
    memory.store = Store(connect("redis://127.0.0.1:1/0", timeout_s=0.2), "away")
    batch = [
        payment("9", time_ms=NOON_MS - 1, offset=0, partition=0),
        payment("8", time_ms=NOON_MS - 1, offset=1, partition=0),
        payment("9", time_ms=NOON_MS - 1, offset=0, partition=1),
    ]
    loaded = memory.load(batch)
    assert loaded.held == {0: 1}
    assert "Redis does not answer" in loaded.why
    row_of(memory, batch[0])
    row_of(memory, batch[2])


def test_a_state_that_is_none_is_refused_with_the_way_out(labels: Labels) -> None:
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
    partition = murmur2(b"9", WIDTH)
    labels.store.client.set(
        labels.store.blob_key("terminal", partition, f"build{partition}") + "9", b"\0" * 8 + b"junk"
    )
    with pytest.raises(Fatal, match="features rebuild terminal"):
        labels.scoring(labels.reader()).load([payment("9", time_ms=NOON_MS - 1)])


def test_a_view_of_another_width_is_refused(labels: Labels) -> None:
    partition = murmur2(b"9", WIDTH)
    (held,) = labels.memory.owned[partition].held
    labels.own(partition, msgspec.structs.replace(held.marker, partitions=5))
    with pytest.raises(Fatal, match="5 partitions"):
        labels.scoring(labels.reader()).load([payment("9", time_ms=NOON_MS - 1)])


def test_a_read_of_what_was_not_folded_from_the_logs_first_offset_is_marked(labels: Labels) -> None:
    partition = murmur2(b"9", WIDTH)
    (held,) = labels.memory.owned[partition].held
    labels.own(partition, msgspec.structs.replace(held.marker, since=10, next=10))
    labels.fold(
        label("a", "9", offset=10, known_ms=NOON_MS - 40 * DAY_MS), label("b", "9", offset=11, known_ms=NOON_MS)
    )
    memory = labels.scoring(labels.reader())
    for days, marks in ((36, ("incomplete",)), (37, ())):
        one = payment("9", time_ms=NOON_MS + (days - 40) * DAY_MS)
        memory.load([one])
        assert row_of(memory, one)[1] == marks


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_who_waits_goes_on_up_to_the_first_event_that_the_watermark_has_not_passed(labels: Labels) -> None:
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
    memory = labels.scoring(labels.reader(behind="wait"))
    batch = [payment("9", time_ms=NOON_MS + step, offset=i) for i, step in enumerate((-2, -1, 0, 5))]
    assert memory.load(batch).held == {0: 2}
    labels.fold(label("b", "9", offset=1, known_ms=NOON_MS + 6))
    assert memory.load(batch[2:]).held == {}
    assert [row_of(memory, one) for one in batch] == [(NOTHING, ())] * 2 + [(ONE_FRAUD, ())] * 2


def test_a_wait_that_runs_out_is_marked_and_nobody_waits_for_that_watermark_again(labels: Labels) -> None:
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
    memory = labels.scoring(labels.reader(behind="wait", wait_s=0.0))
    batch = [payment("9", time_ms=NOON_MS + i, offset=i) for i in range(3)]
    assert memory.load(batch).held == {}
    assert [row_of(memory, one)[1] for one in batch] == [("behind",)] * 3


def test_a_wait_runs_out_although_other_partitions_go_on_meanwhile(labels: Labels) -> None:
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
    memory = labels.scoring(labels.reader(behind="wait", wait_s=0.3))
    stuck, free = payment("9", time_ms=NOON_MS), payment("9", time_ms=NOON_MS - 1, partition=1)
    deadline = time.monotonic() + 20
    while memory.load([stuck]).held:
        assert memory.load([free]).held == {}
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert row_of(memory, stuck)[1] == ("behind",)


def test_a_writer_goes_no_further_ahead_than_its_pace_and_tells_readers_that_nothing_lies_between(
    client: redis.Redis, pipeline_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = Labels(client, pipeline_name, keep_ms=100, pace_ms=100)
    assert labels.memory.pace is not None
    try:
        reader = labels.reader(behind="wait")
        memory = labels.scoring(reader)
        labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
        assert memory.load([payment("9", time_ms=NOON_MS + 50, offset=7)]).held == {0: 7}
        memory.refresh()  # tells where it stands
        labels.memory.refresh()  # and the writer looks
        assert labels.memory.pace.limit_ms == NOON_MS + 150
        ahead = label("b", "9", offset=1, known_ms=NOON_MS + 151)
        loaded = labels.memory.load([ahead])
        assert (loaded.held, loaded.ahead) == ({ahead.partition: 1}, {ahead.partition: ahead.time_ms})
        assert not labels.memory.pace.reaches(ahead.time_ms)
        labels.flush()
        assert memory.load([payment("9", time_ms=NOON_MS + 50, offset=7)]).held == {}  # nothing lies before the label
        monkeypatch.setattr(pace, "IDLE_S", 0.0)
        memory.refresh()  # the reader has come to the end of its partition, and holds nobody up
        labels.memory.refresh()
        assert labels.memory.pace.reaches(ahead.time_ms)
        assert labels.memory.load([ahead]).held == {}
    finally:
        for key in list(client.scan_iter(match=f"{{{labels.pipeline.name}/*")):
            client.delete(key)


def test_what_lies_before_an_event_that_is_too_far_ahead_is_folded_and_until_then_nobody_is_told_of_it(
    client: redis.Redis, pipeline_name: str
) -> None:
    labels = Labels(client, pipeline_name, keep_ms=100, pace_ms=100)
    try:
        memory = labels.scoring(labels.reader(behind="wait"))
        labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
        waiting = payment("9", time_ms=NOON_MS + 50, offset=7)
        assert memory.load([waiting]).held == {0: 7}
        memory.refresh()
        labels.memory.refresh()
        batch = [label("b", "9", offset=1, known_ms=NOON_MS + 40), label("c", "9", offset=2, known_ms=NOON_MS + 151)]
        loaded = labels.memory.load(batch)
        assert (loaded.held, loaded.ahead) == ({batch[0].partition: 2}, {})
        labels.flush()
        assert memory.load([waiting]).held == {0: 7}
        labels.memory.fold_only(batch[:1])
        assert not labels.memory.skipped
        assert labels.memory.load(batch[1:]).held == {batch[0].partition: 2}
        labels.flush()
        assert memory.load([waiting]).held == {}
        assert row_of(memory, waiting) == ((2.0, 1.0) * 3, ())
    finally:
        for key in list(client.scan_iter(match=f"{{{labels.pipeline.name}/*")):
            client.delete(key)


def test_a_reader_and_a_writer_that_wait_for_each_other_do_not_wait_for_their_next_flush(
    client: redis.Redis, pipeline_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (pace, asof):
        monkeypatch.setattr(module, "AGAIN_S", 0.0)
    labels = Labels(client, pipeline_name, keep_ms=100, pace_ms=100)
    try:
        memory = labels.scoring(labels.reader(behind="wait"))
        labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
        labels.memory.refresh()
        assert memory.load([payment("9", time_ms=NOON_MS + 50, offset=7)]).held == {0: 7}
        labels.memory.refresh()
        ahead = label("b", "9", offset=1, known_ms=NOON_MS + 300)
        assert labels.memory.load([ahead]).held == {ahead.partition: 1}
        assert memory.load([payment("9", time_ms=NOON_MS + 200, offset=8)]).held == {0: 8}
        assert labels.memory.load([ahead]).held == {}
    finally:
        for key in list(client.scan_iter(match=f"{{{labels.pipeline.name}/*")):
            client.delete(key)


def test_a_read_below_what_is_kept_is_marked(client: redis.Redis, pipeline_name: str) -> None:
    labels = Labels(client, pipeline_name, keep_ms=100)
    labels.fold(label("a", "9", offset=0, known_ms=NOON_MS))
    memory = labels.scoring(labels.reader())
    for ago, marks in ((101, ("incomplete",)), (100, ())):
        one = payment("9", time_ms=NOON_MS - ago)
        memory.load([one])
        assert row_of(memory, one) == (NOTHING, marks)


def test_what_a_reader_told_long_ago_holds_nobody_up(client: redis.Redis, pipeline_name: str) -> None:
    labels = Labels(client, pipeline_name, pace_ms=100)
    assert labels.memory.pace is not None
    key = f"{{{labels.pipeline.name}/terminal}}/readers"
    client.hset(key, "gone/0", f"{NOON_MS}:1000")
    labels.memory.refresh()
    assert labels.memory.pace.limit_ms is None
    assert client.hgetall(key) == {}
