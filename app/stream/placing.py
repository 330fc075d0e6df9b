"""Where a partition starts: what is committed, what Redis has, and what must be folded in between (protocol B6)."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from app.errors import Unavailable
from app.features.assign import Begin, Found, Resume, decide, refuse_short_log
from app.features.held import Held
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.stream.feed import Feed
from app.stream.observe import Observer, Step
from app.stream.shares import Phase, Share

log = logging.getLogger(__name__)

ASK_S = 1.0  # a dead worker's open transaction hides the committed offset; the loop must go on polling meanwhile
AGAIN_S = 0.2
SAY_AFTER_S = 3.0


class Placing:
    """Places pending partitions; in the loop, never in the callback."""

    def __init__(self, feed: Feed, memory: Memory, observe: Observer) -> None:
        self._feed = feed
        self._memory = memory
        self._observe = observe
        self._found: dict[int, Found] = {}
        self._waiting_since: float | None = None
        self._said = False

    def place(self, shares: Sequence[Share]) -> dict[int, int]:
        """Start each partition, or leave it pending for another try. Gives offsets to be committed first.

        Raises Fatal where a person must decide.
        """
        views = self._memory.pipeline.views
        partitions = [share.partition for share in shares]
        try:
            found = self._feed.found(partitions, ASK_S)
            markers = [self._memory.store.markers(view.name, partitions) for view in views]
        except Unavailable as error:
            self._later(shares, error)
            return {}
        self._waiting_since, self._said = None, False
        self._observe(Step.RESOLVED)
        begin: dict[int, int] = {}
        for i, share in enumerate(shares):
            here = found[share.partition]
            decision = decide(here, views, [of_view[i] for of_view in markers])
            if isinstance(decision, Begin):
                begin[share.partition] = decision.at
            else:
                self._found[share.partition] = here
                self._resume(share, decision, [of_view[i] for of_view in markers])
        return begin

    def _later(self, shares: Sequence[Share], error: Unavailable) -> None:
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        if now - self._waiting_since > SAY_AFTER_S and not self._said:
            self._said = True
            log.warning("Partitions %s wait to be started: %s", sorted(s.partition for s in shares), error)
        for share in shares:
            share.retry_at = now + AGAIN_S

    def _resume(self, share: Share, decision: Resume, found: Sequence[Marker | None]) -> None:
        partition, store = share.partition, self._memory.store
        kept = self._memory.owned.get(partition)
        unchanged = (
            kept is not None
            and not any(decision.new)
            and kept.next_offset == decision.committed
            and tuple(held.marker for held in kept.held) == decision.builds
        )
        if kept is None or not unchanged:
            views = self._memory.pipeline.views
            for view, marker, new, old in zip(views, decision.builds, decision.new, found, strict=True):
                if new and store.write(store.marker_key(view.name, partition), old, marker, []) != marker:
                    share.retry_at = time.monotonic() + AGAIN_S
                    return
            held = tuple(Held(v, partition, store, m) for v, m in zip(views, decision.builds, strict=True))
            kept = self._memory.owned[partition] = Owned(held, decision.fold_from)
        if not self._feed.start(partition, kept.next_offset):
            share.retry_at = time.monotonic() + AGAIN_S
            return
        share.committed, share.until = decision.committed, decision.committed
        share.oldest_ms, share.fresh = None, any(decision.new)
        behind = kept.next_offset < decision.committed
        share.phase = Phase.CATCHING_UP if behind else Phase.LIVE
        if behind:
            log.info("Partition %d folds offsets %d to %d again.", partition, kept.next_offset, decision.committed - 1)

    def caught_up(self, share: Share) -> None:
        """The state has folded all that is committed: score from there on.

        Raises Fatal where the state was folded from a log that does not reach back far enough.
        """
        owned = self._memory.owned[share.partition]
        if share.oldest_ms is not None and share.fresh:
            for held in owned.held:
                refuse_short_log(
                    self._found[share.partition], held.view, oldest_ms=share.oldest_ms, newest_ms=held.newest_ms
                )
        owned.next_offset = share.until
        self._observe(Step.CAUGHT_UP)
        if self._feed.start(share.partition, share.until):
            share.phase = Phase.LIVE
        else:
            share.phase = Phase.PENDING
