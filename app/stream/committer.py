"""The second thread: it owns the transactions, and commits one batch while the loop prepares the next.

Batches go in, outcomes come out, in order. After an outcome that is not a commit every batch behind it comes back
dropped, until the loop has asked for a recovery: batch n+1 never commits unless n did (protocol A1).
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import BatchAborted, StreamInferError
from app.stream.transaction import Aborted, Batch, Transactions, Undelivered

log = logging.getLogger(__name__)

ROUND_S = 0.5  # how often the watchdog looks
SLACK_S = 2.0  # for a call to come back after its time-out
WATCHDOG_EXIT = 70  # the process ended itself because a call overran; the supervisor restarts it


@dataclass(frozen=True)
class Outcome:
    """What became of a batch. No error: it is committed. `error` of a batch behind an aborted one is that one's.

    `refused` are the outputs that Kafka does not take.
    """

    batch: Batch
    error: StreamInferError | None = None
    moved_on: bool = False
    refused: Sequence[Undelivered] = ()


@dataclass(frozen=True)
class Recovered:
    """Both producers are initialised again; or `error`, which is Fatal."""

    error: StreamInferError | None = None


class _Recover:
    """The loop asks for a recovery."""


class Committer:
    """Runs `transactions` on its own thread. `depth` batches may wait beside the one that is being committed.

    A commit or a try to recover that overruns `limit_s` ends the process: librdkafka can ignore its own time-outs when
    the coordinator is away, and a killed worker is the case that everything here is built for.
    """

    def __init__(self, transactions: Transactions, *, limit_s: float, depth: int = 1) -> None:
        self._transactions = transactions
        self._limit_s = limit_s
        self._work: queue.Queue[Batch | _Recover | None] = queue.Queue(maxsize=depth)
        self._done: queue.SimpleQueue[Outcome | Recovered] = queue.SimpleQueue()
        self._broken: StreamInferError | None = None
        self._busy_since: float | None = None
        self._leaving = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="transactions", daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._watchdog.start()

    def submit(self, batch: Batch) -> None:
        """Hand over a batch; waits while `depth` others wait. The watchdog bounds it."""
        self._work.put(batch)

    def ask_recovery(self) -> None:
        """To be called when every submitted batch has come back; `next_done` gives a Recovered in the end."""
        self._work.put(_Recover())

    def next_done(self, wait_s: float | None) -> Outcome | Recovered | None:
        """The next outcome, or None if there is none within `wait_s` seconds (None: none is there now)."""
        try:
            return self._done.get(block=wait_s is not None, timeout=wait_s)
        except queue.Empty:
            return None

    def stop(self) -> None:
        """End the thread once what was submitted is done; a recovery is given up."""
        self._leaving.set()
        self._work.put(None)
        self._thread.join(self._limit_s)
        self._ended.set()

    def _run(self) -> None:
        try:
            while (work := self._work.get()) is not None:
                self._done.put(self._recover() if isinstance(work, _Recover) else self._commit(work))
        except BaseException:  # the loop would wait for this thread for ever
            log.critical(
                "The thread of the transactions failed; this worker ends itself.",
                exc_info=True,
                extra={"event": "transactions-failed"},
            )
            os._exit(WATCHDOG_EXIT)

    def _commit(self, batch: Batch) -> Outcome:
        if self._broken is not None:
            return Outcome(batch, self._broken, moved_on=True)
        self._busy_since = time.monotonic()
        try:
            self._transactions.commit(batch)
        except StreamInferError as error:
            self._broken = error
            if isinstance(error, Aborted):
                return Outcome(batch, error, moved_on=error.moved_on, refused=error.refused)
            return Outcome(batch, error)
        finally:
            self._busy_since = None
        return Outcome(batch)

    def _recover(self) -> Recovered:
        """Try until Kafka answers, and say so once: there is nothing else that this thread could do."""
        said = False
        while not self._leaving.is_set():
            try:
                self._initialise()
            except BatchAborted as error:
                if not said:
                    log.warning(
                        "Kafka does not initialise the producers (%s); trying on.", error, extra={"event": "kafka-away"}
                    )
                said = True
                self._leaving.wait(0.5)
                continue
            except StreamInferError as error:
                return Recovered(error)
            if said:
                log.info("Kafka answers again.", extra={"event": "kafka-answers"})
            break
        self._broken = None
        return Recovered()

    def _initialise(self) -> None:
        self._busy_since = time.monotonic()
        try:
            self._transactions.recover(timeout_s=self._limit_s / 4)  # there are two producers, and room to spare
        finally:
            self._busy_since = None

    def _under_way(self) -> tuple[float | None, float]:
        """Since when the thread is at something, and how long that may take.

        librdkafka hands offsets over with no time-out of its own where the group's coordinator has died (its issues
        5456 and 5511): what overruns the time-out that it was given never returns, and is not waited for twice.
        """
        offsets = self._transactions.handing_over
        if offsets is not None:
            return offsets, self._limit_s / 2 + SLACK_S
        return self._busy_since, self._limit_s

    def _watch(self) -> None:
        # Counts its own rounds and not the clock: a process that was paused has not overrun anything.
        watched, rounds = None, 0
        while not self._ended.wait(ROUND_S):
            since, limit_s = self._under_way()
            rounds = rounds + 1 if since == watched and watched is not None else 0
            watched = since
            if rounds * ROUND_S > limit_s:
                log.critical(
                    "A call of a transaction overran %.0f s; this worker ends itself.",
                    limit_s,
                    extra={"event": "transaction-overran"},
                )
                os._exit(WATCHDOG_EXIT)
