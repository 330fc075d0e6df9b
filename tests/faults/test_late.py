"""Requests and answers that the network keeps, and what a commit is worth then (protocol A3, A4).

A request that arrives two transactions later ends or moves nothing. Its client has sent it again and says
nothing of it, so the commit succeeded. The producer must not be there any more when the first one arrives: a broker
refuses the requests of a producer that was replaced.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from app.errors import BatchAborted
from app.record import Output
from app.settings import Settings, producer_config
from app.stream.observe import Step
from app.stream.transaction import Batch, Transactions
from tests.contract.loop.rig import wait_for
from tests.faults.conftest import Ground
from tests.faults.held import Held
from tests.faults.proxy import FINE, Weather
from tests.faults.wire import Api

pytestmark = pytest.mark.broker

BEGUN_AT, OUTPUTS = 300, 10
ARRIVES_S = 10.0
DEADLINE_S = 3.0
QUIET = {"log_level": "0", "log.connection.close": "false"}  # as somebody sets who wants less in the logs


class Died(Exception):
    """The worker was killed here."""


@dataclass
class Bench:
    """Transactions behind the proxy, and a member of a group to send offsets for; `at` is done at a step, once."""

    ground: Ground
    tag: str = field(default_factory=lambda: f"late-{uuid.uuid4().hex[:8]}")
    at: tuple[Step, object] | None = None

    def __post_init__(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.ground.direct.kafka})
        for made in admin.create_topics([NewTopic(self.input, 1, 1), NewTopic(self.output, 1, 1)]).values():
            made.result(30)
        self.consumer = Consumer({"bootstrap.servers": self.ground.direct.kafka, "group.id": self.tag})
        self.consumer.subscribe([self.input])
        wait_for("the group to be joined", lambda: self.consumer.poll(0.1) is None and bool(self.consumer.assignment()))
        settings = Settings(
            kafka=self.ground.kafka,
            redis=self.ground.direct.redis,
            kafka_options={"socket.timeout.ms": "1000", **QUIET},
            commit_deadline_s=DEADLINE_S,
        )
        config = producer_config(settings, slot=self.tag, max_record_bytes=1000)
        self.transactions = Transactions(
            config, slot=self.tag, topic=self.input, deadline_s=DEADLINE_S, observe=self._observe
        )
        self.transactions.recover(30)

    @property
    def input(self) -> str:
        return f"{self.tag}-in"

    @property
    def output(self) -> str:
        return f"{self.tag}-out"

    def commit(self, offset: int) -> None:
        """One transaction of some outputs that bear its offset."""
        outputs = [Output(self.output, b"k", str(offset).encode(), []) for _ in range(OUTPUTS)]
        self.transactions.commit(Batch(outputs, {0: offset}, self.consumer.consumer_group_metadata()))

    def _observe(self, step: Step) -> None:
        if self.at is not None and step == self.at[0]:
            do, self.at = self.at[1], None
            assert callable(do)
            do()

    def written(self) -> int:
        """How many records the topic holds, whoever may see them."""
        return len(list(self._read("read_uncommitted")))

    def visible(self) -> list[int]:
        """The offsets whose outputs a reader of committed records sees, one for each output."""
        return list(self._read("read_committed"))

    def _read(self, isolation: str) -> Iterator[int]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.ground.direct.kafka,
                "group.id": "outside",
                "isolation.level": isolation,
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition(self.output, 0, 0)])
        while True:
            message = consumer.poll(10)
            assert message is not None, "the topic does not end"
            if message.error() is not None:
                break
            yield int(message.value() or b"")
        consumer.close()

    def committed(self) -> int:
        (place,) = self.consumer.committed([TopicPartition(self.input, 0)], 10)
        return place.offset


@pytest.fixture
def bench(ground: Ground) -> Iterator[Bench]:
    bench = Bench(ground)
    yield bench
    bench.consumer.close()


def commit_past(bench: Bench, api: Api, *, drop: bool) -> Held:
    """A commit whose request was kept by the network, and the next one, by the other producer."""
    held = bench.ground.proxy.hold(api, client=bench.tag, drop=drop)
    bench.commit(BEGUN_AT)
    assert held.arrived.is_set()
    bench.commit(BEGUN_AT + 100)
    assert bench.visible() == [BEGUN_AT] * OUTPUTS + [BEGUN_AT + 100] * OUTPUTS
    return held


@pytest.mark.parametrize("drop", [False, True], ids=["kept", "dropped"])
def test_a_late_end_does_not_commit_what_a_later_transaction_had_written_when_its_worker_died(
    bench: Bench, drop: bool
) -> None:
    held = commit_past(bench, Api.END_TXN, drop=drop)
    before = bench.written()

    def arrive_and_die() -> None:
        wait_for("half of the later one to be written", lambda: bench.written() > before, within_s=ARRIVES_S)
        held.deliver()
        raise Died

    bench.at = Step.PRODUCED, arrive_and_die
    with pytest.raises(Died):
        bench.commit(BEGUN_AT + 200)
    heir = Transactions(  # who comes after ends what the dead left open
        producer_config(
            Settings(kafka=bench.ground.direct.kafka, redis=bench.ground.direct.redis),
            slot=bench.tag,
            max_record_bytes=1000,
        ),
        slot=bench.tag,
        topic=bench.input,
    )
    heir.recover(30)
    assert BEGUN_AT + 200 not in bench.visible()
    assert bench.committed() == BEGUN_AT + 100
    assert held.error != 0


@pytest.mark.parametrize("drop", [False, True], ids=["kept", "dropped"])
def test_late_offsets_do_not_move_back_what_a_later_transaction_commits(bench: Bench, drop: bool) -> None:
    held = commit_past(bench, Api.TXN_OFFSET_COMMIT, drop=drop)
    bench.at = Step.OFFSETS_SENT, held.deliver
    bench.commit(BEGUN_AT + 200)
    assert bench.committed() == BEGUN_AT + 200
    assert held.error != 0


def test_a_commit_whose_answer_is_lost_fails_and_is_done_once(bench: Bench) -> None:
    """Only what the group has committed tells which of the two it was (protocol A4)."""
    proxy = bench.ground.proxy
    fine_again = threading.Timer(DEADLINE_S + 1.0, lambda: setattr(proxy, "weather", FINE))

    def lose() -> None:
        proxy.weather = Weather(loses_replies=True, to=Api.END_TXN, client=bench.tag)
        fine_again.start()

    bench.at = Step.OFFSETS_SENT, lose
    told: list[BatchAborted] = []
    try:
        bench.commit(BEGUN_AT)
    except BatchAborted as error:
        told.append(error)
    fine_again.join()
    bench.transactions.recover(30)
    assert bench.committed() == BEGUN_AT
    assert bench.visible() == [BEGUN_AT] * OUTPUTS
    assert told, "its answer was not lost"
