"""Where a partition starts: what is committed, what Redis has, and what must be folded in between (protocol B6)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from operator import attrgetter

from app.errors import Unavailable
from app.features.assign import Begin, Found, Resume, Wanted, as_planned, decide, refuse_short_log
from app.features.held import Held
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.stream.feed import Feed
from app.stream.observe import Observer, Step
from app.stream.shares import Phase, Share

log = logging.getLogger(__name__)

# A dead worker's open transaction hides the committed offset of its partitions until it is aborted, and a question for
# several is answered when the last of them can be. So they are asked for one by one, and for so long that the loop
# still turns for those that live.
ASK_S = 1.0  # all at once, and all of one round
ALONE_S, ALONE_MOST_S = 0.1, 0.4
AGAIN_S = 0.2
ALONE_AGAIN_S = 0.5
SAY_AFTER_S = 3.0


class Placing:
    """Places pending partitions; in the loop, never in the callback.

    `fold_from` has where each partition's state begins, if that was planned; where scoring begins is then committed.
    """

    def __init__(
        self,
        feed: Feed,
        memory: Memory,
        *,
        accept_incomplete: bool,
        observe: Observer,
        fold_from: Mapping[int, int] | None = None,
    ) -> None:
        pipeline = memory.pipeline
        self._feed = feed
        self._memory = memory
        self._accept_incomplete = accept_incomplete
        self._observe = observe
        self._fold_from = fold_from
        self._wanted = [Wanted(view, pipeline.digest(view)) for view in pipeline.views]
        self._found: dict[int, Found] = {}
        self.width: int | None = None  # how many partitions the topic has
        self.topic_id: str | None = None
        self._waiting_since: float | None = None
        self._said = False
        self.why = ""  # what partitions wait for that could not be started

    def place(self, shares: Sequence[Share]) -> dict[int, int]:
        """Start each partition, or leave it pending for another try. Gives offsets to be committed first.

        Raises Fatal where a person must decide.
        """
        begin: dict[int, int] = {}
        late: list[Share] = []
        together = [share for share in shares if not share.ask_s]
        alone = sorted((share for share in shares if share.ask_s), key=attrgetter("retry_at"))  # in turn
        if together:
            late += self._tried(together, begin, ASK_S)
        until = time.monotonic() + ASK_S
        for share in alone:
            if time.monotonic() < until:
                late += self._tried([share], begin, share.ask_s)
        if not late:
            self._waiting_since, self._said, self.why = None, False, ""
        return begin

    def _tried(self, shares: Sequence[Share], begin: dict[int, int], ask_s: float) -> Sequence[Share]:
        """Place these. Gives those that could not be."""
        try:
            self._place(shares, begin, ask_s)
        except Unavailable as error:
            self._later(shares, error)
            return shares
        return ()

    def _place(self, shares: Sequence[Share], begin: dict[int, int], ask_s: float) -> None:
        partitions = [share.partition for share in shares]
        found = self._feed.found(partitions, ask_s)
        markers = [self._memory.store.markers(want.view.name, partitions, want.digest) for want in self._wanted]
        self._observe(Step.RESOLVED)
        for i, share in enumerate(shares):
            here, mine = found[share.partition], [of_view[i] for of_view in markers]
            self.width, self.topic_id = here.partitions, here.topic_id
            if self._fold_from is not None:
                here = as_planned(here, self._fold_from.get(share.partition), mine)
            decision = decide(here, self._wanted, mine)
            if isinstance(decision, Begin):
                begin[share.partition] = decision.at
            else:
                self._found[share.partition] = here
                self._resume(share, decision, mine)

    def _later(self, shares: Sequence[Share], error: Unavailable) -> None:
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        self.why = str(error)
        if now - self._waiting_since > SAY_AFTER_S and not self._said:
            self._said = True
            log.warning(
                "Partitions %s wait to be started: %s",
                sorted(s.partition for s in shares),
                error,
                extra={"event": "partitions-wait"},
            )
        for share in shares:
            share.retry_at = now + (ALONE_AGAIN_S if share.ask_s else 0.0)
            share.ask_s = min(ALONE_MOST_S, max(ALONE_S, 2 * share.ask_s))

    def _resume(self, share: Share, decision: Resume, found: Sequence[Marker | None]) -> None:
        partition = share.partition
        kept = self._memory.owned.get(partition)
        unchanged = (
            kept is not None
            and not any(decision.new)
            and kept.next_offset == decision.committed
            and tuple(held.marker for held in kept.held) == decision.builds
        )
        if kept is None or not unchanged:
            made = self._made(partition, decision, found)
            if made is None:
                share.retry_at = time.monotonic() + AGAIN_S
                return
            kept = self._memory.owned[partition] = made
        share.committed = share.until = decision.committed
        if kept.next_offset == decision.committed:
            self._go_live(share)
        elif self._feed.start(partition, kept.next_offset):
            share.phase = Phase.CATCHING_UP
            log.info(
                "Partition %d folds offsets %d to %d again.",
                partition,
                kept.next_offset,
                decision.committed - 1,
                extra={"event": "catching-up"},
            )
        else:
            share.retry_at = time.monotonic() + AGAIN_S

    def _made(self, partition: int, decision: Resume, found: Sequence[Marker | None]) -> Owned | None:
        """State to fold on from, its new builds announced in Redis. None where another owner was quicker."""
        store, held = self._memory.store, []
        for want, marker, new, old in zip(self._wanted, decision.builds, decision.new, found, strict=True):
            if new and store.write(store.marker_key(want.view.name, partition, want.digest), old, marker, []) != marker:
                return None
            held.append(Held(want.view, partition, store, marker))
        return Owned(tuple(held), decision.fold_from)

    def caught_up(self, share: Share) -> None:
        """The state has folded all that is committed: score from there on.

        Raises Fatal where the state was folded from a log that does not reach back far enough.
        """
        self._memory.owned[share.partition].next_offset = share.until
        self._observe(Step.CAUGHT_UP)
        self._go_live(share)

    def _go_live(self, share: Share) -> None:
        if not self._accept_incomplete:
            for held in self._memory.owned[share.partition].held:
                refuse_short_log(self._found[share.partition], held)
        if self._feed.start(share.partition, share.until):
            share.phase = Phase.LIVE
        else:  # the consumer is not ready for it: it is placed again, with the memory that it has
            share.phase = Phase.PENDING
            share.retry_at = time.monotonic() + AGAIN_S
