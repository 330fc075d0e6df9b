"""The steps that every part of the proof is made of: a command, a run that is begun, awaited and stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from app.errors import Fatal
from tests.parity.running import Running
from tests.parity.shown import Bar, Shown
from tests.parity.world import STREAMINFER, World

STALLED_S = 180.0  # without one more answer: something stands
LOOK_S = 0.2


class Steps:
    """Runs the program's own commands in a world, and shows them."""

    def __init__(self, world: World, shown: Shown) -> None:
        self.world = world
        self.shown = shown

    def command(self, *words: str) -> None:
        with self.shown.step(f"$ streaminfer {' '.join(words)}"):
            self.world.end(self.world.command(*STREAMINFER, *words, log=words[0]), words[0])

    def started(self, pipeline: str, *, workers: int, until_end: bool = False) -> Running:
        words = ["run", pipeline, "--workers", str(workers), "--json", *(["--until-end"] if until_end else [])]
        return self.started_as(pipeline, (*STREAMINFER, *words))

    def started_as(self, pipeline: str, argv: Sequence[str]) -> Running:
        """A run by another program than the product's, which tells the same."""
        return Running(self.world.command(*argv, log=f"run-{pipeline}"), pipeline)

    def await_(
        self, happened: Callable[[], bool], runs: list[Running], tell: Callable[[], None] = lambda: None
    ) -> None:
        """Look until it has happened. Raises Fatal where a run fails before, or nothing comes forward any more."""
        before, since = -1, time.monotonic()
        while not happened():
            for run in runs:
                if run.code:
                    raise Fatal(f"`run {run.pipeline}` ended with {run.code}:\n{self._last_words([run])}")
            done = sum(run.progress.records for run in runs)
            if done != before:
                before, since = done, time.monotonic()
            elif time.monotonic() > since + STALLED_S:
                raise Fatal(f"Nothing has been answered for {STALLED_S:.0f} s; the logs end:\n{self._last_words(runs)}")
            tell()
            time.sleep(LOOK_S)

    def ended(self, runs: list[Running], tell: Callable[[], None] = lambda: None) -> None:
        """Wait for their own ends. Raises Fatal where one fails."""
        self.await_(lambda: all(run.code is not None for run in runs), runs, tell)
        self._refuse_failed(runs)

    def stopped(self, runs: list[Running]) -> None:
        """Ctrl-C to each. Raises Fatal where one fails."""
        for run in runs:
            run.stop()
        self._refuse_failed(runs)

    def _refuse_failed(self, runs: list[Running]) -> None:
        for run in runs:
            if code := run.wait():
                raise Fatal(f"`run {run.pipeline}` ended with {code}:\n{self._last_words([run])}")

    def _last_words(self, runs: list[Running]) -> str:
        return "\n".join(self.world.last_words(f"run-{run.pipeline}") for run in runs)


def bar_of(bar: Bar, run: Running, of: int, more: Callable[[], str] = str) -> Callable[[], None]:
    """Shows on a bar how far a run is."""
    return lambda: bar.show(run.progress.records, of, more())
