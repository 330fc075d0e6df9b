"""Sums over the lives of workers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.stream.measures import BOUNDS, MOST_LABELS, OTHER, Measure
from app.stream.report import Place, Report, Spread, Sums
from app.telemetry.fleet import Fleet, add
from tests.unit.telemetry.fleets import SLOT, event


def spread(count: int) -> Spread:
    return Spread([count] + [0] * len(BOUNDS[Measure.COMMIT]), count * 0.0001)


def told(predictions: int, **others: Any) -> dict[str, Any]:
    sums = Sums(predictions=predictions, committed=1, dead={"decode/empty": 2}, spreads={"commit_seconds": spread(3)})
    report = Report(running=True, model="fraud@1", places={0: Place("live")}, sums=sums)
    return event("report", **msgspec.to_builtins(report, str_keys=True) | others)


def test_a_worker_that_dies_takes_nothing_with_it_that_it_has_told() -> None:
    fleet = Fleet()
    for life in (100, 40, 7):
        fleet.hear(event("worker", pid=life))
        fleet.hear(told(life - 1))
        fleet.hear(told(life))
        fleet.hear(event("ended", pid=life, code=-9))

    sums = fleet.sums
    assert (sums.predictions, sums.committed, sums.dead) == (147, 3, {"decode/empty": 6})
    assert sums.spreads["commit_seconds"].counts[0] == 9
    assert sums.spreads["commit_seconds"].sum == pytest.approx(0.0009)
    assert fleet.deaths == {"killed": 3, "failed": 0}
    assert fleet.starts == 3
    assert fleet.places == {}


def test_workers_that_live_are_added_to_those_that_lived() -> None:
    fleet = Fleet()
    for slot in ("fraud.here-0", "fraud.here-1"):
        fleet.hear(event("worker", slot))
        fleet.hear(told(10, slot=slot))
    fleet.hear(event("ended", "fraud.here-1", code=64))

    assert fleet.sums.predictions == 20
    assert fleet.deaths == {"killed": 0, "failed": 1}
    assert [(member.slot, member.alive) for member in fleet.members] == [
        ("fraud.here-0", True), ("fraud.here-1", False),
    ]  # fmt: skip
    assert fleet.places[0][0] == "fraud.here-0"


def test_one_that_leaves_when_it_is_told_to_has_not_died() -> None:
    fleet = Fleet()
    fleet.hear(event("worker"))
    fleet.hear(event("ended", code=0))

    assert fleet.deaths == {"killed": 0, "failed": 0}


def test_how_long_a_worker_has_been_silent_is_known() -> None:
    now = [100.0]
    fleet = Fleet(lambda: now[0])
    fleet.hear(event("worker"))
    now[0] = 103.0
    assert (fleet.members[0].started_s, fleet.members[0].silent_s) == (3.0, None)
    fleet.hear(told(1))
    now[0] = 105.5
    assert fleet.members[0].silent_s == 2.5
    fleet.hear(event("worker"))
    assert fleet.members[0].silent_s is None, "a new process has told nothing yet"


@pytest.mark.parametrize(
    "nonsense",
    [
        event("report", sums="many"),
        event("report", places={"x": {}}),
        event("report", sums={"spreads": {"commit_seconds": {"counts": [1], "sum": 1}}}),
        event("report", sums={"spreads": {"mine": {"counts": [1], "sum": 1}}}),
        event("printed", words="by a pipeline's own code"),
    ],
)
def test_what_is_no_report_of_ours_changes_nothing(nonsense: dict[str, Any]) -> None:
    fleet = Fleet()
    fleet.hear(event("worker"))
    fleet.hear(told(5))
    before = fleet.sums
    fleet.hear(nonsense)

    assert fleet.sums == before
    assert fleet.members[0].slot == SLOT


def test_kinds_are_a_closed_list_however_many_are_told() -> None:
    total = Sums()
    for i in range(200):
        total = add(total, Sums(dead={f"decode/code-{i}": 1}))

    assert len(total.dead) == MOST_LABELS + 1
    assert total.dead[OTHER] == 200 - MOST_LABELS
