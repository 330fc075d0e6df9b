"""Going on with a simulation: whatever became of the run before, every event is in the topic exactly once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest
from confluent_kafka import Producer

from app.errors import Refused
from app.replay.log import Log
from app.settings import Settings
from app.simulate.payments import Payments
from app.simulate.resume import Next, Simulation, going_on, missing
from app.stream.sending import Pace, Sender
from tests.contract.cli.test_sending import MIB, found

pytestmark = pytest.mark.broker
PARTITIONS = 3


@pytest.fixture(scope="session")
def simulation(payments: Payments) -> Simulation:
    return Simulation("payments", payments)


class Filled:
    """A topic of a test, and what is sent to it."""

    def __init__(self, settings: Settings, topic: str, simulation: Simulation, log: Log) -> None:
        self.topic = topic
        self.start = 0
        self._settings = settings
        self._simulation = simulation
        self._log = log

    def go_on(self, count: int, start_day: int | None = None) -> None:
        self.send(islice(going_on(self._simulation, self._log, self.topic, start_day=start_day), count))

    def send(self, events: islice[Next]) -> None:
        sender = Sender(self._settings, self.topic, largest=MIB)
        sender.send_all(((i, event.key, event.value, event.partition) for i, event in enumerate(events)), Pace())
        sender.finish()

    def died(self, *counts: int, start_day: int = 0) -> None:
        """As a run leaves it that was killed: of each partition's events the first so many have arrived."""
        before = self._simulation.start(start_day) - 1
        events = list(islice(missing(self._simulation, dict.fromkeys(range(PARTITIONS), before)), 20_000))
        for partition, count in enumerate(counts):
            self.send(islice((event for event in events if event.partition == partition), count))

    def garbage(self, values: list[bytes], *, commit: bool | None = None) -> None:
        """Records of somebody else on every partition, with `commit` in a transaction."""
        producer = Producer({"bootstrap.servers": self._settings.kafka} | _transaction(self.topic, commit))
        if commit is not None:
            producer.init_transactions(30)
            producer.begin_transaction()
        for partition in range(PARTITIONS):
            for value in values:
                producer.produce(self.topic, value, b"k", partition)
        producer.flush(30)
        if commit is not None:
            (producer.commit_transaction if commit else producer.abort_transaction)(30)

    def rows(self) -> list[int]:
        """The simulated rows that are there, sorted."""
        rows = [self._simulation.row(key, value) for _, key, value in found(self._log, self.topic)]
        return sorted(row for row in rows if row is not None)


def _transaction(topic: str, commit: bool | None) -> dict[str, str]:
    return {} if commit is None else {"transactional.id": topic}


@pytest.fixture
def filled(settings: Settings, new_topic: Callable[..., str], simulation: Simulation, log: Log) -> Filled:
    return Filled(settings, new_topic(partitions=PARTITIONS), simulation, log)


def test_an_empty_topic_starts_with_the_first_event(filled: Filled) -> None:
    filled.go_on(50)

    assert filled.rows() == list(range(50))


def test_each_run_goes_on_where_the_one_before_ended(filled: Filled) -> None:
    for _ in range(3):
        filled.go_on(40)

    assert filled.rows() == list(range(120))


@pytest.mark.parametrize("counts", [(200, 5, 60), (0, 0, 1), (0, 200, 0), (1, 0, 30)])
def test_after_a_run_that_was_killed_every_event_is_there_once(filled: Filled, counts: tuple[int, int, int]) -> None:
    filled.died(*counts)
    before = filled.rows()
    filled.go_on(2000)
    rows = filled.rows()

    assert len(rows) == len(set(rows)) == len(before) + 2000
    assert rows[:1500] == list(range(1500))


def test_a_topic_that_started_on_a_day_goes_on_from_it_in_partitions_that_have_nothing_yet(
    filled: Filled, simulation: Simulation
) -> None:
    filled.died(0, 30, 0, start_day=129)
    filled.go_on(500)
    first = simulation.start(129)

    assert filled.rows()[:400] == list(range(first, first + 400))


def test_the_same_command_with_its_start_day_can_be_run_again(filled: Filled, simulation: Simulation) -> None:
    filled.go_on(30, start_day=5)
    filled.go_on(30, start_day=5)
    first = simulation.start(5)

    assert filled.rows() == list(range(first, first + 60))


def test_another_start_day_than_the_topics_is_refused(filled: Filled) -> None:
    filled.go_on(30, start_day=5)

    with pytest.raises(Refused, match="start on day 5 and not on day 6"):
        filled.go_on(1, start_day=6)


@pytest.mark.parametrize("commit", [None, True, False])
def test_what_others_left_at_the_end_does_not_hide_where_the_simulation_ended(
    filled: Filled, commit: bool | None
) -> None:
    filled.go_on(60)
    filled.garbage([b"not json", b"", b'{"payment_id":"3"}', b"\xff"] * 400, commit=commit)
    filled.go_on(60)

    assert filled.rows() == list(range(120))


def test_a_topic_with_nothing_simulated_in_it_starts_with_the_first_event(filled: Filled) -> None:
    filled.garbage([b"not json"] * 2500)
    filled.go_on(60)

    assert filled.rows() == list(range(60))


def test_events_that_lie_in_another_partition_than_their_key_says_are_refused(
    filled: Filled, simulation: Simulation, settings: Settings
) -> None:
    key, value = next(simulation.events(0))
    sender = Sender(settings, filled.topic, largest=MIB)
    for partition in range(PARTITIONS):
        sender.send(key, value, place=0, partition=partition)
    sender.finish()

    with pytest.raises(Refused, match="another number of partitions"):
        filled.go_on(1)
