"""`topics apply`: what is declared is made, and what is there is left as somebody made it."""

from __future__ import annotations

import uuid

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, not exported
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from app.errors import Refused, Unavailable
from app.pipeline import Pipeline
from app.settings import Settings
from app.stream.topics import Topics, refuse_missing
from tests.contract.loop.rig import PARTITIONS, pipeline_of

pytestmark = pytest.mark.broker


@pytest.fixture
def pipeline() -> Pipeline:
    return pipeline_of(uuid.uuid4().hex[:8])


@pytest.fixture
def topics(settings: Settings) -> Topics:
    return Topics(settings)


def create(kafka: str, name: str, partitions: int, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    values = {key.replace("_", "."): value for key, value in config.items()}
    admin.create_topics([NewTopic(name, partitions, 1, config=values)])[name].result(30)


def config(kafka: str, name: str, key: str) -> str | None:
    resource = ConfigResource(ResourceType.TOPIC, name)
    admin = AdminClient({"bootstrap.servers": kafka})
    value: str | None = admin.describe_configs([resource])[resource].result(30)[key].value
    return value


def test_what_is_declared_and_not_there_is_created(topics: Topics, pipeline: Pipeline, kafka: str) -> None:
    names = [spec.name for spec in pipeline.topics()]
    assert topics.missing(names) == names

    assert [(a.topic, a.did, a.partitions) for a in topics.apply([pipeline])] == [
        (name, "created", PARTITIONS) for name in names
    ]
    assert topics.missing(names) == []
    assert {name: topics.there()[name] for name in names} == dict.fromkeys(names, PARTITIONS)
    for spec in pipeline.topics():
        for key, value in spec.config.items():
            assert config(kafka, spec.name, key) == value


def test_a_second_time_nothing_is_done(topics: Topics, pipeline: Pipeline) -> None:
    topics.apply([pipeline])

    assert {applied.did for applied in topics.apply([pipeline, pipeline])} == {"unchanged"}


def test_what_nobody_has_set_is_set(topics: Topics, pipeline: Pipeline, kafka: str) -> None:
    create(kafka, pipeline.dead_letters, PARTITIONS)

    dead = next(a for a in topics.apply([pipeline]) if a.topic == pipeline.dead_letters)
    assert dead.did == "configured"
    assert config(kafka, pipeline.dead_letters, "max.message.bytes") == str(pipeline.max_record_bytes + 65_536)


def test_what_somebody_has_set_stays_and_is_told(topics: Topics, pipeline: Pipeline, kafka: str) -> None:
    create(kafka, pipeline.dead_letters, PARTITIONS, max_message_bytes="20000000")

    dead = next(a for a in topics.apply([pipeline]) if a.topic == pipeline.dead_letters)
    assert dead.ok
    assert "keeps max.message.bytes=20000000" in dead.sentence
    assert config(kafka, pipeline.dead_letters, "max.message.bytes") == "20000000"


@pytest.mark.parametrize("partitions", [PARTITIONS - 1, PARTITIONS + 1])
def test_another_number_of_partitions_is_told_and_nothing_is_changed(
    topics: Topics, pipeline: Pipeline, kafka: str, partitions: int
) -> None:
    create(kafka, pipeline.source.name, partitions, retention_ms="60000")

    source, *others = topics.apply([pipeline])
    assert (source.did, source.ok, source.partitions) == ("differs", False, partitions)
    assert f"{PARTITIONS} are declared" in source.sentence
    assert topics.there()[pipeline.source.name] == partitions
    assert config(kafka, pipeline.source.name, "retention.ms") == "60000"
    assert [other.did for other in others] == ["created", "created"]


def test_a_kafka_that_is_away_is_told_in_time(settings: Settings) -> None:
    away = Settings(kafka="127.0.0.1:1", redis=settings.redis)

    with pytest.raises(Unavailable, match=r"does not answer at 127\.0\.0\.1:1"):
        Topics(away, patience_s=0.5).there()


def test_an_option_that_kafkas_client_does_not_know_is_told(settings: Settings) -> None:
    wrong = Settings(kafka=settings.kafka, redis=settings.redis, kafka_options={"nonsense": "1"})

    with pytest.raises(Refused, match="nonsense") as refused:
        Topics(wrong)
    assert refused.value.exit_code == 2


def test_missing_topics_are_named_with_the_command_that_makes_them() -> None:
    refuse_missing([])
    with pytest.raises(Refused, match=r"no topics payments, b; .*`streaminfer topics apply`"):
        refuse_missing(["payments", "b"])
    with pytest.raises(Refused, match=r"no topic b; `streaminfer topics list`"):
        refuse_missing(["b"])
