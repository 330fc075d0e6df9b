from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.local import kafka
from app.local.archive import ensure_archive
from app.local.jars import Kafka, ensure_jars


@pytest.fixture
def fetched(tmp_path: Path) -> Kafka:
    """The project's jars, in a place that has no archive."""
    there = ensure_jars()
    (tmp_path / "libs").symlink_to(there.root / "libs")
    return replace(there, root=tmp_path)


@pytest.mark.broker
def test_the_archive_is_made_once(fetched: Kafka, capfd: pytest.CaptureFixture[str]) -> None:
    ensure_archive(fetched)
    made = kafka.archive(fetched)
    assert made.stat().st_size > 10_000_000
    assert _said(capfd) == ["Preparing Kafka for faster starts, once."]
    ensure_archive(fetched)
    assert _said(capfd) == []
    assert sorted(path.name for path in made.parent.iterdir()) == ["archive.lock", made.name, "libs"]


def _said(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What this program and its Java said: a client of an earlier test may still complain of a broker that is gone."""
    return [line for line in capfd.readouterr().err.splitlines() if "|rdkafka#" not in line]


def test_a_java_that_cannot_make_one_is_not_asked_again(fetched: Kafka, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\nexit 1\n")
    java.chmod(0o755)
    poor = replace(fetched, java=replace(fetched.java, path=java))
    ensure_archive(poor)
    ensure_archive(poor)
    assert not kafka.archive(poor).exists()
    assert (tmp_path / "asked").read_text() == "asked\n"
