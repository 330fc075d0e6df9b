"""The readers of ops/consuming.md as they stand there: they print what was committed, and nothing that was aborted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from app.local.jars import ensure_jars
from app.settings import PROJECT

pytestmark = pytest.mark.broker
PREDICTION = '{{"event_id":"{}","score":0.5,"decision":"pass"}}'


def code(language: str) -> str:
    """The document's block in that language."""
    text = (PROJECT / "ops" / "consuming.md").read_text()
    (found,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return str(found)


def command(language: str, folder: Path) -> list[str]:
    if language == "python":
        return [sys.executable, "-c", code(language)]
    file = folder / "Reader.java"
    file.write_text(code(language))
    libs = ensure_jars().root / "libs" / "*"
    return ["java", "-cp", str(libs), str(file)]


def transaction(kafka: str, topic: str, events: list[str], *, commit: bool) -> None:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"{topic}-{events[0]}"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for event in events:
        producer.produce(topic, PREDICTION.format(event), event)
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


@pytest.mark.parametrize("language", ["python", "java"])
def test_a_reader_of_ten_lines_sees_what_was_committed(
    language: str, kafka: str, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic = make_topic("scored")
    transaction(kafka, topic, ["aborted"], commit=False)
    transaction(kafka, topic, ["one", "two"], commit=True)
    process = subprocess.Popen(
        command(language, tmp_path),
        env={**os.environ, "KAFKA": kafka, "TOPIC": topic},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(2)]
    process.kill()
    process.communicate()
    assert [line.split()[0] for line in told] == ["one", "two"]
