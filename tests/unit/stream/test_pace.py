"""When events are due."""

from __future__ import annotations

import itertools
import time

import pytest

from app.stream import sending
from app.stream.sending import Pace


class Clock:
    """A time that passes only when somebody pauses, and by `slow` seconds with every event."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slow = 0.0

    def monotonic(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += min(seconds, 0.1)

    def sent(self, pace: Pace) -> list[float]:
        """The seconds after the start at which endless events were given."""
        times = []
        for _ in pace.of(itertools.count(), self.pause):
            times.append(self.now - 100.0)
            self.now += self.slow
        return times


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sending, "time", clock)
    return clock


def test_events_are_given_at_their_intended_times(clock: Clock) -> None:
    assert clock.sent(Pace(rate=4, count=5)) == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])


def test_a_sender_that_was_held_up_catches_up_and_does_not_drift(clock: Clock) -> None:
    times = []
    for i, _ in enumerate(Pace(rate=10, count=20).of(itertools.count(), clock.pause)):
        times.append(clock.now - 100.0)
        clock.now += 0.45 if i == 2 else 0.0

    assert times[3:7] == pytest.approx([0.65, 0.65, 0.65, 0.65])
    assert times[10:] == pytest.approx([i / 10 for i in range(10, 20)])


def test_seconds_end_what_is_due_later(clock: Clock) -> None:
    assert len(clock.sent(Pace(rate=1000, seconds=2))) == 2000


def test_what_was_due_in_time_is_still_given_a_moment_later(clock: Clock) -> None:
    clock.slow = 0.0014
    assert len(clock.sent(Pace(rate=1000, seconds=2))) == 2000


def test_a_hopelessly_slow_sender_ends_soon_after_its_time(clock: Clock) -> None:
    clock.slow = 0.5
    assert clock.sent(Pace(rate=1000, seconds=2))[-1] <= 3.5


def test_without_a_rate_seconds_are_those_of_the_clock(clock: Clock) -> None:
    clock.slow = 0.3
    assert len(clock.sent(Pace(seconds=1))) == 4


def test_a_count_takes_no_event_more_than_it_gives() -> None:
    events = iter(range(10))

    assert list(Pace(count=3).of(events, time.sleep)) == [0, 1, 2]
    assert next(events) == 3
    assert list(Pace(count=0).of(events, time.sleep)) == list(Pace(seconds=0).of(events, time.sleep)) == []
    assert next(events) == 4
