"""The plans of replays, kept in Kafka itself, so that any machine can run, watch and end them.

One compacted topic of one partition. A plan is one record, so there is no half a plan. Beside it lie a wish, which
anybody may write, and a standing and a result, which only the plan's owner writes: in transactions of the plan's own
id, so that an owner who was taken for dead and wakes up is refused by the broker.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from app.access.clients import kafka_client
from app.errors import Fenced, Refused, Unavailable
from app.pipeline import TopicSpec
from app.replay.log import Log, Span
from app.replay.plan import Plan
from app.settings import Settings
from app.stream.topics import Topics

TOPIC = "streaminfer.replays"
SPEC = TopicSpec(TOPIC, 1, {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"})
PATIENCE_S = 20.0
OPEN_MS = 10_000  # a write that its owner did not live to end is ended by the broker after this

State = Literal["planned", "running", "paused", "stopped", "failed", "done", "cancelling", "cancelled"]
Wish = Literal["run", "pause", "cancel"]
S = TypeVar("S", bound=msgspec.Struct)


class Standing(msgspec.Struct, frozen=True):
    """How a replay stands, as its owner said at `at_ms`.

    `by` is the owner: host and process. `seconds` were spent on it so far, by all owners. `rate`, `yielding` and
    `folded` are of the moment: events a second, why it holds still (if it does), records that were folded before the
    first answer so far.
    """

    state: State
    at_ms: int
    by: str = ""
    reason: str = ""
    seconds: float = 0.0
    rate: float = 0.0
    yielding: str = ""
    folded: int = 0


class Result(msgspec.Struct, frozen=True):
    """What came of a replay. `marked` counts answers by mark; `digest` is over all answers, in their inputs' order."""

    at_ms: int
    answered: int
    dead_letters: int
    marked: dict[str, int]
    seconds: float
    digest: str


class Wished(msgspec.Struct, frozen=True):
    """What somebody wants to become of a replay."""

    wish: Wish
    at_ms: int


@dataclass(frozen=True)
class Kept:
    """All that is known of one plan."""

    plan: Plan
    standing: Standing
    wish: Wished | None = None
    result: Result | None = None


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Plans:
    """The plans on one Kafka. Raises Unavailable where it does not answer."""

    def __init__(self, settings: Settings, *, patience_s: float = PATIENCE_S) -> None:
        self._settings = settings
        self._patience_s = patience_s

    def all(self) -> dict[str, Kept]:
        """By id, the oldest first."""
        found = self._read()
        kept = [kept for plan_id in found if (kept := _kept(found[plan_id])) is not None]
        return {one.plan.id: one for one in sorted(kept, key=lambda one: one.plan.planned_ms)}

    def find(self, plan_id: str) -> Kept:
        """Raises Refused where there is none, with those that there are."""
        found = self.all()
        if plan_id not in found:
            there = f"there is {', '.join(found)}" if found else "there is none: `streaminfer replay plan` makes one"
            raise Refused(f"There is no plan {plan_id!r}; {there}.", exit_code=2)
        return found[plan_id]

    def keep(self, plan: Plan) -> None:
        """Write a new plan, whole or not at all."""
        topics = Topics(self._settings, patience_s=self._patience_s)
        topics.create([SPEC])
        self._write({f"{plan.id}/plan": plan})

    def wish(self, plan_id: str, wish: Wish) -> None:
        """Say what the owner shall do; it looks every second."""
        self._write({f"{plan_id}/wish": Wished(wish, now_ms())})

    def _write(self, records: Mapping[str, msgspec.Struct]) -> None:
        producer = Producer(self._options() | {"enable.idempotence": True}, logger=_quiet())
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failed.append(error)

        for key, value in records.items():
            producer.produce(TOPIC, msgspec.json.encode(value), key, on_delivery=delivered)
        if producer.flush(self._patience_s) or failed:
            why = failed[0].str() if failed else "it does not answer"
            raise Unavailable(f"Kafka did not take the record for {TOPIC} ({why}).")

    @contextlib.contextmanager
    def owner(self, plan_id: str) -> Iterator[Owner]:
        """Be the one who writes a plan's standing. Whoever was before is refused by the broker from now on."""
        options = {"transactional.id": f"{TOPIC}.{plan_id}", "transaction.timeout.ms": OPEN_MS}
        producer = Producer(self._options() | options, logger=_quiet())
        try:
            producer.init_transactions(self._patience_s)
        except KafkaException as error:
            raise Unavailable(f"Kafka does not let the plan {plan_id} be written ({error.args[0].str()}).") from error
        yield Owner(producer, plan_id, self._patience_s)

    def _options(self) -> dict[str, Any]:
        return {
            **kafka_client(self._settings),
            "message.timeout.ms": min(OPEN_MS, int(self._patience_s * 1000)),
            "retry.backoff.ms": 5,
        }

    def _read(self) -> dict[str, dict[str, bytes]]:
        """The last record of each kind, by plan and kind."""
        found: dict[str, dict[str, bytes]] = {}
        if Topics(self._settings, patience_s=self._patience_s).missing([TOPIC]):
            return found
        with contextlib.closing(Log(self._settings, TOPIC, patience_s=self._patience_s)) as log:
            start, end = log.starts(TOPIC, [0])[0], log.ends(TOPIC, [0], settled=True)[0]
            for messages in log.scan(TOPIC, {0: Span(start, end)}):
                for message in messages:
                    key: Any = message.key()
                    value: Any = message.value()
                    plan_id, _, kind = (key or b"").decode(errors="replace").partition("/")
                    found.setdefault(plan_id, {})[kind] = value or b""
        return found


class Owner:
    """Writes a plan's standing and result. Raises Fenced once another owner has begun."""

    def __init__(self, producer: Producer, plan_id: str, patience_s: float) -> None:
        self._producer = producer
        self._plan_id = plan_id
        self._patience_s = patience_s
        self._open = False  # a transaction that was begun and not ended, for Kafka did not answer

    def tell(self, standing: Standing, result: Result | None = None) -> None:
        """Both, or neither."""
        try:
            if self._open:  # whatever became of it: what is told now is newer
                self._commit()
            self._producer.begin_transaction()
            self._open = True
            self._producer.produce(TOPIC, msgspec.json.encode(standing), f"{self._plan_id}/standing")
            if result is not None:
                self._producer.produce(TOPIC, msgspec.json.encode(result), f"{self._plan_id}/result")
            self._commit()
        except KafkaException as error:
            cause = error.args[0]
            if cause.fatal():
                raise Fenced(
                    f"Another process has taken over the replay {self._plan_id}, so this one ends; `streaminfer replay "
                    f"status {self._plan_id}` tells how it goes."
                ) from error
            raise Unavailable(f"Kafka did not take the standing of {self._plan_id} ({cause.str()}).") from error

    def _commit(self) -> None:
        try:
            self._producer.commit_transaction(self._patience_s)
        except KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise
            self._producer.abort_transaction(self._patience_s)
            self._open = False
            raise
        self._open = False


def _kept(found: Mapping[str, bytes]) -> Kept | None:
    plan = _decoded(found, "plan", Plan)
    if plan is None:
        return None
    standing = _decoded(found, "standing", Standing) or Standing("planned", plan.planned_ms)
    return Kept(plan, standing, _decoded(found, "wish", Wished), _decoded(found, "result", Result))


def _decoded(found: Mapping[str, bytes], kind: str, as_type: type[S]) -> S | None:
    """None for what is not there, or is no record of this version's."""
    try:
        return msgspec.json.decode(found[kind], type=as_type) if kind in found else None
    except ValueError:
        return None


def _quiet() -> logging.Logger:
    logger = logging.Logger("librdkafka")
    logger.disabled = True  # what matters is raised
    return logger
