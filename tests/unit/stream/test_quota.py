"""The dead-letter limit: when it ends a worker, and what it says."""

from __future__ import annotations

import pytest

from app.errors import Fatal, RecordError, Stage
from app.record import Output
from app.stream.letters import dead_letter
from app.stream.quota import FROM, WINDOW, Quota
from tests.payments import record


def letters(count: int, code: str = "not-json") -> list[Output]:
    error = RecordError(Stage.DECODE, code, ".")
    return [dead_letter("payments.dead", record(b"{", offset=i), error) for i in range(count)]


def test_a_share_at_the_limit_is_let_through_and_one_more_ends_it() -> None:
    Quota(0.05).count(1000, letters(50))
    with pytest.raises(Fatal):
        Quota(0.05).count(1000, letters(51))


def test_before_a_hundred_records_a_share_says_nothing() -> None:
    quota = Quota(0.05)
    quota.count(FROM - 1, letters(FROM - 1))
    with pytest.raises(Fatal):
        quota.count(1, letters(1))


def test_letters_behind_the_window_are_forgotten() -> None:
    quota = Quota(0.05)
    quota.count(WINDOW, letters(50))
    quota.count(WINDOW, [])
    quota.count(WINDOW, letters(50))


def test_letters_within_the_window_add_up_over_batches() -> None:
    quota = Quota(0.05)
    for _ in range(5):
        quota.count(100, letters(5))
    with pytest.raises(Fatal):
        quota.count(100, letters(6))


def test_a_batch_without_letters_never_ends_it() -> None:
    quota = Quota(0.5)
    quota.count(50, letters(50))
    quota.count(49, [])
    quota.count(1, [])


def test_accepted_letters_go_through_until_they_are_used_up() -> None:
    quota = Quota(0.0, accepted=5)
    quota.count(1000, letters(3))
    quota.count(1000, letters(2))
    with pytest.raises(Fatal):
        quota.count(1000, letters(1))


def test_a_limit_of_one_ends_nothing() -> None:
    Quota(1.0).count(1000, letters(1000))


def test_what_it_says_names_the_commonest_reason_a_record_and_what_to_do() -> None:
    with pytest.raises(Fatal) as told:
        Quota(0.05).count(200, [*letters(20, "empty"), *letters(40)])
    words = str(told.value)
    assert words.startswith(
        "60 of the last 200 records are dead letters, and the limit is 5.0%; most of them (40) for "
    )
    for part in ("decode/not-json", "payments/0/0", "streaminfer tail payments.dead", "--accept-dead-letters"):
        assert part in words
