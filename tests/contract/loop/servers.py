"""The servers under the loop, as a test harms them."""

from __future__ import annotations

import os
import signal
import uuid
from typing import Any

from app.local.leash import Leash
from app.local.stack import Stack
from app.settings import Settings
from tests.contract.loop.rig import Rig, pipeline_of, wait_for


def rig_on(stack: Stack, **settings: Any) -> Rig:
    """A rig on servers that may be harmed: small batches, short time-outs; payments are bad at random."""
    endpoints = stack.endpoints()
    assert endpoints is not None
    values: dict[str, Any] = {
        "flush_every_s": 0.2,
        "batch_records": 100,
        "transaction_timeout_ms": 6000,
        "commit_deadline_s": 5.0,
        "redis_timeout_s": 0.3,
        "dead_letter_limit": 1.0,
    }
    values |= {"kafka": endpoints.kafka, "redis": endpoints.redis, "home": stack.home} | settings
    tag = uuid.uuid4().hex[:8]
    rig = Rig(tag, Settings(**values), pipeline_of(tag))
    rig.make_topics()
    return rig


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
