"""Three workers under random kill -9 and long pauses: every input answered once, and every window right.

What is checked is seen from outside: a plain consumer, a plain recount, and Redis' bytes. The audit must say the same.
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.local.leash import Leash
from app.local.stack import Endpoints, Stack
from app.pipelines.fraud import FRAUD
from app.replay.audit import audit
from app.settings import Settings
from app.stream.topics import Topics
from tests.e2e import outside
from tests.e2e.faults import Faults, Run, Scenario
from tests.e2e.recount import in_redis, recount

SHORT = Scenario("short", seconds=25, rate=3_000, kills=25, pauses=6, aborted_batches=2, seed=465)
LONG = Scenario("long", seconds=120, rate=4_000, kills=100, pauses=30, aborted_batches=20, seed=3)

DRAIN_S = 60.0
LEAVE_S = 60.0

pytestmark = [pytest.mark.broker, pytest.mark.redis, pytest.mark.timeout(420)]


@pytest.fixture
def home(new_stack: Callable[[], Stack], leash: Leash) -> Path:
    """Servers of the test's own: the pipeline runs by its own name, on its own topics."""
    stack = new_stack()
    stack.up(leash=leash)
    return stack.home


@pytest.fixture
def settings(home: Path) -> Settings:
    endpoints = Stack(home).endpoints()
    assert isinstance(endpoints, Endpoints)
    settings = Settings(kafka=endpoints.kafka, redis=endpoints.redis, home=home)
    assert all(applied.ok for applied in Topics(settings).apply([FRAUD]))
    return settings


def wait_for(what: str, ready: Callable[[], bool], *, within_s: float, run: Run) -> None:
    deadline = time.monotonic() + within_s
    while not ready():
        assert run.process.poll() is None, f"the run has ended with {run.process.returncode}:\n{run.words()}"
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s\n{run.words()}"
        time.sleep(0.1)


@pytest.mark.parametrize(
    "scenario", [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.soak)]
)
def test_nothing_is_lost_or_doubled_while_workers_are_killed_and_paused(
    scenario: Scenario, leash: Leash, home: Path, settings: Settings
) -> None:
    run = Run(leash, home, scenario.workers)
    wait_for("all partitions scored", lambda: len(run.live()) == FRAUD.partitions, within_s=60, run=run)
    faults = Faults(run, scenario)
    sent = home / "sent"
    argv = [sys.executable, "-m", "tests.e2e.sender", settings.kafka]
    argv += [str(scenario.count), str(scenario.rate), str(scenario.seed), str(sent)]
    sender = leash.popen(argv)
    faults.deal()
    assert sender.wait(60) == 0
    ends = outside.ends(settings.kafka, "payments")
    wait_for("all committed", lambda: committed(settings, ends) == ends, within_s=DRAIN_S, run=run)
    assert run.stop(LEAVE_S) == 0, run.words()

    assert (faults.done.kills, faults.done.pauses) == (scenario.kills, scenario.pauses)
    aborted = outside.aborted_batches(settings.kafka, "payments.scored")
    print(f"{scenario.name}: {faults.done}, {aborted} aborted batches")
    everything_is_answered_once(settings, sent)
    if aborted < scenario.aborted_batches:
        pytest.fail(f"void: the faults left only {aborted} aborted batches, {scenario.aborted_batches} are needed")


def committed(settings: Settings, ends: dict[int, int]) -> dict[int, int]:
    return outside.committed(settings.kafka, "payments", "fraud", ends)


def everything_is_answered_once(settings: Settings, sent: Path) -> None:
    pairs = array("q", sent.read_bytes())
    asked = set(zip(pairs[::2], pairs[1::2], strict=True))
    inputs = {outside.place(m): m for m in outside.records(settings.kafka, "payments")}
    assert set(inputs) == asked

    predictions: dict[outside.Place, Any] = {}
    answers: list[outside.Place] = []
    for message in outside.records(settings.kafka, "payments.scored"):
        answers.append(place := outside.source(message))
        predictions[place] = json.loads(message.value() or b"")["features"]
    letters = list(outside.records(settings.kafka, "payments.dead"))
    answers += map(outside.source, letters)
    assert len(answers) == len(set(answers)), "answered more than once"
    assert set(answers) == asked
    for letter in letters:
        original = inputs[outside.source(letter)]
        assert (letter.value(), letter.key()) == (original.value(), original.key())

    found = audit(settings, FRAUD)
    assert found.ok, found
    assert (found.inputs, found.predictions, found.dead_letters) == (len(asked), len(predictions), len(letters))

    windows, wrong = recount({place: m.value() for place, m in inputs.items()}, predictions)
    assert wrong == []
    states, folded = in_redis(settings.redis, range(FRAUD.partitions))
    assert folded == outside.ends(settings.kafka, "payments")
    assert states == {customer: mine.recent() for customer, mine in windows.items()}
