"""ops/security.md as it stands there: its settings come in, and its command prints what it says."""

from __future__ import annotations

import re

import pytest
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined]  # public, not exported

from app.local.leash import Leash
from app.local.ports import HOST
from app.settings import PROJECT
from tests.contract.security.conftest import KAFKA_PASSWORD, KEY_PASSWORD, REDIS_PASSWORD, SCORER, Guarded
from tests.contract.security.guarded import right
from tests.contract.security.visitor import Visitor

pytestmark = [pytest.mark.broker, pytest.mark.redis]

TEXT = (PROJECT / "ops" / "security.md").read_text(encoding="utf-8")
SASL, MUTUAL, REDIS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("kafka", [SASL, MUTUAL], ids=["SASL", "mutual TLS"])
def test_the_settings_of_the_document_come_in(guarded: Guarded, leash: Leash, kafka: str) -> None:
    folder = guarded.authority.file.parent
    for name, password in {"kafka": KAFKA_PASSWORD, "redis": REDIS_PASSWORD, "key": KEY_PASSWORD}.items():
        (folder / f"{name}-password").write_text(f"{password}\n")
    guarded.redis.paste(f"ACL SETUSER {SCORER} reset on >PASSWORD ~* +@all", REDIS_PASSWORD)
    file = guarded.home / "document.toml"
    ports = {"SASL": guarded.kafka.address("SASL"), "MUTUAL": guarded.kafka.address("MUTUAL")}
    ports["REDIS"] = f"{HOST}:{guarded.redis.mutual}"
    text = (kafka + REDIS).replace("FOLDER", str(folder))
    file.write_text(re.sub(r"HOST:([A-Z]+)", lambda it: ports[it[1]], text))
    visitor = Visitor(guarded.home, leash, {"settings": file})
    rights = [right(f"User:{SCORER}", AclOperation.DESCRIBE, ResourceType.TOPIC, "payments")]
    guarded.kafka.allow(rights)
    try:
        assert "payments" in visitor.here("topics", "list")[0]
    finally:
        guarded.kafka.forbid(rights)
    visitor.here("features", "clean")


def test_the_command_of_the_document_prints_rights(guarded: Guarded, leash: Leash) -> None:
    (command,) = re.findall(r"^    streaminfer (.*)$", TEXT, re.MULTILINE)
    printed = Visitor(guarded.home, leash, {}).here(*command.split())[0]

    assert "--allow-principal User:scorer " in printed
    assert "ACL SETUSER scorer reset on >PASSWORD" in printed
