"""A replay of a range that was answered: the same bytes, whatever dies meanwhile, and nothing live is touched."""

from __future__ import annotations

import json
import signal

import pytest

from tests.contract.replay.world import World, at, end, kill, wait_for
from tests.processes import children

pytestmark = [pytest.mark.broker, pytest.mark.redis]

RANGE = ("--from", at(1000), "--to", at(3000))
LONG = ("--from", at(100), "--to", at(3000), "--rate", "40")


def test_killed_five_times_and_scaled_to_three_and_back_it_gives_the_same_bytes(world: World) -> None:
    before = world.live()
    plan = world.plan(*RANGE, "--rate", "300")
    replay = plan["id"]

    first = world.start(replay)
    wait_for("the group's first offsets", lambda: world.begun(plan))
    end(first, signal.SIGKILL)  # before its first batch: a replay folds for three seconds first
    assert world.done(plan) == 0

    second = world.start(replay, "--workers", "3")
    wait_for("some answers", lambda: world.done(plan) > 150)
    for worker in children(second.pid)[:2]:
        kill(worker)
    at_kill = world.done(plan)
    wait_for("more answers", lambda: world.done(plan) > at_kill + 300)
    kill(children(second.pid)[-1])
    at_kill = world.done(plan)
    wait_for("more answers", lambda: world.done(plan) > at_kill + 150)
    end(second, signal.SIGKILL)

    third = world.start(replay, "--workers", "1")
    code, told, why = end(third)
    assert code == 0, why
    result = json.loads(told)["result"]

    old, new = world.by_source(world.answers), world.by_source(plan["target"])
    letters = world.by_source(plan["dead_letters"])
    assert len(new) == result["answered"] > 1900
    assert len(letters) == result["dead_letters"] == 2000 - len(new)
    assert new == {source: old[source] for source in new}
    assert {json.loads(value)["event_id"] for value in new.values()} <= {str(n) for n in range(980, 3020)}
    assert world.live() == before
    assert not world.keys(replay)  # the private state is gone


def test_while_its_outcomes_keep_pace_with_it_the_bytes_are_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live, the outcomes were folded to their end first. Here each batch of them reaches beyond what they may fold."""
    monkeypatch.setitem(world.shell.environment, "STREAMINFER_PACE_DAYS", "2")
    plan = world.plan(*RANGE)
    world.shell.run("replay", "start", plan["id"])
    old, new = world.by_source(world.answers), world.by_source(plan["target"])
    assert len(new) > 1900
    other = [source for source in new if new[source] != old[source]]
    # A late payment may look back on what is not kept for two days of pace, and says so.
    assert [source for source in other if json.loads(new[source])["marks"] != ["late", "incomplete"]] == []
    assert len(other) < 10


def test_from_the_old_answers_features_all_bytes_are_the_same(world: World) -> None:
    plan = world.plan("--from", "beginning", "--lookups", "logged")
    assert any("have no old answer" in sentence for sentence in plan["notes"])
    world.shell.run("replay", "start", plan["id"], "--workers", "2")

    assert world.by_source(plan["target"]) == world.by_source(world.answers)
    assert world.records(plan["dead_letters"]) == []


def test_lookups_as_they_are_now_are_named_in_each_answer(world: World) -> None:
    plan = world.plan("--from", "@0:100", "--to", "@0:200", "--lookups", "current")
    world.shell.run("replay", "start", plan["id"])

    records = world.records(plan["target"])
    assert {(r.partition, dict(r.headers or [])["lookups"]) for r in records} == {(0, b"current")}
    assert {dict(r.headers or [])["replay"] for r in records} == {plan["id"].encode()}
    offsets = {int((dict(r.headers or [])["source"] or b"").rpartition(b"/")[2]) for r in records}
    assert offsets <= set(range(100, 200))


def test_it_is_run_by_one_process_and_paused_and_resumed(world: World) -> None:
    plan = world.plan(*LONG)
    replay = plan["id"]
    running = world.start(replay)
    wait_for("some answers", lambda: world.done(plan) > 100)

    assert "runs already" in world.refused("start", replay, code=1)
    status = world.status(replay)
    assert (status["state"], status["yielding"]) == ("running", "")
    assert 0 < status["done"] < status["total"]
    assert status["by"].endswith(f"/{running.pid}")

    assert world.shell.json("replay", "pause", replay)["state"] == "paused"
    assert end(running)[0] == 0
    stood = world.done(plan)
    assert 100 < stood < status["total"]
    assert "does not run: it is paused" in world.refused("pause", replay, code=1)

    world.shell.run("replay", "resume", replay, "--rate", "100000")
    new, old = world.by_source(plan["target"]), world.by_source(world.answers)
    assert new == {source: old[source] for source in new}
    assert world.status(replay)["state"] == "done"
    assert "is done" in world.refused("start", replay, code=1)
    assert "is done" in world.refused("cancel", replay, code=1)


def test_cancelled_while_it_runs_it_leaves_nothing(world: World) -> None:
    before = world.live()
    plan = world.plan(*LONG)
    running = world.start(plan["id"])
    wait_for("some answers", lambda: world.done(plan) > 50)
    assert world.keys(plan["id"])

    world.shell.run("replay", "cancel", plan["id"])
    assert end(running)[0] == 1
    wait_for("nothing to be left", lambda: not world.left(plan["id"]))
    assert world.live() == before
    assert "is cancelled" in world.refused("start", plan["id"], code=1)
    assert plan["id"] in {one["id"] for one in world.shell.json("replay", "list") if one["state"] == "cancelled"}


def test_ctrl_c_ends_it_in_good_order(world: World) -> None:
    plan = world.plan(*LONG)
    running = world.start(plan["id"])
    wait_for("some answers", lambda: world.done(plan) > 50)
    code, out, _ = end(running, signal.SIGTERM)
    assert code == 1
    assert json.loads(out)["ended"] == "stopped"
    assert world.status(plan["id"])["state"] == "stopped"
    world.shell.run("replay", "cancel", plan["id"])
