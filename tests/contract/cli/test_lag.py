"""What is lag under transactions and what is not."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from app.replay import lag
from app.replay.group import Group
from app.replay.held import since_ms
from app.settings import Settings
from tests.contract.cli.lagging import WAIT_S, LaggingInput
from tests.contract.loop.rig import wait_for
from tests.payments import NOON_MS

pytestmark = pytest.mark.broker


@pytest.fixture
def source(settings: Settings, new_topic: Callable[..., str]) -> LaggingInput:
    return LaggingInput(settings, new_topic(partitions=2, message_timestamp_type="LogAppendTime"))


def committed(source: LaggingInput, partitions: list[int], *, settle_s: float) -> dict[int, int | None]:
    with contextlib.closing(Group(source.settings, source.pipeline.name, patience_s=10.0)) as group:
        return group.committed(source.topic, partitions, settle_s=settle_s)


def test_all_that_is_visible_is_lag_where_nothing_was_ever_committed(source: LaggingInput) -> None:
    source.write(5)
    found = source.lag()

    assert (found.lag, found.exact, found.seconds_behind_event) == (5, True, 4.0)
    assert found.partitions[0].committed is None
    assert found.partitions[1].lag == 0
    assert found.partitions[1].seconds_behind_event == found.partitions[1].seconds_behind_append == 0.0


def test_only_what_follows_the_committed_offset_is_lag(source: LaggingInput) -> None:
    source.write(5)
    source.commit(3)
    first = source.first()

    assert (first.committed, first.end, first.lag, first.seconds_behind_event) == (3, 5, 2, 1.0)


def test_markers_and_aborted_records_are_no_lag(source: LaggingInput) -> None:
    source.transact(2, commit=True)
    source.commit(2)
    source.transact(4, commit=False)
    first = source.first()
    assert (first.end, first.lag, first.exact) == (8, 0, True)

    source.transact(3, commit=True)
    source.transact(4, commit=False)
    assert source.first().lag == 3


def test_what_an_open_transaction_holds_back_is_no_lag_and_is_told_with_its_age(source: LaggingInput) -> None:
    source.write(1)
    producer = source.transact(2, commit=None)
    opened = time.time()
    source.write(3)
    time.sleep(0.3)
    first = source.first()
    age = time.time() - opened

    assert (first.lag, first.end, first.held) == (1, 1, 5)
    assert first.held_seconds is not None
    assert 0.25 < first.held_seconds < age + 1.0
    producer.commit_transaction(WAIT_S)
    wait_for("the transaction's end", lambda: source.first().held == 0)
    assert source.first().lag == 6


def test_a_worker_that_hangs_in_its_transaction_does_not_hide_the_lag(source: LaggingInput) -> None:
    source.write(5)
    source.commit(1)
    producer = source.transact(1, commit=None, partition=1)
    source.commit(5, within=producer)
    began = time.monotonic()

    assert committed(source, [0, 1], settle_s=0.2) == {0: 1, 1: None}
    assert time.monotonic() - began < 5.0
    assert source.first().lag == 4
    producer.commit_transaction(WAIT_S)
    assert source.first().lag == 0


def test_a_commit_that_is_on_its_way_is_waited_for(source: LaggingInput) -> None:
    source.write(5)
    source.commit(1)
    producer = source.transact(1, commit=None, partition=1)
    source.commit(5, within=producer)
    soon = threading.Timer(0.3, producer.commit_transaction, [WAIT_S])
    soon.start()
    found = committed(source, [0], settle_s=20.0)
    soon.join()

    assert found == {0: 5}


def test_how_long_the_first_unscored_record_has_waited_is_told_by_kafkas_clock(source: LaggingInput) -> None:
    source.write(1)
    written = time.time()
    time.sleep(0.3)
    waited = source.first().seconds_behind_append

    assert waited is not None
    assert 0.25 < waited < time.time() - written + 1.0


def test_records_that_are_no_events_count_and_have_no_event_time(source: LaggingInput) -> None:
    source.write(2, value=b"not json")
    first = source.first()
    assert (first.lag, first.seconds_behind_event) == (2, None)
    assert first.seconds_behind_append is not None

    source.write(3)
    source.write(1, value=b"")
    assert (source.first().lag, source.first().seconds_behind_event) == (6, 2.0)


def test_events_that_come_in_another_order_than_they_happened_are_not_behind_by_less_than_nothing(
    source: LaggingInput,
) -> None:
    source.write(1, time_ms=NOON_MS)
    source.write(1, time_ms=NOON_MS - 60_000)

    assert source.first().seconds_behind_event == 0.0


def test_what_retention_has_deleted_is_no_lag_and_not_read(
    source: LaggingInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "COUNTED", 2)
    source.write(5)
    source.commit(1)
    place = TopicPartition(source.topic, 0, 3)
    admin = AdminClient({"bootstrap.servers": source.settings.kafka})
    admin.delete_records([place])[place].result(WAIT_S)

    assert (source.first().lag, source.first().exact) == (2, True)


def test_an_offset_that_was_set_beyond_the_end_is_no_lag(source: LaggingInput) -> None:
    source.write(2)
    source.commit(99)

    assert source.first().lag == 0


def test_beyond_the_bound_the_lag_is_counted_by_offsets_and_said_to_be_at_most_that(
    source: LaggingInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "COUNTED", 4)
    monkeypatch.setattr(lag, "NEWEST", 3)
    source.write(3)
    source.transact(2, commit=False)
    source.transact(5, commit=True)
    first = source.first()

    # read: 3 records and one that was aborted; beyond: another that was, its marker, 5 records, their marker
    assert (first.end, first.lag, first.exact) == (12, 11, False)
    assert first.seconds_behind_event == 4.0


def test_reading_ends_in_time_and_the_lag_is_still_a_bound(
    source: LaggingInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "COUNT_S", -1.0)
    monkeypatch.setattr("app.replay.log.BATCH", 2)
    source.write(9)
    source.transact(1, commit=False)
    first = source.first()

    assert (first.lag, first.exact) == (11, False)


def test_a_bound_whose_end_has_no_event_tells_no_event_time(
    source: LaggingInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "COUNTED", 4)
    monkeypatch.setattr(lag, "NEWEST", 2)
    source.write(6)
    source.write(2, value=b"not json")
    first = source.first()

    assert (first.lag, first.exact, first.seconds_behind_event) == (8, False, None)


@pytest.mark.parametrize("bad_first", [True, False])
def test_no_more_records_are_decoded_than_the_bound_says(
    source: LaggingInput, monkeypatch: pytest.MonkeyPatch, bad_first: bool
) -> None:
    monkeypatch.setattr(lag, "LOOKED_AT", 1)
    for is_bad in (bad_first, not bad_first):
        source.write(2, value=b"not json" if is_bad else None)

    assert (source.first().lag, source.first().seconds_behind_event) == (4, None)


def test_looking_for_the_open_transactions_age_ends_where_no_record_comes(source: LaggingInput) -> None:
    source.write(1)
    began = time.monotonic()

    assert since_ms(source.settings, source.topic, {0: 1}, look_s=0.3) == {}
    assert time.monotonic() - began < 3.0
