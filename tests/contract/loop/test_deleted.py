"""Where retention has deleted a log's first records, as it does on every topic that is old enough."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partialmethod

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from app.stream.build import build_worker
from app.stream.feed import Feed, Polled
from tests.contract.loop.rig import Rig, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]


def _ask(feed: Feed, method: Callable[..., object], *given: object) -> object:
    return method(feed, *given)


class Slow:
    """A client that has read at a partition's first place before the pause of what was assigned takes hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gone: set[int] = set()
        self._pause, self._start, self._poll = Feed.pause, Feed.start, Feed.poll
        for name, method in (("pause", self.pause), ("start", self.start), ("poll", self.poll)):
            monkeypatch.setattr(Feed, name, partialmethod(_ask, method))

    def pause(self, feed: Feed, partitions: Iterable[int]) -> None:
        if self.gone:
            self._pause(feed, partitions)

    def start(self, feed: Feed, partition: int, offset: int) -> bool:
        return bool(self.gone) and self._start(feed, partition, offset)

    def poll(self, feed: Feed, limit: int, wait_s: float) -> Polled:
        polled = self._poll(feed, limit, wait_s)
        self.gone |= polled.gone
        return polled


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_every_partition_is_started_whatever_the_client_has_read_before(
    new_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """The client stops reading a partition where the next record is gone, and does not even seek there."""
    rig = new_rig(group_protocol=protocol, static_members=False)
    rig.produce(300)
    rig.finish()
    admin = AdminClient({"bootstrap.servers": rig.settings.kafka})
    places = [TopicPartition(rig.pipeline.source.name, partition, end) for partition, end in rig.ends().items()]
    for deleted in admin.delete_records(places).values():
        deleted.result(10)
    rig.produce(300)

    slow = Slow(monkeypatch)
    worker = build_worker(rig.settings, rig.pipeline, slot=f"{rig.pipeline.name}.b-0")
    running = threading.Thread(target=worker.run)
    running.start()
    try:
        wait_for("what was left to be scored", lambda: worker.counts.records == 300)
        assert slow.gone
    finally:
        worker.stopping.set()
        running.join()
