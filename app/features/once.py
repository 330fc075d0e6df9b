"""Repeats of one event, told by an id of its own: counted once, however often the log has it.

A declaration that any view may carry. A repeat is an event whose id was taken before it in the log, with a time at
most `within_ms` away. What is forgotten is what no event within the lateness could be a repeat of, so that a verdict
never depends on when that was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from app.errors import Refused

FORGET_AT = 64  # ids that are kept before the first look at which may go


class Seen:
    """The times at which each id of an entity was taken."""

    __slots__ = ("look_at", "times")

    def __init__(self, times: dict[str, list[int]] | None = None) -> None:
        self.times = times or {}
        self.look_at = FORGET_AT  # looking costs as much as there are: at twice as many as were left


@dataclass(frozen=True)
class Once:
    """Take an event's id (its field `by`) once within `within_ms` of event time, on either side."""

    by: str
    within_ms: int

    def __post_init__(self) -> None:
        if self.within_ms < 0:
            raise Refused(f"Once by {self.by} needs a time within which an id is taken once, not below nought.")

    @cached_property
    def _id(self) -> Any:
        return attrgetter(self.by)

    @property
    def words(self) -> tuple[object, ...]:
        """What a view's digest says of it."""
        return ("once", self.by, self.within_ms)

    def takes(self, seen: Seen, event: Any, time_ms: int) -> bool:
        """Whether the event is no repeat; it is remembered then."""
        name = str(self._id(event))
        before = seen.times.pop(name, [])
        first = all(abs(time_ms - taken) > self.within_ms for taken in before)
        # To the end, where it also goes that was forgotten meanwhile: a stored state does not tell when that was done.
        seen.times[name] = [*before, time_ms] if first else before
        return first

    def forget(self, seen: Seen, newest_ms: int, *, lateness_ms: int, all_of_them: bool = False) -> None:
        """Drop the ids that no event to come could repeat; unless `all_of_them`, only when there are many."""
        if not all_of_them and len(seen.times) < seen.look_at:
            return
        oldest_ms = newest_ms - lateness_ms - self.within_ms
        left = {name: [at for at in times if at >= oldest_ms] for name, times in seen.times.items()}
        seen.times = {name: times for name, times in left.items() if times}
        seen.look_at = max(FORGET_AT, 2 * len(seen.times))
