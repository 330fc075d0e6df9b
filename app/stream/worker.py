"""One worker: the loop that moves its partitions from the input topic to the answers.

Order of one turn: learn what became of earlier batches, place newly assigned partitions, flush what is due, poll,
answer. The thread of the transactions commits batch n while batch n+1 is prepared here. There is one way back after
anything unclean: empty the pipe, initialise the producers, and assign the partitions again from what is committed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.contracts.admission import Admitted
from app.errors import Fatal, StreamInferError
from app.features.memory import Memory
from app.record import Record
from app.stream.committer import Committer
from app.stream.feed import Feed, Polled
from app.stream.guard import Guard
from app.stream.keeping import Keeping
from app.stream.limits import Limits
from app.stream.measures import Meter
from app.stream.observe import Observer, Step, nobody
from app.stream.pipe import Pipe
from app.stream.placing import Placing
from app.stream.report import reason_of
from app.stream.shares import Phase, Share
from app.stream.throttle import Throttle
from app.stream.transaction import Batch, Undelivered

log = logging.getLogger(__name__)


@dataclass
class Counts:
    """What this worker did since it started; `offsets` are confirmed commits by partition.

    `folded` records were only folded, before the first that is answered.
    """

    records: int = 0
    folded: int = 0
    dead_letters: int = 0
    batches: int = 0
    aborted: int = 0
    offsets: dict[int, int] = field(default_factory=dict)


class Worker:
    """Owns partitions of one pipeline's input. `ends` gives offsets whose commit and flush are reported.

    With `fold_from`, which has the offset where each partition's state begins, nothing at or beyond its end is read
    for an answer. `throttle` says how fast it may go.
    """

    def __init__(
        self,
        feed: Callable[[Worker], Feed],
        committer: Committer,
        processor: Guard,
        *,
        limits: Limits | None = None,
        observe: Observer = nobody,
        meter: Meter | None = None,
        ends: Mapping[int, int] | None = None,
        fold_from: Mapping[int, int] | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        self.feed = feed(self)
        self.processor = processor
        self.memory: Memory = processor.memory
        self.limits = limits or Limits()
        self.observe = observe
        self.meter = meter
        self.ends = dict(ends or {})
        self.stops = self.ends if fold_from is not None else {}
        self.throttle = throttle or Throttle()
        self.shares: dict[int, Share] = {}
        self.counts = Counts()
        self.stopping = threading.Event()
        self._placing = Placing(
            self.feed,
            self.memory,
            accept_incomplete=self.limits.accept_incomplete,
            observe=observe,
            fold_from=fold_from,
        )
        self._keeping = Keeping(self.feed, self.memory, self.shares, limits=self.limits, observe=observe)
        self._full = False
        self._held = False  # records of the last batch had to wait for what they look up
        self._pipe = Pipe(committer, self, aborts=self.limits.aborts, observe=observe)

    # -- life --------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Score until `stopping` is set; then finish, commit, flush and leave. Raises Fatal where it cannot go on."""
        self._pipe.start(self.stopping, self.processor.beat)
        self.observe(Step.STARTED)
        self.feed.subscribe()
        while not self.stopping.is_set():
            self.turn()
        self.observe(Step.LEAVING)
        self._pipe.settle()
        self._keeping.flush(list(self.shares))
        self.feed.close(leave=self.limits.leave_at_end)
        self._pipe.stop()

    def turn(self) -> None:
        """One turn of the loop."""
        self.processor.beat()
        if self.meter is not None:
            self.meter.turn()
        self._pipe.take_all()
        self._place()
        if self._keeping.is_due():
            self._flush_due()
        # A full batch says that there is a backlog: prepare the next one while it commits. Otherwise wait for the
        # commit, so that what arrives meanwhile goes into the next transaction and not into the one after that.
        self._pipe.settle(1 if self._full else 0)
        most = self._most()
        if not most:
            return
        placed = self.shares and all(share.phase is not Phase.PENDING for share in self.shares.values())
        polled = self.feed.poll(most, self.limits.idle_s if placed else self.limits.unplaced_s)
        self._full = len(polled.records) >= self.limits.batch_records // 2
        self.throttle.spend(len(polled.records))
        gone = any(partition in self.shares for partition in polled.gone)
        if gone:
            self.feed.anew()
        if gone or (polled.records and (polled.changed or polled.group is None)):
            self._assign_again(set(), forget=False)
            return
        if polled.records:
            self._work(polled)
        self._note_ends(polled.ends)

    def _most(self) -> int:
        """How many records this turn may take; 0: it has waited in place of a poll."""
        most = self.limits.batch_records
        if self.throttle.held:  # polling goes on, or the group would take the partitions away
            self._keeping.stand_still()
            return most
        allowed = self.throttle.allowed(most)
        if not allowed:
            time.sleep(min(self.limits.idle_s, self.throttle.wait_s(most)))
        return allowed

    # -- what became of batches --------------------------------------------------------------------------------------

    def confirmed(self, batch: Batch) -> None:
        """The broker has the batch: what the pipe tells."""
        for partition, offset in batch.offsets.items():
            if (share := self.shares.get(partition)) is not None:
                share.committed = offset
        self.counts.batches += 1
        self.counts.records += batch.records
        self.counts.dead_letters += batch.letters
        self.counts.offsets.update(batch.offsets)
        self.processor.committed(batch.offsets)
        if self.meter is not None:
            self.meter.confirmed(batch.outputs, batch.facts)

    def undelivered(self, refused: Sequence[Undelivered]) -> bool:
        """Kafka does not take these outputs. Whether their records are answered in another way."""
        return self.processor.undelivered(refused)

    def aborted(self, touched: set[int], error: StreamInferError | None, *, moved_on: bool) -> None:
        """A batch did not commit: what it touched starts again from what is committed."""
        self.counts.aborted += 1
        if self.meter is not None:
            self.meter.failed(reason_of(error, moved_on=moved_on))
        self._assign_again(touched, forget=True)

    def _assign_again(self, touched: set[int], *, forget: bool) -> None:
        """Pause everything and place it anew. Memory that is `forget`-ten is folded again from Redis and the log."""
        self._pipe.settle()
        self.feed.pause(self.shares)
        for partition, share in self.shares.items():
            self.shares[partition] = Share(partition, reached=share.reached)
        if forget:
            for partition in touched:
                self.memory.owned.pop(partition, None)

    def _flush_due(self) -> None:
        behind = self._keeping.behind()
        if behind:
            self._pipe.settle()
            if not self._pipe.recovering and (lost := self._keeping.flush(behind, budget_s=self.limits.flush_budget_s)):
                self._assign_again(lost, forget=True)
        self._mark_reached()

    # -- what others may know ------------------------------------------------------------------------------------------

    @property
    def recovering(self) -> bool:
        """Whether the producers are being initialised: nothing is committed meanwhile."""
        return self._pipe.recovering

    @property
    def redis_away(self) -> bool:
        return self._keeping.away

    @property
    def pending_why(self) -> str:
        """Why partitions are not started yet, if something is away."""
        return self._placing.why

    @property
    def waits(self) -> str:
        """What it cannot go on without now, as the end of a sentence; empty where it goes on."""
        if self.recovering:
            return "Kafka to initialise its producers"
        if self.redis_away:
            return "Redis"
        shares = dict(self.shares).values()
        if any(share.phase is Phase.PENDING for share in shares):
            return self.pending_why or "its partitions to be started"
        return "what its events look up" if self._held else ""

    # -- partitions come and go, inside a poll -------------------------------------------------------------------------

    def assigned(self, partitions: frozenset[int]) -> None:
        for partition in partitions:
            self.shares[partition] = Share(partition)
        for partition in set(self.memory.owned) - set(self.shares):
            del self.memory.owned[partition]
        self.observe(Step.ASSIGNED)

    def revoked(self, partitions: frozenset[int]) -> None:
        """Settle, then flush what is committed: the batch's metadata is valid until this returns.

        The memory stays, for a partition that comes straight back with nothing changed.
        """
        self.observe(Step.REVOKED)
        self._pipe.settle()
        self._keeping.flush(sorted(partitions))
        for partition in partitions:
            self.shares.pop(partition, None)

    def lost(self, partitions: frozenset[int]) -> None:
        """Others have them already: what is in flight is refused by the broker, and nothing is written."""
        self._pipe.settle()
        for partition in partitions:
            self.shares.pop(partition, None)
            self.memory.owned.pop(partition, None)

    def _place(self) -> None:
        if self._pipe.recovering:
            return
        if not self.throttle.held:
            self._keeping.resume()
        now = time.monotonic()
        pending = [
            share
            for share in self.shares.values()
            if share.phase is Phase.PENDING and now >= share.retry_at and not self._pipe.holds(share.partition)
        ]
        if not pending:
            return
        begin = self._placing.place(pending)
        self.processor.admission.width = self._placing.width
        self.processor.admission.topic_id = self._placing.topic_id
        if begin and self.feed.group is not None:
            self._pipe.submit(Batch([], begin, self.feed.group))

    # -- records -------------------------------------------------------------------------------------------------------

    def _note_ends(self, ends: Mapping[int, int]) -> None:
        for partition, end in ends.items():
            share = self.shares.get(partition)
            if share is not None and share.phase is not Phase.PENDING and not share.waiting:
                share.end = max(share.end, end)
                if share.phase is Phase.CATCHING_UP and end >= share.until:
                    self._caught_up(share)

    def _work(self, polled: Polled) -> None:
        self.observe(Step.POLLED)
        live: list[Record] = []
        behind: list[Record] = []
        beyond: set[int] = set()
        ended: set[int] = set()
        for record in polled.records:
            share = self.shares.get(record.partition)
            if share is None or share.phase is Phase.PENDING or share.waiting:
                continue  # a leftover of what was paused; `start` seeks
            if share.phase is Phase.LIVE:
                if self.stops and record.offset >= self.stops.get(record.partition, 0):
                    ended.add(record.partition)
                else:
                    live.append(record)
            elif record.offset < share.until:
                behind.append(record)
            else:
                beyond.add(record.partition)  # read again, once what lies before is folded
        if behind:
            self._catch_up(behind)
        for partition in beyond:
            share = self.shares[partition]
            if share.phase is Phase.CATCHING_UP and not share.waiting:
                self._caught_up(share)
        if live:
            self._answer(live, polled.group)
        self._end(ended)

    def _end(self, partitions: set[int]) -> None:
        """The planned end lies behind: what comes now is not read any more.

        Not where records before it had to wait, or are placed anew: those are read again, and then its end.
        """
        for partition in partitions:
            share = self.shares.get(partition)
            if share is not None and share.phase is Phase.LIVE and not share.waiting:
                self.feed.pause({partition})
                share.end = max(share.end, self.stops.get(partition, 0))

    def _caught_up(self, share: Share) -> None:
        self._placing.caught_up(share)
        self._keeping.hurry()

    def _catch_up(self, records: list[Record]) -> None:
        admitted, _ = self.processor.admit(records)
        held = self._load(admitted, records, lookups=False)
        self.memory.fold_only(event for event in admitted if _goes_on(event, held))
        folded = [record for record in records if _goes_on(record, held)]
        self._advance(folded)
        self.counts.folded += len(folded)

    def _answer(self, records: list[Record], group: object) -> None:
        records = [record for record in records if self.shares[record.partition].phase is Phase.LIVE]
        admitted, refused = self.processor.admit(records)
        held = self._load(admitted, records, lookups=True)
        self.observe(Step.LOADED)
        if held:
            records = [record for record in records if _goes_on(record, held)]
            admitted = [event for event in admitted if _goes_on(event, held)]
            refused = [(record, error) for record, error in refused if _goes_on(record, held)]
        if not records:
            return
        try:
            outputs = self.processor.answer(admitted, refused)
        except Fatal:
            self._pipe.settle()  # what was answered before this batch is committed
            raise
        offsets, first = self._advance(records)
        facts, letters = None, self.processor.letters
        if self.meter is not None:
            facts = self.meter.facts(records, refused=letters, noted=self.processor.noted)
        self.observe(Step.PREPARED)
        self._pipe.submit(Batch(outputs, offsets, group, first, len(records), letters, facts))

    def _load(self, admitted: list[Admitted], records: list[Record], *, lookups: bool) -> Mapping[int, int]:
        """Bring states into memory. Gives by partition the first offset that cannot go on now: it is read again."""
        began = time.perf_counter()
        loaded = self.memory.load(admitted, lookups=lookups)
        self._held = bool(loaded.held)
        if loaded.asked and self.meter is not None:
            self.meter.loaded(time.perf_counter() - began)
        if loaded.moved:  # somebody else wrote the state: what memory holds is worth nothing
            log.warning(
                "The state of partitions %s has moved in Redis; assigning again.",
                sorted(loaded.moved),
                extra={"event": "state-moved"},
            )
            self._assign_again(set(loaded.moved), forget=True)
            return {record.partition: 0 for record in records}
        if loaded.why:
            self._keeping.wait(loaded.held, loaded.why)
            return loaded.held
        if loaded.held:
            self._keeping.hold(loaded.held, loaded.ahead)
            if self.memory.pace is not None and not all(self.memory.flushed(partition) for partition in loaded.held):
                self._keeping.hurry()  # those that it waits for may wait for what it has
        if loaded.asked:
            self._keeping.answered()
        return loaded.held

    def _advance(self, records: list[Record]) -> tuple[dict[int, int], dict[int, int]]:
        """Memory has folded these. Gives each partition's next offset, and its first."""
        offsets: dict[int, int] = {}
        first: dict[int, int] = {}
        for record in records:
            offsets[record.partition] = record.offset + 1
            first.setdefault(record.partition, record.offset)
        for partition, offset in offsets.items():
            self.memory.owned[partition].next_offset = offset
        return offsets, first

    def _mark_reached(self) -> None:
        """See where all that existed at the start is committed and in Redis; invisible records at the end count too."""
        for partition, end in self.ends.items():
            share = self.shares.get(partition)
            if share is None or share.reached or share.phase is not Phase.LIVE or self._pipe.holds(partition):
                continue
            owned = self.memory.owned.get(partition)
            at_end = share.committed is not None and (share.committed >= end or share.end >= end)
            if at_end and owned and owned.next_offset == share.committed:
                if self.memory.pipeline.fold_only:
                    self.memory.end(partition)
                share.reached = self.memory.flushed(partition)


def _goes_on(record: Record | Admitted, held: Mapping[int, int]) -> bool:
    return record.partition not in held or record.offset < held[record.partition]
