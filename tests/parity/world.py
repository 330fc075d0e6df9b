"""What parity runs on: servers of its own, the program's own commands on them, and a second life of the same topics.

Everything is on the leash that it is given. What the environment says of somebody's own Kafka does not count here.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import redis
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from app.errors import Fatal, Unavailable
from app.local.leash import Leash
from app.local.stack import Stack
from app.pipeline import Pipeline
from app.settings import Settings, home_folder, load_settings
from tests.contract.loop.rig import wait_for

STREAMINFER = (sys.executable, "-m", "app.cli.main")
WAIT_S = 600.0  # for outcomes; whoever waits longer marks, and parity does not hold


class World:
    """A home under the temporary folder, with the cache of simulated payments that every home shares."""

    def __init__(self, leash: Leash) -> None:
        self._leash = leash
        self.cache = home_folder() / "cache"
        self.home = Path(tempfile.gettempdir()) / f"streaminfer-parity-{uuid.uuid4().hex[:8]}"
        leash.remove_at_end(self.home)
        self.home.mkdir(exist_ok=True)
        self.home.chmod(0o700)
        self.cache.mkdir(parents=True, exist_ok=True)
        (self.home / "cache").symlink_to(self.cache)
        for name in [name for name in os.environ if name.startswith("STREAMINFER_")]:
            del os.environ[name]
        os.environ["STREAMINFER_HOME"] = str(self.home)
        os.environ |= {"STREAMINFER_BEHIND": "wait", "STREAMINFER_WAIT_S": str(WAIT_S), "STREAMINFER_PACE_DAYS": "inf"}

    def up(self) -> Settings:
        """Start the servers. Gives what every command here reads."""
        Stack(self.home).up(1, self._leash)
        return load_settings(home=self.home)

    def command(self, *argv: str, log: str) -> subprocess.Popen[bytes]:
        """Start a program; what it says on standard error goes into the log of this name."""
        with self.log(log).open("ab") as stderr:
            return self._leash.popen(argv, stdout=subprocess.PIPE, stderr=stderr)

    def log(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def end(self, process: subprocess.Popen[bytes], log: str) -> None:
        """Wait for a command's end. Raises Fatal, with its last words, where it did not end well."""
        process.communicate()
        if process.returncode:
            raise Fatal(f"`streaminfer {log}` ended with {process.returncode}:\n{self.last_words(log)}")

    def last_words(self, log: str) -> str:
        return self.log(log).read_text(errors="backslashreplace").strip()[-2000:]


def administrator(settings: Settings) -> AdminClient:
    """One that says nothing by itself: what matters is raised."""
    quiet = logging.Logger("librdkafka")
    quiet.disabled = True
    return AdminClient({"bootstrap.servers": settings.kafka}, logger=quiet)


def forget(settings: Settings, pipelines: tuple[Pipeline, ...]) -> None:
    """Make it so that these pipelines have never run: no offsets, no answers, no state. What they read stays."""
    admin = administrator(settings)
    names = [pipeline.name for pipeline in pipelines]
    # A static member is one until its session ends, whether it left or not.
    wait_for("the end of the workers' sessions", lambda: _deleted(admin, names), within_s=60)
    topics = [topic for pipeline in pipelines for topic in _written(pipeline)]
    for deleted in admin.delete_topics(topics, operation_timeout=30).values():
        deleted.result(30)
    wait_for("the end of the answers' topics", lambda: not set(topics) & set(admin.list_topics(timeout=10).topics))
    _refuse_offsets(admin, names)
    client = redis.Redis.from_url(settings.redis)
    try:
        client.flushall()
    except redis.RedisError as error:
        raise Unavailable(f"Redis does not forget ({error}).") from error
    finally:
        client.close()


def _deleted(admin: AdminClient, groups: list[str]) -> bool:
    """Whether these groups are gone, or were never there."""
    gone = True
    for group, deleted in admin.delete_consumer_groups(groups, request_timeout=30).items():
        try:
            deleted.result(30)
        except KafkaException as error:
            code = error.args[0].code()
            if code not in (KafkaError.NON_EMPTY_GROUP, KafkaError.GROUP_ID_NOT_FOUND):
                raise Unavailable(f"Kafka does not forget the group {group} ({error.args[0].str()}).") from error
            gone = gone and code != KafkaError.NON_EMPTY_GROUP
    return gone


def _written(pipeline: Pipeline) -> list[str]:
    answers = [] if pipeline.answers is None else [pipeline.answers.name]
    return [*answers, pipeline.dead_letters]


def _refuse_offsets(admin: AdminClient, groups: list[str]) -> None:
    for group in groups:
        asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=30)
        found: Any = asked[group].result(30)
        if found.topic_partitions:
            raise Fatal(f"The group {group} still has offsets: the second run would not start anew.")
