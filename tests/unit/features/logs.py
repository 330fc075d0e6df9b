"""Logs of one entity for the tests of views: events, bursts and late ones, and what a recount of them all gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import strategies as st

LATENESS_MS = 20


class Event(NamedTuple):
    """An event, as far as a view looks at it."""

    item: str
    number: int
    name: str  # its own id
    time_ms: int


@dataclass(frozen=True)
class Burst:
    """`count` events at one time. `step_ms` leads there from the newest event; `stored`: the state was in Redis."""

    step_ms: int
    item: str
    count: int = 1
    stored: bool = False


steps = st.one_of(st.just(0), st.integers(0, 12), st.integers(-LATENESS_MS, 40), st.integers(0, 300))
bursts = st.builds(Burst, steps, st.sampled_from("abcdefgh"), st.one_of(st.just(1), st.integers(1, 70)), st.booleans())
logs = st.lists(bursts, max_size=15)


def events_of(log: list[Burst]) -> Iterator[tuple[Event, Burst | None]]:
    """Every event in the log's order, none later than the lateness allows; with the last of a burst, the burst.

    Ids come again and again.
    """
    newest = number = 0
    for burst in log:
        time_ms = newest + max(burst.step_ms, -LATENESS_MS)
        newest = max(newest, time_ms)
        for left in reversed(range(burst.count)):
            number += 1
            yield Event(f"{burst.item}{left}", number, f"id-{number % 7}", time_ms), None if left else burst


def counts(taken: list[Event], event: Event, repeats_ms: int | None) -> bool:
    """Whether no event that was taken has the event's id, at most so far away in time."""
    if repeats_ms is None:
        return True
    return all(other.name != event.name or abs(other.time_ms - event.time_ms) > repeats_ms for other in taken)
