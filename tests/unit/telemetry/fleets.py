"""Workers that tell what a test wants them to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.replay.group import Owner, Owners
from app.stream.report import Place, Report
from app.telemetry.fleet import Member
from app.telemetry.health import Check, Seen
from app.telemetry.watch import Answer, Topic

SLOT = "fraud.here-0"
LIVE = Place("live", committed=7, end=7, read=True)
RUNNING = Report(running=True, model="fraud@1", places={0: LIVE, 1: LIVE})


def member(report: Report = RUNNING, *, silent_s: float | None = 0.3, **others: Any) -> Member:
    well = Member(slot=SLOT, alive=True, started_s=20.0, silent_s=silent_s, report=report)
    return replace(well, **others)


def owned(*partitions: int, width: int = 2, rebalancing: bool = False, slot: str = SLOT) -> Answer[Topic]:
    owners = Owners({p: Owner(slot, f"{slot}-1b", "127.0.0.1") for p in partitions}, rebalancing)
    return Answer(Topic(dict.fromkeys(range(width), 7), owners), 0.01, "")


def seen(*members: Member, kafka: Answer[Topic] | None = None, **others: Any) -> Seen:
    well = Seen(
        pipeline="fraud",
        topic="payments",
        waits="",
        members=members,
        kafka=kafka or owned(0, 1),
        redis=Answer(True, 0.001, ""),
        turned_s=0.1,
        stuck_s=60.0,
    )
    return replace(well, **others)


def wrong(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.sentence for check in checks if not check.ok}


def event(name: str, slot: str = SLOT, **others: Any) -> dict[str, Any]:
    return {"slot": slot, "event": name, **others}
