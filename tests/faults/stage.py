"""The stage: three brokers, Redis, and three pipelines under steady load, run as users run them, seen from outside.

A fault is given the stage and harms it; what it hurts, and when that answers again, is told here. Workers may be sent
another way than everybody else: Proxy always lies before the brokers and RedisWay before Redis; `ways` may turn their
addresses into others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.local.leash import Leash
from app.local.stack import Endpoints
from tests.faults.load import Load, Rates
from tests.faults.oracle import Finding, Told, Verdict, World, judge, reading
from tests.faults.proxy import Proxy, routes
from tests.faults.redis_way import RedisWay
from tests.faults.runs import ROOT, Run, now_ms
from tests.faults.seen import Answers, Offsets, Reached, wait_until
from tests.faults.servers import Servers

PARTITIONS = 6
BROKERS = 3
INSTANCE = "rig"
BEGIN_S = 150.0
DRAIN_S = 120.0
COMMAND_S = 120.0
PIPELINES: Mapping[str, Told] = {
    "fraud-labels": Told("fraud-labels", "payments.labels", None, "terminal"),
    "fraud": Told("fraud", "payments", "payments.scored", "customer"),
    "recommendation": Told("recommendation", "interactions", "recommendations", "history"),
}


class Stuck(Exception):
    """What was hurt did not come back within its bound, or a run has ended: the stage cannot go on."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


@dataclass(frozen=True)
class Shape:
    """How large the stage is, and its settings as a user gives them (STREAMINFER_<NAME>)."""

    workers: Mapping[str, int]
    rates: Rates = field(default_factory=Rates)
    session_s: float = 6.0
    transaction_s: float = 20.0
    commit_s: float = 15.0
    settings: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        named = {
            "SESSION_TIMEOUT_MS": str(int(self.session_s * 1000)),
            "TRANSACTION_TIMEOUT_MS": str(int(self.transaction_s * 1000)),
            "COMMIT_DEADLINE_S": str(self.commit_s),
            "PACE_DAYS": "30",  # what is kept for payments that are held up while their outcomes go on
            **{name.upper(): value for name, value in self.settings.items()},
        }
        return {f"STREAMINFER_{name}": value for name, value in named.items()}


@dataclass(frozen=True)
class Hurt:
    """What a fault hurts: partitions by pipeline, from when on (milliseconds since 1970)."""

    at_ms: int
    partitions: Mapping[str, frozenset[int]]

    @classmethod
    def everything(cls, at_ms: int, pipelines: Iterable[str] = PIPELINES) -> Hurt:
        return cls(at_ms, dict.fromkeys(pipelines, frozenset(range(PARTITIONS))))


Ways = Callable[[Endpoints], Endpoints]


class Stage:
    """Begin, deal faults, drain, judge, close."""

    def __init__(self, leash: Leash, home: Path, shape: Shape, *, seed: int = 0, ways: Ways = lambda own: own) -> None:
        self.leash, self.home, self.shape, self.seed = leash, home, shape, seed
        self.proxy = Proxy(routes(BROKERS))
        self.servers = Servers(leash, home, brokers=BROKERS, outer=self.proxy.outer)
        self.runs: list[Run] = []
        self.skipped: dict[str, set[tuple[int, int]]] = {name: set() for name in PIPELINES}
        self.findings: list[Finding] = []
        self._ways = ways

    # -- life ----------------------------------------------------------------------------------------------------------

    def begin(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Returns when every partition is being scored, and the load is on. Raises Stuck where it does not come to it.

        Order matters: outcomes of the weeks before are there before anybody asks for them.
        """
        self.proxy.start()
        self.own = self.servers.up()
        self.redis_way = RedisWay(self.own.redis)
        self.theirs = self._ways(Endpoints(self.proxy.bootstrap, self.redis_way.url))
        tell("three brokers and Redis answer")
        applied = self.command("topics", "apply")
        assert applied.returncode == 0, applied.stderr
        self.load = Load(self.own.kafka, self.shape.rates, self.seed)
        self.load.ahead()
        topics = [topic for one in PIPELINES.values() for topic in (one.answers, one.letters) if topic is not None]
        self.answers = Answers(self.own.kafka, topics, PARTITIONS)
        self.offsets = Offsets(self.own.kafka, {one.name: one.source for one in PIPELINES.values()}, PARTITIONS)
        self.answers.start()
        for name in PIPELINES:
            self.run(name)
        self.all_live()
        tell(f"{', '.join(f'{n} with {k}' for n, k in self.shape.workers.items())} workers score all partitions")
        self.offsets.start()
        self.load.start()
        self.recovered(Hurt.everything(now_ms()), BEGIN_S)

    def run(self, pipeline: str, *, workers: int | None = None, instance: str = INSTANCE) -> Run:
        """Start a `run` of a pipeline, beside those that there are."""
        count = self.shape.workers[pipeline] if workers is None else workers
        run = Run(self.leash, self.home, pipeline, workers=count, instance=instance, env=self.environment())
        self.runs.append(run)
        return run

    def stop(self, run: Run) -> None:
        """In good order. Raises Stuck where it does not end with 0."""
        try:
            code = run.stop()
        except subprocess.TimeoutExpired:
            raise Stuck(Finding("run", run.pipeline, 1, f"it did not leave:\n{run.words()}")) from None
        self.runs.remove(run)
        if code:
            raise Stuck(Finding("run", run.pipeline, 1, f"it left with {code}: {run.fatal}\n{run.words()}"))

    def all_live(self, within_s: float = BEGIN_S) -> None:
        """Wait until every partition of every pipeline that runs has an owner that says so."""
        names = {run.pipeline for run in self.runs}

        def ready() -> bool:
            self.refuse_ended()
            return all(len(self.live(name)) == PARTITIONS for name in names)

        if not wait_until(ready, within_s):
            said = {name: sorted(self.live(name)) for name in names}
            raise Stuck(Finding("progress", "start", 1, f"not all partitions are scored: {said}"))

    def live(self, pipeline: str) -> set[int]:
        return set().union(*(run.live() for run in self.of(pipeline)))

    def of(self, pipeline: str) -> list[Run]:
        return [run for run in self.runs if run.pipeline == pipeline]

    def refuse_ended(self) -> None:
        """Raises Stuck where a run has ended that nobody stopped."""
        for run in self.runs:
            if not run.stopped and (code := run.process.poll()) is not None:
                raise Stuck(Finding("run", run.pipeline, 1, f"it ended with {code}: {run.fatal}\n{run.words()}"))

    def environment(self) -> dict[str, str]:
        bare = {name: value for name, value in os.environ.items() if not name.startswith("STREAMINFER_")}
        ours = {"HOME": str(self.home), "KAFKA": self.theirs.kafka, "REDIS": self.theirs.redis}
        return bare | {f"STREAMINFER_{name}": value for name, value in ours.items()} | self.shape.environment()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One of the program's commands, as an operator types it."""
        argv = [sys.executable, "-m", "app.cli.main", *words]
        return subprocess.run(
            argv, cwd=ROOT, env=self.environment(), capture_output=True, text=True, timeout=COMMAND_S, check=False
        )

    def close(self) -> None:
        """End whatever is left; nothing of it is kept."""
        for watcher in ("answers", "offsets", "redis_way"):
            if (one := getattr(self, watcher, None)) is not None and getattr(one, "ident", True) is not None:
                (one.close if watcher == "redis_way" else one.stop)()
        for run in self.runs:
            if run.process.poll() is None:
                run.process.kill()
        self.proxy.stop()

    # -- what a fault did ----------------------------------------------------------------------------------------------

    def recovered(self, hurt: Hurt, within_s: float) -> list[float]:
        """Seconds until each partition that was hurt answered an input which came after. Raises Stuck beyond a bound.

        As a reader outside sees it; of a pipeline that answers nothing, by its group's offset.
        """

        def open_places() -> list[tuple[str, int]]:
            self.refuse_ended()
            return [(n, p) for n, of in hurt.partitions.items() for p in of if self.took(hurt, n, p) is None]

        if not wait_until(lambda: not open_places(), within_s):
            left = ", ".join(f"{name}/{p}" for name, p in open_places())
            words = "\n".join(run.words()[-800:] for run in self.runs)
            raise Stuck(Finding("progress", left, 1, f"no answer within {within_s:.0f} s\n{words}"))
        taken = [self.took(hurt, name, p) for name, of in hurt.partitions.items() for p in of]
        return [seconds for seconds in taken if seconds is not None]

    def took(self, hurt: Hurt, pipeline: str, partition: int) -> float | None:
        target = self.load.sent[PIPELINES[pipeline].source][partition].since(hurt.at_ms)
        if target is None:
            return None
        done_ms = self._done(pipeline, partition).when(self._wanted(pipeline, target))
        return None if done_ms is None else max(0.0, (done_ms - hurt.at_ms) / 1000)

    def _done(self, pipeline: str, partition: int) -> Reached:
        one = PIPELINES[pipeline]
        if one.answers is None:
            return self.offsets.stands[pipeline, partition]
        return self.answers.answered[one.source, partition]

    def _wanted(self, pipeline: str, offset: int) -> int:
        return offset + 1 if PIPELINES[pipeline].answers is None else offset

    def in_flight(self) -> int:
        """Events that Kafka has and nobody has answered."""
        return sum(
            max(0, len(sent.offsets) and sent.offsets[-1] - self._done(name, p).last)
            for name, one in PIPELINES.items()
            if one.answers is not None
            for p, sent in list(self.load.sent[one.source].items())
        )

    # -- the end -------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Stop the load, let everything be answered, and the pipelines leave. Raises Stuck where they do not."""
        self.load.stop()
        for failed in self.load.failed[:1]:
            self.findings.append(Finding("input", "load", len(self.load.failed), failed))
        ends = {name: reading.ends(self.own.kafka, one.source) for name, one in PIPELINES.items()}

        def done() -> bool:
            self.refuse_ended()
            stands = ((n, reading.committed(self.own.kafka, PIPELINES[n].source, n, list(ends[n]))) for n in ends)
            return all(found == ends[name] for name, found in stands)

        if not wait_until(done, DRAIN_S, 0.3):
            words = "\n".join(run.words()[-800:] for run in self.runs)
            raise Stuck(Finding("progress", "end", 1, f"not all is answered within {DRAIN_S:.0f} s\n{words}"))
        for run in list(self.runs):
            self.stop(run)
        topics = {topic for topic, _ in self.answers.records}
        last = {(topic, p): end for topic in topics for p, end in reading.ends(self.own.kafka, topic).items()}
        if not wait_until(lambda: all(self.answers.at[place] >= end for place, end in last.items()), 60):
            held = [f"{t}/{p}" for (t, p), end in last.items() if self.answers.at[t, p] < end]
            self.findings.append(Finding("held-open", ", ".join(held), len(held), "a reader does not come to the end"))
        self.answers.stop()
        self.offsets.stop()

    def judge(self) -> Verdict:
        """What the oracle says, with what was found on the way."""
        told = [
            Told(
                one.name, one.source, one.answers, one.view,
                sent={p: list(of.offsets) for p, of in self.load.sent[one.source].items()},
                skipped=frozenset(self.skipped[one.name]),
                seen={k: v for k, v in self.answers.records.items() if k[0] in (one.answers, one.letters)},
                went_back=self.offsets.went_back[one.name],
            )
            for one in PIPELINES.values()
        ]  # fmt: skip
        verdict = judge(World(self.own.kafka, self.own.redis, ROOT / "models", PARTITIONS), told)
        verdict.findings += self.findings
        return verdict
