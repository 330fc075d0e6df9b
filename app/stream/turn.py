"""One of the two transactional producers: made, replaced, and what it was told about itself and about its records."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app.errors import Fatal
from app.record import Output

# librdkafka retries these inside, and says so nowhere else. A retried EndTxn that arrives late ends a later
# transaction (KAFKA-17754), so after one of them the producer is not used again.
SUSPICIOUS = ("REQTMOUT", "FAIL")
# A connection that never came to stand has carried no request: while a broker is away there are many.
HARMLESS = "in state CONNECT"
# Whatever quieter logs somebody has asked for: without these lines nobody learns of a retry.
TOLD = {"log_level": 6, "log.connection.close": True}

# Errors of a record, not of the transaction: the same record would be refused again.
TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})
OF_RECORDS = TOO_LARGE | {KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD, KafkaError.POLICY_VIOLATION}

BATCH_BYTES = 1_000_000  # of one request's records for one partition, at first
LEAST_BATCH_BYTES = 16_384
HEAR_S = 0.3  # the report of a record that is refused comes a moment after the transaction has failed by it


class _Suspicion(logging.Handler):
    """Listens to librdkafka's log lines for those that make a producer suspect."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.why: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line.startswith(SUSPICIOUS) and HARMLESS not in line:
            self.why = line[:200]


class Turn:
    """One of the two producers, with what it was told about itself."""

    def __init__(self, config: Mapping[str, Any], transactional_id: str) -> None:
        self.id = transactional_id
        self._config = dict(config)
        self._producer: Producer | None = None
        self._suspicion = _Suspicion()
        self.failed: KafkaError | None = None
        self.refused: dict[int, KafkaError] = {}  # by the output's place in the batch; filled where `careful`
        self.careful = False

    @property
    def suspect(self) -> str | None:
        return self._suspicion.why

    @property
    def producer(self) -> Producer:
        assert self._producer is not None, "initialise() comes first"
        return self._producer

    def initialise(self, timeout_s: float, *, careful: bool = False, batch_bytes: int = BATCH_BYTES) -> None:
        """Fence whoever had the id before, and end what it left open. May be called again after any KafkaException.

        A new producer is made each time: the old one's late requests carry an older epoch then, and the broker refuses
        them. A `careful` one sends each record by itself, for Kafka refuses records by the request.
        """
        self.discard()
        self.careful = careful
        self._suspicion = _Suspicion()
        logger = logging.Logger(f"librdkafka.{self.id}", logging.DEBUG)
        logger.addHandler(self._suspicion)
        sized = {"batch.num.messages": 1} if careful else {"batch.size": batch_bytes}
        config = sized | self._config | TOLD | {"transactional.id": self.id, "on_delivery": self._delivered}
        try:
            self._producer = Producer(config, logger=logger)
        except KafkaException as error:
            raise Fatal(f"Kafka's client refuses its settings: {error.args[0].str()}.") from error
        self._producer.init_transactions(timeout_s)

    def discard(self) -> None:
        """Forget the producer. What it left open is aborted by the next initialise()."""
        self._producer = None
        self.failed = None
        self.refused = {}

    def produce(self, place: int, output: Output) -> None:
        """Hand an output over, the batch's `place`-th. Raises BufferError while the queue is full."""
        how: dict[str, Any] = {"on_delivery": partial(self._told, place)} if self.careful else {}
        try:
            self.producer.produce(output.topic, output.value, output.key, headers=output.headers, **how)  # type: ignore[arg-type]
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if cause.code() not in TOO_LARGE:
                raise
            self._told(place, cause, None)  # larger than the client takes

    def deliver(self, deadline: float) -> None:
        """Wait until Kafka has taken all outputs, or refuses one.

        Offsets that are on their way when a transaction fails may wait for their whole time-out.
        """
        while len(self.producer) and self.failed is None and time.monotonic() < deadline:
            self.producer.poll(0.05)

    def hear(self) -> None:
        """Learn which record has made the transaction fail."""
        self.deliver(time.monotonic() + HEAR_S)

    def listen(self) -> None:
        """Hand on librdkafka's log lines and failed deliveries. Called after each commit (protocol A3)."""
        self.producer.poll(0)

    def _delivered(self, error: KafkaError | None, _: Message | None) -> None:
        if error is not None and self.failed is None:
            self.failed = error

    def _told(self, place: int, error: KafkaError | None, _: Message | None) -> None:
        self._delivered(error, None)
        if error is not None and error.code() in OF_RECORDS:
            self.refused[place] = error
