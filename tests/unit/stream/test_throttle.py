"""A throttle lets through what its rate allows, in batches that are worth it."""

from __future__ import annotations

import pytest

from app.stream.throttle import Throttle


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("rate", [1.0, 7.5, 100.0, 5_000.0, 80_000.0])
def test_over_a_minute_no_more_is_let_through_than_the_rate_allows_and_hardly_less(rate: float) -> None:
    clock = Clock()
    throttle, taken = Throttle(rate, clock), 0
    for _ in range(60_000):
        clock.now += 0.001
        allowed = throttle.allowed(512)
        throttle.spend(allowed)
        taken += allowed

    assert taken <= 60 * rate + 1
    assert taken >= min(60 * rate * 0.98 - 1, 60_000 * 512 * 0.9)


def test_little_is_waited_for_rather_than_taken_one_by_one() -> None:
    clock = Clock()
    throttle = Throttle(1000.0, clock)
    clock.now += 0.05
    assert throttle.allowed(512) == 0
    assert throttle.wait_s(512) == pytest.approx(0.05)
    clock.now += 0.0501
    assert throttle.allowed(512) == 100


def test_what_was_not_taken_for_long_is_not_all_caught_up_with() -> None:
    clock = Clock()
    throttle = Throttle(1000.0, clock)
    clock.now += 3600
    assert throttle.allowed(10_000) == 500


def test_without_a_rate_everything_is_let_through_and_costs_nothing_later() -> None:
    clock = Clock()
    throttle = Throttle(None, clock)
    throttle.spend(throttle.allowed(1_000_000))
    throttle.rate = 1000.0
    clock.now += 0.2
    assert throttle.allowed(512) > 0


def test_a_rate_of_nothing_holds_still() -> None:
    assert Throttle(0.0).held
    assert not Throttle(0.1).held
    assert not Throttle(None).held
