"""The quick demo, step by step: outcomes, two workers, payments, a kill, and an audit; 20,000 payments and the end."""

from __future__ import annotations

import contextlib
import json

from app.cli.alerts import chosen, in_words
from app.cli.demo_replay import replay
from app.cli.demo_scene import PATIENCE_S, START_DAY, Scene, known_labels, step, tell
from app.cli.terminal import counted
from app.local.leash import Leash
from app.pipelines.fraud import FRAUD
from app.replay.log import Log
from app.replay.tail import BEGINNING, tail
from app.settings import Settings
from app.simulate.payments import simulate

EVENTS = 20_000
RATE = 5_000  # a second, so that half way is a moment that can be met
EXACT = 0.95  # the least share of predictions without a mark


def run() -> bool:
    """The whole demo. Gives whether the audit was right and the predictions exact."""
    leash = Leash()
    try:
        return Demo(Scene(leash)).run()
    finally:
        leash.close(grace_s=0.0)  # nothing of it is kept, so nothing has to end well


class Demo:
    """One run."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def run(self) -> bool:
        """Gives whether the audit was right and the predictions exact."""
        settings = self._scene.up()
        with step("183 days of payments, simulated once for this machine"):
            payments = simulate(cache=self._scene.home / "cache")
            known = known_labels(payments, len(payments.first_days(START_DAY)) + EVENTS)
        self._scene.step("produce", "payments.labels", "--simulate", "--count", str(known))
        self._scene.step("run", "fraud-labels", "--until-end")
        self._score(settings)
        audited = audit(self._scene, FRAUD.name)
        exact = self._judge(settings)
        return replay(self._scene) and audited and exact

    def _score(self, settings: Settings) -> None:
        workers = self._scene.run("fraud", "--workers", "2", log="run")
        with step("$ streaminfer run fraud --workers 2", "both have their partitions"):
            workers.await_(lambda: workers.progress.partitions == FRAUD.partitions and len(workers.owners) == 2)
        flags = ["--simulate", "--count", str(EVENTS), "--rate", str(RATE), "--start-day", str(START_DAY)]
        with step(f"$ streaminfer produce payments {' '.join(flags)}", "and half way one worker is killed with -9"):
            producer = self._scene.command("produce", "payments", *flags)
            workers.await_(lambda: workers.progress.records >= EVENTS // 2)
            slot, pid = workers.kill_one()
            at = workers.progress.records
            self._scene.end(producer, "produce")
        with step("all payments are answered"), contextlib.closing(Log(settings, FRAUD.name, patience_s=10)) as log:
            partitions = log.partitions(FRAUD.source.name)
            ends = log.ends(FRAUD.source.name, partitions, settled=False)
            workers.await_(lambda: log.committed(FRAUD.source.name, partitions) == ends)
        tell(f"worker {slot} (pid {pid}) was killed at {at:,} of {EVENTS:,} payments; a new one took its place")
        with step("Ctrl-C: the workers finish, flush and leave"):
            workers.stop()

    def _judge(self, settings: Settings) -> bool:
        with step("$ streaminfer tail payments.scored --from beginning --until-end"):
            batches = tail(settings, FRAUD.answering.name, start=BEGINNING, until_end=True)
            scored = [json.loads(record.value or b"") for records in batches for record in records]
        exact = sum(not prediction["marks"] for prediction in scored) / max(1, len(scored))
        alerts = [prediction for prediction in scored if prediction["decision"] == "alert"]
        tell(f"{exact:.1%} of the predictions bear no mark; {counted(len(alerts), 'alert')}, three of them:")
        for alert in chosen(alerts, 3):
            for line in in_words(alert):
                tell(line)
        if exact < EXACT:
            tell(f"At least {EXACT:.0%} should bear none: the outcomes at the terminals were not there in time.")
        return exact >= EXACT


def audit(scene: Scene, pipeline: str) -> bool:
    """Run the audit and tell what it says. Gives whether it is right."""
    process = scene.command("audit", pipeline)
    with step(f"$ streaminfer audit {pipeline}"):
        told, _ = process.communicate(timeout=PATIENCE_S)
    for line in told.decode().splitlines():
        tell(line)
    return process.returncode == 0
