"""The demo's replay: what was scored is scored again by a second version of the model, and the two are compared."""

from __future__ import annotations

import json
from typing import Any

from app.cli.demo_scene import Scene, step, tell
from app.cli.replay_diff import brief
from app.pipelines.fraud import FRAUD

SECOND = f"{FRAUD.model_name}@2"
PAGE = "demo-replay.html"


def replay(scene: Scene) -> bool:
    """Plan, run and compare. Gives whether every change has a reason and nothing is missing."""
    flags = [FRAUD.name, "--from", "beginning", "--model", SECOND]
    with step(f"$ streaminfer replay plan {' '.join(flags)}"):
        plan = json.loads(scene.end(scene.command("replay", "plan", *flags, "--json"), "replay"))
    with step(f"$ streaminfer replay start {plan['id']}", "on a group, a state and a topic of its own"):
        scene.end(scene.command("replay", "start", plan["id"], "--json"), "replay")
    page = scene.kept / PAGE
    with step(f"$ streaminfer replay diff {plan['id']} --html {PAGE}"):
        told = _compared(scene, plan["id"], str(page))
    for line in brief(told):
        tell(line)
    tell(f"what {SECOND} changes, with pictures: {page}")
    return bool(told["ok"])


def _compared(scene: Scene, plan_id: str, page: str) -> dict[str, Any]:
    process = scene.command("replay", "diff", plan_id, "--html", page, "--json")
    told: dict[str, Any] = json.loads(scene.end(process, "replay", answers_no=True))
    return told
