"""A worker whose pipeline dies on some records, in every way: `python -m tests.contract.loop.deadly TAG [STEP]`.

A payment's terminal says how. With a STEP, the loop itself hangs when it first comes by it.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time
from dataclasses import replace
from typing import Any

from app.pipeline import EventFeatures, Pipeline
from app.stream.observe import Observer, nobody
from app.stream.process import main
from tests.contract.loop.rig import pipeline_of


def _hang() -> None:
    while True:
        time.sleep(60)


def _hang_in_c() -> None:
    """Holds the interpreter's lock all the time: no thread of this process runs any more."""
    re.match("(a+)+$", "a" * 64 + "b")


WAYS = {
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "memory": lambda: os.kill(os.getpid(), signal.SIGKILL),  # as the kernel does where memory ends
    "abort": os.abort,
    "hang": _hang,
    "hang-in-c": _hang_in_c,
}


def deadly(tag: str) -> Pipeline:
    pipeline = pipeline_of(tag)
    plain = pipeline.event
    assert plain is not None

    def of(payment: Any) -> tuple[float, ...]:
        if (way := WAYS.get(payment.terminal_id)) is not None:
            way()
        return plain.of(payment)

    return replace(pipeline, event=EventFeatures(plain.columns, of))


def hang_at(step: str) -> Observer:
    return lambda reached: _hang() if reached == step else None


if __name__ == "__main__":
    tag, *steps = sys.argv[1:]
    sys.exit(main(hang_at(steps[0]) if steps else nobody, lambda _: deadly(tag)))
