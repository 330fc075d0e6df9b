"""Every way to come in, by each of Kafka's and Redis' mechanisms, and every command that takes it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined]  # public, not exported
from confluent_kafka.cimpl import NewTopic
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from app.local.leash import Leash
from app.monitor.app import credentials
from app.settings import PROJECT, Settings
from tests.contract.security.conftest import (
    ADMINISTRATORS,
    KAFKA_PASSWORD,
    KEY_PASSWORD,
    REDIS_PASSWORD,
    SCORER,
    Guarded,
)
from tests.contract.security.guarded import right
from tests.contract.security.guarded_redis import ADMIN_PASSWORD as KEEPER_PASSWORD

pytestmark = [pytest.mark.broker, pytest.mark.redis]

Of = dict[str, Any] | Callable[[Guarded], dict[str, Any]]
NOBODY = {"kafka_sasl_mechanism": None, "kafka_username": None, "kafka_password": None}


def administrators(guarded: Guarded) -> dict[str, Any]:
    """Settings of who may do everything."""
    redis = {"redis_username": "keeper", "redis_password": KEEPER_PASSWORD}
    return {**ADMINISTRATORS, **redis, "kafka": guarded.kafka.unsecured, "kafka_ca_file": None}


def of(settings: Of, guarded: Guarded) -> dict[str, Any]:
    return settings(guarded) if callable(settings) else settings


def written(guarded: Guarded, name: str, text: str) -> Path:
    path = guarded.home / name
    path.write_text(text)
    return path


KAFKA_WAYS: dict[str, tuple[str, Of]] = {
    "TLS": (
        "User:ANONYMOUS",
        lambda it: {**NOBODY, "kafka": it.kafka.address("TLS"), "kafka_security_protocol": "ssl"},
    ),
    "mutual TLS": (
        f"User:{SCORER}",
        lambda it: {
            **NOBODY,
            "kafka": it.kafka.address("MUTUAL"),
            "kafka_security_protocol": "SSL",
            "kafka_certificate_file": it.scorer.certificate,
            "kafka_key_file": it.scorer.locked,
            "kafka_key_password_file": written(it, "key-password", f"{KEY_PASSWORD}\n"),
        },
    ),
    "PLAIN over TLS": (f"User:{SCORER}", {"kafka_sasl_mechanism": "plain"}),
    "SCRAM-SHA-256 over TLS": (f"User:{SCORER}", {"kafka_sasl_mechanism": "SCRAM-SHA-256"}),
    "SCRAM-SHA-512 over TLS": (
        f"User:{SCORER}",
        lambda it: {"kafka_password": None, "kafka_password_file": written(it, "password", f"{KAFKA_PASSWORD}\n")},
    ),
    "librdkafka's own options": (
        f"User:{SCORER}",
        lambda it: {
            **NOBODY,
            "kafka_security_protocol": None,
            "kafka_ca_file": None,
            "kafka_options": json.dumps(
                {
                    "security.protocol": "sasl_ssl",
                    "sasl.mechanism": "PLAIN",
                    "sasl.username": SCORER,
                    "sasl.password": KAFKA_PASSWORD,
                    "ssl.ca.location": str(it.authority.file),
                }
            ),
        },
    ),
}


@pytest.fixture(scope="module")
def topic(guarded: Guarded) -> str:
    """A topic that nobody may see."""
    guarded.kafka.admin.create_topics([NewTopic("unseen", 1, 1)])["unseen"].result(20)
    return "unseen"


@pytest.mark.parametrize("way", KAFKA_WAYS)
def test_each_way_into_kafka_comes_in_as_who_it_says(guarded: Guarded, leash: Leash, topic: str, way: str) -> None:
    principal, settings = KAFKA_WAYS[way]
    visitor = guarded.visitor(leash, **of(settings, guarded))
    rights = [right(principal, AclOperation.DESCRIBE, ResourceType.TOPIC, topic)]
    before = visitor.here("topics", "list", "--json")[0]
    guarded.kafka.allow(rights)
    try:
        after = visitor.here("topics", "list", "--json")[0]
    finally:
        guarded.kafka.forbid(rights)

    assert topic not in before
    assert topic in after


@pytest.mark.parametrize("way", KAFKA_WAYS)
def test_the_monitor_s_client_comes_in_by_each_of_them_too(guarded: Guarded, topic: str, way: str) -> None:
    principal, said = KAFKA_WAYS[way]
    given: dict[str, Any] = guarded.scorers() | of(said, guarded)
    if "kafka_options" in given:
        given["kafka_options"] = json.loads(given["kafka_options"])
    settings = Settings.model_validate({name: value for name, value in given.items() if value is not None})
    rights = [right(principal, AclOperation.DESCRIBE, ResourceType.TOPIC, topic)]
    before = asyncio.run(_topics_of_the_monitor(settings))
    guarded.kafka.allow(rights)
    try:
        after = asyncio.run(_topics_of_the_monitor(settings))
    finally:
        guarded.kafka.forbid(rights)

    assert topic not in before
    assert topic in after


async def _topics_of_the_monitor(settings: Settings) -> set[str]:
    """What Kafka shows to a client that gets in as those of Faust do."""
    found = credentials_to_aiokafka_auth(credentials(settings), None)
    client = AIOKafkaClient(bootstrap_servers=settings.kafka, **found)
    await client.bootstrap()
    try:
        topics: set[str] = (await client.fetch_all_metadata()).topics()
        return topics
    finally:
        await client.close()


@pytest.fixture(scope="module")
def user(guarded: Guarded) -> str:
    """A user of Redis who may do everything."""
    guarded.redis.paste(f"ACL SETUSER {SCORER}-of-all reset on >PASSWORD ~* +@all", REDIS_PASSWORD)
    return f"{SCORER}-of-all"


REDIS_WAYS: dict[str, Of] = {
    "mutual TLS": {},
    "TLS": lambda it: {
        "redis": it.redis.url("rediss", it.redis.tls),
        "redis_certificate_file": None,
        "redis_key_file": None,
        "redis_key_password": None,
    },
    "an open key, and a password in a file": lambda it: {
        "redis_key_file": it.scorer.key,
        "redis_key_password": None,
        "redis_password": None,
        "redis_password_file": written(it, "redis-password", REDIS_PASSWORD),
    },
    "a password without TLS": lambda it: {
        "redis": it.redis.url("redis", it.redis.port),
        **dict.fromkeys(("redis_ca_file", "redis_certificate_file", "redis_key_file", "redis_key_password")),
    },
    "user and password in the address": lambda it: {
        "redis": it.redis.url("rediss", it.redis.mutual).replace(
            "://", f"://{SCORER}-of-all:{REDIS_PASSWORD.replace('%', '%25').replace('@', '%40').replace('/', '%2F')}@"
        ),
        "redis_username": None,
        "redis_password": None,
    },
}


@pytest.mark.parametrize("way", REDIS_WAYS)
def test_each_way_into_redis_comes_in(guarded: Guarded, leash: Leash, user: str, way: str) -> None:
    login = {"redis_username": user, "redis_password": REDIS_PASSWORD}
    visitor = guarded.visitor(leash, **administrators(guarded) | login | of(REDIS_WAYS[way], guarded))

    assert "is folded into customer" in visitor.here("features", "get", "customer", "nobody", code=1)[1]


COMMANDS = (
    ("topics", "apply"), ("topics", "list"), ("produce", "payments", "--simulate", "--count", "20"), ("lag", "fraud"),
    ("tail", "payments", "--until-end"), ("audit", "fraud"), ("offsets", "recover", "fraud", "--dry-run"),
    ("features", "verify", "fraud"), ("features", "clean"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_comes_in(guarded: Guarded, leash: Leash, command: tuple[str, ...]) -> None:
    visitor = guarded.visitor(leash, **administrators(guarded))

    assert visitor.here(*command)[0]


def test_no_room_makes_a_client_of_its_own() -> None:
    """Else it would come in by some settings and not by others."""
    ours = {"access/clients.py", "features/store.py", "settings.py"}
    for path in sorted((PROJECT / "app").rglob("*.py")):
        name = path.relative_to(PROJECT / "app").as_posix()
        if name not in ours and not name.startswith("local/"):
            found = re.search(r"[\"']bootstrap\.servers[\"']\s*:|\bkafka_options,|Redis\.from_url|\.redis, timeout_s=",
                              path.read_text(encoding="utf-8"))  # fmt: skip
            assert not found, (
                f"{name} has {found[0] if found else ''}: take kafka_client(settings) or connected(settings)"
            )
