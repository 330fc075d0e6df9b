"""The demo live: two machines that score payments, one of them killed and back again, beside the outcomes' pipeline.

Simulated time runs thousands of times as fast as a clock, so that a pipeline's own delay of a second is an hour of it.
That is why outcomes are sent LEAD_S ahead of the payments that look back on them: each is read as it was known at its
payment's time, so one that is early changes nothing, and one that is late marks the answer `behind`.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from app.cli.demo_end import Takeover, await_answers, named, tell_what_was_seen
from app.cli.demo_frame import Happening, PartitionSeen, PipelineSeen, Seen
from app.cli.demo_replay import replay
from app.cli.demo_scene import PATIENCE_S, START_DAY, Scene, Workers, end_of, known_labels, step, tell
from app.cli.demo_screen import Screen
from app.cli.demo_seen import Answers, Lags, Pace, owners, quantile
from app.cli.demo_steps import audit
from app.errors import Fatal, StreamInferError
from app.inference.load import load
from app.inference.serving import serving
from app.local.leash import Leash
from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.pipelines.recommendation import RECOMMENDATION
from app.settings import Settings
from app.simulate.interactions import read_interactions
from app.simulate.payments import simulate

RATE = 500  # payments and outcomes a second
LEAD_S = 4
INTERACTIONS = 20  # a second
TICK_S = 0.05
STAYS, DIES = "a", "b"
WHAT = f"{RATE} payments a second on two machines, one is killed"


def run(seconds: int) -> bool:
    """The whole demo. Gives whether all that was sent is answered once, as the audit says."""
    leash = Leash()
    try:
        return Demo(Scene(leash), seconds).run()
    finally:
        leash.close(grace_s=0.0)  # nothing of it is kept, so nothing has to end well


@dataclass
class _Told:
    """What is shown of the past."""

    started: float | None = None
    happenings: list[Happening] = field(default_factory=list)

    @property
    def elapsed_s(self) -> float:
        return 0.0 if self.started is None else time.monotonic() - self.started

    def tell(self, words: str) -> None:
        self.happenings.append(Happening(self.elapsed_s, words))


class Demo:
    """One run."""

    def __init__(self, scene: Scene, seconds: int) -> None:
        self._scene = scene
        self._seconds = seconds
        self._told = _Told()
        self._takeover = Takeover(of=DIES, by=STAYS)
        self._runs: dict[str, Workers] = {}
        self._senders: dict[str, subprocess.Popen[bytes]] = {}
        self._answers: dict[str, Answers] = {}
        self._folding = Pace()
        self._lags: Lags
        self._screen: Screen

    def run(self) -> bool:
        """Gives whether all that was sent is answered once."""
        settings = self._scene.up()
        left_out = why_not(RECOMMENDATION, settings)
        if left_out:
            tell(f"recommendation is left out: {left_out}")
        self._fold_outcomes()
        self._start_runs(recommends=not left_out)
        self._show_page()
        scored = [FRAUD] if left_out else [FRAUD, RECOMMENDATION]
        self._answers = {pipeline.name: Answers(settings, pipeline) for pipeline in scored}
        self._lags = Lags(settings, [FRAUD, FRAUD_LABELS, *scored[1:]])
        seeing: list[Answers | Lags] = [*self._answers.values(), self._lags]
        try:
            with step("somebody outside reads the answers and asks for the lag"):
                for one in seeing:
                    one.start()
            self._play()
        finally:
            for one in seeing:
                one.stop()
        self._finish(settings, scored)
        right = [audit(self._scene, pipeline.name) for pipeline in scored]  # all of them, whatever the first says
        return replay(self._scene) and all(right)

    # -- before --------------------------------------------------------------------------------------------------------

    def _fold_outcomes(self) -> None:
        with step("183 days of payments, simulated once for this machine"):
            payments = simulate(cache=self._scene.home / "cache")
            known = known_labels(payments, len(payments.first_days(START_DAY)) + 1) + RATE * LEAD_S
        self._scene.step("produce", "payments.labels", "--simulate", "--count", str(known))

    def _start_runs(self, *, recommends: bool) -> None:
        runs = self._runs
        with step("$ streaminfer run fraud-labels", f"{FRAUD_LABELS.partitions} partitions of outcomes are folded"):
            runs["labels"] = self._scene.run(FRAUD_LABELS.name, log="labels")
            runs["labels"].await_(lambda: runs["labels"].progress.partitions == FRAUD_LABELS.partitions)
        named = [f"$ streaminfer run fraud --instance {name}" for name in (STAYS, DIES)]
        with step(named[0], f"{named[1]}: as on two machines, each has its half of the payments"):
            for name in (STAYS, DIES):
                runs[name] = self._run_fraud(name)
            runs[STAYS].await_(lambda: self._scored_by(STAYS, DIES) == FRAUD.partitions)
        if recommends:
            with step("$ streaminfer run recommendation"):
                runs["films"] = self._scene.run(RECOMMENDATION.name, log="films")
                runs["films"].await_(lambda: runs["films"].progress.partitions == RECOMMENDATION.partitions)

    def _show_page(self) -> None:
        if find_spec("faust") is None:
            return  # it is an extra, and nothing here needs it
        with step("$ streaminfer monitor", "beside them, for it only reads"):
            address = self._scene.page()
        if address:
            tell(f"watch it in a browser: {address}")

    def _run_fraud(self, name: str) -> Workers:
        return self._scene.run(FRAUD.name, "--instance", name, log=f"fraud-{name}")

    def _scored_by(self, *names: str) -> int:
        """How many partitions these machines say that they score; 0 where one of them scores none."""
        for name in names:
            self._runs[name].listen()
        scored = [self._runs[name].progress.partitions for name in names]
        return sum(scored) if all(scored) else 0

    # -- on the screen -------------------------------------------------------------------------------------------------

    def _play(self) -> None:
        with Screen() as self._screen:
            self._send("payments.labels", "--rate", str(RATE))
            self._send("payments", "--rate", str(RATE), "--start-day", str(START_DAY))
            if RECOMMENDATION.name in self._answers:
                self._send("interactions", "--rate", str(INTERACTIONS))
            answers = self._answers[FRAUD.name]
            self._until("the first payment is scored", lambda: bool(answers.all))
            self._told.started = time.monotonic()
            self._until_time(self._seconds / 3)
            self._kill()
            self._until("the killed machine's partitions are scored again", self._taken_over)
            self._until_time(self._seconds * 2 / 3)
            self._bring_back()
            self._until_time(self._seconds)
            for sender in self._senders.values():
                sender.send_signal(signal.SIGINT)
            self._until("the senders leave", lambda: all(s.poll() is not None for s in self._senders.values()))
            self._screen.show(self._seen())

    def _send(self, topic: str, *flags: str) -> None:
        self._senders[topic] = self._scene.command("produce", topic, "--simulate", *flags, log=topic)

    def _kill(self) -> None:
        takeover = self._takeover
        takeover.partitions = self._partitions_of(DIES)
        takeover.killed_ms = time.time() * 1000
        self._runs.pop(DIES).kill_all()
        self._told.tell(f"{DIES} is killed with -9; {named(takeover.partitions)} wait for another owner.")

    def _taken_over(self) -> bool:
        """Whether every partition of the killed machine is scored again."""
        takeover, owned = self._takeover, self._owned()
        again = self._answers[FRAUD.name].again_ms(takeover.partitions, takeover.killed_ms)
        if len(again) < len(takeover.partitions) or not all(_is_of(owned.get(p), STAYS) for p in takeover.partitions):
            return False
        takeover.seconds = (max(again.values(), default=takeover.killed_ms) - takeover.killed_ms) / 1000
        self._told.tell(
            f"{STAYS} owns {named(takeover.partitions)}; scored again {takeover.seconds:.1f} s after the kill."
        )
        return True

    def _bring_back(self) -> None:
        started = time.monotonic()
        self._runs[DIES] = self._run_fraud(DIES)
        self._told.tell(f"{DIES} is started again.")
        self._until("the machine that was killed scores again", lambda: self._scored_by(DIES) > 0)
        seconds = time.monotonic() - started
        self._until("Kafka says so, too", lambda: bool(self._partitions_of(DIES)))
        self._told.tell(f"{DIES} has {named(self._partitions_of(DIES))} back, {seconds:.1f} s after its start.")

    def _owned(self) -> Mapping[int, str]:
        return owners(self._lags.of.get(FRAUD.name))

    def _partitions_of(self, machine: str) -> tuple[int, ...]:
        return tuple(p for p, owner in self._owned().items() if _is_of(owner, machine))

    def _until_time(self, seconds: float) -> None:
        while self._told.elapsed_s < seconds:
            self._look()

    def _until(self, what: str, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            self._look()
            if time.monotonic() > deadline:
                raise Fatal(f"It did not come about within {PATIENCE_S:.0f} s that {what}.")

    def _look(self) -> None:
        """Show what is seen now, and refuse to go on where something that must run has ended."""
        for workers in self._runs.values():
            workers.listen()
        for answers in self._answers.values():
            answers.refuse_failure()
        self._lags.refuse_failure()
        for topic, sender in self._senders.items():
            if sender.poll() not in (None, 130):
                raise Fatal(f"`streaminfer produce {topic}` ended:\n{end_of(self._scene.log(topic))}")
        if self._screen.due:
            self._screen.show(self._seen())
        time.sleep(TICK_S)

    def _seen(self) -> Seen:
        fraud, films = self._answers[FRAUD.name], self._answers.get(RECOMMENDATION.name)
        folded = self._runs["labels"].progress.records
        rows = [_row(fraud, self._lag(FRAUD), marks=True)]
        rows.append(
            PipelineSeen(
                FRAUD_LABELS.name, self._folding.of(folded, time.monotonic()), folded, lag=self._lag(FRAUD_LABELS)
            )
        )
        if films is not None:
            rows.append(_row(films, self._lag(RECOMMENDATION)))
        return Seen(
            WHAT,
            self._told.elapsed_s,
            max(self._seconds, self._told.elapsed_s),  # a takeover is waited for, however long it takes
            rows,
            self._partitions(),
            self._told.happenings,
            list(fraud.alerts),
            fraud.alerted,
            None if films is None else list(films.newest),
        )

    def _partitions(self) -> dict[int, PartitionSeen]:
        found, owned = self._lags.of.get(FRAUD.name), self._owned()
        lags = {} if found is None else {p.partition: p.lag for p in found.partitions}
        dead = DIES not in self._runs
        return {
            p: PartitionSeen(lags.get(p), owned.get(p), alive=not (dead and _is_of(owned.get(p), DIES)))
            for p in range(FRAUD.partitions)
        }

    def _lag(self, pipeline: Pipeline) -> int | None:
        found = self._lags.of.get(pipeline.name)
        return None if found is None else found.lag

    # -- after ---------------------------------------------------------------------------------------------------------

    def _finish(self, settings: Settings, scored: Sequence[Pipeline]) -> None:
        tell_what_was_seen(self._answers[FRAUD.name], self._takeover)
        for pipeline in scored:
            runs = [self._runs[name] for name in ((STAYS, DIES) if pipeline is FRAUD else ("films",))]
            with step(f"all of {pipeline.source.name} is answered"):
                await_answers(settings, pipeline, runs)
        with step("Ctrl-C: the workers finish, flush and leave"):
            for workers in self._runs.values():
                workers.process.send_signal(signal.SIGINT)
            for workers in self._runs.values():
                workers.stop()


def why_not(pipeline: Pipeline, settings: Settings) -> str:
    """Why this pipeline cannot run here; nothing if it can."""
    try:
        load(serving(pipeline, settings.models, settings.versions), pipeline.features)
        read_interactions(settings.models)
    except StreamInferError as error:
        return str(error)
    return ""


def _row(answers: Answers, lag: int | None, *, marks: bool = False) -> PipelineSeen:
    recent = sorted(answer.took_ms for answer in answers.recent())
    return PipelineSeen(
        answers.pipeline.name,
        answers.speed(),
        len(answers.all),
        quantile(recent, 0.5),
        quantile(recent, 0.99),
        answers.behind() if marks else None,
        lag,
    )


def _is_of(owner: str | None, machine: str) -> bool:
    return owner is not None and owner.startswith(f"{machine}-")
