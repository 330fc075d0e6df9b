"""From where to where: what is understood, and what each mistake is told."""

from __future__ import annotations

import pytest

from app.errors import Refused
from app.replay.bounds import refuse_backwards, shown, since, until


@pytest.mark.parametrize(
    ("words", "time_ms"),
    [
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01T01:00+01:00", 0),
        ("2018-04-01T00:00:00.250Z", 1_522_540_800_250),
        ("20180401T000000Z", 1_522_540_800_000),
    ],
)
def test_a_time_with_a_zone_is_taken(words: str, time_ms: int) -> None:
    assert since(words).time_ms == until(words).time_ms == time_ms


def test_offsets_are_taken_by_partition() -> None:
    assert since("@0:0,2:17").offsets == {0: 0, 2: 17}


def test_the_ends_of_the_log_have_names() -> None:
    for bound in (since("beginning"), until("now")):
        assert (bound.time_ms, bound.offsets) == (None, None)


@pytest.mark.parametrize("words", ["2018-04-01", "2018-04-01T00:00", "2018-04-01 00:00:00"])
def test_a_time_without_a_zone_is_refused_with_one_that_has(words: str) -> None:
    with pytest.raises(Refused, match=r"has no zone: write 2018-04-01.*00:00.*Z for UTC") as told:
        since(words)
    assert told.value.exit_code == 2


@pytest.mark.parametrize("words", ["", "yesterday", "now", "2018-13-01T00:00Z", "1522540800000", "-7d"])
def test_what_is_no_bound_is_refused_with_what_is(words: str) -> None:
    with pytest.raises(Refused, match=r"neither a time with a zone such as .* nor offsets such as .* nor `beginning`"):
        since(words)


@pytest.mark.parametrize("words", ["@", "@0", "@0:", "@0:1,", "@a:1", "@0:-1", "@0:1;1:2", "@0:" + "9" * 20])
def test_offsets_that_are_none_are_refused(words: str) -> None:
    with pytest.raises(Refused, match=r"offsets are written @partition:offset"):
        until(words)


def test_a_partition_that_is_named_twice_is_refused() -> None:
    with pytest.raises(Refused, match=r"names a partition twice"):
        since("@0:1,0:2")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2018-04-02T00:00Z", "2018-04-01T00:00Z"),
        ("2018-04-01T00:00Z", "2018-04-01T00:00Z"),
        ("2018-04-01T00:00Z", "2018-04-01T00:30+01:00"),
        ("@0:5", "@0:4"),
    ],
)
def test_an_end_before_the_start_is_refused(start: str, end: str) -> None:
    with pytest.raises(Refused, match=r"--to .* is (not after|before) --from"):
        refuse_backwards(since(start), until(end))


def test_what_cannot_be_compared_by_its_words_is_left_to_the_log() -> None:
    refuse_backwards(since("@0:5"), until("2018-04-01T00:00Z"))
    refuse_backwards(since("beginning"), until("now"))


def test_a_shown_time_is_a_bound_itself() -> None:
    assert since(shown(1_522_540_831_000)).time_ms == 1_522_540_831_000
