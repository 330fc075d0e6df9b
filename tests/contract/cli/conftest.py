"""Settings of the suite's servers, and the simulated payments."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public, not exported

from app.replay.log import Log
from app.settings import Settings, home_folder
from app.simulate.payments import Payments, simulate
from tests.contract.loop.rig import wait_for


@pytest.fixture(scope="session")
def settings(kafka: str, redis_url: str) -> Settings:
    return Settings(kafka=kafka, redis=redis_url)


@pytest.fixture
def log(settings: Settings) -> Iterator[Log]:
    with contextlib.closing(Log(settings, "test", patience_s=20.0)) as log:
        yield log


@pytest.fixture
def new_topic(make_topic: Callable[..., str], kafka: str) -> Callable[..., str]:
    """Creates a topic, and returns its name when its brokers know that they lead it."""

    def make(partitions: int = 1, **config: str) -> str:
        name = make_topic(partitions=partitions, **config)
        admin = AdminClient({"bootstrap.servers": kafka})
        places = {TopicPartition(name, partition): OffsetSpec.latest() for partition in range(partitions)}
        wait_for(f"leaders of {name}", lambda: all(led(answer) for answer in admin.list_offsets(places).values()))
        return name

    return make


def led(answer: Future[Any]) -> bool:
    try:
        answer.result(30)
    except KafkaException as error:
        assert error.args[0].retriable(), error
        return False
    return True


@pytest.fixture(scope="session")
def payments() -> Payments:
    """Kept where the commands keep them: nobody waits twice."""
    return simulate(cache=home_folder() / "cache")
