"""A worker as the product starts it, watched at every step: `python -m tests.faults.doomed`.

In the folder that FAULTS_FATES names, a file called as its process id, or `next` for who starts next, says
`STEP NTH SIGNAL`: at the NTH time that the worker comes by STEP it sends itself the signal. What was done is renamed to
`<pid>.done`, at the very moment. The product knows nothing of this: it is handed an observer.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from app.stream.observe import Step
from app.stream.process import main


class Fates:
    """Looks for the worker's fate at every step, and does it."""

    def __init__(self, folder: Path) -> None:
        self._mine = folder / str(os.getpid())
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder / "next", self._mine)
        self._fate: tuple[str, int, signal.Signals] | None = None

    def __call__(self, step: Step) -> None:
        if self._fate is None and not self._look():
            return
        assert self._fate is not None
        wanted, left, number = self._fate
        if step != wanted:
            return
        if left > 1:
            self._fate = wanted, left - 1, number
            return
        self._fate = None
        with contextlib.suppress(FileNotFoundError):  # which says that it shall not be after all
            os.utime(self._mine)
            os.rename(self._mine, f"{self._mine}.done")
            os.kill(os.getpid(), number)

    def _look(self) -> bool:
        try:
            step, nth, name = self._mine.read_text().split()
        except (FileNotFoundError, ValueError):
            return False
        self._fate = step, int(nth), signal.Signals[name]
        return True


if __name__ == "__main__":
    sys.exit(main(Fates(Path(os.environ["FAULTS_FATES"]))))
