"""A worker's process whose fate is planned: `python -m tests.contract.loop.watched TAG [STEP NTH SIGNAL]`.

At the NTH time that it comes by STEP it sends itself SIGNAL: SIGKILL ends it as a power cut would, SIGSTOP makes it a
zombie in waiting. The product knows nothing of this: it is handed an observer, and a pipeline with the test's topics.
"""

from __future__ import annotations

import os
import signal
import sys

from app.stream.observe import Step, nobody
from app.stream.process import main
from tests.contract.loop.rig import pipeline_of


class Fate:
    """Counts one step, and signals the process in it."""

    def __init__(self, step: str, nth: int, number: signal.Signals) -> None:
        self._step = step
        self._left = nth
        self._number = number

    def __call__(self, step: Step) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._number)


if __name__ == "__main__":
    tag, *fate = sys.argv[1:]
    observe = Fate(fate[0], int(fate[1]), signal.Signals[fate[2]]) if fate else nobody
    sys.exit(main(observe, lambda _: pipeline_of(tag)))
