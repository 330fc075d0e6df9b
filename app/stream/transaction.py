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

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from app.errors import BatchAborted, Fatal, Fenced
from app.record import Output
from app.stream.measures import Facts
from app.stream.observe import Observer, Step, nobody
from app.stream.turn import BATCH_BYTES, LEAST_BATCH_BYTES, OF_RECORDS, TOO_LARGE, Turn

log = logging.getLogger(__name__)

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
# A transaction that fails by a record says so by the record's error, or that it is in no state to go on.
BY_RECORDS = OF_RECORDS | {KafkaError._STATE}
FENCED = frozenset({KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID})


@dataclass(frozen=True)
class Undelivered:
    """An output that Kafka does not take, by its own fault, and Kafka's name for the reason."""

    output: Output
    why: str


@dataclass(frozen=True)
class Batch:
    """What one transaction commits: outputs, and for each input partition the next offset to read.

    `group` is the metadata of the moment when the batch was polled (protocol A2b): read fresh at commit it would
    commit partitions that were lost meanwhile. `first` holds each partition's first offset, for a person to read;
    `records` is how many input records it answers, `letters` how many of them with dead letters; `facts` are counted
    once it is committed.
    """

    outputs: Sequence[Output]
    offsets: Mapping[int, int]
    group: object
    first: Mapping[int, int] = field(default_factory=dict)
    records: int = 0
    letters: int = 0
    facts: Facts | None = None

    def words(self) -> str:
        return ", ".join(f"{p}: {self.first.get(p, at)} to {at - 1}" for p, at in sorted(self.offsets.items()))


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
        self._slot = slot
        self._topic = topic
        self._deadline_s = deadline_s
        self._observe = observe
        self._next = 0
        self.handing_over: float | None = None  # since when offsets are being handed over, for a watchdog
        self._timeout_s = float(config["transaction.timeout.ms"]) / 1000
        self._began = float("inf")
        self._careful = False
        self._blamed = False  # whether a record was found while careful
        self._batch_bytes = int(config.get("batch.size", BATCH_BYTES))
        self._plain = config.get("compression.type", config.get("compression.codec", "none")) == "none"

    def recover(self, timeout_s: float) -> None:
        """Initialise both producers. Raises BatchAborted while Kafka does not answer: call it again.

        Raises Fenced where the broker gave one of the ids to another process.
        """
        for turn in self._turns:
            try:
                turn.initialise(timeout_s, careful=self._careful, batch_bytes=self._batch_bytes)
            except KafkaException as error:
                turn.discard()
                raise self._meaning(error) from error

    def commit(self, batch: Batch) -> None:
        """Produce, send offsets and commit as one transaction."""
        turn = self._turns[self._next]
        self._next = 1 - self._next
        if turn.suspect is not None:
            log.warning(
                "A request of producer %s may still be on its way (%s); it is replaced.",
                turn.id,
                turn.suspect,
                extra={"event": "producer-replaced"},
            )
        if turn.suspect is not None or turn.careful > self._careful:
            self._or_abort(turn, lambda: turn.initialise(self._deadline_s, batch_bytes=self._batch_bytes))
        self._or_abort(turn, lambda: self._carry(turn, batch), batch)
        self._observe(Step.COMMITTED)
        turn.listen()
        if self._careful:
            self._trust()

    def _trust(self) -> None:
        """What one by one was taken: records go together again. In smaller requests, where no record was to blame."""
        if not self._blamed:
            self._batch_bytes = max(LEAST_BATCH_BYTES, self._batch_bytes // 2)
        self._careful = self._blamed = False

    def _carry(self, turn: Turn, batch: Batch) -> None:
        deadline = time.monotonic() + self._deadline_s
        producer = turn.producer
        self._began = time.monotonic()
        producer.begin_transaction()
        self._observe(Step.BEGUN)
        for place, output in enumerate(batch.outputs):
            self._produce(turn, place, output, deadline)
        if turn.careful:
            turn.deliver(deadline)
        if turn.refused:
            raise KafkaException(turn.failed)
        self._observe(Step.PRODUCED)
        offsets = [TopicPartition(self._topic, p, offset) for p, offset in batch.offsets.items()]
        self.handing_over = time.monotonic()
        try:
            self._again(lambda left: producer.send_offsets_to_transaction(offsets, batch.group, left), deadline)
        finally:
            self.handing_over = None
        self._observe(Step.OFFSETS_SENT)
        # A commit that waits delivers first; a delivery that failed makes it fail, and `failed` says which it was.
        self._again(producer.commit_transaction, deadline)
        if turn.failed is not None:
            raise KafkaException(turn.failed)

    @staticmethod
    def _produce(turn: Turn, place: int, output: Output, deadline: float) -> None:
        while True:
            try:
                turn.produce(place, output)
                return
            except BufferError:  # the client's queue is full: let it send
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
                turn.producer.poll(0.05)

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

    def _or_abort(self, turn: Turn, step: Callable[[], None], batch: Batch | None = None) -> None:
        try:
            step()
        except KafkaException as error:
            if batch is not None and error.args[0].code() in BY_RECORDS:
                turn.hear()
            cause = self._meaning(error, turn.failed, self._refused(turn, batch))
            # Whatever went wrong, the producer is not asked to abort: a new one of the same id is made in recover(),
            # whose init_transactions ends the open transaction and fences every request still on its way.
            turn.discard()
            raise cause from error

    def _refused(self, turn: Turn, batch: Batch | None) -> list[Undelivered]:
        """The outputs that are known to be refused; none where it is not known which: then the next try is careful."""
        if batch is None or turn.failed is None or turn.failed.code() not in OF_RECORDS:
            return []
        self._careful = True
        found = {place: error.name() for place, error in turn.refused.items()}
        # Kafka stops at the first. What is as large and goes to the same topic need not be tried one by one.
        for place, error in turn.refused.items():
            if error.code() in TOO_LARGE and self._plain:
                topic, size = batch.outputs[place].topic, _size(batch.outputs[place])
                found |= {i: error.name() for i, o in enumerate(batch.outputs) if o.topic == topic and _size(o) >= size}
        self._blamed = self._blamed or bool(found)
        return [Undelivered(batch.outputs[place], why) for place, why in sorted(found.items())]

    def _meaning(
        self, error: KafkaException, failed: KafkaError | None = None, refused: Sequence[Undelivered] = ()
    ) -> BatchAborted | Fatal:
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
        if cause.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            pipeline = self._slot.partition(".")[0]
            return Fatal(
                f"Kafka does not allow what the pipeline needs: Write on the transactional-id {pipeline}.*. "
                f"Allow it by `kafka-acls.sh ... --operation Write --transactional-id {pipeline}. "
                f"--resource-pattern-type prefixed`; `streaminfer acls {pipeline}` prints all that is needed."
            )
        if cause.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
            return Fatal(
                f"Kafka does not allow what the pipeline needs: {cause.str()}. `streaminfer acls` prints what it needs."
            )
        return Aborted(cause.str(), moved_on=cause.code() in MOVED_ON, refused=refused)


def _size(output: Output) -> int:
    """What grows with an output as Kafka writes it."""
    headers = sum(len(name) + len(value or b"") + 4 for name, value in output.headers)
    return len(output.key or b"") + len(output.value or b"") + headers


class Aborted(BatchAborted):
    """Why a transaction did not commit.

    `moved_on`: the group has given its partitions to others meanwhile. `refused`: the outputs that Kafka does not take.
    """

    def __init__(self, why: str, *, moved_on: bool, refused: Sequence[Undelivered] = ()) -> None:
        super().__init__(why)
        self.moved_on = moved_on
        self.refused = refused
