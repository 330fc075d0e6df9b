"""Where runs answer: found while they live, and not after."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec
import pytest

from app.stream.slot import instance, slots
from app.telemetry.place import Run, announced, runs

KAFKA = "k:9092"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_run_is_found_beside_its_kafka_while_it_lives() -> None:
    with instance(KAFKA, "fraud", "blue"), announced(KAFKA, "fraud", "blue", "http://127.0.0.1:9464"):
        (found,) = runs(KAFKA)
        assert (found.pipeline, found.instance, found.url, found.pid) == (
            "fraud", "blue", "http://127.0.0.1:9464", os.getpid(),
        )  # fmt: skip
        assert runs(KAFKA, "fraud") == [found]
        assert runs(KAFKA, "other") == []
        assert runs("another:9092") == []
    assert runs(KAFKA) == []


def test_looking_for_runs_takes_no_instance_from_one_that_starts() -> None:
    with instance(KAFKA, "fraud", "blue"), announced(KAFKA, "fraud", "blue", None):
        runs(KAFKA)
    with instance(KAFKA, "fraud", "blue") as name:
        assert name == "blue"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"x" * 10_000,
        msgspec.json.encode(Run("fraud", "dead", "http://127.0.0.1:1", 2**22 + 1, "1")),
        msgspec.json.encode(Run("fraud", "another's pid", "http://127.0.0.1:1", os.getpid(), "not its birth")),
    ],
)
def test_what_a_killed_run_or_anybody_else_left_is_passed_over(content: bytes) -> None:
    slots(KAFKA).mkdir(parents=True)
    (slots(KAFKA) / "fraud.left.run").write_bytes(content)

    assert runs(KAFKA) == []
