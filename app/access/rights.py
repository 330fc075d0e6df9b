"""The least rights with which a pipeline runs, and with which people look at it, as Kafka and Redis are told them.

A declaration: nothing is asked. That they suffice, and that none may be missing, is what the tests hold.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from app.features.asof import AsOf
from app.features.lookups import HashLookup, Keyed, Lookup

if TYPE_CHECKING:
    from app.pipeline import Pipeline
    from app.settings import Settings

RESOURCES = {"topic": "--topic", "group": "--group", "transactional-id": "--transactional-id"}
# Readers of any kind connect so; INFO tells whether keys may be evicted, CLIENT names the connection.
READERS = "streaminfer-"  # what the groups of tail and lag begin with
ENTER = ("ping", "info", "client|setname")


@dataclass(frozen=True)
class KafkaRight:
    """One operation on one resource, or on all whose names begin so."""

    operation: str
    kind: str
    name: str
    prefixed: bool = False

    @property
    def words(self) -> str:
        return f"{self.operation} on the {self.kind} {self.name}{'*' if self.prefixed else ''}"


@dataclass(frozen=True)
class RedisKeys:
    """Keys of one pattern, and the commands that are used on them."""

    pattern: str
    example: str
    commands: tuple[str, ...]
    writes: bool = False

    @property
    def rule(self) -> str:
        return f"{'~' if self.writes else '%R~'}{self.pattern}"


@dataclass(frozen=True)
class Rights:
    """What one role needs."""

    kafka: tuple[KafkaRight, ...]
    keys: tuple[RedisKeys, ...] = ()
    commands: tuple[str, ...] = ()  # those without keys

    def kafka_lines(self, principal: str, bootstrap: str) -> list[str]:
        """For a shell: one line a resource."""
        resources: dict[tuple[str, str, bool], list[str]] = {}
        for right in self.kafka:
            resources.setdefault((right.kind, right.name, right.prefixed), []).append(right.operation)
        return [
            acl_line(principal, bootstrap, operations, KafkaRight("", kind, name, prefixed))
            for (kind, name, prefixed), operations in resources.items()
        ]

    def redis_line(self, user: str) -> str:
        """For redis-cli: the user with exactly this. The password's place is held by PASSWORD."""
        allowed = sorted({*self.commands, *(command for keys in self.keys for command in keys.commands)})
        rules = [keys.rule for keys in self.keys]
        return " ".join(
            ["ACL SETUSER", user, "reset", "on", ">PASSWORD", *rules, *(f"+{command}" for command in allowed)]
        )


def acl_line(principal: str, bootstrap: str, operations: Sequence[str], on: KafkaRight) -> str:
    """One call of Kafka's own tool."""
    words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--add", "--allow-principal", principal]
    for operation in operations:
        words += ["--operation", operation]
    words += [RESOURCES[on.kind], on.name]
    return shlex.join(words + (["--resource-pattern-type", "prefixed"] if on.prefixed else []))


def principal(settings: Settings) -> str:
    """How Kafka calls this client, as far as its settings tell."""
    if settings.kafka_username is not None:
        return f"User:{settings.kafka_username}"
    return "User:PRINCIPAL" if settings.kafka_certificate_file is not None else "User:ANONYMOUS"


def redis_user(settings: Settings) -> str:
    """As whom this client logs in."""
    if settings.redis_username is not None:
        return settings.redis_username
    user = urlsplit(settings.redis).netloc.rpartition("@")[0].partition(":")[0]
    return unquote(user) or "default"


def to_run(pipeline: Pipeline, settings: Settings) -> Rights:
    """What `run` needs."""
    topics = [KafkaRight("Read", "topic", pipeline.source.name)]
    if pipeline.answers is not None:
        # Read: where the group's offsets are gone, the last answers tell that everything would be scored twice.
        topics += [KafkaRight(operation, "topic", pipeline.answers.name) for operation in ("Read", "Write")]
    topics.append(KafkaRight("Write", "topic", pipeline.dead_letters))
    group = KafkaRight("Read", "group", pipeline.name)
    transactions = KafkaRight("Write", "transactional-id", f"{pipeline.name}.", prefixed=True)
    return Rights((*topics, group, transactions), tuple(_run_keys(pipeline, settings)), _commands(settings))


def to_read(pipeline: Pipeline, settings: Settings) -> Rights:
    """What those need who look: audit, lag, tail, status, features get and verify. They write nothing."""
    answers = () if pipeline.answers is None else (pipeline.answers.name,)
    topics = [KafkaRight("Read", "topic", name) for name in (pipeline.source.name, *answers, pipeline.dead_letters)]
    keys = [_of_pipeline(pipeline, "mget")] if pipeline.views else []
    keys += [keys for lookup in _lookups(pipeline, settings) for keys in lookup if not keys.writes]
    # Consumers that join no group must name one all the same, and the client looks for its coordinator.
    groups = (KafkaRight("Describe", "group", pipeline.name), KafkaRight("Describe", "group", READERS, prefixed=True))
    return Rights((*topics, *groups), tuple(keys), (*_commands(settings), "scan"))


def _run_keys(pipeline: Pipeline, settings: Settings) -> Iterator[RedisKeys]:
    # The script of a flush runs GET, GETRANGE and SET as this user.
    flush = ("mget", "evalsha", "eval", "get", "getrange", "set")
    pace = ("hgetall", "hdel") if pipeline.fold_only and not math.isinf(settings.pace_days) else ()
    yield _of_pipeline(pipeline, *flush, *pace, writes=True)
    for lookup in _lookups(pipeline, settings):
        yield from lookup


def _of_pipeline(pipeline: Pipeline, *commands: str, writes: bool = False) -> RedisKeys:
    return RedisKeys(f"{{{pipeline.name}/*", f"{{{pipeline.name}/view/0}}/rights", commands, writes=writes)


def _lookups(pipeline: Pipeline, settings: Settings) -> Iterator[list[RedisKeys]]:
    """Each lookup's keys."""
    for lookup in pipeline.lookups:
        match lookup:
            case AsOf():
                other, view = lookup.of.name, lookup.view
                found = [RedisKeys(f"{{{other}/{view}/*", f"{{{other}/{view}/0}}/rights", ("mget",))]
                if settings.behind == "wait":  # it tells the other where it stands
                    readers = f"{{{other}/{view}}}/readers"
                    found.append(RedisKeys(readers, readers, ("hset", "hdel"), writes=True))
                yield found
            case Lookup():
                yield [
                    RedisKeys(lookup.pointer, lookup.pointer, ("mget",)),
                    RedisKeys(f"{lookup.rows}*", f"{lookup.rows}rights", ("mget",)),
                ]
            case Keyed():
                how = "hmget" if isinstance(lookup, HashLookup) else "mget"
                yield [RedisKeys(_literal(lookup.rows), lookup.row_key("rights"), (how,))]


def _literal(rows: str) -> str:
    """The pattern of these keys; what has a meaning in patterns stands for itself."""
    before, _, after = rows.partition("{entity}")
    return "*".join("".join(f"\\{c}" if c in "*?[]\\" else c for c in part) for part in (before, after))


def _commands(settings: Settings) -> tuple[str, ...]:
    address = urlsplit(settings.redis)
    found = list(ENTER)
    if address.scheme.endswith("+cluster"):
        found.append("cluster|slots")
    elif address.scheme != "unix" and address.path.strip("/") not in ("", "0"):
        found.append("select")
    return tuple(found)
