"""Runs on servers that may be harmed, and nothing left of either."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from app.local.leash import Leash
from app.local.stack import Stack
from tests.contract.loop.rig import Rig
from tests.contract.loop.servers import rig_on
from tests.contract.telemetry.seen import SeenRun


@pytest.fixture(scope="module")
def frail(new_stack: Callable[[], Stack], leash: Leash) -> Iterator[Stack]:
    stack = new_stack()
    stack.up(leash=leash)
    yield stack
    stack.down()


@pytest.fixture
def rig(frail: Stack) -> Iterator[Rig]:
    """A pipeline of its own on them; whoever was stopped goes on afterwards."""
    rig = rig_on(frail)
    yield rig
    for server in frail.status():
        assert server.pid is not None
        os.kill(server.pid, signal.SIGCONT)
    rig.stop()


@pytest.fixture
def new_run(rig: Rig) -> Iterator[Callable[..., SeenRun]]:
    runs: list[SeenRun] = []

    def start(*fate: str, **settings: object) -> SeenRun:
        runs.append(SeenRun(rig, *fate, **settings))  # type: ignore[arg-type]
        return runs[-1]

    yield start
    for run in runs:
        run.close()
