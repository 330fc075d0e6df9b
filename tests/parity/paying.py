"""The proof over payments, in order: a run that must wait for outcomes, the comparison, the same again with kills.

The first run is live: the payments are there and no outcome is, so nothing may be scored. Then outcomes come, are
folded while payments are scored beside, and stop coming again and again: what is scored then is known to the record.
The second run starts anew on the same topics, to their end.
"""

from __future__ import annotations

import contextlib
import random
import time

import numpy as np

from app.inference.model import load_model
from app.inference.serving import serving
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.replay.log import Log
from app.settings import Settings
from app.simulate.events import LABEL_DELAY_MS
from app.simulate.offline import Floats, offline_features
from app.simulate.payments import Payments, simulate
from tests.parity.answers import Answers, read_answers
from tests.parity.compare import compare, compare_again, compare_published, in_one_second, judge
from tests.parity.frontier import Frontier, Stop
from tests.parity.report import Report
from tests.parity.running import Running
from tests.parity.steps import Steps, bar_of
from tests.parity.world import forget

STOPS = (0.05, 0.35, 0.65, 0.95)  # of the outcomes that payments wait for
PATIENCE_S = 30.0
KILL_EVERY_S = (2.0, 5.0)
PUBLISHED_DAYS = 136  # the days that the published figures are about end here


def stops(payments: Payments) -> list[Stop]:
    """No outcome, some of those that payments wait for, and all."""
    frontier = Frontier(payments, width=FRAUD.partitions, outcomes_width=FRAUD_LABELS.partitions)
    waited_for = int(np.searchsorted(payments.time_ms, payments.time_ms[-1] - LABEL_DELAY_MS))
    some = [frontier.tied(int(share * waited_for)) for share in STOPS if waited_for]
    return [frontier.at(0), *some, frontier.at(len(payments))]


class Killer:
    """Ends a worker every few seconds: at first one of each run as soon as it has answered, then any."""

    def __init__(self, runs: list[Running], chance: random.Random) -> None:
        self._runs = runs
        self._chance = chance
        self._due = time.monotonic()

    def turn(self) -> None:
        """Kill if it is time."""
        alive = [run for run in self._runs if run.code is None]
        spared = [run for run in alive if not run.kills]
        now = time.monotonic()
        for run in spared:
            run.kill_one(self._chance)
        if alive and not spared and now >= self._due and self._chance.choice(alive).kill_one(self._chance):
            self._due = now + self._chance.uniform(*KILL_EVERY_S)


class PaymentsProof:
    """One proof over the first `days` days. `seed` decides which worker is killed when."""

    def __init__(self, steps: Steps, settings: Settings, report: Report, *, days: int, seed: int = 0) -> None:
        self._steps = steps
        self._shown = steps.shown
        self._settings = settings
        self._report = report
        self._days = days
        self._chance = random.Random(seed)

    def run(self) -> None:
        with self._shown.step("payments simulated, and their features computed offline"):
            payments = simulate(days=self._days, cache=self._steps.world.cache)
            offline = offline_features(payments)
        self._live(payments)
        first = self._read(len(payments))
        self._compare(first, payments, offline)
        self._again(first)

    def _live(self, payments: Payments) -> None:
        """The first run: payments wait for the outcomes that are known by their time, each time outcomes run out."""
        fraud = self._steps.started(FRAUD.name, workers=1)
        self._produce(FRAUD.source.name, len(payments))
        self._steps.await_(lambda: fraud.progress.partitions == FRAUD.partitions, [fraud])
        labels = self._steps.started(FRAUD_LABELS.name, workers=1)
        sent = 0
        with contextlib.closing(Log(self._settings, FRAUD.name, patience_s=PATIENCE_S)) as log:
            for stop in stops(payments):
                self._produce(FRAUD_LABELS.source.name, stop.outcomes - sent)
                sent = stop.outcomes
                self._report.waited(stop, self._scored(stop, log, labels=labels, fraud=fraud))
        with self._shown.step("Ctrl-C: the workers finish, flush and leave"):
            self._steps.stopped([fraud, labels])

    def _scored(self, stop: Stop, log: Log, *, labels: Running, fraud: Running) -> dict[int, int]:
        """What is scored when at least what may be is."""
        topic, partitions = FRAUD.source.name, sorted(stop.offsets)
        found: dict[int, int] = {}

        def reached() -> bool:
            found.update({p: offset or 0 for p, offset in log.committed(topic, partitions).items()})
            return all(found[p] >= offset for p, offset in stop.offsets.items())

        what = f"{stop.outcomes:,} outcomes folded, {stop.scored:,} payments scored beside; all others wait"
        with self._shown.step(what) as bar:
            more = f"of {stop.outcomes:,} outcomes"
            show = bar_of(bar, fraud, stop.scored, lambda: f"{labels.progress.records:,} {more}")
            self._steps.await_(reached, [labels, fraud], show)
        return found

    def _produce(self, topic: str, count: int) -> None:
        if count:
            self._steps.command("produce", topic, "--simulate", "--count", str(count))

    def _again(self, first: Answers) -> None:
        """The second run: from the start to the end with kills."""
        payments = len(first.times)
        with self._shown.step("offsets, answers and state forgotten"):
            forget(self._settings, (FRAUD, FRAUD_LABELS))
        self._steps.command("topics", "apply")
        labels = self._steps.started(FRAUD_LABELS.name, workers=2, until_end=True)
        fraud = self._steps.started(FRAUD.name, workers=2, until_end=True)
        killer = Killer([labels, fraud], self._chance)
        with self._shown.step("the same again, two workers each, one of them killed with -9 every few seconds") as bar:
            show = bar_of(
                bar,
                fraud,
                payments,
                lambda: f"{labels.progress.records:,} outcomes  {labels.kills + fraud.kills} kills",
            )

            def turn() -> None:
                killer.turn()
                show()

            self._steps.ended([labels, fraud], turn)
        second = self._read(payments)
        self._report.answered("second run", second)
        kills = {run.pipeline: run.kills for run in (fraud, labels)}
        self._report.again(compare_again(first, second), kills, second)

    def _read(self, payments: int) -> Answers:
        with self._shown.step(f"every record of {FRAUD.answering.name} read back") as bar:
            return read_answers(self._settings, FRAUD, payments, lambda read: bar.show(read, payments))

    def _compare(self, answers: Answers, payments: Payments, offline: dict[str, Floats]) -> None:
        report = self._report
        report.answered("first run", answers)
        marked = int(answers.marked.sum())
        report.must(marked == 0, f"{marked:,} predictions of the first run bear a mark: {dict(answers.marks)}.")
        report.features(compare(answers, offline), in_one_second(payments).tolist())
        if self._days >= PUBLISHED_DAYS:
            report.published(compare_published(answers, offline))
            model = load_model(serving(FRAUD, self._settings.models, {}), FRAUD.features)
            report.judged(judge(answers, offline, payments, model))
