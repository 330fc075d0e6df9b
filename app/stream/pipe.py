"""The pipe between the loop and the transactions' thread: batches go in, and what became of them comes out in order."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from app.errors import Fatal, StreamInferError
from app.stream.committer import Committer, Outcome, Recovered
from app.stream.observe import Observer, Step
from app.stream.transaction import Batch, Undelivered

log = logging.getLogger(__name__)


class Sender(Protocol):
    """Who sends batches, and is told about them on its own thread."""

    def confirmed(self, batch: Batch) -> None: ...
    def undelivered(self, refused: Sequence[Undelivered]) -> bool: ...
    def aborted(self, touched: set[int], error: StreamInferError | None, *, moved_on: bool) -> None: ...


class Pipe:
    """Holds the batches in flight. While `recovering`, nothing may be submitted.

    After a batch that did not commit the pipe empties itself, asks for new producers, and tells the sender which
    partitions were touched. Records that do not commit `aborts` times are Fatal, but for those whose answers Kafka
    refuses, as long as the sender has another way to answer them.
    """

    def __init__(self, committer: Committer, sender: Sender, *, aborts: int, observe: Observer) -> None:
        self._committer = committer
        self._sender = sender
        self._most = aborts
        self._observe = observe
        self._in_flight: list[Batch] = []
        self._aborts: Counter[tuple[int, int]] = Counter()
        self.recovering = True

    def start(self, stopping: threading.Event, beat: Callable[[], None]) -> None:
        """Initialise both producers, so that what an earlier life left open is ended before any offset is read."""
        self._committer.start()
        self._committer.ask_recovery()
        while self.recovering and not stopping.is_set():
            beat()
            self._take(self._committer.next_done(0.2))

    def stop(self) -> None:
        self._committer.stop()

    def submit(self, batch: Batch) -> None:
        """Hand a batch over; waits while the pipe is full."""
        self._in_flight.append(batch)
        self._committer.submit(batch)

    def holds(self, partition: int) -> bool:
        """Whether a batch with this partition's records is in flight."""
        return any(partition in batch.offsets for batch in self._in_flight)

    def take_all(self) -> None:
        """Learn what became of batches meanwhile, without waiting."""
        while (done := self._committer.next_done(None)) is not None:
            self._take(done)

    def settle(self, most: int = 0) -> None:
        """Wait until no more than `most` batches are in flight. The committer's watchdog bounds it."""
        while len(self._in_flight) > most:
            self._take(self._committer.next_done(1.0))

    def _take(self, done: Outcome | Recovered | None) -> None:
        match done:
            case Recovered(error=None):
                self.recovering = False
                self._observe(Step.RECOVERED)
            case Recovered(error=error) if error is not None:
                raise error
            case Outcome(error=None):
                self._in_flight.remove(done.batch)
                for lead in [lead for lead in self._aborts if lead[0] in done.batch.offsets]:
                    del self._aborts[lead]
                self._sender.confirmed(done.batch)
                self._observe(Step.CONFIRMED)
            case Outcome():
                self._empty(done)

    def _empty(self, first: Outcome) -> None:
        """The one way back: what is behind the failed batch comes back dropped, and new producers are asked for."""
        touched = set(first.batch.offsets)
        self._in_flight.remove(first.batch)
        while self._in_flight:
            done = self._committer.next_done(1.0)
            if isinstance(done, Outcome):
                self._in_flight.remove(done.batch)
                touched.update(done.batch.offsets)
        if isinstance(first.error, Fatal):
            raise first.error
        log.warning(
            "A transaction did not commit (%s); its records are scored again.",
            first.error,
            extra={"event": "transaction-aborted"},
        )
        if not first.moved_on and not (first.refused and self._sender.undelivered(first.refused)):
            self._refuse_loop(first.batch, str(first.error))
        self.recovering = True
        self._committer.ask_recovery()
        self._sender.aborted(touched, first.error, moved_on=first.moved_on)

    def _refuse_loop(self, batch: Batch, why: str) -> None:
        self._aborts.update(batch.first.items())
        if any(self._aborts[lead] >= self._most for lead in batch.first.items()):
            raise Fatal(
                f"The same records did not commit {self._most} times (partition: offsets are {batch.words()}); "
                f"the last reason was: {why}."
            )
