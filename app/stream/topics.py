"""Topics on the broker: which are there, and making those that pipelines declare.

Nothing is ever shrunk, recreated or set back: a topic that is there keeps its partitions and whatever somebody set on
it, and where it differs from its declaration that is said. Every wait is bounded; Unavailable says what it was for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, not exported
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from app.access.clients import kafka_client
from app.errors import Refused, Unavailable
from app.pipeline import Pipeline, TopicSpec
from app.pipelines import PIPELINES
from app.pipelines.own import is_reference
from app.settings import Settings

PATIENCE_S = 10.0
COPIES = 3  # of each record, where there are as many brokers
NOT_YET = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
    }
)
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]
BY_SOMEBODY = ConfigSource.DYNAMIC_TOPIC_CONFIG  # set on the topic itself, not a broker's default


@dataclass(frozen=True)
class Applied:
    """What became of one declared topic. `did`: created, configured, unchanged, or differs (then nothing was done)."""

    topic: str
    did: str
    partitions: int
    sentence: str

    @property
    def ok(self) -> bool:
        return self.did != "differs"


class Topics:
    """The topics of one Kafka."""

    def __init__(self, settings: Settings, *, patience_s: float = PATIENCE_S) -> None:
        quiet = logging.Logger("librdkafka")
        quiet.disabled = True  # what matters is raised
        self._where = settings.kafka
        self._patience_s = patience_s
        try:
            self._admin = AdminClient(kafka_client(settings), logger=quiet)
        except KafkaException as error:
            raise Refused(f"The setting kafka or kafka_options is wrong: {error.args[0].str()}.", exit_code=2) from None

    def there(self) -> dict[str, int]:
        """Every topic that is not Kafka's own, with its number of partitions, by name."""
        return {
            name: len(topic.partitions)
            for name, topic in sorted(self._metadata().topics.items())
            if not name.startswith("__")
        }

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of the names that no topic has, in their order."""
        there = self.there()
        return [name for name in names if name not in there]

    def largest(self, topic: str) -> int:
        """The largest batch of records that the topic takes, in bytes."""
        value = self._configs(ConfigResource(ResourceType.TOPIC, topic))["max.message.bytes"].value
        return int(value or 0)

    def apply(self, pipelines: Iterable[Pipeline]) -> list[Applied]:
        """Create what the pipelines declare and is not there; set what they declare and nobody has set."""
        metadata = self._metadata()
        copies = min(COPIES, len(metadata.brokers))
        specs = {spec.name: spec for pipeline in pipelines for spec in pipeline.topics()}
        created = self._create([spec for name, spec in specs.items() if name not in metadata.topics], copies)
        self.await_leaders(specs)
        there = self.there()
        return [created.get(name) or self._compare(spec, there[name]) for name, spec in specs.items()]

    def create(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create those that are not there. Gives the names of those that were made."""
        metadata = self._metadata()
        missing = [spec for spec in specs if spec.name not in metadata.topics]
        created = self._create(missing, min(COPIES, len(metadata.brokers)))
        self.await_leaders(spec.name for spec in missing)
        return list(created)

    def delete(self, names: Iterable[str]) -> None:
        """Delete those that are there."""
        there = [name for name in names if name in self.there()]
        answers = self._admin.delete_topics(there, operation_timeout=self._patience_s) if there else {}
        for name, answer in answers.items():
            try:
                self._result(answer)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise self._meaning(error, f"delete {name}") from error

    def _create(self, specs: list[TopicSpec], copies: int) -> dict[str, Applied]:
        if not specs:
            return {}
        answers = self._admin.create_topics(
            [NewTopic(s.name, s.partitions, copies, config=dict(s.config)) for s in specs],
            operation_timeout=self._patience_s,
            request_timeout=self._patience_s,
        )
        created: dict[str, Applied] = {}
        for spec in specs:
            try:
                self._result(answers[spec.name])
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue  # somebody was faster; what they made is compared
                raise self._meaning(error, f"create {spec.name}") from error
            sentence = f"{spec.name} is created: {_counted(spec.partitions, 'partition')}, {_copies(copies)}."
            created[spec.name] = Applied(spec.name, "created", spec.partitions, sentence)
        return created

    def await_leaders(self, names: Iterable[str]) -> None:
        """A new topic is known to the brokers, and led by them, a moment after the controller has made it."""
        deadline = time.monotonic() + self._patience_s
        wanted = list(names)
        while not self._all_led(wanted):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"The topics {', '.join(wanted)} are made, but not all their partitions have a leader after "
                    f"{self._patience_s:.0f} s: see that all brokers of {self._where} run."
                )
            time.sleep(0.05)

    def _all_led(self, names: list[str]) -> bool:
        topics = self._metadata().topics
        if any(name not in topics or not topics[name].partitions for name in names):
            return False
        # A broker that is named as the leader may not know it yet: it is asked for something that only a leader does.
        places = [TopicPartition(name, partition) for name in names for partition in topics[name].partitions]
        asked = self._admin.list_offsets(dict.fromkeys(places, LATEST), request_timeout=self._patience_s)
        for answer in asked.values():
            try:
                self._result(answer)
            except KafkaException as error:
                if error.args[0].code() in NOT_YET:
                    return False
                raise self._meaning(error, "say where a topic ends") from error
        return True

    def _compare(self, spec: TopicSpec, partitions: int) -> Applied:
        if partitions != spec.partitions:
            sentence = (
                f"{spec.name} has {_counted(partitions, 'partition')} and {spec.partitions} are declared; it stays as "
                "it is, for other partitions would part entities from their state. Declare "
                f"{partitions} in the pipeline, or delete the topic and everything that was made from it."
            )
            return Applied(spec.name, "differs", partitions, sentence)
        resource = ConfigResource(ResourceType.TOPIC, spec.name)
        found = self._configs(resource)
        wanted = {key: value for key, value in spec.config.items() if key in found and found[key].value != value}
        # The source comes as a number, whatever its type says.
        unset = {key: value for key, value in wanted.items() if ConfigSource(found[key].source) != BY_SOMEBODY}
        kept = "".join(
            f" It keeps {key}={found[key].value}, which somebody set; {value} is declared."
            for key, value in wanted.items()
            if key not in unset
        )
        if not unset:
            return Applied(spec.name, "unchanged", partitions, f"{spec.name} is there.{kept}")
        self._set(resource, unset)
        words = ", ".join(f"{key}={value}" for key, value in unset.items())
        return Applied(spec.name, "configured", partitions, f"{spec.name} was there; {words} is set.{kept}")

    def _configs(self, resource: ConfigResource) -> Mapping[str, ConfigEntry]:
        answers = self._admin.describe_configs([resource], request_timeout=self._patience_s)
        try:
            found: dict[str, ConfigEntry] = self._result(answers[resource])
        except KafkaException as error:
            raise self._meaning(error, f"read the settings of {resource.name}") from error
        return found

    def _set(self, resource: ConfigResource, values: Mapping[str, str]) -> None:
        for key, value in values.items():
            entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            resource.add_incremental_config(entry)
        answers = self._admin.incremental_alter_configs([resource], request_timeout=self._patience_s)
        try:
            self._result(answers[resource])
        except KafkaException as error:
            raise self._meaning(error, f"change the settings of {resource.name}") from error

    def _metadata(self) -> ClusterMetadata:
        try:
            return self._admin.list_topics(timeout=self._patience_s)
        except KafkaException as error:
            raise Unavailable(f"Kafka does not answer at {self._where} ({error.args[0].str()}).") from error

    def _result(self, future: Future[Any]) -> Any:
        try:
            return future.result(self._patience_s + 1.0)
        except FutureTimeoutError:
            raise Unavailable(f"Kafka at {self._where} has not answered for {self._patience_s:.0f} s.") from None

    def _meaning(self, error: KafkaException, what: str) -> Refused | Unavailable:
        cause: KafkaError = error.args[0]
        if cause.code() in NOT_YET or cause.code() < 0:  # the client's own errors: it could not ask
            return Unavailable(f"Kafka at {self._where} does not {what} ({cause.str()}).")
        return Refused(f"Kafka refuses to {what}: {cause.str()}.")


def refuse_missing(missing: list[str], *, of: str = "") -> None:
    """Raises Refused where there are missing topics, with the command that makes them if one does.

    `of` is what the user named them by; a pipeline in a file of its own makes its topics by that name.
    """
    if not missing:
        return
    words = f"topic {missing[0]}" if len(missing) == 1 else f"topics {', '.join(missing)}"
    if is_reference(of):
        raise Refused(f"Kafka has no {words}; create what the pipeline needs with `streaminfer topics apply {of}`.")
    declared = {spec.name for pipeline in PIPELINES.values() for spec in pipeline.topics()}
    if declared.isdisjoint(missing):
        raise Refused(f"Kafka has no {words}; `streaminfer topics list` shows those that it has.")
    raise Refused(f"Kafka has no {words}; create what the pipelines need with `streaminfer topics apply`.")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _copies(copies: int) -> str:
    return "one copy of each record" if copies == 1 else f"{copies} copies of each record"
