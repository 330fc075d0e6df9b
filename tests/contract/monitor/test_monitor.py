"""The monitor on the real broker: what it counts, what it does not, and what it says to whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient

from tests.contract.loop.rig import wait_for
from tests.contract.monitor.rig import DAY_MS, Monitored, prediction, time_of

pytestmark = pytest.mark.broker
HOSTILE = "<script>alert(1)</script>"
COUNTED = ("predictions", "dead", "models", "marks", "dead_by_reason", "quality", "labels", "drift", "scores")


@pytest.fixture(scope="module")
def one(new_monitored: Callable[..., Monitored]) -> Monitored:
    """A monitor that was there before its topics, and then read a little of everything."""
    one = new_monitored()
    one.start()
    name = one.pipeline.answering.name
    waiting = one.until("a page that names what is missing", lambda p: name in p["monitor"]["said"])
    assert waiting["state"] == "waiting"
    assert "topics apply" in waiting["said"]
    one.make_topics()
    one.predictions(range(600), marks=("late",))
    one.predictions(range(1000, 1400), aborted=True)
    one.predictions(range(600, 700))
    one.send(
        one.pipeline.dead_letters,
        b"not json",
        headers=[("source", b"x/0/1"), ("stage", b"decode"), ("code", b"json"), ("reason", HOSTILE.encode())],
    )
    return one


def test_aborted_answers_are_never_counted(one: Monitored) -> None:
    found = one.until("all answers", lambda p: p["predictions"] >= 700 and p["dead"] == 1)
    assert found["predictions"] == 700
    assert found["models"] == [{"ref": "fraud@1", "predictions": 700}]
    assert found["marks"] == [{"mark": "late", "count": 600, "share": 600 / 700}]


def test_what_is_hostile_is_text(one: Monitored) -> None:
    found = one.until("the letter", lambda p: p["dead"] >= 1)
    assert found["dead_by_reason"][0]["reason"] == HOSTILE
    status, said, headers = one.ask("/api/predictions/" + one.pipeline.name + "/%3Cscript%3E")
    assert status == 404
    assert "no such prediction" in said["said"]
    assert "script-src 'self'" in headers["Content-Security-Policy"]


def test_outcomes_are_joined_once_whatever_comes(one: Monitored) -> None:
    one.until("all answers", lambda p: p["predictions"] >= 700)
    for number in range(40):
        one.label(number, fraud=number % 20 == 0)  # 0 and 20 are alerts and fraud; 10 and 30 are false alerts
    one.label(3, fraud=True)  # again, and another one: the first stands
    one.label(5_000, fraud=True)  # of nothing
    one.label(41, fraud=True, after_days=800)  # years late
    one.send(one.labels.source.name, b"no outcome", b"")
    labels = one.until("the outcomes", lambda p: p["labels"]["read"] == 45)["labels"]
    assert labels == {
        "topic": one.labels.source.name,
        "read": 45,
        "joined": 40,
        "without_prediction": 1,
        "twice": 1,
        "too_late": 1,
        "malformed": 2,
    }
    days = one.until("quality", lambda p: sum(day["labelled"] for day in p["quality"]) == 40)["quality"]
    assert sum(day["positives"] for day in days) == 2
    alerts = [day for day in days if day["precision"] is not None]
    assert {day["recall"] for day in alerts if day["positives"]} == {1.0}


def test_one_prediction_is_shown_in_full(one: Monitored) -> None:
    one.until("all answers", lambda p: p["predictions"] >= 700)
    for wanted in ("10", "p10"):  # the event's id and its own
        status, said, _ = one.ask(f"/api/predictions/{one.pipeline.name}/{wanted}")
        assert status == 200
        assert (said["id"], said["event_id"], said["value"]) == ("p10", "10", prediction(10, marks=("late",)))
        assert said["headers"]["source"] == f"{one.pipeline.source.name}/0/10"
        held = {part["name"]: part for part in said["held"]}
        assert held["customer"]["entity"] == "3"
        assert [feature["name"] for feature in held["event"]["features"]] == ["amount", "weekend", "night"]
        assert len(held) == 3


@pytest.mark.parametrize("path", ["/api/predictions/nobody/1", "/api/predictions/{}/unknown", "/api/other"])
def test_what_is_not_there_is_told_in_a_sentence(one: Monitored, path: str) -> None:
    status, said, _ = one.ask(path.format(one.pipeline.name))
    assert status == 404
    assert said["said"].endswith(".")


def test_the_page_is_told_each_second(one: Monitored) -> None:
    with closing(one.live()) as live:
        first, second = islice(live, 2)
    assert 0 < second["at_ms"] - first["at_ms"] < 10_000
    assert first.keys() == second.keys() == {"at_ms", "monitor", "pipelines", "alerts"}


def test_strangers_records_are_counted_as_malformed(one: Monitored) -> None:
    ahead = prediction(1) | {"time_ms": 4_000_000_000_000}
    one.send(one.pipeline.answering.name, b"", b"{", b"\xff", b"[" * 5000, json.dumps(ahead).encode())
    one.predictions(range(700, 710))
    found = one.until("what came after them", lambda p: p["predictions"] >= 710)
    answers = {source["topic"]: source for source in found["monitor"]["sources"]}[one.pipeline.answering.name]
    assert (found["predictions"], answers["malformed"]) == (710, 5)


def test_another_name_of_this_machine_is_refused(one: Monitored) -> None:
    """A page elsewhere whose name was turned to 127.0.0.1 must not read what is here."""
    status, said, _ = one.ask("/api/seen", Host="evil.example:80")
    assert (status, list(said)) == (401, ["said"])


@pytest.mark.timeout(480)
def test_killed_again_and_again_it_counts_what_a_fresh_one_counts(new_monitored: Callable[..., Monitored]) -> None:
    killed = new_monitored(monitor_share=0.5)
    killed.make_topics()
    for round_ in range(3):
        killed.start()
        for part in range(5):
            first = round_ * 5000 + part * 1000
            killed.predictions(range(first, first + 1000), marks=("late",) if part == 3 else ())
            killed.send(killed.pipeline.dead_letters, b"x", headers=[("stage", b"decode"), ("code", b"json")])
            _labels(killed, range(first, first + 1000))
        # Somewhere within: what is written is some of what was read.
        killed.until("a part of it", lambda p, n=round_: p["predictions"] > n * 5000)
        killed.kill()
    assert committed(killed) == {}, (
        "its client would begin there, beyond what is counted, and what lies between is lost"
    )
    killed.start()
    found = killed.until("all of it", _is_whole)
    killed.kill()
    fresh = new_monitored(monitor_share=0.5)
    fresh.tag, fresh.pipeline, fresh.labels = killed.tag, killed.pipeline, killed.labels
    fresh.settings = fresh.settings.model_copy(update={"monitor_name": f"fresh-{fresh.tag}"})
    (fresh.home / "own.py").write_text((killed.home / "own.py").read_text())
    fresh.start()
    other = fresh.until("all of it, counted anew", _is_whole)
    for name in COUNTED:
        assert _counts(found[name]) == _counts(other[name]), name
    assert found["predictions"] == 15_000


def committed(one: Monitored) -> dict[str, int]:
    """What the monitor's group has committed, by topic and partition."""
    admin = AdminClient({"bootstrap.servers": one.kafka})
    group = one.settings.monitor_name
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(30)
    return {f"{at.topic}/{at.partition}": at.offset for at in found.topic_partitions}


def _labels(one: Monitored, numbers: range) -> None:
    producer = Producer({"bootstrap.servers": one.kafka})
    for number in numbers:
        at = time_of(number)
        value = {"payment_id": str(number), "terminal_id": "1", "payment_time_ms": at}
        value |= {"known_at_ms": at + 7 * DAY_MS, "fraud": number % 20 == 0}
        producer.produce(one.labels.source.name, json.dumps(value).encode(), b"1", number % 3)
    assert producer.flush(30) == 0


def _is_whole(found: dict[str, Any]) -> bool:
    return bool(found["predictions"] == 15_000 and found["labels"]["read"] == 15_000 and found["dead"] == 15)


def _counts(value: Any) -> Any:
    """Without what tells when something was found by the clock of the process."""
    if isinstance(value, dict):
        return {name: _counts(part) for name, part in value.items() if name not in ("change", "last_ms")}
    if isinstance(value, list):
        return [_counts(part) for part in value]
    return round(value, 9) if isinstance(value, float) else value


def test_with_a_token_nothing_is_told_without_it(new_monitored: Callable[..., Monitored]) -> None:
    token = "a-token-of-some-length"
    guarded = new_monitored(monitor_token=token)
    guarded.start()
    wait_for("the page", lambda: guarded.seen() is not None, within_s=150)
    for path in ("/", "/api/seen", "/api/live", "/static/page.js", "/api/predictions/x/y", "/api/seen?token=wrong"):
        assert guarded.ask(path)[0] == 401, path
    assert guarded.ask("/api/seen", Authorization=f"Bearer {token[:-1]}")[0] == 401
    assert guarded.ask("/api/seen", Authorization=f"Bearer {token}")[0] == 200
    status, _, headers = guarded.ask(f"/?token={token}")
    assert (status, headers["Location"]) == (303, "/")
    assert "HttpOnly" in headers["Set-Cookie"]
    assert guarded.ask("/api/seen", Cookie=headers["Set-Cookie"].partition(";")[0])[0] == 200
    guarded.kill()
    assert token not in guarded.log
