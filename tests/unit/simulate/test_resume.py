"""Which records are events of the simulation, and which come next."""

from __future__ import annotations

from itertools import islice

import pytest
from confluent_kafka import murmur2

from app.errors import Refused
from app.simulate.events import label_events, payment_events
from app.simulate.payments import DAYS, Payments
from app.simulate.resume import CHUNK, Simulation, missing


@pytest.fixture(scope="module")
def simulation(payments: Payments) -> Simulation:
    return Simulation("payments", payments)


@pytest.mark.parametrize("row", [0, 1, CHUNK - 1, CHUNK, 1_000_000])
def test_an_event_of_the_simulation_is_known_by_its_bytes(simulation: Simulation, payments: Payments, row: int) -> None:
    key, value = next(payment_events(payments, row))

    assert simulation.row(key, value) == row
    assert simulation.row(b"another", value) is None
    assert simulation.row(None, value) is None
    assert simulation.row(key, value.replace(b'"time_ms":', b'"time_ms": ')) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"not json",
        b"[" * 100_000,
        b"\xff",
        b'{"payment_id":1}',
        b'{"payment_id":""}',
        b'{"payment_id":"-1"}',
        '{"payment_id":"٣"}'.encode(),
        b'{"payment_id":"99999999"}',
        b'{"payment_id":"%s"}' % (b"9" * 5000),
        b'{"payment_id":"3"}',
    ],
)
def test_whatever_else_is_in_the_topic_is_no_event_of_the_simulation(
    simulation: Simulation, value: bytes | None
) -> None:
    assert simulation.row(b"596", value) is None


def test_labels_are_events_of_their_own_topic_only(payments: Payments, simulation: Simulation) -> None:
    key, value = next(label_events(payments, 7))

    assert Simulation("payments.labels", payments).row(key, value) == 7
    assert simulation.row(key, value) is None


def test_a_topic_without_a_simulation_is_refused_with_those_that_have_one(payments: Payments) -> None:
    with pytest.raises(Refused, match=r"payments, payments\.labels, interactions"):
        Simulation("payments.scored", payments)


def test_a_day_starts_with_its_first_event(simulation: Simulation) -> None:
    first = simulation.start(129)

    assert (simulation.day(first), simulation.day(first - 1)) == (129, 128)
    assert simulation.start(0) == 0


@pytest.mark.parametrize("day", [-1, DAYS])
def test_a_day_outside_the_simulation_is_refused(simulation: Simulation, day: int) -> None:
    with pytest.raises(Refused, match="choose one from 0 to 182"):
        simulation.start(day)


def test_each_partition_goes_on_after_its_own_last_event(simulation: Simulation, payments: Payments) -> None:
    last = {0: 40, 1: -1, 2: 99}
    found = list(islice(missing(simulation, last), 500))

    sent = [int(event.value.split(b'"')[3]) for event in found]
    rows = list(islice(enumerate(payment_events(payments)), 100 + 500))
    due = [row for row, (key, _) in rows if row > last[murmur2(key, 3)]]
    assert sent == due[: len(sent)]
    assert [event.partition for event in found] == [murmur2(event.key, 3) for event in found]
