"""The servers that the suite runs on: one real Kafka and one real Redis, started by the first test that asks for them.

They are on a leash: they end with the suite, also when it is killed. A test that harms its servers takes `new_stack`.
"""

from __future__ import annotations

import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from hypothesis import settings

from app.local.leash import Leash
from app.local.stack import Endpoints, Stack
from tests.cluster import RedisCluster

# The same examples at every run, however slow the machine: what is red here is what was changed.
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def leash() -> Iterator[Leash]:
    """What is started on it ends with the suite."""
    leash = Leash()
    yield leash
    leash.close(grace_s=0.0)


@pytest.fixture(scope="session")
def new_stack(leash: Leash) -> Callable[[], Stack]:
    """Makes a stack in a home of its own, not yet up. Homes go with the suite, servers too if `up(leash=leash)`."""

    def make() -> Stack:
        # Not pytest's own directory: that one keeps the homes of the last three runs.
        home = Path(tempfile.mkdtemp(prefix="streaminfer-test-"))
        leash.remove_at_end(home)
        return Stack(home)

    return make


@pytest.fixture(scope="session")
def stack(new_stack: Callable[[], Stack], leash: Leash) -> Stack:
    """The suite's own servers, one broker and Redis. Not for tests that stop or kill them.

    A suite that runs inside another (tests/faults/mutations) is told where that one's servers are.
    """
    if home := os.environ.get("SERVERS_HOME"):
        return Stack(Path(home))
    stack = new_stack()
    stack.up(leash=leash)
    return stack


@pytest.fixture(scope="session")
def endpoints(stack: Stack) -> Endpoints:
    found = stack.endpoints()
    assert found is not None
    return found


@pytest.fixture(scope="session")
def kafka(endpoints: Endpoints) -> str:
    """Bootstrap servers."""
    return endpoints.kafka


@pytest.fixture(scope="session")
def cluster(leash: Leash) -> RedisCluster:
    """The suite's own Redis Cluster of three nodes. Not for tests that harm them."""
    home = Path(tempfile.mkdtemp(prefix="streaminfer-test-"))
    leash.remove_at_end(home)
    return RedisCluster(home, leash)


@pytest.fixture(scope="session")
def redis_url(endpoints: Endpoints) -> str:
    return endpoints.redis


@pytest.fixture(params=["one server", "cluster"])
def server_url(request: pytest.FixtureRequest) -> str:
    """A Redis of either kind: each test that asks for it runs on both."""
    if request.param == "cluster":
        cluster: RedisCluster = request.getfixturevalue("cluster")
        return cluster.url
    url: str = request.getfixturevalue("redis_url")
    return url


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Names that no other test has: of topics, groups, transactions; `topic_name("scored")` ends so."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60]

    def name(suffix: str = "topic") -> str:
        return f"{test}.{uuid.uuid4().hex[:8]}.{suffix}"

    return name


@pytest.fixture
def make_topic(kafka: str, topic_name: Callable[..., str]) -> Callable[..., str]:
    """Creates a topic on the suite's broker, waits until it can be written, and returns its name."""

    def make(suffix: str = "topic", partitions: int = 1, **config: str) -> str:
        name = topic_name(suffix)
        admin = AdminClient({"bootstrap.servers": kafka})  # named: a temporary one would cancel its own futures
        settings = {key.replace("_", "."): value for key, value in config.items()}
        admin.create_topics([NewTopic(name, partitions, 1, config=settings)])[name].result(30)
        return name

    return make
