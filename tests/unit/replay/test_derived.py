"""The pipelines of a replay: apart from the live ones in everything that is kept, the same in all that is answered."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from app.features.asof import AsOf
from app.features.recorded import Recorded
from app.offline import Offline, records
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.record import Record
from app.replay.derived import derived, settings_of
from app.replay.plan import Part, Plan, Stretch, group_of
from app.settings import Settings
from app.stream.letters import named_source

START_MS = 1_522_540_831_000


def plan_of(**values: Any) -> Plan:
    stretches = {p: Stretch(0, 0, 10, 10) for p in range(FRAUD.partitions)}
    inputs = Part("fraud", group_of("fraud", "ab12"), "payments", "t1", stretches)
    labels = Part("fraud-labels", group_of("fraud-labels", "ab12"), "payments.labels", "t2", stretches)
    given: dict[str, Any] = {
        "id": "ab12",
        "pipeline": "fraud",
        "name": "fraud",
        "planned_ms": 0,
        "since": "beginning",
        "until": "now",
        "inputs": inputs,
        "beside": (labels,),
        "against": "payments.scored",
        "target": "payments.scored.replay-ab12",
        "dead_letters": "payments.dead.replay-ab12",
        "makes": (),
        "model": "fraud@1",
        "yield_at": 5000,
        "seconds": 1.0,
        "disk_bytes": 1,
    }
    return Plan(**given | values)


def payments(count: int = 60) -> list[dict[str, Any]]:
    return [
        {
            "payment_id": str(n),
            "customer_id": str(n % 7),
            "terminal_id": str(n % 5),
            "amount_cents": 100 + 37 * n,
            "time_ms": START_MS + n * 3_000_000,
        }
        for n in range(count)
    ]


def test_a_plan_comes_back_from_its_bytes() -> None:
    plan = plan_of(rate=12.5, lookups="logged")
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_a_replay_shares_no_group_no_state_and_no_topic_with_what_is_live() -> None:
    pipelines = derived(plan_of(), FRAUD)
    assert set(pipelines) == {"fraud-replay-ab12", "fraud-labels-replay-ab12"}
    written = {
        name for one in pipelines.values() for name in (one.answers and one.answers.name, one.dead_letters) if name
    }
    live = {spec.name for one in (FRAUD, FRAUD_LABELS) for spec in one.topics()}
    assert not written & live
    (lookup,) = pipelines["fraud-replay-ab12"].lookups
    assert isinstance(lookup, AsOf)
    assert lookup.of is pipelines["fraud-labels-replay-ab12"]


def test_the_state_of_a_replay_means_what_the_live_one_means() -> None:
    pipelines = derived(plan_of(), FRAUD)
    for live, one in ((FRAUD, pipelines["fraud-replay-ab12"]), (FRAUD_LABELS, pipelines["fraud-labels-replay-ab12"])):
        assert [one.digest(view) for view in one.views] == [live.digest(view) for view in live.views]


def test_lookups_as_they_are_now_are_the_live_ones() -> None:
    pipelines = derived(plan_of(lookups="current", beside=()), FRAUD)
    assert pipelines["fraud-replay-ab12"].lookups == FRAUD.lookups


def test_answers_of_a_replay_are_the_same_bytes_and_bear_its_name() -> None:
    live = list(Offline(FRAUD).answer(records(FRAUD, payments(), now_ms=2 * START_MS)))
    again = list(
        Offline(derived(plan_of(), FRAUD)["fraud-replay-ab12"]).answer(records(FRAUD, payments(), now_ms=2 * START_MS))
    )
    assert [output.value for output in again] == [output.value for output in live]
    assert {dict(output.headers)["replay"] for output in again} == {b"ab12"}
    assert {"replay", "lookups"}.isdisjoint(name for output in live for name, _ in output.headers)


def test_old_answers_scored_again_are_the_same_bytes_for_the_same_inputs() -> None:
    live = list(Offline(FRAUD).answer(records(FRAUD, payments(), now_ms=2 * START_MS)))
    one = derived(plan_of(lookups="logged", beside=()), FRAUD)["fraud-replay-ab12"]
    assert [type(lookup) for lookup in one.lookups] == [Recorded]
    old = [Record(FRAUD.answering.name, 0, n, START_MS * 2, o.key, o.value, o.headers) for n, o in enumerate(live)]
    admitted, refused = (processor := Offline(one).processor).admit(old)
    assert not refused
    again = processor.answer(admitted, refused)
    assert [output.value for output in again] == [output.value for output in live]
    assert [named_source(output.headers) for output in again] == [named_source(output.headers) for output in live]
    assert all(json.loads(output.value or b"")["marks"] for output in again)  # without outcomes all are `behind`


@pytest.mark.parametrize(("lookups", "behind"), [("asof", "wait"), ("logged", "mark"), ("current", "mark")])
def test_only_what_is_folded_beside_it_is_waited_for(lookups: str, behind: str) -> None:
    settings = settings_of(plan_of(lookups=lookups), Settings(kafka="-", redis="-"))
    assert settings.behind == behind
