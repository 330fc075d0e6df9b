"""Two transactional producers that take turns, and what each of their errors means.

The only file that begins, commits or aborts. Two producers, because the broker answers CONCURRENT_TRANSACTIONS until
the markers of a producer's last transaction are written; the other one's are written meanwhile, and a cycle takes 4 ms
in place of 98. All calls come from one thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from app.errors import BatchAborted, Fatal, Fenced
from app.record import Output
from app.stream.observe import Observer, Step, nobody

log = logging.getLogger(__name__)

# librdkafka retries these inside, and says so nowhere else. A retried EndTxn that arrives late ends a later
# transaction (KAFKA-17754), so after one of them the producer is not used again.
SUSPICIOUS = ("REQTMOUT", "FAIL")

# Errors of the group, not of the batch: it has moved on while the batch was on its way, and nothing is wrong with it.
MOVED_ON = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
    }
)
FENCED = frozenset({KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID})


@dataclass(frozen=True)
class Batch:
    """What one transaction commits: outputs, and for each input partition the next offset to read.

    `group` is the metadata of the moment when the batch was polled (protocol A2b): read fresh at commit it would
    commit partitions that were lost meanwhile. `first` holds each partition's first offset, for a person to read.
    """

    outputs: Sequence[Output]
    offsets: Mapping[int, int]
    group: object
    first: Mapping[int, int] = field(default_factory=dict)

    def words(self) -> str:
        return ", ".join(f"{p}: {self.first.get(p, at)} to {at - 1}" for p, at in sorted(self.offsets.items()))


class _Suspicion(logging.Handler):
    """Listens to librdkafka's log lines for those that make a producer suspect."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.why: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line.startswith(SUSPICIOUS):
            self.why = line[:200]


class Turn:
    """One of the two producers, with what it was told about itself."""

    def __init__(self, config: Mapping[str, Any], transactional_id: str) -> None:
        self.id = transactional_id
        self._config = dict(config)
        self._producer: Producer | None = None
        self._suspicion = _Suspicion()
        self.failed: KafkaError | None = None

    @property
    def suspect(self) -> str | None:
        return self._suspicion.why

    @property
    def producer(self) -> Producer:
        assert self._producer is not None, "initialise() comes first"
        return self._producer

    def initialise(self, timeout_s: float) -> None:
        """Fence whoever had the id before, and end what it left open. May be called again after any KafkaException.

        A new producer is made unless there is a sound one that was never used: the old one's late requests carry an
        older epoch then, and the broker refuses them.
        """
        self.discard()
        self._suspicion = _Suspicion()
        logger = logging.Logger(f"librdkafka.{self.id}", logging.DEBUG)
        logger.addHandler(self._suspicion)
        config = self._config | {"transactional.id": self.id, "on_delivery": self._delivered}
        try:
            self._producer = Producer(config, logger=logger)
        except KafkaException as error:
            raise Fatal(f"Kafka's client refuses its settings: {error.args[0].str()}.") from error
        self._producer.init_transactions(timeout_s)

    def discard(self) -> None:
        """Forget the producer. What it left open is aborted by the next initialise()."""
        self._producer = None
        self.failed = None

    def listen(self) -> None:
        """Hand on librdkafka's log lines and failed deliveries. Called after each commit (protocol A3)."""
        self.producer.poll(0)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None and self.failed is None:
            self.failed = error


class Transactions:
    """Commits batches, each with one of two producers in turn.

    `commit` returns when the broker has confirmed it; otherwise it raises BatchAborted, and `recover` must succeed
    before the next commit. An unconfirmed commit is not a commit: what the group has committed tells the truth, and
    it is read after `recover`.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        slot: str,
        topic: str,
        deadline_s: float = 15.0,
        observe: Observer = nobody,
    ) -> None:
        self._turns = [Turn(config, f"{slot}.{turn}") for turn in "ab"]
        self._topic = topic
        self._deadline_s = deadline_s
        self._observe = observe
        self._next = 0
        self._timeout_s = float(config["transaction.timeout.ms"]) / 1000
        self._began = float("inf")

    def recover(self, timeout_s: float) -> None:
        """Initialise both producers. Raises BatchAborted while Kafka does not answer: call it again.

        Raises Fenced where the broker gave one of the ids to another process.
        """
        for turn in self._turns:
            try:
                turn.initialise(timeout_s)
            except KafkaException as error:
                turn.discard()
                raise self._meaning(error) from error

    def commit(self, batch: Batch) -> None:
        """Produce, send offsets and commit as one transaction."""
        turn = self._turns[self._next]
        self._next = 1 - self._next
        if turn.suspect is not None:
            log.warning("A request of producer %s may still be on its way (%s); it is replaced.", turn.id, turn.suspect)
            self._or_abort(turn, lambda: turn.initialise(self._deadline_s))
        self._or_abort(turn, lambda: self._carry(turn, batch))
        self._observe(Step.COMMITTED)
        turn.listen()

    def _carry(self, turn: Turn, batch: Batch) -> None:
        deadline = time.monotonic() + self._deadline_s
        producer = turn.producer
        self._began = time.monotonic()
        producer.begin_transaction()
        self._observe(Step.BEGUN)
        for output in batch.outputs:
            self._produce(producer, output, deadline)
        self._observe(Step.PRODUCED)
        offsets = [TopicPartition(self._topic, p, offset) for p, offset in batch.offsets.items()]
        self._again(lambda left: producer.send_offsets_to_transaction(offsets, batch.group, left), deadline)
        self._observe(Step.OFFSETS_SENT)
        # A commit that waits delivers first; a delivery that failed makes it fail, and `failed` says which it was.
        self._again(producer.commit_transaction, deadline)
        if turn.failed is not None:
            raise KafkaException(turn.failed)

    @staticmethod
    def _produce(producer: Producer, output: Output, deadline: float) -> None:
        while True:
            try:
                producer.produce(output.topic, output.value, output.key, headers=output.headers)  # type: ignore[arg-type]
                return
            except BufferError:  # the client's queue is full: let it send
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
                producer.poll(0.05)

    @staticmethod
    def _again(call: Callable[[float], object], deadline: float) -> None:
        """A retriable error means: the same call again, which goes on where it was. Until the deadline."""
        while True:
            left = deadline - time.monotonic()
            try:
                call(max(left, 0.1))
                return
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if not cause.retriable() or cause.txn_requires_abort() or cause.fatal() or left <= 0:
                    raise
                time.sleep(0.02)

    def _or_abort(self, turn: Turn, step: Callable[[], None]) -> None:
        try:
            step()
        except KafkaException as error:
            cause = self._meaning(error, turn.failed)
            # Whatever went wrong, the producer is not asked to abort: a new one of the same id is made in recover(),
            # whose init_transactions ends the open transaction and fences every request still on its way.
            turn.discard()
            raise cause from error

    def _meaning(self, error: KafkaException, failed: KafkaError | None = None) -> BatchAborted | Fatal:
        cause: KafkaError = error.args[0]
        # A broker that ends an overdue transaction fences its producer as another process would: a worker that was
        # paused for so long is no second process, and goes on with new producers.
        overdue = time.monotonic() - self._began > self._timeout_s
        if cause.code() in FENCED and not overdue:
            return Fenced(
                "The broker gave this worker's slot to another process. Two processes run with the same --instance; "
                "give each its own."
            )
        if failed is not None:
            cause = failed
        if cause.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED):
            return Fatal(f"Kafka does not allow what the pipeline needs: {cause.str()}.")
        return Aborted(cause.str(), moved_on=cause.code() in MOVED_ON)


class Aborted(BatchAborted):
    """Why a transaction did not commit. `moved_on`: the group has given its partitions to others meanwhile."""

    def __init__(self, why: str, *, moved_on: bool) -> None:
        super().__init__(why)
        self.moved_on = moved_on
