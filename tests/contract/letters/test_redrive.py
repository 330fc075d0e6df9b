"""Refused records are tried again and have one final answer each, whatever is killed on the way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Consumer

from app.features.store import connect
from app.pipelines import pipeline_named
from app.replay.answered import Answered
from app.replay.log import Log
from app.replay.redrive import Selection
from app.replay.redriving import Order, supervised
from app.settings import consumer_config
from tests.contract.letters.refusing import LIMIT, Refusing, check_mended_windows, check_windows, told
from tests.contract.loop.rig import wait_for
from tests.processes import children

pytestmark = [pytest.mark.broker, pytest.mark.redis]

KILLS = 10


def everything(client: redis.Redis) -> dict[bytes, bytes | None]:
    return {key: client.dump(key) for key in client.scan_iter(count=5_000)}


class Killed:
    """A redrive that is killed again and again: its worker, or all of it."""

    def __init__(self, world: Refusing) -> None:
        self.world = world
        self.log = Log(world.settings, "test", patience_s=20.0)
        self.kills = 0
        self.process: subprocess.Popen[bytes] | None = None

    def written(self) -> int:
        return sum(
            sum(self.log.ends(topic, [0, 1, 2], settled=False).values())
            for topic in (self.world.scored, self.world.dead)
        )

    def life(self) -> bool:
        """Let it answer some more, and kill it. False where it ended by itself."""
        if self.process is None:
            flags = ("--rate", "400", "--json")
            self.process = self.world.shell.start(
                "dlq", "redrive", self.world.mended, *flags, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        before, process = self.written(), self.process
        wait_for(
            "letters that are answered",
            lambda: process.poll() is not None or (self.written() > before + 60 and bool(children(process.pid))),
            within_s=60.0,
        )
        if process.poll() is not None:
            return False
        whole = self.kills % 5 == 4
        victims = children(process.pid) + [process.pid] * whole
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.kills += 1
        if whole:
            process.communicate()
            self.process = None
        return True

    def end(self) -> dict[str, Any]:
        assert self.process is not None
        out, why = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, why.decode()
        found: dict[str, Any] = json.loads(out)
        return found


def test_five_thousand_letters_have_one_final_answer_each_under_ten_kills(world: Refusing) -> None:
    world.produce(7000)
    world.run(world.refusing)
    refused = world.records(world.dead)
    assert len(refused) > 5000
    world.run(world.mended)  # the new contract's state, which counts them all
    with connect(world.settings.redis) as client:
        before = everything(client)
        killed = Killed(world)
        while killed.kills < KILLS and killed.life():
            pass
        assert killed.kills == KILLS
        if killed.process is None:
            assert world.shell.json("dlq", "redrive", world.mended)["left"] == 0
        else:
            assert killed.end()["left"] == 0
        killed.log.close()
        assert everything(client) == before, "a redrive stores nothing"

    poison = sum((record.value or b"{") == b"{" for record in refused)
    inputs = world.records(world.source)
    letters = world.records(world.dead)
    audit = world.audited()
    parked = audit.pop("parked")  # a command that was killed has tried, and the next one tries once more
    assert audit == {
        "inputs": 7000, "predictions": 7000 - poison, "dead_letters": poison, "missing": 0, "duplicated": 0,
        "unexplained": 0, "redriven": len(letters) - poison,
    }  # fmt: skip
    answers = world.records(world.scored)
    assert max(Counter(told(answer)["source"] for answer in answers).values()) == 1
    predictions = {told(answer)["source"]: json.loads(answer.value or b"") for answer in answers}
    check_mended_windows(inputs, predictions)
    for answer in answers:
        again = json.loads(answer.value or b"")["features"]["amount"] * 100 > LIMIT + 0.5
        assert told(answer).get("attempt") == ("2" if again else None)
    tries = Counter((told(letter)["source"], told(letter)["attempt"]) for letter in letters)
    assert max(tries.values()) == 1
    assert sum(attempt == "3" for _, attempt in tries) == parked
    check_readers(world, poison)


def check_readers(world: Refusing, poison: int) -> None:
    """What was refused at first is in the mended contract's state once, and commands that read answers stay right."""
    verdicts = world.shell.json("features", "verify", world.mended)
    assert [view["differences"] for view in verdicts["views"]] == [0], verdicts
    stands = world.shell.json("offsets", "recover", world.mended, "--dry-run")
    assert all(part["before"] == part["offset"] for part in stands["partitions"])
    rows = world.shell.json("dlq", "ls", world.mended)[world.name]
    assert sum(row["states"]["open"] + row["states"]["parked"] for row in rows) == poison


def test_letters_that_are_left_out_can_be_tried_later_and_a_rehearsal_writes_nothing(world: Refusing) -> None:
    world.produce(400, poison=0.2)
    world.run(world.refusing)
    letters = Counter(told(letter)["code"] for letter in world.records(world.dead))
    large = "out-of-range"
    assert set(letters) == {large, "not-json", "tombstone"}
    world.run(world.mended)
    rehearsed = world.shell.json("dlq", "redrive", world.mended, "--dry-run")
    assert (rehearsed["dry_run"], rehearsed["answered"]) == (True, letters[large])
    assert {row["code"]: row["letters"] for row in rehearsed["refused"]} == {
        "not-json": letters["not-json"],
        "tombstone": letters["tombstone"],
    }
    assert len(world.records(world.dead)) == letters.total()
    only = world.shell.json("dlq", "redrive", world.mended, "--code", "tombstone")
    assert (only["due"], only["refused"][0]["letters"], only["left"]) == (letters["tombstone"], letters["tombstone"], 0)
    rest = world.shell.json("dlq", "redrive", world.mended)
    assert (rest["answered"], rest["parked"]) == (letters[large], letters["tombstone"])
    found = world.audited()
    assert (found["redriven"], found["parked"]) == (letters.total() + letters["tombstone"], letters["tombstone"])
    last = world.shell.json("dlq", "redrive", world.mended, "--code", "tombstone")
    assert (last["due"], last["already_parked"]) == (0, letters["tombstone"])


def test_a_second_redrive_is_refused_while_the_first_is_at_work(world: Refusing, tmp_path: Path) -> None:
    world.produce(800, poison=0.0)
    world.run(world.refusing)
    world.run(world.mended)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    first = world.shell.start("dlq", "redrive", world.mended, "--rate", "10", **pipes)
    try:
        wait_for("its worker", lambda: bool(children(first.pid)))
        _, here = world.shell.run("dlq", "redrive", world.mended, code=1)
        assert "already runs here" in here
        with contextlib.closing(Log(world.settings, "test", patience_s=20.0)) as log:
            begun = sum(log.ends(world.scored, [0, 1, 2], settled=False).values())
            wait_for("an answer", lambda: sum(log.ends(world.scored, [0, 1, 2], settled=False).values()) > begun)
        elsewhere = world.shell.environment | {"TMPDIR": str(tmp_path)}  # as on another machine
        plain = world.shell.environment
        world.shell.environment = elsewhere
        try:
            _, there = world.shell.run("dlq", "redrive", world.mended, code=1)
        finally:
            world.shell.environment = plain
        assert f"Another redrive of {world.name} is at work" in there
        assert first.poll() is None, "the first one goes on"
        # Whoever gets past that, because both began at once, meets Kafka's fence.
        with Answered(world.settings, pipeline_named(world.mended)) as answered:
            answered.look()
            with supervised(
                world.settings, answered, Order(Selection()), reference=world.mended, tell=lambda _: None
            ) as second:
                assert second.run() == 0, second.failure
        _, why = first.communicate(timeout=60)
        # It is started again, and finds nothing left; or it is fenced three times before, and gives up.
        assert (first.returncode in (0, 1), b"another process has its slot" in why) == (True, True), why.decode()
    finally:
        first.kill()
        first.communicate()
    found = world.audited()
    assert (found["predictions"], found["dead_letters"]) == (800, 0)


def test_a_redrive_that_shares_with_another_ends_when_the_others_letters_are_looked_at(world: Refusing) -> None:
    """Both got past the check that there is one. The other has nothing to commit, so no fence ends it."""
    world.produce(100, poison=0.0)
    world.run(world.refusing)
    world.run(world.mended)
    world.shell.run("dlq", "redrive", world.mended)
    ending = threading.Event()
    settings = world.settings.model_copy(update={"static_members": False})
    other = Consumer(consumer_config(settings, group=f"{world.name}.redrive", slot="other"))
    owned: set[int] = set()
    events: list[dict[str, Any]] = []
    other.subscribe(
        [world.dead],
        on_assign=lambda _, places: owned.update(place.partition for place in places),
        on_revoke=lambda _, places: owned.difference_update(place.partition for place in places),
    )

    def stay() -> None:
        while not ending.is_set():
            other.poll(0.1)

    member = threading.Thread(target=stay)
    member.start()
    try:
        wait_for("all its partitions", lambda: len(owned) == 3)
        with Answered(world.settings, pipeline_named(world.mended)) as answered:
            answered.look()
            with supervised(
                world.settings, answered, Order(Selection()), reference=world.mended, tell=events.append
            ) as redrive:
                assert redrive.run() == 0, redrive.failure
        assert len({event["partition"] for event in events if event["event"] == "reached"}) < 3
    finally:
        ending.set()
        member.join()
        other.close()


def test_an_event_that_was_folded_when_it_was_refused_is_counted_once(world: Refusing) -> None:
    world.produce(300, poison=0.0)
    world.run(world.failing)
    letters = world.records(world.dead)
    assert {told(letter)["stage"] for letter in letters} == {"features"}
    assert world.shell.json("dlq", "redrive", world.mended)["answered"] == len(letters) > 100
    predictions = {told(answer)["source"]: json.loads(answer.value or b"") for answer in world.records(world.scored)}
    check_windows(world.records(world.source), predictions)
    check_marks(world, predictions)


def test_an_event_that_no_state_has_is_counted_for_its_own_answer_and_the_state_stays_without_it(
    world: Refusing,
) -> None:
    world.produce(300, poison=0.0)
    world.run(world.picky)
    letters = world.records(world.dead)
    assert {told(letter)["stage"] for letter in letters} == {"validate"}
    assert world.shell.json("dlq", "redrive", world.mended)["answered"] == len(letters) > 100
    predictions = {told(answer)["source"]: json.loads(answer.value or b"") for answer in world.records(world.scored)}
    check_windows(world.records(world.source), predictions, lambda event: event["amount_cents"] <= LIMIT)
    check_marks(world, predictions, always=True)  # a replay by today's rules would count them
    # The log is the truth: whoever folds it by today's contract counts them.
    assert world.shell.json("features", "verify", world.mended, code=1)["views"][0]["differences"] > 0
    world.shell.run("features", "rebuild", "customer", "--pipeline", world.mended)
    assert world.shell.json("features", "verify", world.mended)["views"][0]["differences"] == 0


def check_marks(world: Refusing, predictions: dict[str, dict[str, Any]], *, always: bool = False) -> None:
    """A redriven answer is marked where its customer has paid since, or `always`, and no other is."""
    last: dict[bytes | None, bytes] = {}
    for record in world.records(world.source):
        last[record.key] = record.source
    for source, prediction in predictions.items():
        redriven = prediction["features"]["amount"] * 100 > LIMIT + 0.5
        is_last = last[prediction["customer_id"].encode()] == source.encode()
        assert ("redriven" in prediction["marks"]) == (redriven and (always or not is_last)), (
            source,
            prediction["marks"],
        )
