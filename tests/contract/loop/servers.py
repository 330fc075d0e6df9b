"""The servers under the loop, as a test harms them."""

from __future__ import annotations

import os
import signal

from app.local.leash import Leash
from app.local.stack import Stack
from tests.contract.loop.rig import wait_for


def server(stack: Stack, name: str) -> int:
    """The process id of `redis`, or of the first `kafka` broker."""
    pids = [found.pid for found in stack.status() if found.name.startswith(name) and found.pid is not None]
    assert pids, [found.name for found in stack.status()]
    return pids[0]


def bounce_broker(stack: Stack, leash: Leash) -> None:
    """The broker dies and comes back over its data."""
    os.kill(server(stack, "kafka"), signal.SIGKILL)
    wait_for("the broker's end", lambda: not all(found.alive for found in stack.status()))
    stack.up(leash=leash)
