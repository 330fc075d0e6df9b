"""Reading a topic from some moment on, to its end or for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain

import pytest
from confluent_kafka import Producer

from app.errors import Refused, Unavailable
from app.record import Record
from app.replay.tail import BEGINNING, END, limited, tail
from app.settings import Settings

pytestmark = pytest.mark.broker


class Writer:
    """Writes to one topic of a test, inside transactions and outside."""

    def __init__(self, kafka: str, topic: str) -> None:
        self.topic = topic
        self._plain = Producer({"bootstrap.servers": kafka})
        self._within = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
        self._within.init_transactions(30)

    def write(self, *values: bytes) -> None:
        for value in values:
            self._plain.produce(self.topic, value, partition=0)
        self._plain.flush(30)

    def transact(self, *values: bytes, commit: bool | None) -> None:
        """`commit` None leaves the transaction open."""
        self._within.begin_transaction()
        for value in values:
            self._within.produce(self.topic, value, partition=0)
        self._within.flush(30)
        if commit is not None:
            (self._within.commit_transaction if commit else self._within.abort_transaction)(30)


@pytest.fixture
def writer(kafka: str, new_topic: Callable[..., str]) -> Writer:
    return Writer(kafka, new_topic(partitions=2))


def seen(batches: Iterator[list[Record]]) -> list[bytes | None]:
    return [record.value for record in chain.from_iterable(batches)]


def to_end(settings: Settings, topic: str, start: str | int = BEGINNING) -> list[bytes | None]:
    return seen(tail(settings, topic, start=start, until_end=True))


def test_an_empty_topic_ends_at_once(settings: Settings, writer: Writer) -> None:
    assert to_end(settings, writer.topic) == []


@pytest.mark.parametrize("commit", [True, False])
def test_a_topic_that_ends_with_markers_or_an_aborted_batch_ends(
    settings: Settings, writer: Writer, commit: bool
) -> None:
    writer.write(b"1", b"2")
    writer.transact(b"3", b"4", commit=commit)

    assert to_end(settings, writer.topic) == ([b"1", b"2", b"3", b"4"] if commit else [b"1", b"2"])


def test_a_topic_with_an_open_transaction_ends_before_it(settings: Settings, writer: Writer) -> None:
    writer.write(b"1")
    writer.transact(b"2", commit=None)
    writer.write(b"3")

    assert to_end(settings, writer.topic) == [b"1"]


def test_a_start_in_time_skips_what_is_older(settings: Settings, writer: Writer) -> None:
    writer.write(b"old")
    time.sleep(0.01)  # the broker stamps in milliseconds
    moment = int(time.time() * 1000)
    writer.write(b"new")

    assert to_end(settings, writer.topic, moment) == [b"new"]
    assert to_end(settings, writer.topic, moment + 86_400_000) == []
    assert to_end(settings, writer.topic, END) == []


def test_following_gives_what_comes_later(settings: Settings, writer: Writer) -> None:
    writer.write(b"before")
    batches = tail(settings, writer.topic, start=END, until_end=False)
    assert next(batches) == []
    writer.write(b"1")
    writer.transact(b"never", commit=False)
    writer.transact(b"2", commit=True)

    assert seen(limited(batches, 2)) == [b"1", b"2"]


def test_a_limit_cuts_within_a_batch(settings: Settings, writer: Writer) -> None:
    writer.write(*(b"%d" % i for i in range(10)))

    assert seen(limited(tail(settings, writer.topic, start=BEGINNING, until_end=True), 3)) == [b"0", b"1", b"2"]
    assert len(seen(limited(tail(settings, writer.topic, start=BEGINNING, until_end=True), 99))) == 10


def test_a_topic_that_is_not_there_is_refused(settings: Settings, topic_name: Callable[..., str]) -> None:
    with pytest.raises(Refused, match="There is no topic"):
        to_end(settings, topic_name())


def test_a_kafka_that_is_away_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.replay.tail.PATIENCE_S", 0.5)
    away = Settings(kafka="127.0.0.1:1", redis=settings.redis)

    with pytest.raises(Unavailable):
        to_end(away, "anything")
