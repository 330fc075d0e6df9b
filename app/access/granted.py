"""Whether a run has the rights that it needs, asked before its workers start; what is missing is named with its cure.

Kafka tells what it authorises on topics and groups, and Redis checks commands inside a script without running them.
Nothing is written. Of transactional ids Kafka tells nothing: there a worker's first call is answered, and worded alike
(app/stream/transaction.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Any

import redis
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from app.access.clients import kafka_client
from app.access.rights import KafkaRight, RedisKeys, Rights, acl_line, principal, redis_user
from app.errors import Refused, Unavailable
from app.features.cluster import nodes
from app.features.store import connected, unavailable
from app.settings import Settings

AGAIN_S = 0.05
FORBIDDEN = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})
ABSENT = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND})
# Servers before Redis 7 do not have the question; what they refuse is met when it is needed.
CHECK = """
if not redis.acl_check_cmd then return {} end
local found = {}
for line in string.gmatch(ARGV[1], '[^\\n]+') do
  local words = {}
  for word in string.gmatch(line, '[^\\t]+') do words[#words + 1] = word end
  found[#found + 1] = redis.acl_check_cmd(unpack(words)) and 1 or 0
end
return found
"""
ARGUMENTS = {
    "get": 0,
    "mget": 0,
    "hgetall": 0,
    "set": 1,
    "hdel": 1,
    "hmget": 1,
    "hset": 2,
    "getrange": 2,
}  # behind the key


def refuse_ungranted(settings: Settings, rights: Rights, *, patience_s: float) -> None:
    """Raises Refused where Kafka or Redis does not grant one of the rights, Unavailable where Kafka does not tell.

    A Redis that is away grants nothing and refuses nothing: its workers wait for it.
    """
    if missing := _missing_in_kafka(settings, rights.kafka, patience_s):
        lines = [acl_line(principal(settings), settings.kafka, [right.operation], right) for right in missing]
        raise Refused(_sentence("Kafka", principal(settings), [right.words for right in missing], lines))
    try:
        ungranted = _missing_in_redis(settings, rights)
    except Unavailable:
        return
    if ungranted:
        user = redis_user(settings)
        raise Refused(_sentence("Redis", f"the user {user}", ungranted, [f"ACL SETUSER {user} {' '.join(ungranted)}"]))


def _sentence(service: str, who: str, missing: Sequence[str], cure: Iterable[str]) -> str:
    told = "; ".join(f"`{line}`" for line in cure)
    return (
        f"{service} does not allow {who} what the pipeline needs: {', '.join(missing)}. Allow it by {told}; "
        "`streaminfer acls` prints all that is needed."
    )


# -- Kafka -----------------------------------------------------------------------------------------------------------


def _missing_in_kafka(settings: Settings, rights: Sequence[KafkaRight], patience_s: float) -> list[KafkaRight]:
    quiet = logging.Logger("librdkafka")
    quiet.disabled = True
    admin = AdminClient(kafka_client(settings), logger=quiet)
    deadline = time.monotonic() + patience_s
    granted: dict[tuple[str, str], set[str] | None] = {}
    for right in rights:
        place = (right.kind, right.name)
        if place not in granted and right.kind in QUESTIONS:
            ask = partial(QUESTIONS[right.kind], admin, right.name)
            granted[place] = _granted(ask, deadline, where=settings.kafka)
    found = []
    for right in rights:
        allowed = granted.get((right.kind, right.name))
        if allowed is not None and right.operation.upper() not in allowed:
            found.append(right)
    return found


def _topic(admin: AdminClient, name: str, left: float) -> Future[Any]:
    return admin.describe_topics(TopicCollection([name]), include_authorized_operations=True, request_timeout=left)[
        name
    ]


def _group(admin: AdminClient, name: str, left: float) -> Future[Any]:
    return admin.describe_consumer_groups([name], include_authorized_operations=True, request_timeout=left)[name]


QUESTIONS: dict[str, Callable[[AdminClient, str, float], Future[Any]]] = {"topic": _topic, "group": _group}


def _granted(ask: Callable[[float], Future[Any]], deadline: float, *, where: str) -> set[str] | None:
    """The operations that are allowed; None where Kafka does not say, as where there is no such topic."""
    while True:
        left = max(0.1, deadline - time.monotonic())
        try:
            operations = ask(left).result(left + 1.0).authorized_operations
        except FutureTimeoutError:
            raise Unavailable(f"Kafka does not answer at {where}.") from None
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if cause.code() in FORBIDDEN:
                return set()
            if cause.code() in ABSENT:
                return None
            if time.monotonic() >= deadline:
                raise Unavailable(f"Kafka does not answer at {where} ({cause.str()}).") from error
            time.sleep(AGAIN_S)  # a coordinator on its way
        else:
            return {operation.name for operation in operations} if operations else None


# -- Redis -----------------------------------------------------------------------------------------------------------


def _missing_in_redis(settings: Settings, rights: Rights) -> list[str]:
    """Rules that are not granted, as ACL SETUSER takes them; on any server of a cluster. Raises Unavailable."""
    asked = [(keys, command) for keys in rights.keys for command in keys.commands]
    lines = [_check(command, keys.example) for keys, command in asked]
    lines += [command.upper().replace("|", "\t") for command in rights.commands]
    missing: dict[str, None] = {}
    with connected(settings) as client:
        try:
            for node in nodes(client):
                told = [bool(answer) for answer in node.eval(CHECK, 0, "\n".join(lines))]
                if told:
                    missing |= dict.fromkeys(_verdict(asked, rights.commands, told))
        except redis.exceptions.NoPermissionError as error:
            if "eval" not in str(error):
                raise unavailable(error) from error
            return ["+eval"]
        except redis.RedisError as error:
            raise unavailable(error) from error
    return list(missing)


def _check(command: str, key: str) -> str:
    """A call as Redis would see it, its words apart by tabs."""
    if command in ("eval", "evalsha"):
        return "\t".join((command.upper(), "return", "1", key))
    return "\t".join((command.upper(), key, *["0"] * ARGUMENTS[command]))


def _verdict(asked: Sequence[tuple[RedisKeys, str]], commands: Sequence[str], told: Sequence[bool]) -> list[str]:
    """What is missing: keys on which a command is not allowed that is allowed elsewhere, or else the command."""
    answers = list(zip(asked, told, strict=False))
    allowed = {"eval", *(command for (_, command), yes in answers if yes)}  # this was asked by EVAL
    keys_missing = dict.fromkeys(keys.rule for (keys, command), yes in answers if not yes and command in allowed)
    missing = [f"+{command}" for (keys, command), yes in answers if not yes and keys.rule not in keys_missing]
    missing += [f"+{command}" for command, yes in zip(commands, told[len(asked) :], strict=True) if not yes]
    return [*keys_missing, *dict.fromkeys(missing)]
