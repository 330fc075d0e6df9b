"""Which faults, in which order, and what became of each: the seed gives the order, and nothing else does."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.broker_faults import BrokerEnded, DiskFull, LeadersMoved
from tests.faults.faults import Fault, Void
from tests.faults.group_faults import Expired, MovedBack, MovedOn, TopicRecreated
from tests.faults.load import Rates
from tests.faults.network_faults import NETWORK
from tests.faults.oracle import Finding, Verdict
from tests.faults.redis_faults import (
    AnswerLost,
    RedisEmpty,
    RedisFull,
    RedisKilled,
    RedisOld,
    RedisReplica,
    RedisStalls,
    StatesLost,
)
from tests.faults.stage import Shape, Stage, Stuck
from tests.faults.worker_faults import (
    FLUSH,
    STARTS,
    STEPS,
    Killed,
    KilledInRebalance,
    KilledInRecovery,
    KilledInStart,
    Paused,
    Rolling,
    Scaled,
)

Make = Callable[[], Fault]
TRIES = 3
FAULTS_AN_ABORT = 10  # so many faults leave one attempt aborted at least, or the run is void
KILL, END = signal.SIGKILL, signal.SIGTERM

WORKER_KILLS: tuple[Make, ...] = (
    *(lambda step=step: Killed(step) for step in (*STEPS, *FLUSH)),
    *(lambda step=step: KilledInStart(step) for step in STARTS),
)
WORKER_OTHERS: tuple[Make, ...] = (
    lambda: Paused("loaded", "session"),
    lambda: Paused("flushing", "session"),
    lambda: Paused("offsets-sent", "transaction's time-out"),
    KilledInRebalance,
    KilledInRecovery,
    Rolling,
    Scaled,
)
BROKERS: tuple[Make, ...] = (
    *(lambda part=part: BrokerEnded(part, KILL) for part in ("leader", "group", "transactions")),
    *(lambda part=part: BrokerEnded(part, END) for part in ("leader", "group", "transactions")),
    LeadersMoved,
    DiskFull,
)
REDIS: tuple[Make, ...] = (
    RedisKilled,
    RedisEmpty,
    RedisOld,
    RedisReplica,
    lambda: StatesLost(blobs=False),
    lambda: StatesLost(blobs=True),
    RedisStalls,
    RedisFull,
    AnswerLost,
)
BY_HAND: tuple[Make, ...] = (MovedBack, Expired, MovedOn)
ALL = (*WORKER_KILLS, *WORKER_OTHERS, *BROKERS, *NETWORK, *REDIS, *BY_HAND)


@dataclass(frozen=True)
class Profile:
    """`order` draws the faults. `last` are dealt when all is judged, to a stage that is not needed any more."""

    name: str
    shape: Shape
    order: Callable[[random.Random], Iterator[Make]]
    last: tuple[Make, ...] = ()
    within_s: float = float("inf")  # after which nothing more is dealt, however slow the machine is


def quick_order(draw: random.Random) -> Iterator[Make]:
    """One of each room, and of the workers some more; first one that surely leaves answers aborted."""
    some: list[Make] = draw.sample(WORKER_KILLS[: len(STEPS)], 3)
    some += [draw.choice(WORKER_KILLS[len(STEPS) :]), lambda: Paused("offsets-sent", "transaction's time-out")]
    part, blobs = draw.choice(("leader", "group", "transactions")), draw.random() < 0.5
    some += [lambda: BrokerEnded(part, KILL), lambda: StatesLost(blobs=blobs), draw.choice(NETWORK)]
    some += [draw.choice((RedisKilled, RedisEmpty, RedisOld)), draw.choice((RedisStalls, RedisFull, AnswerLost))]
    draw.shuffle(some)
    yield from (lambda: Killed("offsets-sent", {"fraud": 1.0}), *some)


def long_order(count: int) -> Callable[[random.Random], Iterator[Make]]:
    """Every kind is dealt, what takes seconds more often than what takes a minute."""

    def order(draw: random.Random) -> Iterator[Make]:
        weights = [
            (WORKER_KILLS, 8.0),
            (REDIS, 4.0),
            (NETWORK, 3.0),
            (WORKER_OTHERS[:3], 2.0),
            (BROKERS[:6], 1.0),
            (BY_HAND, 0.3),
        ]
        many = [make for group, _ in weights for make in group]
        how = [weight for group, weight in weights for _ in group]
        drawn = [*ALL, *draw.choices(many, how, k=max(0, count - len(ALL)))][:count]
        draw.shuffle(drawn)
        yield from drawn

    return order


def only(names: Sequence[str], times: int) -> Callable[[random.Random], Iterator[Make]]:
    """Those that are named, again and again: for looking into what was found."""
    kinds = {make().name: make for make in ALL}

    def order(draw: random.Random) -> Iterator[Make]:
        drawn = [kinds[name] for name in names for _ in range(times)]
        draw.shuffle(drawn)
        yield from drawn

    return order


def soak_order(seconds: float) -> Callable[[random.Random], Iterator[Make]]:
    """All kinds again and again, until the time is over."""

    def order(draw: random.Random) -> Iterator[Make]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            yield next(long_order(1)(draw)) if draw.random() < 0.1 else draw.choice((*WORKER_KILLS, *REDIS))

    return order


QUICK = Profile(
    "quick",
    Shape(
        {"fraud-labels": 1, "fraud": 2, "recommendation": 1},
        Rates(payments=90, outcomes=50, interactions=30),
        session_s=4.0,
        transaction_s=7.0,
        commit_s=5.0,
    ),
    quick_order,
    within_s=95.0,
)
THREE: Mapping[str, int] = {"fraud-labels": 3, "fraud": 3, "recommendation": 3}


def long(count: int, seconds: float) -> Profile:
    return Profile("long", Shape(THREE), long_order(count), last=(TopicRecreated,), within_s=seconds)


def soak(seconds: float) -> Profile:
    return Profile("soak", Shape(THREE), soak_order(seconds), last=(TopicRecreated,))


@dataclass(frozen=True)
class Dealt:
    """One fault and what became of it: `verdict` is ok, void, or the check that did not hold."""

    name: str
    at_s: float
    took_s: float
    in_flight: int
    recovered_s: tuple[float, ...]
    verdict: str
    words: str


@dataclass
class Outcome:
    """The whole of a run of the rig."""

    profile: str
    seed: int
    dealt: list[Dealt] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    takeovers: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.verdict.findings


Tell = Callable[[str], None]


class Dealer:
    """Deals a profile's faults to a stage that has begun, one after the other, and has it judged."""

    def __init__(self, stage: Stage, profile: Profile, tell: Tell = lambda _: None) -> None:
        self._stage, self._profile, self._tell = stage, profile, tell
        self._draw = random.Random(stage.seed)
        self._began = time.monotonic()
        self.outcome = Outcome(profile.name, stage.seed)

    def run(self) -> Outcome:
        """Never raises for what a fault brought to light: it is in the outcome's findings."""
        findings: list[Finding] = []
        try:
            for make in self._profile.order(random.Random(f"{self._stage.seed}-order")):
                if self._now() > self._profile.within_s:
                    break
                findings += self._deal_until_seen(make)
        except Stuck as stuck:
            findings.append(stuck.finding)
        self._judge(findings)
        for make in self._profile.last if self.outcome.ok else ():
            try:
                self.outcome.verdict.findings += self._deal_until_seen(make, ended=True)
            except Stuck as stuck:
                self.outcome.verdict.findings.append(stuck.finding)
        self.outcome.seconds = time.monotonic() - self._began
        return self.outcome

    def _judge(self, findings: list[Finding]) -> None:
        try:
            self._tell("all faults are dealt; what is left is answered, then judged")
            self._stage.drain()
            self.outcome.verdict = self._stage.judge()
        except (Stuck, TimeoutError) as stuck:
            findings.append(stuck.finding if isinstance(stuck, Stuck) else Finding("progress", "end", 1, str(stuck)))
            findings += self._stage.findings
        verdict = self.outcome.verdict
        verdict.findings += findings
        needed = len(self.outcome.dealt) // FAULTS_AN_ABORT
        if not verdict.findings and verdict.attempts_aborted < needed:
            words = f"{verdict.attempts_aborted} attempts were aborted, {needed} are needed"
            verdict.findings.append(Finding("void", "all", 1, words))

    def _deal_until_seen(self, make: Make, *, ended: bool = False) -> list[Finding]:
        """A fault that took no effect is dealt again; it is a finding where it never does."""
        words = ""
        for _ in range(TRIES):
            fault = make()
            try:
                self._deal(fault, ended=ended)
            except Void as void:
                words = str(void)
                self._tell(f"void  {fault.name}: {words}")
                continue
            return []
        self.outcome.dealt.append(Dealt(fault.name, self._now(), 0.0, 0, (), "void", words))
        return [Finding("void", fault.name, 1, words)]

    def _deal(self, fault: Fault, *, ended: bool) -> None:
        stage, began = self._stage, self._now()
        if not ended:
            stage.all_live()
        flight = stage.in_flight()
        self._tell(f"...   {fault.name}, with {flight:,} events in flight")
        recovered: list[float] = []
        try:
            hurt = fault.deal(stage, self._draw)
            recovered = stage.recovered(hurt, fault.bound_s)
            fault.mend(stage)
            words = fault.seen(stage)
        except Stuck as stuck:
            self._note(fault, began, flight, recovered, stuck.finding.check, str(stuck.finding)[:300])
            raise
        except TimeoutError as stuck:
            raise Stuck(Finding("progress", fault.name, 1, str(stuck))) from stuck
        self._note(fault, began, flight, recovered, "ok", words)

    def _note(self, fault: Fault, began: float, flight: int, recovered: list[float], verdict: str, words: str) -> None:
        dealt = Dealt(fault.name, began, self._now() - began, flight, tuple(recovered), verdict, words)
        self.outcome.dealt.append(dealt)
        self.outcome.takeovers += verdict == "ok" and fault.name.startswith("worker ")
        slowest = f", answers again after {max(recovered):.1f} s" if recovered else ""
        self._tell(f"{verdict:5} {fault.name}{slowest}: {words}")

    def _now(self) -> float:
        return time.monotonic() - self._began
