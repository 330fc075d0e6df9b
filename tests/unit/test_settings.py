"""Settings: who says what first, what nobody may say, and how a mistake is answered."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Producer
from pydantic import ValidationError

from app.errors import Refused, Unavailable
from app.local.state import BrokerPorts, Running, State, write
from app.local.watchdog import birth
from app.settings import OURS, PROJECT, Settings, consumer_config, home_folder, host, load_settings, producer_config

# librdkafka's second names for some of what is ours.
OTHER_NAMES = {
    *("metadata.broker.list", "request.required.acks", "delivery.timeout.ms", "message.send.max.retries"),
    *("auto.commit.enable", "max.in.flight"),
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nothing was ever started, and no settings but the test's own."""
    for name in (*Settings.model_fields, "settings"):
        monkeypatch.delenv(f"STREAMINFER_{name.upper()}", raising=False)
    monkeypatch.setenv("STREAMINFER_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMINFER_KAFKA", "env:1")
    monkeypatch.setenv("STREAMINFER_REDIS", "redis://env:1")


def refused(**flags: Any) -> str:
    with pytest.raises(Refused) as refusal:
        load_settings(**flags)
    assert refusal.value.exit_code == 2
    said = str(refusal.value)
    assert said.endswith((".", "?"))
    assert "Value error" not in said
    return said


def made(**settings: Any) -> Settings:
    return Settings(kafka="k:1", redis="redis://r:1", **settings)


# -- who says it first -------------------------------------------------------------------------------------------------


def test_flags_come_before_variables_and_these_before_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "settings.toml").write_text('kafka = "file:1"\nredis = "redis://file:1"\nbatch_records = 7\n')
    assert (load_settings().kafka, load_settings().batch_records) == ("file:1", 7)
    monkeypatch.setenv("STREAMINFER_KAFKA", "env:1")
    assert (load_settings().kafka, load_settings().redis) == ("env:1", "redis://file:1")
    assert load_settings(kafka="flag:1").kafka == "flag:1"


@pytest.mark.usefixtures("somewhere")
def test_a_flag_that_was_not_given_does_not_count() -> None:
    assert load_settings(kafka=None, redis="redis://flag:1").kafka == "env:1"


@pytest.mark.usefixtures("somewhere")
def test_a_file_that_is_named_is_read_in_place_of_the_home_s(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "settings.toml").write_text("batch_records = 7\n")
    named = home / "other.toml"
    named.write_text("batch_records = 8\n[kafka_options]\n'security.protocol' = 'ssl'\n")
    monkeypatch.setenv("STREAMINFER_SETTINGS", str(named))
    assert load_settings().batch_records == 8
    assert load_settings().kafka_options == {"security.protocol": "ssl"}


@pytest.mark.usefixtures("somewhere")
def test_a_variable_that_is_empty_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMINFER_BATCH_RECORDS", "")
    assert load_settings().batch_records == 512


def test_what_up_started_counts_where_nothing_else_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    born = birth(os.getpid())
    assert born is not None
    running = {"redis": Running(os.getpid(), born, started_ms=0)}  # this very process: it lives
    write(home, State("cluster", (BrokerPorts(client=7001, controller=7002),), 7003, running))
    assert load_settings().kafka.endswith(":7001")
    assert ":7003" in load_settings().redis
    monkeypatch.setenv("STREAMINFER_REDIS", "redis://env:1")
    assert load_settings().redis == "redis://env:1"
    write(home, State("cluster", (BrokerPorts(client=7001, controller=7002),), 7003, {}))  # all of it is dead
    with pytest.raises(Unavailable, match="find kafka"):
        load_settings()


def test_an_empty_home_is_the_project_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMINFER_HOME", "")
    assert home_folder() == PROJECT / ".streaminfer"
    assert made().home == PROJECT / ".streaminfer"


def test_a_home_is_absolute_wherever_the_command_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMINFER_HOME", "near")
    assert made().home == home_folder() == tmp_path / "near"


def test_settings_that_were_read_are_whole_in_another_process() -> None:
    settings = made(batch_records=3, static_members=False, kafka_options={"debug": "cgrp"}, pace_days=math.inf)
    on_the_way = msgspec.json.encode(json.loads(settings.model_dump_json()))
    assert Settings.model_validate(msgspec.json.decode(on_the_way)) == settings


def test_settings_do_not_change_once_they_are_read() -> None:
    with pytest.raises(ValidationError):
        made().kafka = "other:1"  # type: ignore[misc]


# -- mistakes ----------------------------------------------------------------------------------------------------------


def test_where_nothing_says_where_the_services_are_the_way_to_start_them_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Unavailable, match=r"find kafka and redis\. Run `streaminfer up`.*STREAMINFER_KAFKA and"):
        load_settings()
    monkeypatch.setenv("STREAMINFER_KAFKA", "env:1")
    with pytest.raises(Unavailable, match=r"find redis\. Run `streaminfer up`, or set STREAMINFER_REDIS\.$"):
        load_settings()


@pytest.mark.usefixtures("somewhere")
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BATCH_RECORDS", "many", "batch_records: "),
        ("BATCH_RECORDS", "0", "batch_records: "),
        ("FLUSH_EVERY_S", "0", "flush_every_s: "),
        ("GROUP_PROTOCOL", "eager", "group_protocol: "),
        ("KAFKA_OPTIONS", "no json", "kafka_options"),
        ("KAFKA_OPTIONS", '{"sasl.password": 5}', "kafka_options.sasl.password: "),
        ("BATCH_RECORD", "5", "STREAMINFER_BATCH_RECORD is no setting; did you mean STREAMINFER_BATCH_RECORDS?"),
        ("NONSENSE", "5", "STREAMINFER_NONSENSE is no setting. There are STREAMINFER_"),
    ],
)
def test_a_variable_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(f"STREAMINFER_{name}", value)
    assert said in refused()


@pytest.mark.usefixtures("somewhere")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kafka = \n", "settings.toml is no TOML: Invalid value (at line 1"),
        ("batch_record = 5\n", "settings.toml, is no setting; did you mean batch_records?"),
        ("nonsense = 5\n", "settings.toml, is no setting. There are accept_dead_letters, "),
        ("batch_records = 'x'\n", "batch_records: "),
        ("batch_records = 'x'\n", "settings.toml)."),
        ("kafka = '\ud800'\n", "is no TOML: it is not UTF-8"),
    ],
)
def test_a_file_that_is_wrong_is_answered_in_a_sentence(home: Path, text: str, said: str) -> None:
    (home / "settings.toml").write_bytes(text.encode(errors="surrogatepass"))
    assert said in refused()


@pytest.mark.usefixtures("somewhere")
def test_a_file_that_cannot_be_read_is_answered_in_a_sentence(home: Path) -> None:
    (home / "settings.toml").mkdir()
    assert refused().endswith("settings.toml cannot be read: Is a directory.")


@pytest.mark.usefixtures("somewhere")
def test_a_home_that_a_flag_names_has_a_settings_file_of_its_own(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "settings.toml").write_text("batch_records = 9\n")
    assert (load_settings().batch_records, load_settings(home=other).batch_records) == (512, 9)


@pytest.mark.usefixtures("somewhere")
def test_a_file_that_is_named_and_not_there_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMINFER_SETTINGS", str(home / "none.toml"))
    assert "none.toml, which is not a file" in refused()


@pytest.mark.usefixtures("somewhere")
def test_a_secret_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMINFER_KAFKA_OPTIONS", '{"sasl.password": ["hush"], "acks": "1"')
    assert "hush" not in refused()
    monkeypatch.setenv("STREAMINFER_KAFKA_OPTIONS", '{"sasl.password": ["hush"]}')
    assert "hush" not in refused()


@pytest.mark.usefixtures("somewhere")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"group_protocol": "consumer", "static_members": True}, "static_members does not go with"),
        ({"session_timeout_ms": 20_000, "max_poll_interval_ms": 10_000}, "session_timeout_ms must not be longer"),
        ({"commit_deadline_s": 20.0}, "commit_deadline_s must be shorter than transaction_timeout_ms"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], said: str) -> None:
    assert said in refused(**settings)


# -- what exactness stands on ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("somewhere")
@pytest.mark.parametrize("name", sorted({*OURS, *OTHER_NAMES}))
def test_what_exactness_stands_on_cannot_be_set(name: str) -> None:
    assert refused(kafka_options={name: "1"}) == (f"kafka_options: {name} cannot be set: exactly-once depends on it.")


def test_what_a_user_gives_is_refused_or_heeded_and_never_overridden() -> None:
    def given(settings: Settings) -> dict[str, Any]:
        consumer = consumer_config(settings, group="g", slot="s")
        return {**consumer, **producer_config(settings, slot="s", max_record_bytes=1)}

    tuning = {name: "77" for name in given(made()) if name not in OURS}
    assert "linger.ms" in tuning
    assert tuning.items() <= given(made(kafka_options=tuning)).items()


@pytest.mark.parametrize(
    ("settings", "static", "wanted"),
    [
        ({}, True, {"group.protocol": "classic", "partition.assignment.strategy": "range"}),
        ({"static_members": False}, False, {"group.protocol": "classic", "partition.assignment.strategy": "range"}),
        ({"group_protocol": "consumer"}, False, {"group.protocol": "consumer"}),
    ],
    ids=["by default", "dynamic", "KIP-848"],
)
def test_a_consumer_is_exact_whatever_its_group(settings: dict[str, Any], static: bool, wanted: dict[str, str]) -> None:
    config = consumer_config(made(kafka_options={"security.protocol": "ssl"}, **settings), group="fraud", slot="here-0")
    assert wanted.items() <= config.items()
    assert ("partition.assignment.strategy" in config) == (wanted["group.protocol"] == "classic")
    assert config.get("group.instance.id") == ("here-0" if static else None)
    assert config["isolation.level"] == "read_committed"
    assert (config["enable.auto.commit"], config["enable.auto.offset.store"]) == (False, False)
    assert config["auto.offset.reset"] == "error"
    assert (config["group.id"], config["bootstrap.servers"]) == ("fraud", "k:1")
    assert config["security.protocol"] == "ssl"


def test_a_producer_places_keys_as_java_does_and_fits_a_letter_of_the_largest_record() -> None:
    config = producer_config(made(commit_deadline_s=4.5), slot="here-0", max_record_bytes=1_000_000)
    assert config["partitioner"] == "murmur2_random"
    assert config["message.max.bytes"] == 1_000_000 + 64 * 1024
    assert config["message.timeout.ms"] == 4_500
    assert config["transaction.timeout.ms"] > config["message.timeout.ms"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"static_members": False},
        {"group_protocol": "consumer"},
        {"transaction_timeout_ms": 2_000, "commit_deadline_s": 1.0},
        {"session_timeout_ms": 10_000, "max_poll_interval_ms": 10_000},
        {"session_timeout_ms": 1_000},
        {"commit_deadline_s": 0.5},
    ],
    ids=str,
)
def test_librdkafka_takes_what_the_settings_allow(settings: dict[str, Any]) -> None:
    allowed = made(**settings)
    Consumer(consumer_config(allowed, group="g", slot="here-0")).close()
    Producer({**producer_config(allowed, slot="here-0", max_record_bytes=10**7), "transactional.id": "here-0.a"})


def test_a_host_s_name_is_fit_for_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, fit in (("web-1.example", "web-1.example"), ("a_b c/d", "a-b-c-d"), ("", "host"), ("x" * 99, "x" * 60)):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        assert host() == fit
    monkeypatch.setattr("socket.gethostname", lambda: "né你")
    assert host().isascii()


@pytest.mark.parametrize(("session_ms", "heartbeat_ms"), [(1_000, 250), (6_000, 500), (100_000, 500)])
def test_a_member_hears_soon_that_partitions_are_shared_out_however_long_its_session_is(
    session_ms: int, heartbeat_ms: int
) -> None:
    config = consumer_config(made(session_timeout_ms=session_ms), group="fraud", slot="here-0")
    assert config["heartbeat.interval.ms"] == heartbeat_ms
