"""Three brokers, one of which dies and stays away: what a worker must know, the others tell it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from app.errors import Unavailable
from app.local.leash import Leash
from app.local.stack import Stack
from app.settings import Settings, consumer_config
from app.stream.feed import Feed
from tests.contract.loop.rig import wait_for

pytestmark = pytest.mark.broker
TOPIC = "questions"


class Nobody:
    """Owns no partitions."""

    def assigned(self, partitions: frozenset[int]) -> None: ...
    def revoked(self, partitions: frozenset[int]) -> None: ...
    def lost(self, partitions: frozenset[int]) -> None: ...


def test_a_worker_learns_where_it_stands_though_the_broker_that_it_asked_for_topics_is_dead(
    new_stack: Callable[[], Stack], leash: Leash
) -> None:
    """Topics are described by the broker that a client takes for the controller, and any may be taken for it.

    A partition's bounds are told by its leader: each broker leads one of the three.
    """
    stack = new_stack()
    endpoints = stack.up(3, leash)
    admin = AdminClient({"bootstrap.servers": endpoints.kafka})
    admin.create_topics([NewTopic(TOPIC, 3, 3)])[TOPIC].result(30)
    settings = Settings(kafka=endpoints.kafka, redis=endpoints.redis, home=stack.home)
    feeds = [Feed(consumer_config(settings, group=f"g{i}", slot=f"s-{i}"), TOPIC, Nobody()) for i in range(6)]
    for feed in feeds:
        wait_for("an answer", lambda feed=feed: answers(feed))  # type: ignore[misc]
    taken: list[int] = []

    def is_taken() -> bool:
        taken.append(controller(feeds[0]))
        return taken[-1] > 0

    wait_for("a broker to be taken for the controller", is_taken)
    (dead,) = [server for server in stack.status() if server.name == f"kafka-{taken[-1]}"]
    assert dead.pid is not None
    os.kill(dead.pid, signal.SIGKILL)
    for feed in feeds:
        wait_for("an answer without the dead broker", lambda feed=feed: answers(feed), within_s=60)  # type: ignore[misc]
        feed.close()


def controller(feed: Feed) -> int:
    """The broker that the feed's client takes for it since this question; -1 where it was told of none."""
    return int(feed._admin.list_topics(TOPIC, 10).controller_id)


def answers(feed: Feed) -> bool:
    try:
        return bool(feed.found([0, 1, 2], 5.0))
    except Unavailable:
        return False
