"""Settings of the suite's servers, and the simulated payments."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from app.local.leash import Leash
from app.local.stack import Stack
from app.replay.log import Log
from app.settings import Settings, home_folder
from app.simulate.payments import Payments, simulate
from app.stream.topics import Topics
from tests.contract.cli.shell import Shell


@pytest.fixture(scope="session")
def settings(kafka: str, redis_url: str) -> Settings:
    return Settings(kafka=kafka, redis=redis_url)


@pytest.fixture
def log(settings: Settings) -> Iterator[Log]:
    with contextlib.closing(Log(settings, "test", patience_s=20.0)) as log:
        yield log


@pytest.fixture
def new_topic(make_topic: Callable[..., str], settings: Settings) -> Callable[..., str]:
    """Creates a topic, and returns its name when its brokers know that they lead it."""

    def make(partitions: int = 1, **config: str) -> str:
        name = make_topic(partitions=partitions, **config)
        Topics(settings).await_leaders([name])
        return name

    return make


@pytest.fixture(scope="session")
def payments() -> Payments:
    """Kept where the commands keep them: nobody waits twice."""
    return simulate(cache=home_folder() / "cache")


@pytest.fixture(scope="module")
def new_shell(new_stack: Callable[[], Stack], leash: Leash, payments: Payments) -> Iterator[Callable[[], Shell]]:
    """Makes shells on servers that are up, with no topic; the simulation is not made again for them."""
    stacks: list[Stack] = []

    def make() -> Shell:
        stack = new_stack()
        (stack.home / "cache").symlink_to(home_folder() / "cache")
        stack.up(leash=leash)
        stacks.append(stack)
        return Shell(stack, leash)

    yield make
    for stack in stacks:
        stack.down()
