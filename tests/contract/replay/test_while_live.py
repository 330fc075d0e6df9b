"""A replay beside the live pipeline: it holds still where that lags, and the two are never on one topic at once."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from app.replay.group import Group
from app.stream.process import REPLAYS_NICE
from tests.contract.replay.world import PARTITIONS, World, at, end, wait_for
from tests.processes import children

pytestmark = [pytest.mark.broker, pytest.mark.redis]


def niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def has_members(world: World) -> bool:
    group = Group(world.settings, world.name, patience_s=10.0)
    try:
        return bool(group.members())
    finally:
        group.close()


def test_into_the_live_topic_it_keeps_live_workers_out_and_names_itself_in_each_answer(world: World) -> None:
    before = world.records(world.answers)
    plan = world.plan("--from", at(50), "--to", at(1500), "--into-live", "--rate", "10")
    assert plan["target"] == world.answers
    letters = [f"{topic}.dead.replay-{plan['id']}" for topic in (world.payments, f"{world.name}.outcomes")]
    assert plan["makes"] == letters  # what it refuses is not among the live dead letters
    running = world.start(plan["id"])
    wait_for("some answers", lambda: world.done(plan) > 10)

    world.produce(30)  # or there is nothing to run for
    flags = ("--until-end", "--dead-letter-limit", "1", "--observe", "off")
    live = world.shell.start("run", world.pipeline, *flags, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert live.stderr is not None
    assert any(b"A replay answers on this pipeline's topic" in line for line in live.stderr)
    world.shell.json("replay", "pause", plan["id"])
    assert end(running)[0] == 0
    code, out, why = end(live)  # it goes on by itself once the replay lets go
    assert code == 0, why
    assert "30 records answered" in out
    verdict = world.shell.json("audit", world.pipeline)
    wait_for("the live worker's session to end", lambda: not has_members(world))
    world.shell.run("replay", "resume", plan["id"], "--rate", "100000")

    after = world.records(world.answers)
    answers = [r for r in after if dict(r.headers or []).get("replay") == plan["id"].encode()]
    live_ones = [r for r in after if "replay" not in dict(r.headers or [])]
    assert len(live_ones) == verdict["predictions"] > len(before)
    assert len(answers) > 400
    values = {dict(r.headers or [])["source"]: r.value for r in live_ones}
    assert {values[dict(r.headers or [])["source"]] == r.value for r in answers} == {True}
    assert world.shell.json("audit", world.pipeline) == verdict  # of the live run


def test_it_holds_still_while_the_live_pipeline_lags_and_goes_on_after(world: World) -> None:
    world.shell.environment["STREAMINFER_SESSION_TIMEOUT_MS"] = "60000"
    live = world.shell.start("run", world.pipeline, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    del world.shell.environment["STREAMINFER_SESSION_TIMEOUT_MS"]
    assert live.stdout is not None
    while live.stdout.readline().count(b'"live"') < PARTITIONS:
        pass
    (worker,) = children(live.pid)
    plan = world.plan("--from", at(100), "--to", at(3000), "--rate", "150", "--yield-at", "100")
    running = world.start(plan["id"])
    wait_for("some answers", lambda: world.done(plan) > 20)
    assert {niceness(pid) for pid in children(running.pid)} == {niceness(worker) + REPLAYS_NICE}

    os.kill(worker, signal.SIGSTOP)
    world.produce(400)
    wait_for("a replay that yields", lambda: "lags by" in world.status(plan["id"])["yielding"])
    stood = world.done(plan)
    assert stood < 2500
    wait_for("a second look", lambda: "lags by" in world.status(plan["id"])["yielding"])
    assert world.done(plan) <= stood + 150  # what was under way
    os.kill(worker, signal.SIGCONT)
    wait_for("answers again", lambda: world.done(plan) > stood + 200)
    # What a replay says of itself is as old as its last look; its answers are counted now.
    wait_for("a replay that says so", lambda: world.status(plan["id"])["yielding"] == "")

    world.shell.run("replay", "cancel", plan["id"])
    end(running)
    end(live, signal.SIGTERM)
