"""The monitor's own waits: what becomes of each where what is waited for never comes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from itertools import count
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from app.cli import monitor as command
from app.monitor import app as monitor

OUTCOMES, PREDICTIONS = "payments.labels", "payments.scored"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


class Place(NamedTuple):
    """A partition, as far as it is looked at."""

    topic: str


def test_outcomes_are_read_in_the_end_though_the_predictions_before_them_never_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    async def never(_app: object, _state: object, _settings: object, outcomes: object) -> bool:
        asked.append(outcomes)
        return False

    monkeypatch.setattr(monitor, "_all_read", never)
    seconds = count()
    monkeypatch.setattr(monitor, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(monitor, "HELD_S", 5)
    monkeypatch.setattr(monitor, "AGAIN_S", 0.0)
    places = {Place(topic) for topic in (OUTCOMES, PREDICTIONS)}
    resumed: list[set[str]] = []
    consumer = SimpleNamespace(
        assignment=lambda: places, resume_partitions=lambda some: resumed.append({one.topic for one in some})
    )
    state: Any = SimpleNamespace(
        restored=True, readers=[PREDICTIONS, OUTCOMES], held={OUTCOMES}, outcomes_of=lambda topic: [topic]
    )
    app: Any = SimpleNamespace(consumer=consumer)
    nothing: Any = None

    asyncio.run(monitor._open(app, state, nothing))

    assert len(asked) == 4
    assert state.held == set()
    assert resumed == [{OUTCOMES}]


def test_a_process_that_does_not_leave_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "LEAVE_S", 0.3)
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"deaf\n"
        command._end(process)

    assert process.returncode == -9
