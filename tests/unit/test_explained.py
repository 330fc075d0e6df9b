"""Settings as they are shown: each with who gave it, and no secret."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from app.errors import Refused
from app.explained import Explained, explained, masked
from app.local.state import BrokerPorts, Running, State, write
from app.local.watchdog import birth
from app.settings import Settings
from app.telemetry.masking import MASK


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (*Settings.model_fields, "settings"):
        monkeypatch.delenv(f"STREAMINFER_{name.upper()}", raising=False)
    monkeypatch.setenv("STREAMINFER_HOME", str(tmp_path))
    return tmp_path


def by_name(**flags: object) -> dict[str, Explained]:
    return {setting.name: setting for setting in explained(**flags)}


def test_every_setting_is_shown_and_described_in_a_sentence() -> None:
    found = explained()

    assert [setting.name for setting in found] == list(Settings.model_fields)
    for setting in found:
        assert setting.description.endswith("."), setting.name
        assert json.loads(json.dumps(setting.as_object())) == setting.as_object()


def test_each_setting_says_who_gave_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "settings.toml").write_text('kafka = "file:1"\nbatch_records = 7\nflush_every_s = 2.0\n')
    monkeypatch.setenv("STREAMINFER_BATCH_RECORDS", "8")
    found = by_name(redis="redis://flag:1", kafka=None)

    assert (found["redis"].value, found["redis"].source) == ("redis://flag:1", "flag")
    assert (found["batch_records"].value, found["batch_records"].source) == (8, "variable STREAMINFER_BATCH_RECORDS")
    assert (found["kafka"].value, found["kafka"].source) == ("file:1", f"file {home}/settings.toml")
    assert (found["home"].value, found["home"].source) == (str(home), "variable STREAMINFER_HOME")
    assert (found["session_timeout_ms"].value, found["session_timeout_ms"].source) == (6000, "default")


def test_what_up_started_is_named_as_its_source(home: Path) -> None:
    born = birth(os.getpid())
    assert born is not None
    running = {"redis": Running(os.getpid(), born, started_ms=0)}
    write(home, State("cluster", (BrokerPorts(client=7001, controller=7002),), 7003, running))
    found = by_name()

    assert (found["kafka"].source, found["redis"].source) == ("up", "up")
    assert str(found["kafka"].value).endswith(":7001")
    assert by_name(kafka="k:1")["kafka"].source == "flag"


def test_what_nobody_gave_is_no_mistake_here() -> None:
    kafka = by_name()["kafka"]

    assert (kafka.value, kafka.source, kafka.shown) == (None, "nobody", "not known")
    assert by_name()["static_members"].shown == "not set"


def test_a_mistake_in_the_settings_is_refused_here_as_everywhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "settings.toml").write_text("batch_recrods = 7\n")
    with pytest.raises(Refused, match=r"did you mean batch_records\?"):
        explained()
    (home / "settings.toml").unlink()
    monkeypatch.setenv("STREAMINFER_KAFKA_OPTIONS", '{"sasl.password": "hush"')
    with pytest.raises(Refused) as refusal:
        explained()
    assert "hush" not in str(refusal.value)


SECRETS = {
    "sasl.password": "hush",
    "ssl.key.password": "hush",
    "ssl.keystore.password": "hush",
    "ssl.key.pem": "-----BEGIN hush",
    "sasl.oauthbearer.client.secret": "hush",
    "sasl.oauthbearer.config": "principal=hush",
    "sasl.jaas.config": "hush",
    "some.api.key": "hush",
    "some.API_KEY": "hush",
    "x.token": "hush",
    "proxy": "http://hush@proxy:1",
    "other": "https://me:hush@proxy:1/path",
    "headers": "authorization=hush; x=1",
    "query": "host=db&password=hush&x=1",
}
PLAIN = {
    "sasl.username": "me",
    "ssl.key.location": "/etc/key.pem.d",
    "security.protocol": "SASL_SSL",
    "url": "http://h:1/@x",
}


def test_no_secret_is_shown_and_what_is_none_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMINFER_KAFKA_OPTIONS", json.dumps(SECRETS | PLAIN))
    monkeypatch.setenv("STREAMINFER_REDIS", "rediss://me:hu%2Fsh@redis:6379/0?timeout=1")
    found = by_name()

    assert found["redis"].value == f"rediss://me:{MASK}@redis:6379/0?timeout=1"
    options = found["kafka_options"].value
    assert "hush" not in json.dumps(options)
    assert {name: options[name] for name in PLAIN} == PLAIN
    assert options["other"] == f"https://me:{MASK}@proxy:1/path"
    assert options["query"] == f"host=db&password={MASK}&x=1"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hush@h:1/0", f"redis://:{MASK}@h:1/0"),
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://me:a@b@h:1/0", f"redis://me:{MASK}@h:1/0"),
        ("unix://me:hush@/run/redis.sock?db=0", f"unix://me:{MASK}@/run/redis.sock?db=0"),
        ("redis://h:1/0?password=hush", f"redis://h:1/0?password={MASK}"),
    ],
)
def test_of_an_address_only_the_password_is_masked(url: str, shown: str) -> None:
    assert masked("redis", url) == shown


def test_a_setting_with_a_secret_s_name_is_masked_whatever_it_holds() -> None:
    assert (masked("some_password", "x"), masked("auth_token", 5), masked("secret", ["a"])) == (MASK, MASK, [MASK])
    assert (masked("token", None), masked("use_token", True)) == (None, True)
