"""A worker's process whose fate is planned: `python -m tests.contract.loop.watched TAG [STEP NTH SIGNAL|FILE]`.

At the NTH time that it comes by STEP it sends itself SIGNAL: SIGKILL ends it as a power cut would, SIGSTOP makes it a
zombie in waiting. With a FILE, the thread that takes the step stands still for as long as the file is there, and the
rest of the process lives. The product knows nothing of this: it is handed an observer, and a pipeline with the test's
topics.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from app.pipeline import Pipeline
from app.stream.observe import Step, nobody
from app.stream.process import main
from tests.contract.loop.looking import LOOKING, looking_of
from tests.contract.loop.recommending import RECOMMENDING, recommendation_of
from tests.contract.loop.rig import find_of


class Fate:
    """Counts one step, and does in it what is planned."""

    def __init__(self, step: str, nth: int, fate: str) -> None:
        self._step = step
        self._left = nth
        self._fate = fate

    def __call__(self, step: Step) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0 and self._fate.startswith("SIG"):
                os.kill(os.getpid(), signal.Signals[self._fate])
            elif self._left == 0:
                while Path(self._fate).exists():
                    time.sleep(0.01)


if __name__ == "__main__":
    tag, *fate = sys.argv[1:]
    observe = Fate(fate[0], int(fate[1]), fate[2]) if fate else nobody
    others = {RECOMMENDING: recommendation_of, LOOKING: looking_of}

    def find(name: str) -> Pipeline:
        of = next((of for begins, of in others.items() if name.startswith(begins)), None)
        return find_of(tag)(name) if of is None else of(tag)

    sys.exit(main(observe, find))
