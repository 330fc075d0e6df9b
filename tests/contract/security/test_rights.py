"""The rights that `acls` prints: with them a pipeline runs to its end, and with any of them missing not at all."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, ResourceType  # type: ignore[attr-defined]  # not exported

from app.local.leash import Leash
from tests.contract.security.conftest import ADMINISTRATORS, READER, READER_PASSWORD, REDIS_PASSWORD, SCORER, Guarded
from tests.contract.security.guarded import right
from tests.contract.security.visitor import Visitor

pytestmark = [pytest.mark.broker, pytest.mark.redis]

KINDS = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactional_id": ResourceType.TRANSACTIONAL_ID}
RUN = ("run", "fraud", "--until-end", "--dead-letter-limit", "1", "--observe", "off")
KAFKA_RIGHTS = (
    "Read topic payments", "Read topic payments.scored", "Write topic payments.scored", "Write topic payments.dead",
    "Read group fraud", "Write transactional_id fraud.",
)  # fmt: skip
REDIS_RULES = (
    "~{fraud/*", "%R~{fraud-labels/terminal/*", "+client|setname", "+eval", "+evalsha", "+get", "+getrange", "+info",
    "+mget", "+ping", "+set",
)  # fmt: skip


def pasted(line: str) -> list[tuple[str, AclBinding]]:
    """The rights of a line, each with its words, read as Kafka's own tool reads it."""
    tool = argparse.ArgumentParser()
    tool.add_argument("--bootstrap-server", required=True)
    tool.add_argument("--add", action="store_true", required=True)
    tool.add_argument("--allow-principal", required=True)
    tool.add_argument("--operation", action="append", required=True)
    for kind in KINDS:
        tool.add_argument(f"--{kind.replace('_', '-')}")
    tool.add_argument("--resource-pattern-type", default="literal", choices=["literal", "prefixed"])
    name, *words = shlex.split(line)
    assert name == "kafka-acls.sh"
    read = tool.parse_args(words)
    ((kind, on),) = [(kind, getattr(read, kind)) for kind in KINDS if getattr(read, kind)]
    prefixed = read.resource_pattern_type == "prefixed"
    return [
        (
            f"{operation} {kind} {on}",
            right(read.allow_principal, AclOperation[operation.upper()], KINDS[kind], on, prefixed=prefixed),
        )
        for operation in read.operation
    ]


@dataclass
class Scene:
    """The servers with what `acls` printed pasted into them, the administrator, and who has these rights alone."""

    guarded: Guarded
    administrator: Visitor
    scorer: Visitor
    reader: Visitor
    kafka: dict[str, AclBinding]
    redis_line: str

    def scored(self) -> Any:
        """What the audit says, asked by who may look and no more."""
        return self.reader.json("audit", "fraud")


@pytest.fixture(scope="module")
def scene(guarded: Guarded, leash: Leash) -> Iterator[Scene]:
    administrator = guarded.visitor(leash, **ADMINISTRATORS, kafka=guarded.kafka.unsecured, kafka_ca_file=None)
    scorer = guarded.visitor(leash)
    passwords = {"kafka_password": READER_PASSWORD, "redis_password": READER_PASSWORD}
    reader = guarded.visitor(leash, kafka_username=READER, redis_username=READER, **passwords)
    printed = scorer.json("acls", "fraud")
    rights = {
        role: dict(found for line in printed[role]["kafka_commands"] for found in pasted(line)) for role in printed
    }
    allowed = [*rights["run"].values(), *rights["look"].values()]
    guarded.kafka.allow(allowed)
    guarded.redis.paste(printed["run"]["redis_command"], REDIS_PASSWORD)
    guarded.redis.paste(printed["look"]["redis_command"], READER_PASSWORD)
    yield Scene(guarded, administrator, scorer, reader, rights["run"], printed["run"]["redis_command"])
    guarded.kafka.forbid(allowed)


def test_with_exactly_these_rights_a_pipeline_runs_to_its_end_again_and_from_an_empty_redis(scene: Scene) -> None:
    there = len(scene.reader.records("payments"))  # others that came in before have sent some
    scene.administrator.run("produce", "payments", "--simulate", "--count", "300")
    scene.administrator.run("produce", "payments", "--raw", stdin=b"no event\n")
    scene.scorer.run(*RUN)
    first = scene.scored()
    assert (first["predictions"], first["dead_letters"]) == (there + 300, 1)

    scene.administrator.run("produce", "payments", "--simulate", "--count", "100")
    scene.guarded.redis.keeper.flushall()
    _, told = scene.scorer.run(*RUN)

    assert "folds offsets" in told
    found = scene.scored()
    assert (found["predictions"], found["dead_letters"]) == (there + 400, 1)
    assert found["missing"] == found["duplicated"] == found["unexplained"] == 0


def test_who_has_the_rights_to_look_sees_all_and_changes_nothing(scene: Scene) -> None:
    customer = scene.reader.records("payments.scored")[0]["value"]["customer_id"]

    assert scene.reader.json("lag", "fraud")["lag"] == 0
    assert scene.reader.run("features", "verify", "fraud")[0]
    assert scene.reader.run("features", "get", "customer", customer)[0]
    assert "Write on the topic payments.scored" in scene.reader.refused(*RUN)


def test_the_rights_are_these(scene: Scene) -> None:
    assert sorted(scene.kafka) == sorted(KAFKA_RIGHTS)
    assert sorted(scene.redis_line.partition(" >PASSWORD ")[2].split()) == sorted(REDIS_RULES)


@pytest.mark.parametrize("name", KAFKA_RIGHTS)
def test_without_any_right_in_kafka_a_run_refuses_at_start_and_names_it(scene: Scene, name: str) -> None:
    scene.guarded.kafka.forbid([scene.kafka[name]])
    try:
        told = scene.scorer.refused(*RUN)
    finally:
        scene.guarded.kafka.allow([scene.kafka[name]])

    operation, kind, on = name.split()
    assert f"{operation} on the {kind.replace('_', '-')} {on}" in told
    assert f"--operation {operation} --{kind.replace('_', '-')} {on}" in told
    assert "kafka-acls.sh" in told


@pytest.mark.parametrize("rule", REDIS_RULES)
def test_without_any_right_in_redis_a_run_refuses_at_start_and_names_it(scene: Scene, rule: str) -> None:
    less = " ".join(word for word in scene.redis_line.split() if word != rule)
    scene.guarded.redis.paste(less, REDIS_PASSWORD)
    try:
        told = scene.scorer.refused(*RUN)
    finally:
        scene.guarded.redis.paste(scene.redis_line, REDIS_PASSWORD)

    assert f"ACL SETUSER {SCORER} {rule}" in told
