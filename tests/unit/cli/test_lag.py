"""What a person is told about a lag: the worst thing first, in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from app.cli.lag import as_object, row, span, verdict
from app.replay.group import Owner
from app.replay.lag import PartitionLag, PipelineLag

OWNER = Owner("fraud.host-0", "fraud.host-0-1b", "127.0.0.1")
CAUGHT_UP = PartitionLag(
    0, 7, 7, 0, exact=True, seconds_behind_event=0.0, seconds_behind_append=0.0, owner=OWNER, held=0, held_seconds=None
)
BEHIND = replace(CAUGHT_UP, partition=1, end=9, lag=2, seconds_behind_event=90.0, seconds_behind_append=0.25)
HELD = replace(CAUGHT_UP, partition=2, held=3, held_seconds=12.0)
UNOWNED = replace(CAUGHT_UP, partition=3, owner=None)


def of(*partitions: PartitionLag, rebalancing: bool = False) -> PipelineLag:
    return PipelineLag("fraud", "payments", rebalancing, partitions, arriving=12.3456, workers_wanted=1)


def told(*partitions: PartitionLag, rebalancing: bool = False) -> str:
    return verdict(of(*partitions, rebalancing=rebalancing), "fraud")


def test_a_pipeline_that_is_caught_up_is_said_to_be() -> None:
    assert told(CAUGHT_UP) == "fraud is caught up: every committed record of payments has its answer."


def test_how_far_and_how_long_it_is_behind_is_said() -> None:
    assert told(CAUGHT_UP, BEHIND) == (
        "fraud is 2 records behind, 1.5 min by event time; the oldest of them has waited for 0.2 s."
    )


def test_a_lag_that_was_not_counted_to_its_end_is_said_to_be_a_bound() -> None:
    assert "at most 2 records behind" in told(replace(BEHIND, exact=False))


def test_partitions_that_nobody_owns_are_said_before_all_else_with_the_command_that_scores_them() -> None:
    sentence = told(BEHIND, HELD, UNOWNED)

    assert sentence.startswith("fraud is 2 records behind, but nobody owns partition 3 of payments")
    assert "`streaminfer run fraud`" in sentence


def test_a_pipeline_of_ones_own_is_named_by_its_file_in_the_command() -> None:
    assert "`streaminfer run shop/pipeline.py:pipeline`" in verdict(of(UNOWNED), "shop/pipeline.py:pipeline")


def test_partitions_that_are_being_shared_out_are_no_alarm() -> None:
    sentence = told(UNOWNED, replace(UNOWNED, partition=4), rebalancing=True)

    assert "sharing payments out again: nobody has partitions 3, 4 yet" in sentence
    assert "streaminfer run" not in sentence


def test_a_transaction_that_hangs_is_said_with_its_age() -> None:
    assert "a transaction of a producer, open for 12 s, keeps back what follows in partition 2" in told(CAUGHT_UP, HELD)


def test_a_transaction_that_is_open_for_a_moment_is_not_worth_a_sentence() -> None:
    assert told(replace(HELD, held_seconds=0.01)).startswith("fraud is caught up: ")


def test_a_pipeline_is_as_far_behind_as_its_partition_that_is_furthest() -> None:
    found = of(CAUGHT_UP, BEHIND, replace(BEHIND, seconds_behind_event=None, seconds_behind_append=3.0))

    assert (found.lag, found.seconds_behind_event, found.seconds_behind_append) == (4, 90.0, 3.0)


def test_seconds_that_nobody_knows_are_not_said_to_be_none() -> None:
    found = of(CAUGHT_UP, replace(BEHIND, seconds_behind_event=None))

    assert found.seconds_behind_event is None
    assert "event time" not in verdict(found, "fraud")


def test_a_line_of_the_table_moves_no_cursor_and_says_what_is_a_bound() -> None:
    named = replace(BEHIND, owner=replace(OWNER, client_id="\x1b[2J"), lag=1234, exact=False)

    assert row(named) == (1, "<= 1,234", "1.5 min", "0.2 s", "-", "\\x1b[2J @ 127.0.0.1")
    assert row(replace(HELD, owner=None)) == (2, "0", "0 s", "0 s", "3 for 12 s", "nobody")


def test_json_has_the_totals_and_every_partition() -> None:
    assert json.loads(json.dumps(as_object(of(replace(BEHIND, seconds_behind_append=0.12345), HELD)))) == {
        "pipeline": "fraud",
        "topic": "payments",
        "lag": 2,
        "exact": True,
        "seconds_behind_event": 90.0,
        "seconds_behind_append": 0.123,
        "rebalancing": False,
        "arriving_per_s": 12.346,
        "workers_wanted": 1,
        "partitions": [
            {
                "partition": 1, "committed": 7, "end": 9, "lag": 2, "exact": True, "seconds_behind_event": 90.0,
                "seconds_behind_append": 0.123, "held": 0, "held_seconds": None,
                "owner": {"client_id": "fraud.host-0", "member_id": "fraud.host-0-1b", "host": "127.0.0.1"},
            },
            {
                "partition": 2, "committed": 7, "end": 7, "lag": 0, "exact": True, "seconds_behind_event": 0.0,
                "seconds_behind_append": 0.0, "held": 3, "held_seconds": 12.0,
                "owner": {"client_id": "fraud.host-0", "member_id": "fraud.host-0-1b", "host": "127.0.0.1"},
            },
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0 s"), (0.26, "0.3 s"), (59.0, "59 s"), (90.0, "1.5 min"), (7200.0, "2.0 h"), (1e6, "11.6 d"), (None, "?")],
)
def test_a_span_of_time_is_said_in_a_unit_that_fits(seconds: float | None, words: str) -> None:
    assert span(seconds) == words
