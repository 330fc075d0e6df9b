"""A replay that runs: its loops under their supervisors, one owner over them, and nothing done that cannot go on.

The owner may be killed at any moment: what is answered is committed with its offsets as ever, and whoever starts the
plan next goes on there. It holds a fence, so that there is one owner; it prepares, lets the loops run to the plan's
ends, and writes down how that ended.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from app.errors import Fatal, Fenced, Refused, Unavailable
from app.features.store import connected
from app.pipeline import Pipeline
from app.pipelines import pipeline_named
from app.replay.derived import derived, settings_of
from app.replay.ending import forget_state, result_of
from app.replay.fence import Membership, held, live_group_held, me
from app.replay.loops import Hear, Loop, Terms
from app.replay.plans import Kept, Owner, Plans, Result, Standing, State, Wished, now_ms
from app.replay.preparing import prepare, refuse_over
from app.replay.still import STILL_S, Still
from app.replay.watching import Watching
from app.settings import Settings
from app.stream.slot import instance as numbered

TOLD_S = 2.0  # between two standings

Ended = Literal["done", "paused", "stopped", "cancelling"]


@dataclass(frozen=True)
class Seen:
    """How a running replay stands, for those who watch. `folded` of `warmup` records came before the first answer."""

    done: int
    total: int
    folded: int
    warmup: int
    rate: float
    yielding: str
    workers: int
    deaths: int


@dataclass(frozen=True)
class Wanted:
    """How it is to be run this time; None: as planned."""

    workers: int | None = None
    rate: float | None = None
    wait_s: float = 15.0  # for an owner that was killed a moment ago


@dataclass(frozen=True)
class _Hands:
    """What a run has from outside: `stopping` may be set at any time, and `loops` is shown to who sets it."""

    wanted: Wanted
    watch: Callable[[Seen], None]
    hear: Hear
    stopping: threading.Event
    loops: list[Loop]


@dataclass(frozen=True)
class _Hold:
    """What makes this process the plan's only owner."""

    owner: Owner
    fences: list[Membership]


class Running:
    """One run of a plan by this process. `stop` may be called from a signal's handler.

    `watch` is shown how it goes, `hear` is told by each loop's group what its workers tell.
    """

    def __init__(
        self,
        settings: Settings,
        plan_id: str,
        wanted: Wanted,
        *,
        watch: Callable[[Seen], None],
        hear: Hear = lambda _group, _event: None,
    ) -> None:
        self._settings = settings
        self._plans = Plans(settings)
        self._id = plan_id
        self._hands = _Hands(wanted, watch, hear, threading.Event(), [])

    def stop(self, *_: object) -> None:
        """End in good order; a second time, end the workers at once."""
        if self._hands.stopping.is_set():
            for loop in self._hands.loops:
                loop.stop()
        self._hands.stopping.set()

    def run(self, waiting: Callable[[str], None] = lambda _: None) -> tuple[Ended, Result | None]:
        """Gives how it ended. Raises Refused where it cannot run, or failed; Fenced where another has taken over."""
        found = self._plans.find(self._id)
        refuse_over(found)

        def moves() -> bool:
            return self._plans.find(self._id).standing.at_ms != found.standing.at_ms

        wait_s = self._hands.wanted.wait_s
        with (
            held(self._settings, self._id, wait_s=wait_s, waiting=waiting, moves=moves) as fence,
            self._plans.owner(self._id) as owner,
        ):
            kept = self._plans.find(self._id)  # again: it may have been cancelled before the fence was held
            refuse_over(kept)
            pipeline = pipeline_named(kept.plan.pipeline)
            with contextlib.ExitStack() as stack:
                fences = [fence]
                if kept.plan.into_live:
                    live = live_group_held(self._settings, kept.plan.name, kept.plan.inputs.topic)
                    fences.append(stack.enter_context(live))
                pipelines = derived(kept.plan, pipeline)
                prepare(self._settings, kept, pipelines)
                run = _Run(self._settings, kept, pipelines, hands=self._hands, hold=_Hold(owner, fences))
                return run.result()


class _Run:
    """The loops of one run, and what becomes of them."""

    def __init__(
        self, settings: Settings, kept: Kept, pipelines: Mapping[str, Pipeline], *, hands: _Hands, hold: _Hold
    ) -> None:
        off = {"observe": "off", "otlp_url": None}
        self._settings = settings_of(kept.plan, settings).model_copy(update=off)
        self._plan = kept.plan
        self._kept = kept
        self._hands = hands
        self._hold = hold
        self._rate = hands.wanted.rate if hands.wanted.rate is not None else kept.plan.rate
        self._workers = hands.wanted.workers or kept.plan.workers
        self._watching = Watching(self._settings, kept.plan, pipelines)
        self._still = Still()
        self._began = time.monotonic()
        self._told_at = 0.0
        self._wish: str | None = None

    def result(self) -> tuple[Ended, Result | None]:
        """Run the loops, and write down how they ended."""
        self._tell("running")
        self._watching.start()
        try:
            with contextlib.ExitStack() as stack:
                self._start(stack)
                ended = self._until_over()
        except Fenced:
            raise
        except (Fatal, Refused) as error:
            self._tell("failed", str(error))
            raise Refused(str(error)) from error
        finally:
            self._end_loops()
            self._watching.stop()
        return self._over(ended)

    def _start(self, stack: contextlib.ExitStack) -> None:
        terms = Terms(self._settings, self._plan, self._hands.hear)
        for part in self._plan.parts:
            name = stack.enter_context(numbered(self._settings.kafka, part.group))
            workers, rate = (self._workers, self._rate) if part is self._plan.scored else (1, None)
            self._hands.loops.append(Loop(terms, part, instance=name, workers=workers, rate=rate))

    def _over(self, ended: Ended) -> tuple[Ended, Result | None]:
        if ended != "done":
            self._tell(ended)
            return ended, None
        result = result_of(self._settings, self._plan, seconds=self._seconds, turn=self._hear)
        self._refuse_other_than_one_answer_each(result)
        self._tell("done", result=result)
        # After the record: whoever finds the state gone must know why.
        with connected(self._settings, least_s=5.0) as client:
            forget_state(client, self._plan)
        return "done", result

    def _refuse_other_than_one_answer_each(self, result: Result) -> None:
        """Trusts nothing that the loops say: what is on the topics is counted against what was planned."""
        plan, found = self._plan, result.answered + result.dead_letters
        if plan.target not in plan.makes:
            return  # of a topic that was there before, retention may have taken some
        if found != plan.scored.events:
            why = (
                f"The replay {plan.id} is at its end with {result.answered:,} answers and {result.dead_letters:,} dead "
                f"letters for {plan.scored.events:,} records, so they are not to be trusted: cancel it, and plan anew."
            )
            self._tell("failed", why)
            raise Refused(why)

    def _until_over(self) -> Ended:
        """Turn until the planned end is reached, or somebody wants something else. Raises Refused where it fails."""
        while True:
            self._hear()
            if self._hands.stopping.is_set():
                return "stopped"
            if self._wish == "pause":
                return "paused"
            if self._wish == "cancel":
                return "cancelling"
            self._refuse_to_go_on()
            if self._hands.loops[0].code is not None:
                return "done"
            self._pace()
            self._tell_now_and_then()

    def _refuse_to_go_on(self) -> None:
        plan_id, loops = self._plan.id, self._hands.loops
        for loop in loops:
            if loop.failure:
                raise Refused(f"The replay {plan_id} ended: {loop.failure}")
        if self._watching.lost:
            raise Refused(
                f"{self._watching.lost} What lies before is answered whole, and nothing after: `streaminfer replay "
                f"cancel {plan_id}`, and plan what is left with --allow-gaps."
            )
        done = sum(loop.progress.records + loop.progress.folded for loop in loops)
        if self._still.is_over(done, held=bool(self._watching.yielding)):
            waits = [f"{loop.part.group} waits for {loop.waits}" for loop in loops if loop.waits]
            why = "; ".join(waits) or "its workers do not say what they wait for"
            raise Refused(
                f"The replay {plan_id} has answered and folded nothing for {STILL_S / 60:g} minutes: {why}. "
                f"`streaminfer replay resume {plan_id}` goes on where it stands."
            )

    def _hear(self) -> None:
        for fence in self._hold.fences:
            for key, value in fence.poll():
                if key == f"{self._plan.id}/wish":
                    with contextlib.suppress(ValueError):
                        self._wish = msgspec.json.decode(value, type=Wished).wish

    def _pace(self) -> None:
        """The rate is that of the answers: who folds beside them stays near them anyway (protocol C3)."""
        answers, *beside = self._hands.loops
        held = bool(self._watching.yielding)
        answers.pace(0.0 if held else self._rate)
        for loop in beside:
            loop.pace(0.0 if held else None)

    def _tell_now_and_then(self) -> None:
        seen = self._seen()
        self._hands.watch(seen)
        if time.monotonic() >= self._told_at + TOLD_S:
            with contextlib.suppress(Unavailable):  # told again in a moment
                self._tell("running", seen=seen)

    def _seen(self) -> Seen:
        plan, it = self._plan.scored, self._hands.loops[0].progress
        at = self._watching.committed.get(plan.group, {})
        spans = {p: stretch for p, stretch in plan.partitions.items() if stretch.end > stretch.start}
        done = sum(min(at.get(p, s.start), s.end) - s.start for p, s in spans.items())
        total = sum(s.end - s.start for s in spans.values())
        folded = min(it.folded, plan.warmup)
        return Seen(done, total, folded, plan.warmup, it.speed, self._watching.yielding, it.workers, it.deaths)

    def _end_loops(self) -> None:
        for loop in self._hands.loops:
            loop.stop()
        for loop in self._hands.loops:
            loop.join()

    @property
    def _seconds(self) -> float:
        return self._kept.standing.seconds + time.monotonic() - self._began

    def _tell(self, state: State, reason: str = "", *, seen: Seen | None = None, result: Result | None = None) -> None:
        self._told_at = time.monotonic()
        standing = Standing(state, now_ms(), me(), reason, round(self._seconds, 3))
        if seen is not None:
            standing = msgspec.structs.replace(
                standing, rate=round(seen.rate, 1), yielding=seen.yielding, folded=seen.folded
            )
        self._hold.owner.tell(standing, result)
