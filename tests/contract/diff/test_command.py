"""`replay diff` on plans that are kept in a real Kafka: what it compares, what it exits with, and what it refuses."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.errors import Refused
from app.pipelines.fraud import FRAUD
from app.replay.diff_plan import asked_of
from app.replay.log import Log
from app.replay.plan import Part, Plan, Stretch
from app.replay.plans import Kept, Plans, Standing
from tests.contract.diff.sides import PARTITIONS, WAIT_S, Sides
from tests.unit.replay.differing import answer

pytestmark = pytest.mark.broker


def planned(sides: Sides, count: int, *, topic_id: str | None = None, **changed: Any) -> Plan:
    """A plan of the first offsets of partition 0, as if it had been made for these topics."""
    with contextlib.closing(Log(sides.settings, "test", patience_s=WAIT_S)) as log:
        found, _ = log.identity(sides.source)
    stretches = {p: Stretch(0, 0, count if p == 0 else 0, count) for p in range(PARTITIONS)}
    given: dict[str, Any] = {
        "id": uuid.uuid4().hex[:8],
        "pipeline": FRAUD.name,
        "name": FRAUD.name,
        "planned_ms": 1,
        "since": "beginning",
        "until": "now",
        "inputs": Part(FRAUD.name, "group", sides.source, topic_id or found, stretches),
        "against": sides.old,
        "target": sides.new,
        "dead_letters": sides.new_dead,
        "makes": (),
        "model": "fraud@2",
        "yield_at": 1,
        "seconds": 1.0,
        "disk_bytes": 1,
    }
    return Plan(**{**given, **changed})


def command(sides: Sides, *words: str) -> tuple[int, str, str]:
    argv = [sys.executable, "-m", "app.cli.main", "replay", "diff", *words, "--kafka", sides.settings.kafka]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_a_plan_that_is_done_is_compared_with_the_old_answers_or_with_others(sides: Sides, tmp_path: Path) -> None:
    sides.inputs(2)
    sides.answer(sides.old, [(0, answer(0.1)), (1, answer(0.1))])
    plan = planned(sides, 2)
    sides.answer(sides.new, [(0, answer(0.2, version=2)), (1, answer(0.9, version=2))], headers=[("replay", plan.id)])
    plans = Plans(sides.settings)
    plans.keep(plan)
    with plans.owner(plan.id) as owner:
        owner.tell(Standing("done", 2))

    page = tmp_path / "page.html"
    code, out, why = command(sides, plan.id, "--json", "--html", str(page))
    assert code == 0, why
    told = json.loads(out)
    assert (told["plan"], told["inputs"], told["by_model"], told["ok"]) == (plan.id, 2, 2, True)
    assert told["scores"]["to_alert"]["count"] == 1
    assert told["topics"] == {"old": sides.old, "new": sides.new}
    assert f"<h1>Replay {plan.id} of fraud</h1>" in page.read_text()

    code, out, why = command(sides, plan.id, "--fail-on-flips", "0.4")
    assert code == 1
    assert "50.000% of the decisions turned" in why
    assert "Nothing is broken" in out

    # Against a topic whose answers are the same model's, and other ones.
    sides.answer(sides.old_dead, [(0, answer(0.3, version=2)), (1, answer(0.9, version=2))])
    code, out, _ = command(sides, plan.id, "--against", sides.old_dead)
    assert code == 1
    assert f"1 changed without a reason; the first: {sides.source}/0/0: score." in out


def test_a_plan_that_is_not_done_is_refused_and_so_is_one_that_is_not_there(sides: Sides) -> None:
    plan = planned(sides, 1)
    Plans(sides.settings).keep(plan)
    code, out, why = command(sides, plan.id)
    assert (code, out) == (1, "")
    assert f"The replay {plan.id} is planned, so its answers are not whole" in why
    code, _, why = command(sides, "nothing")
    assert (code, "There is no plan 'nothing'" in why) == (2, True)
    code, _, why = command(sides, plan.id, "--html", "/nowhere/page.html")
    assert (code, why.splitlines()[-1]) == (2, "--html /nowhere/page.html: there is no folder /nowhere.")


def test_a_plan_of_a_topic_that_was_created_anew_is_refused(sides: Sides) -> None:
    kept = Kept(planned(sides, 1, topic_id="another"), Standing("done", 2))
    with pytest.raises(Refused, match=f"The topic {sides.source} was created anew since"):
        asked_of(sides.settings, {}, kept, pipeline=FRAUD, against=None)


def test_old_answers_are_the_live_ones_or_those_of_the_plan_that_made_them(sides: Sides) -> None:
    """On a topic that both answered on, each is told by the header that it bears."""
    live = replace(FRAUD, answers=replace(FRAUD.answering, name=sides.old))
    mine, other = planned(sides, 1, target=sides.old, into_live=True), planned(sides, 1)
    plans = {one.id: Kept(one, Standing("done", 2)) for one in (mine, other)}
    asked = asked_of(sides.settings, plans, plans[mine.id], pipeline=live, against=None)
    assert (asked.old.answers, asked.old.replay) == (sides.old, "")
    assert (asked.new.answers, asked.new.replay) == (sides.old, mine.id)
    asked = asked_of(sides.settings, plans, plans[mine.id], pipeline=live, against=sides.new)
    assert (asked.old.answers, asked.old.replay, asked.old.letters) == (sides.new, other.id, sides.new_dead)
