"""The least rights by pipeline and settings; that they suffice is tried on servers that demand them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.access.granted import _verdict
from app.access.rights import Rights, redis_user, to_run
from app.features.lookups import Field, HashLookup, JsonLookup, Lookup
from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.pipelines.recommendation import RECOMMENDATION
from app.settings import Settings


def rights(pipeline: Pipeline, **settings: Any) -> Rights:
    return to_run(pipeline, Settings(**{"kafka": "k:1", "redis": "redis://r:1"} | settings))


def rules(pipeline: Pipeline, **settings: Any) -> list[str]:
    return rights(pipeline, **settings).redis_line("me").partition(" >PASSWORD ")[2].split()


def test_a_pipeline_that_answers_reads_and_writes_its_answers_and_one_that_folds_has_none() -> None:
    lines = rights(RECOMMENDATION).kafka_lines("User:me", "k:1")

    assert any(line.endswith("--operation Read --operation Write --topic recommendations") for line in lines)
    assert not any("scored" in line for line in rights(FRAUD_LABELS).kafka_lines("User:me", "k:1"))


def test_a_principal_with_spaces_is_one_word_of_a_shell() -> None:
    assert "'User:CN=me,O=Our Company'" in rights(FRAUD).kafka_lines("User:CN=me,O=Our Company", "k:1")[0]


def test_who_waits_for_another_view_writes_where_it_stands_and_who_folds_for_others_reads_it() -> None:
    assert "~{fraud-labels/terminal}/readers" in rules(FRAUD, behind="wait")
    assert "~{fraud-labels/terminal}/readers" not in rules(FRAUD)
    assert {"+hgetall", "+hdel"} <= set(rules(FRAUD_LABELS))
    assert "+hgetall" not in rules(FRAUD_LABELS, pace_days="inf")


def test_rows_of_others_are_read_by_their_own_pattern() -> None:
    fields = (Field("x"),)
    loaded = replace(FRAUD, lookups=(Lookup("rates", "terminal_id", fields),))
    hashes = replace(FRAUD, lookups=(HashLookup("rates", "terminal_id", fields, rows="a[b]:{entity}:z"),))
    objects = replace(FRAUD, lookups=(JsonLookup("rates", "terminal_id", fields, rows="feature:{entity}"),))

    assert {"%R~{lookup/rates}/current", "%R~lookup/rates/*"} <= set(rules(loaded))
    assert {"%R~a\\[b\\]:*:z", "+hmget"} <= set(rules(hashes))
    assert "%R~feature:*" in rules(objects)
    assert "+hmget" not in rules(objects)


@pytest.mark.parametrize(
    ("address", "rule"),
    [("redis://r:1/3", "+select"), ("redis+cluster://r:1", "+cluster|slots"), ("redis://r:1/0", "")],
)
def test_a_database_or_a_cluster_needs_one_command_more(address: str, rule: str) -> None:
    more = set(rules(FRAUD, redis=address)) - set(rules(FRAUD))

    assert more == ({rule} if rule else set())


@pytest.mark.parametrize(
    ("settings", "user"),
    [
        ({"redis": "redis://me%40home:p@r:1"}, "me@home"),
        ({"redis_username": "me", "redis_password": "p"}, "me"),
        ({}, "default"),
    ],
)
def test_the_user_of_redis_is_who_logs_in(settings: dict[str, Any], user: str) -> None:
    whole: dict[str, Any] = {"kafka": "k:1", "redis": "redis://r:1"} | settings

    assert redis_user(Settings(**whole)) == user


def test_missing_keys_are_told_as_keys_and_a_missing_command_as_a_command() -> None:
    keys = rights(FRAUD).keys
    asked = [(one, command) for one in keys for command in one.commands]

    def without(missing: str) -> list[str]:
        return _verdict(asked, ["ping"], [missing not in (one.rule, f"+{command}") for one, command in asked] + [True])

    for missing in ("~{fraud/*", "%R~{fraud-labels/terminal/*", "+get", "+mget", "+set"):
        assert without(missing) == [missing]
    assert _verdict(asked, ["ping"], [True] * len(asked) + [False]) == ["+ping"]


def test_the_only_keys_of_a_pipeline_are_told_as_keys_too() -> None:
    (keys,) = rights(RECOMMENDATION).keys

    assert _verdict([(keys, command) for command in keys.commands], [], [False] * len(keys.commands)) == [keys.rule]
