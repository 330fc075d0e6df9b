"""Letters that cannot be tried again: each is told in a sentence, and none is lost or written twice."""

from __future__ import annotations

import json

import pytest

from app.record import Headers
from app.replay.letters import PROBLEMS
from tests.contract.letters.refusing import Refusing, told

pytestmark = [pytest.mark.broker, pytest.mark.redis]

NASTY = b"\x1b]0;owned\x07\x1b[2J\xe2\x80\xae{"


def letter(world: Refusing, source: bytes | None, *more: tuple[str, bytes | None]) -> Headers:
    """Headers as the loop writes them, but for what is given."""
    whole: dict[str, bytes | None] = {
        "source": source,
        "stage": b"decode",
        "code": b"not-json",
        "reason": b"The value is not JSON.",
        "attempt": b"1",
        "taken-at": b"1",
        "pipeline": world.name.encode(),
    }
    return [(name, value) for name, value in (whole | dict(more)).items() if value is not None]


def test_letters_that_cannot_be_tried_again_are_told_and_left_as_they_are(world: Refusing) -> None:
    world.produce(60, poison=0.0)
    world.run(world.mended)
    unanswered = b"%d" % sum(record.partition == 0 for record in world.records(world.source))
    world.produce(60, poison=0.0)
    source = f"{world.source}/0/".encode()
    hostile = {
        "no-source": [
            letter(world, None),
            letter(world, b"?"),
            letter(world, source + b"9" * 5000),
            letter(world, source + b"-1"),
        ],
        "foreign": [letter(world, b"elsewhere/0/1")],
        "no-attempt": [
            letter(world, source + b"0", ("attempt", words)) for words in (b"0", b"x", b"\xff", b"9" * 18, b"-1")
        ],
        "gone": [letter(world, source + b"99999"), letter(world, f"{world.source}/7/0".encode())],
        "recreated": [letter(world, source + b"1", ("topic-id", b"another"))],
        "stub": [letter(world, source + unanswered, ("stub", b"true"))],
    }
    for headers in (one for kind in hostile.values() for one in kind):
        world.put(world.dead, NASTY, headers)
    world.put(world.dead, NASTY, letter(world, source + b"3", ("pipeline", b"another")))
    world.put(world.dead, NASTY, [("reason", NASTY), ("code", None), ("source", None)])
    expected = {problem: len(kind) for problem, kind in hostile.items()}
    expected["no-source"] += 1
    before = len(world.records(world.dead))

    for flags in (("--dry-run",), ()):
        done = world.shell.json("dlq", "redrive", world.mended, *flags)
        assert (done["due"], done["cannot"]) == (0, expected)
    words, _ = world.shell.run("dlq", "redrive", world.mended)
    for problem, count in expected.items():
        assert f"{count} letter{'s' * (count != 1)} cannot be tried again. {PROBLEMS[problem]}" in words
    assert len(world.records(world.dead)) == before

    rows = world.shell.json("dlq", "ls", world.mended)[world.name]
    assert sum(row["letters"] for row in rows) == sum(expected.values()) == before - 1
    for command in (("dlq", "ls"), ("dlq", "show"), ("dlq", "show", "--payload")):
        out, _ = world.shell.run(*command, world.mended)
        assert all(line.isprintable() for line in out.splitlines())
    objects = [json.loads(line) for line in world.shell.run("dlq", "show", world.mended, "--json")[0].splitlines()]
    assert len(objects) == before - 1
    assert not any({"key", "value", "headers"} & set(one) for one in objects)
    out, why = world.shell.run("dlq", "show", world.mended, "--code", "not-there", code=1)
    assert (out, why) == ("", f"{world.name} has no such dead letter.\n")


def test_another_pipeline_s_letters_on_the_same_topic_are_its_own(world: Refusing) -> None:
    world.produce(200, poison=0.1)
    event = next(one for one in world.records(world.source) if len(one.value or b"") > 1)
    world.put(world.source, event.value, [("content-type", b"text/csv")], like=event)
    world.run(world.mended)
    verdict = world.shell.json("features", "verify", world.mended)["views"][0]
    assert verdict["differences"] == 0, "what headers refuse is no event for anybody"
    mine = len(world.records(world.dead))
    assert mine > 0
    answered = next(told(one)["source"] for one in world.records(world.scored)).encode()
    world.put(world.dead, b"{", letter(world, answered, ("pipeline", b"another")))
    found = world.audited()
    assert (found["dead_letters"], found["duplicated"], found["unexplained"]) == (mine, 0, 0)
    assert sum(row["letters"] for row in world.shell.json("dlq", "ls", world.mended)[world.name]) == mine
    stands = world.shell.json("offsets", "recover", world.mended, "--dry-run")
    assert all(part["before"] == part["offset"] for part in stands["partitions"])
    # One that does not say whose it is counts as everybody's: the record has a prediction, so it is not tried again.
    world.put(world.dead, b"{", [header for header in letter(world, answered) if header[0] != "pipeline"])
    assert world.audited(code=1)["duplicated"] == 1
    done = world.shell.json("dlq", "redrive", world.mended, "--dry-run")
    assert done["due"] == mine


def test_what_a_replay_has_answered_is_left_for_the_live_run_to_try(world: Refusing) -> None:
    world.produce(60, poison=0.2)
    world.run(world.mended)
    refused = told(world.records(world.dead)[0])["source"].encode()
    mine = len(world.records(world.dead))
    world.put(world.scored, b"{}", [("source", refused), ("model", b"fraud@1"), ("replay", b"1f0c2a9b")])
    assert world.shell.json("dlq", "redrive", world.mended, "--dry-run")["due"] == mine
    found = world.audited()
    assert (found["dead_letters"], found["duplicated"], found["unexplained"]) == (mine, 0, 0)
    stands = world.shell.json("offsets", "recover", world.mended, "--dry-run")
    assert all(part["before"] == part["offset"] for part in stands["partitions"])
    world.put(world.scored, b"{}", [("source", refused), ("model", b"fraud@1")])
    assert world.shell.json("dlq", "redrive", world.mended, "--dry-run")["due"] == mine - 1
