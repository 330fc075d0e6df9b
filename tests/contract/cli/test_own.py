"""Pipelines in a file of one's own, on the real broker: every command takes them, and `score` gives the same bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.offline import Offline, score
from app.pipelines import pipeline_named
from app.record import Headers, Record
from app.replay.tail import tail
from app.settings import Settings
from tests.contract.cli.shell import Shell

pytestmark = [pytest.mark.broker, pytest.mark.redis]

DAY_MS = 86_400_000
START_MS = 1_522_540_831_000

FILE = """
from dataclasses import replace

from app import AsOf
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from beside import NAME

labels = replace(FRAUD_LABELS, name=f"{NAME}-labels", source=replace(FRAUD_LABELS.source, name=f"{NAME}.outcomes"))
pipeline = replace(
    FRAUD,
    name=NAME,
    source=replace(FRAUD.source, name=f"{NAME}.payments"),
    answers=replace(FRAUD.answers, name=f"{NAME}.scored"),
    lookups=(AsOf(labels, "terminal", key="terminal_id"),),
)
"""


class Own:
    """A file with two pipelines, of which one reads the other, and their events."""

    def __init__(self, shell: Shell, folder: Path, name: str) -> None:
        (folder / "beside.py").write_text(f"NAME = {name!r}\n")
        (folder / "own.py").write_text(FILE)
        self.shell, self.name = shell, name
        self.labels, self.pipeline = (f"{folder}/own.py:{variable}" for variable in ("labels", "pipeline"))
        numbers = random.Random(11)
        self.payments = [_payment(number, numbers) for number in range(3000)]
        self.outcomes = [_outcome(number, numbers) for number in range(2000)]

    def produce(self, pipeline: str, events: list[bytes], *flags: str) -> None:
        self.shell.run("produce", pipeline, *flags, stdin=b"\n".join(events))

    def records(self, topic: str) -> list[Record]:
        batches = tail(_settings(self.shell), topic, start="beginning", until_end=True)
        return [record for batch in batches for record in batch]


def _settings(shell: Shell) -> Settings:
    endpoints = shell.stack.endpoints()
    assert endpoints is not None
    return Settings(kafka=endpoints.kafka, redis=endpoints.redis)


def _payment(number: int, numbers: random.Random) -> bytes:
    """One in fifty is none, and one in ten comes late."""
    event: dict[str, Any] = {
        "payment_id": str(number),
        "customer_id": str(numbers.randrange(40)),
        "terminal_id": str(numbers.randrange(30)),
        "amount_cents": numbers.randrange(1, 40_000),
        "time_ms": START_MS + number * 700_000 - (numbers.randrange(9_000_000) if numbers.random() < 0.1 else 0),
    }
    if numbers.random() < 0.02:
        event["amount_cents"] = -1
    bad = numbers.random() < 0.02
    return numbers.choice([b"{", b"\xff\xfe", b'{"payment_id":1}']) if bad else json.dumps(event).encode()


def _outcome(number: int, numbers: random.Random) -> bytes:
    paid_ms = START_MS - 20 * DAY_MS + number * 1_500_000
    event = {
        "payment_id": f"p{number}",
        "terminal_id": str(numbers.randrange(30)),
        "payment_time_ms": paid_ms,
        "known_at_ms": paid_ms + 7 * DAY_MS,
        "fraud": numbers.random() < 0.2,
    }
    return json.dumps(event).encode()


@pytest.fixture(scope="module")
def own(new_shell: Callable[[], Shell], tmp_path_factory: pytest.TempPathFactory) -> Own:
    """Two pipelines of a file, both run to their end by two workers."""
    own = Own(new_shell(), tmp_path_factory.mktemp("own"), "own-one")
    own.shell.environment["STREAMINFER_PACE_DAYS"] = "inf"  # outcomes of any time stay, as they do offline
    own.shell.run("topics", "apply", own.labels, own.pipeline)
    own.produce(own.labels, own.outcomes)
    own.produce(own.pipeline, own.payments, "--raw")
    own.shell.run("run", own.labels, "--until-end")
    out, _ = own.shell.run("run", own.pipeline, "--until-end", "--workers", "2", "--dead-letter-limit", "1")
    assert "3,000 records answered" in out
    return own


def test_the_same_events_offline_give_the_same_bytes_as_the_loop_gave(own: Own) -> None:
    pipeline = pipeline_named(own.pipeline)
    offline = Offline(pipeline, lookups={"terminal": own.outcomes})
    wanted = {_source(output.headers): output for output in offline.answer(own.records("own-one.payments"))}
    answers = [*own.records("own-one.scored"), *own.records("own-one.payments.dead")]
    found = {_source(record.headers): record for record in answers}

    assert len(answers) == len(found) == len(wanted) == 3000
    for source, output in wanted.items():
        record = found[source]
        assert (record.topic, record.key, record.value) == (output.topic, output.key, output.value), source
        assert _exact(record.headers) == _exact(output.headers)
    marks = [json.loads(output.value or b"")["marks"] for output in wanted.values() if output.topic == "own-one.scored"]
    assert {mark for some in marks for mark in some} == {"late"}  # the comparison met events out of order
    assert sum(output.topic == "own-one.payments.dead" for output in wanted.values()) > 50


def test_a_list_of_events_has_the_predictions_that_the_topic_has(own: Own) -> None:
    answers = score(own.pipeline, own.payments, lookups={"terminal": own.outcomes})
    live = {value["event_id"]: value for value in map(_value, own.records("own-one.scored"))}

    assert {answer["event_id"]: answer for answer in answers if "event_id" in answer} == live
    assert sorted(answer["code"] for answer in answers if "code" in answer) == sorted(
        record["headers"]["code"] for record in own.shell.records("own-one.payments.dead")
    )


def test_every_command_takes_a_pipeline_by_its_file(own: Own) -> None:
    shell = own.shell

    assert {topic["did"] for topic in shell.json("topics", "apply", own.pipeline)} == {"unchanged"}
    audited = shell.json("audit", own.pipeline)
    assert (audited["inputs"], audited["missing"] + audited["duplicated"] + audited["unexplained"]) == (3000, 0)
    assert shell.json("lag", own.pipeline)["lag"] == 0
    state = shell.json("features", "get", "customer", "7", "--pipeline", own.pipeline)
    assert (state["pipeline"], state["found"]) == ("own-one", True)
    _, why = shell.run("features", "get", "nothing", "7", "--pipeline", own.pipeline, code=2)
    assert why == "There is no view 'nothing'; there is customer.\n"


def test_topics_that_are_not_there_are_told_with_the_command_that_makes_them(own: Own, tmp_path: Path) -> None:
    other = Own(own.shell, tmp_path, "own-two")
    for command in (("run", other.pipeline), ("produce", other.pipeline)):
        _, why = own.shell.run(*command, code=1)
        assert f"`streaminfer topics apply {other.pipeline}`" in why


def test_lines_are_checked_by_the_contract_of_the_pipeline_s_input(own: Own) -> None:
    done = own.shell.json("produce", own.labels, stdin=b'{"payment_id":"1"}', code=1)
    assert done == {"topic": "own-one.outcomes", "sent": 0, "refused": 1, "failed": 0, "seconds": done["seconds"]}


def _value(record: Record) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(record.value or b"")
    return value


def _source(headers: Headers | None) -> bytes:
    return [value for name, value in headers or [] if name == "source" and value is not None][-1]


def _exact(headers: Headers | None) -> Headers:
    """Headers without those that tell the clock, and what only Kafka knows of a topic."""
    return [header for header in headers or [] if header[0] not in {"scored-at", "topic-id"}]
