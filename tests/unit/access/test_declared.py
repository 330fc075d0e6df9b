"""Settings by which clients get in: what goes together, and what a client is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.access.clients import kafka_client, redis_client, secrets
from app.access.files import refuse_unusable
from app.errors import Refused
from app.settings import Settings, load_settings

SASL = {
    "kafka_security_protocol": "sasl_ssl",
    "kafka_sasl_mechanism": "scram-sha-512",
    "kafka_username": "me",
    "kafka_password": "hunter22",
}


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Settings.model_fields, "settings"):
        monkeypatch.delenv(f"STREAMINFER_{name.upper()}", raising=False)
    monkeypatch.setenv("STREAMINFER_HOME", str(tmp_path))


def made(**settings: Any) -> Settings:
    return load_settings(**{"kafka": "k:1", "redis": "redis://r:1"} | settings)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a user without SASL": ({"kafka_username": "me", "kafka_password": "p"}, "set it to sasl_ssl"),
    "SASL without a user": ({"kafka_security_protocol": "sasl_ssl"}, "needs kafka_sasl_mechanism and kafka_username"),
    "SASL without a password": (SASL | {"kafka_password": None}, "needs kafka_password or kafka_password_file"),
    "a mechanism that nobody knows": (SASL | {"kafka_sasl_mechanism": "scram"}, "SCRAM-SHA-512"),
    "a protocol that nobody knows": ({"kafka_security_protocol": "tls"}, "sasl_ssl"),
    "an authority without TLS": ({"kafka_ca_file": "ca.pem"}, "set it to ssl"),
    "a certificate without its key": (
        {"kafka_security_protocol": "ssl", "kafka_certificate_file": "c.pem"}, "go together"),
    "a key's password without the key": (
        {"kafka_security_protocol": "ssl", "kafka_key_password": "p"}, "opens no key: set kafka_key_file"),
    "a password twice": (SASL | {"kafka_password_file": "p"}, "kafka_password and kafka_password_file are both set"),
    "a protocol twice": (
        SASL | {"kafka_options": {"security.protocol": "ssl"}}, "kafka_options' security.protocol are both set"),
    "certificates for a Redis without TLS": ({"redis_ca_file": "ca.pem"}, "write rediss://"),
    "a user of Redis twice": (
        {"redis": "redis://me:p@r:1", "redis_password": "p"}, "names a user or password, and so do its settings"),
    "a user of Redis without a password": ({"redis_username": "me"}, "needs redis_password"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_go_together_is_wrong_use_and_told_what_to_do(what: str) -> None:
    given, words = WRONG[what]
    with pytest.raises(Refused) as refused:
        made(**given)

    assert words in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_command_that_needs_no_redis_does_not_mind_certificates_for_it() -> None:
    assert made(redis="not needed", redis_ca_file="ca.pem").redis == "not needed"


def test_kafka_s_clients_are_told_in_librdkafka_s_words() -> None:
    files = {"kafka_ca_file": "ca", "kafka_certificate_file": "c", "kafka_key_file": "k", "kafka_key_password": "open"}

    assert kafka_client(made(**SASL, **files, kafka_options={"debug": "broker"})) == {
        "debug": "broker",
        "bootstrap.servers": "k:1",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "hunter22",
        "ssl.ca.location": "ca",
        "ssl.certificate.location": "c",
        "ssl.key.location": "k",
        "ssl.key.password": "open",
    }


def test_without_security_clients_are_told_the_address_and_their_options_alone() -> None:
    options = {"security.protocol": "ssl"}

    assert kafka_client(made(kafka_options=options)) == {"bootstrap.servers": "k:1", "security.protocol": "ssl"}
    assert redis_client(made()) == {}


def test_redis_clients_are_told_of_certificates_only_where_there_is_tls() -> None:
    login = {"redis_username": "me", "redis_password": "hunter22"}

    assert redis_client(made(**login)) == {"username": "me", "password": "hunter22"}
    assert redis_client(made(redis="rediss://r:1", redis_ca_file="ca"))["ssl_ca_certs"] == "ca"


def test_a_password_in_a_file_is_the_file_without_its_last_newline_and_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter 22 \n")
    settings = made(**SASL | {"kafka_password": None}, kafka_password_file=file)

    assert kafka_client(settings)["sasl.password"] == "hunter 22 "
    assert secrets(settings) == {"kafka_password": "hunter 22 "}
    file.write_text("another")
    assert kafka_client(settings)["sasl.password"] == "another"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"", "no password"), (b"x" * 5000, "no password"), (b"\xff", "UTF-8")],
)
def test_a_password_s_file_that_holds_none_is_told(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    settings = made(**SASL | {"kafka_password": None}, kafka_password_file=file)

    with pytest.raises(Refused, match=f"kafka_password_file names .*{words}"):
        refuse_unusable(settings, kafka=True, redis=False)
    assert secrets(settings) == {}


def test_passwords_are_in_no_word_about_the_settings_and_whole_in_what_a_worker_gets() -> None:
    settings = made(**SASL)

    assert "hunter22" not in repr(settings)
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
