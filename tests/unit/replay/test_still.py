"""When a replay has stood still for too long."""

from __future__ import annotations

from app.replay.still import STILL_S, Still


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_is_over_once_nothing_has_moved_for_as_long_as_is_declared() -> None:
    clock = Clock()
    still = Still(clock)
    assert not still.is_over(0, held=False)
    clock.now = STILL_S
    assert not still.is_over(0, held=False)
    clock.now += 0.1
    assert still.is_over(0, held=False)


def test_whatever_moves_and_every_time_on_hold_begins_it_anew() -> None:
    clock = Clock()
    still = Still(clock)
    for done, held in ((5, False), (6, False), (6, True), (4, False)):  # a death may make it less
        clock.now += STILL_S
        assert not still.is_over(done, held=held)
    clock.now += STILL_S + 0.1
    assert still.is_over(4, held=False)
