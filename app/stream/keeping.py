"""Committed state to Redis, many batches at once, and what happens while Redis is away.

Memory goes on without Redis, up to a bound; a partition that needs what only Redis has is paused, and polling goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence

from app.errors import Unavailable
from app.features.held import Flushed
from app.features.memory import Memory
from app.stream.feed import Feed
from app.stream.limits import Limits
from app.stream.observe import Observer, Step
from app.stream.shares import Phase, Share

log = logging.getLogger(__name__)

FOLDED_AGAIN_S = (
    2.0  # between two flushes of a partition that catches up: its states change too often to write each time
)
AGAIN_S = 0.02  # until a partition that waits for another pipeline is looked at again
NOTHING: Mapping[int, int] = {}


class Keeping:
    """Flushes the partitions in `shares`, which is the loop's own dict."""

    def __init__(
        self, feed: Feed, memory: Memory, shares: dict[int, Share], *, limits: Limits, observe: Observer
    ) -> None:
        self._feed = feed
        self._memory = memory
        self._shares = shares
        self._limits = limits
        self._observe = observe
        self.away = False
        self._due_at = 0.0
        self._folded_again_at = 0.0

    # -- writing -------------------------------------------------------------------------------------------------------

    def is_due(self) -> bool:
        return time.monotonic() >= self._due_at

    def hurry(self) -> None:
        """Flush at the next turn: what was folded again need not be folded a third time if this process dies soon."""
        self._due_at = 0.0

    def behind(self) -> list[int]:
        """Partitions whose state in Redis is not what memory has folded, the most to write first."""
        now = time.monotonic()
        self._due_at = now + self._limits.flush_every_s
        self._memory.refresh()
        early = now < self._folded_again_at
        if not early:
            self._folded_again_at = now + FOLDED_AGAIN_S
        found = [
            p
            for p in self._placed()
            if not self._memory.flushed(p) and not (early and self._shares[p].phase is Phase.CATCHING_UP)
        ]
        return sorted(found, key=self._memory.dirty, reverse=True)

    def flush(self, partitions: Sequence[int], *, budget_s: float | None = None) -> set[int]:
        """Write what is folded of placed partitions; to be called with nothing in flight (protocol B4).

        Stops once the budget is spent; the rest comes soon. Gives the partitions whose state in Redis is another
        owner's: they are to be assigned again.
        """
        until = time.monotonic() + budget_s if budget_s is not None else None
        lost: set[int] = set()
        for partition in partitions:
            if partition not in self._placed() or self._memory.flushed(partition):
                continue
            self._observe(Step.FLUSHING)
            try:
                if self._memory.flush(partition) is Flushed.ASSIGN_AGAIN:
                    lost.add(partition)
            except Unavailable as error:
                self._unwritten(str(error))
                break
            self._observe(Step.FLUSHED)
            self.answered()
            if until is not None and time.monotonic() > until:
                self._due_at = time.monotonic() + self._limits.flush_every_s / 10
                break
        if lost:
            log.warning(
                "The state of partitions %s was written by another owner; assigning again.",
                sorted(lost),
                extra={"event": "state-of-another"},
            )
        return lost

    def _placed(self) -> list[int]:
        return [p for p, share in self._shares.items() if share.phase is not Phase.PENDING and p in self._memory.owned]

    # -- Redis away ----------------------------------------------------------------------------------------------------

    def wait(self, partitions: Iterable[int], why: str) -> None:
        """Pause partitions that cannot go on without Redis; they are tried again after a while."""
        self._say_away(f"{why} Partitions that need it wait; the others go on.")
        self._pause(partitions, self._limits.redis_retry_s)

    def hold(self, partitions: Iterable[int], ahead: Mapping[int, int]) -> None:
        """Pause partitions that must wait for another pipeline; they are looked at again soon.

        What is next of those in `ahead` has this time, and their readers are behind: they read nothing before these
        have come, for they would read the same again and again.
        """
        self._pause(partitions, AGAIN_S, ahead)

    def stand_still(self) -> None:
        """Pause all that is placed, until partitions are resumed."""
        self._pause([p for p in self._placed() if not self._shares[p].waiting], AGAIN_S)

    def _pause(self, partitions: Iterable[int], again_s: float, ahead: Mapping[int, int] = NOTHING) -> None:
        waiting = [p for p in partitions if p in self._placed()]
        self._feed.pause(waiting)
        for partition in waiting:
            self._shares[partition].waiting = True
            self._shares[partition].ahead_ms = ahead.get(partition)
            self._shares[partition].retry_at = time.monotonic() + again_s

    def resume(self) -> None:
        """Try the waiting partitions again, from the first record that memory has not folded."""
        now = time.monotonic()
        for partition, share in self._shares.items():
            if share.waiting and now >= share.retry_at and not self._too_dirty() and self._is_near(share):
                owned = self._memory.owned.get(partition)
                share.waiting = owned is None or not self._feed.start(partition, owned.next_offset)

    def _is_near(self, share: Share) -> bool:
        """Whether the readers that it waits for have come."""
        return share.ahead_ms is None or self._memory.pace is None or self._memory.pace.reaches(share.ahead_ms)

    def answered(self) -> None:
        """Redis answered."""
        if self.away:
            self.away = False
            log.info("Redis answers again.", extra={"event": "redis-answers"})

    def _unwritten(self, why: str) -> None:
        self._say_away(f"{why} State stays in memory until it does.")
        if self._too_dirty():
            self.wait(list(self._shares), why)

    def _too_dirty(self) -> bool:
        return self.away and sum(map(self._memory.dirty, self._memory.owned)) > self._limits.dirty_entities

    def _say_away(self, words: str) -> None:
        if not self.away:
            self.away = True
            log.warning(words, extra={"event": "redis-away"})
