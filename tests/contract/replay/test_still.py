"""A replay whose lookups never come: they are waited for without an end, so its owner has one."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from app.errors import Refused
from app.replay import running, still
from app.replay.plans import Plans
from tests.contract.replay.world import World, at, planned, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]


def test_it_ends_and_says_what_it_waits_for_and_goes_on_from_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, _ = planned(world, at(1000), at(2000))
    stopped: list[int] = []
    why: list[Exception] = []
    ended: list[Any] = []

    def hear(group: str, event: dict[str, Any]) -> None:
        if event["event"] == "worker" and group == plan.beside[0].group and not stopped:
            stopped.append(event["pid"])
            os.kill(event["pid"], signal.SIGSTOP)
        if group == plan.inputs.group and event.get("waits") == "what its events look up":
            for module in (still, running):
                monkeypatch.setattr(module, "STILL_S", 3.0)  # in place of minutes, once it has come so far

    def go() -> None:
        try:
            ended.append(owner.run())
        except Exception as error:
            why.append(error)

    owner = running.Running(world.settings, plan.id, running.Wanted(), watch=lambda _: None, hear=hear)
    going = threading.Thread(target=go)
    going.start()
    wait_for("an end", lambda: Plans(world.settings).find(plan.id).standing.state == "failed" or not going.is_alive())
    assert ended == []  # though all that is planned was read
    os.kill(stopped[0], signal.SIGCONT)
    going.join(60)
    assert isinstance(why[0], Refused)
    told = str(why[0])
    assert f"The replay {plan.id} has answered and folded nothing for" in told
    assert f"{plan.inputs.group} waits for what its events look up" in told
    assert world.status(plan.id)["reason"] == told

    world.shell.run("replay", "resume", plan.id)
    new, old = world.by_source(plan.target), world.by_source(world.answers)
    assert new == {source: old[source] for source in new}
