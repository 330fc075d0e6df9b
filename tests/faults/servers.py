"""The three brokers and the Redis of a stage, and the hand on their processes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from app.local.broker import Outer
from app.local.leash import Leash
from app.local.stack import Endpoints, Server, Stack
from tests.faults.seen import wait_until

WHOLE_S = 90.0


class Servers:
    """Real servers of one stage, killed, paused and started again over what they have."""

    def __init__(self, leash: Leash, home: Path, *, brokers: int = 3, outer: Sequence[Outer] = ()) -> None:
        self.stack = Stack(home)
        self._leash, self._brokers, self._outer = leash, brokers, outer

    def up(self) -> Endpoints:
        """Start what is dead; returns when all answers."""
        return self.stack.up(self._brokers, self._leash, outer=self._outer)

    def names(self) -> list[str]:
        return [server.name for server in self.stack.status()]

    def pid(self, name: str) -> int:
        pid = self._server(name).pid
        assert pid is not None, f"{name} is dead"
        return pid

    def send(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal it, and return when it is gone."""
        self.send(name, number)
        if not wait_until(lambda: not self._server(name).alive, 60):
            raise TimeoutError(f"{name} does not end after {number.name}.")

    def gone(self, name: str, within_s: float) -> bool:
        return wait_until(lambda: not self._server(name).alive, within_s)

    def refuse_writes(self, name: str) -> None:
        """From now on no file of the process can grow, as on a disk that is full."""
        resource.prlimit(self.pid(name), resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def whole(self) -> bool:
        """Every partition has a leader and all its replicas in sync, and every broker is there."""
        try:
            found = AdminClient({"bootstrap.servers": self._kafka, "log_level": 0}).list_topics(timeout=5)
        except KafkaException:
            return False
        partitions = [p for topic in found.topics.values() for p in topic.partitions.values()]
        return len(found.brokers) == self._brokers and all(
            p.leader >= 0 and len(p.isrs) == len(p.replicas) for p in partitions
        )

    def mend(self) -> None:
        """Start what is dead, and wait until nothing is missing anywhere."""
        self.up()
        if not wait_until(self.whole, WHOLE_S, 0.2):
            raise TimeoutError(f"The brokers are not in sync within {WHOLE_S:.0f} s.")

    def leaders(self, topic: str) -> dict[int, str]:
        """The broker that leads each partition."""
        found = AdminClient({"bootstrap.servers": self._kafka, "log_level": 0}).list_topics(topic, timeout=10)
        return {p: f"kafka-{of.leader}" for p, of in found.topics[topic].partitions.items()}

    def redis(self) -> Any:
        endpoints = self.stack.endpoints()
        assert endpoints is not None
        return redis.Redis.from_url(endpoints.redis, socket_timeout=10.0)

    @property
    def redis_data(self) -> Path:
        return self.stack.home / "redis" / "data"

    def lose_redis_data(self, instead: Path | None = None) -> None:
        """Of a dead Redis: what it had is gone, or is another's."""
        shutil.rmtree(self.redis_data)
        if instead is not None:
            shutil.copytree(instead, self.redis_data)

    @property
    def _kafka(self) -> str:
        endpoints = self.stack.endpoints()
        assert endpoints is not None
        return endpoints.kafka

    def _server(self, name: str) -> Server:
        return next(server for server in self.stack.status() if server.name == name)


def pause(seconds: float) -> None:
    """Let a harm last. No proof hangs on it."""
    time.sleep(seconds)
