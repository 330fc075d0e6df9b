"""What features are by their definition: plain lists, looked through for every event.

A customer's payments and a person's films are taken in the order of the log, a terminal's outcomes as they were known.
What comes later than the lateness is answered from what others within the lateness may still see, and does not stay.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from datetime import UTC, datetime
from typing import Any

DAY_MS = 86_400_000
SPANS = (1, 7, 30)
LATENESS_MS = 3_600_000
DELAY_MS = 7 * DAY_MS
YEAR_MS = 365 * DAY_MS
KEPT = 500
TRIMMED = 5_000  # entries of one entity before what nobody can see any more is forgotten


class Series:
    """Entries of one entity by their times; the order of the log where times are equal."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.entries: list[Any] = []

    def put(self, time_ms: int, entry: Any) -> bool:
        """Whether it came in order."""
        place = bisect_right(self.times, time_ms)
        in_order = place == len(self.times)
        self.times.insert(place, time_ms)
        self.entries.insert(place, entry)
        return in_order

    def in_reach(self, within_ms: int, keep: int) -> Series:
        """What an event may see that is late and not too late, as a copy: older and more entries are for nobody."""
        reach = Series()
        if self.times:
            earliest_ms = self.times[-1] - LATENESS_MS
            old = bisect_right(self.times, earliest_ms - within_ms)
            gone = max(old, bisect_right(self.times, earliest_ms) - keep)
            reach.times, reach.entries = self.times[gone:], self.entries[gone:]
        return reach

    def between(self, after_ms: int, until_ms: int) -> list[Any]:
        return self.entries[bisect_right(self.times, after_ms) : bisect_right(self.times, until_ms)]

    def trim(self, within_ms: int) -> None:
        if len(self.times) > TRIMMED:
            gone = bisect_right(self.times, self.times[-1] - within_ms - DAY_MS)
            del self.times[:gone], self.entries[:gone]


class Partition:
    """The state of one partition of events that are folded: a series for each entity, and the newest time of all.

    Nobody sees more than `keep` entries, nor what is older than `within_ms`.
    """

    def __init__(self, within_ms: int, keep: int = sys.maxsize) -> None:
        self.series: dict[str, Series] = {}
        self._within_ms, self._keep = within_ms, keep
        self._newest_ms: int | None = None

    def fold(self, entity: str, time_ms: int, entry: Any) -> tuple[Series, bool]:
        """Gives the entity's series with the event in it, and whether the event is late."""
        newest = self._newest_ms
        too_late = newest is not None and time_ms < newest - LATENESS_MS
        self._newest_ms = time_ms if newest is None else max(newest, time_ms)
        series = self.series.setdefault(entity, Series())
        if too_late:
            series = series.in_reach(self._within_ms, self._keep)
        series.trim(self._within_ms)
        in_order = series.put(time_ms, entry)
        return series, too_late or not in_order


def of_payment(payment: dict[str, Any]) -> list[float]:
    """Amount, weekend, night."""
    at = datetime.fromtimestamp(payment["time_ms"] // 1000, UTC)
    return [payment["amount_cents"] / 100, float(at.weekday() >= 5), float(at.hour <= 6)]


def of_customer(series: Series, time_ms: int) -> list[float]:
    """How many payments in the days up to now, and their mean amount in whole units."""
    row: list[float] = []
    for days in SPANS:
        cents = series.between(time_ms - days * DAY_MS, time_ms)
        row += [float(len(cents)), sum(cents) / len(cents) / 100 if cents else 0.0]
    return row


def of_history(series: Series, time_ms: int) -> list[str]:
    """The last films of a year."""
    films: list[str] = series.between(time_ms - YEAR_MS, time_ms)
    return films[-KEPT:]


class Outcomes:
    """Of all terminals: each outcome once, by the time of what it is the outcome of."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.known: dict[str, int] = {}
        self._taken: set[tuple[str, str, int]] = set()

    def fold(self, label: dict[str, Any]) -> None:
        terminal, at = label["terminal_id"], label["payment_time_ms"]
        if (name := (terminal, label["payment_id"], at)) in self._taken:
            return
        self.known[terminal] = max(label["known_at_ms"], self.known.get(terminal, 0))
        self._taken.add(name)
        self.series.setdefault(terminal, Series()).put(at, (label["known_at_ms"], label["fraud"]))

    def of_terminal(self, terminal: str, time_ms: int) -> list[float]:
        """How many payments in the days that ended a week ago, and which share of them was known to be fraud."""
        series, until, row = self.series.get(terminal, Series()), time_ms - DELAY_MS, list[float]()
        for days in SPANS:
            found = [fraud for known, fraud in series.between(until - days * DAY_MS, until) if known <= time_ms]
            row += [float(len(found)), sum(found) / len(found) if found else 0.0]
        return row
