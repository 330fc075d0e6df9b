"""What each client is told so that it gets in: Kafka's as librdkafka's settings, Redis' as its connection's.

A password in a file is read each time that a client is made, so that one which was changed needs no other settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import Refused

if TYPE_CHECKING:
    from app.settings import Settings

SECRETS = ("kafka_password", "kafka_key_password", "redis_password", "redis_key_password")
LONGEST = 4096  # characters of a password's file: what is larger is another file


def kafka_client(settings: Settings) -> dict[str, Any]:
    """For every client of Kafka: where the brokers are, and how it gets in. Raises Refused for an unreadable file."""
    told: dict[str, Any] = {**settings.kafka_options, "bootstrap.servers": settings.kafka}
    if settings.kafka_security_protocol == "plaintext":
        return told
    told["security.protocol"] = settings.kafka_security_protocol
    if settings.kafka_sasl_mechanism is not None:
        told["sasl.mechanism"] = settings.kafka_sasl_mechanism
        told["sasl.username"] = settings.kafka_username
        told["sasl.password"] = secret(settings, "kafka_password")
    if settings.kafka_ca_file is not None:
        told["ssl.ca.location"] = str(settings.kafka_ca_file)
    if settings.kafka_certificate_file is not None:
        told["ssl.certificate.location"] = str(settings.kafka_certificate_file)
        told["ssl.key.location"] = str(settings.kafka_key_file)
        if (password := secret(settings, "kafka_key_password")) is not None:
            told["ssl.key.password"] = password
    return told


def redis_client(settings: Settings) -> dict[str, Any]:
    """What a connection to Redis needs beside its address. Raises Refused for an unreadable file."""
    told: dict[str, Any] = {"username": settings.redis_username, "password": secret(settings, "redis_password")}
    if settings.redis.startswith("rediss"):
        told["ssl_ca_certs"] = _path(settings.redis_ca_file)
        told["ssl_certfile"] = _path(settings.redis_certificate_file)
        told["ssl_keyfile"] = _path(settings.redis_key_file)
        told["ssl_password"] = secret(settings, "redis_key_password")
    return {name: value for name, value in told.items() if value is not None}


def secrets(settings: Settings) -> dict[str, str]:
    """Every password by its setting's name, also those in files that can be read."""
    found: dict[str, str] = {}
    for name in SECRETS:
        try:
            value = secret(settings, name)
        except Refused:
            continue
        if value is not None:
            found[name] = value
    return found


def secret(settings: Settings, name: str) -> str | None:
    """A password, from its setting or its file; None where there is neither. A newline at the file's end is no part."""
    given: str | None = getattr(settings, name)
    path: Path | None = getattr(settings, f"{name}_file")
    if path is None:
        return given
    try:
        with path.open(encoding="utf-8") as file:
            read = file.read(LONGEST + 1).rstrip("\r\n")
    except OSError as error:
        raise Refused(f"{name}_file names {path}, which cannot be read ({error.strerror}).", exit_code=2) from None
    except UnicodeDecodeError:
        raise Refused(f"{name}_file names {path}, which is no text in UTF-8.", exit_code=2) from None
    if not read or len(read) > LONGEST:
        raise Refused(f"{name}_file names {path}, which holds no password.", exit_code=2)
    return read


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
