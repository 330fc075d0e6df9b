"""Who owns what lags, and what the command tells."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Consumer
from typer.testing import CliRunner

from app.cli.main import cli
from app.errors import Refused, Unavailable
from app.pipelines import PIPELINES
from app.pipelines.fraud import FRAUD
from app.replay.group import Group
from app.replay.lag import lag_of
from app.settings import Settings
from tests.contract.cli.lagging import LaggingInput
from tests.contract.loop.rig import wait_for
from tests.progress import without_progress

pytestmark = pytest.mark.broker


@pytest.fixture
def source(settings: Settings, new_topic: Callable[..., str]) -> LaggingInput:
    return LaggingInput(settings, new_topic(partitions=2, message_timestamp_type="LogAppendTime"))


def consumer_of(source: LaggingInput, protocol: str = "classic") -> Consumer:
    options = {"bootstrap.servers": source.settings.kafka, "group.id": source.pipeline.name}
    return Consumer(options | {"client.id": "fraud.here-0", "group.protocol": protocol})


@pytest.fixture
def member(source: LaggingInput) -> Iterator[Consumer]:
    """Joins the pipeline's group, once it has subscribed, and owns what it is given."""
    with contextlib.closing(consumer_of(source)) as consumer:
        yield consumer


def joined(consumer: Consumer) -> bool:
    consumer.poll(0.05)
    return bool(consumer.assignment())


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_the_owner_of_each_partition_is_told_and_that_there_is_none(source: LaggingInput, protocol: str) -> None:
    assert source.lag().unowned == (0, 1)
    with contextlib.closing(consumer_of(source, protocol)) as member:
        member.subscribe([source.topic])
        wait_for("the group", lambda: joined(member))
        wait_for("its rest", lambda: not source.lag().rebalancing)
        found = source.lag()

    assert found.unowned == ()
    owner = found.partitions[1].owner
    assert owner is not None
    assert (owner.client_id, owner.host) == ("fraud.here-0", "127.0.0.1")
    assert owner.member_id


def test_a_member_that_reads_another_topic_owns_nothing_of_this_one(
    source: LaggingInput, member: Consumer, new_topic: Callable[..., str]
) -> None:
    member.subscribe([new_topic(partitions=2)])
    wait_for("the group", lambda: joined(member))

    assert source.lag().unowned == (0, 1)


def test_a_group_that_is_shared_out_again_is_told(source: LaggingInput, member: Consumer) -> None:
    member.subscribe([source.topic])
    wait_for("the group", lambda: joined(member))
    with contextlib.closing(consumer_of(source)) as second:
        second.subscribe([source.topic])

        def shared_out() -> bool:
            second.poll(0.01)  # the first member does not poll, so it does not come to the sharing out
            return source.lag().rebalancing

        wait_for("the sharing out", shared_out)
        joined(member)  # lets the second one go at once


def test_the_command_tells_a_person_and_a_program(source: LaggingInput, monkeypatch: pytest.MonkeyPatch) -> None:
    source.write(3)
    source.transact(2, commit=None, partition=1)
    monkeypatch.setitem(PIPELINES, "fraud", source.pipeline)
    where = ("--kafka", source.settings.kafka)

    told = CliRunner().invoke(cli, ["lag", "fraud", *where])
    assert told.exit_code == 0
    head, first, second, total, verdict, wanted = told.stdout.splitlines()
    assert head.split() == ["PARTITION", "LAG", "BEHIND", "WAITED", "HELD", "OWNER"]
    assert first.split()[:4] == ["0", "3", "2.0", "s"]
    assert "2 for" in second
    assert first.endswith("nobody")
    assert total.split()[:2] == ["total", "3"]
    assert "nobody owns partitions 0, 1" in verdict
    assert "1 worker wanted" in wanted

    by_name = CliRunner().invoke(cli, ["lag", "fraud", "--json", *where])
    assert json.loads(by_name.stdout)["lag"] == 3
    assert [partition["held"] for partition in json.loads(by_name.stdout)["partitions"]] == [0, 2]


def test_without_a_name_all_pipelines_are_told_and_one_without_topics_hides_no_other(
    source: LaggingInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = replace(source.pipeline, name="lost", source=replace(FRAUD.source, name="nowhere"))
    monkeypatch.setattr("app.pipelines.PIPELINES", {"lost": lost, source.pipeline.name: source.pipeline})

    told = CliRunner().invoke(cli, ["lag", "--json", "--kafka", source.settings.kafka])
    assert told.exit_code == 1
    assert json.loads(told.stdout)["pipeline"] == source.pipeline.name
    assert "`streaminfer topics apply`" in told.stderr
    with pytest.raises(Refused):
        lag_of(source.settings, lost)


def test_a_kafka_that_is_away_is_told_in_one_sentence(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Settings(kafka="127.0.0.1:1", redis=settings.redis)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        lag_of(away, FRAUD, patience_s=0.5)
    with contextlib.closing(Group(away, "fraud", patience_s=0.5)) as group:
        with pytest.raises(Unavailable):
            group.committed("payments", [0], settle_s=0.5)
        with pytest.raises(Unavailable):
            group.owners("payments")
    assert time.monotonic() - began < 10.0

    monkeypatch.setattr(lag_of, "__kwdefaults__", {"patience_s": 0.5, "count_s": 1.0})
    told = CliRunner().invoke(cli, ["lag", "fraud", "--kafka", "127.0.0.1:1"])
    assert (told.exit_code, told.stdout) == (3, "")
    assert told.stderr.startswith("Kafka ")
    assert len(without_progress(told.stderr).splitlines()) == 1
