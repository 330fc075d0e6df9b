"""Faults of the network between workers and brokers, by the proxy that every byte passes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from tests.faults.faults import MET_S, Fault, Void, victim
from tests.faults.held import Held
from tests.faults.proxy import FINE, Weather
from tests.faults.runs import now_ms
from tests.faults.seen import wait_until
from tests.faults.servers import pause
from tests.faults.stage import Hurt, Stage
from tests.faults.wire import Api

SCORING = {"fraud": 3.0, "recommendation": 1.0}
EVEN = {"fraud": 3.0, "fraud-labels": 1.0, "recommendation": 1.0}
LATE_S = 60.0  # until the transaction comes that a held request is delivered into

SLOW = Weather(latency_s=0.15)
NARROW = Weather(bytes_per_s=40_000)
UNHEARD = Weather(loses_replies=True)
HALF_OPEN = Weather(half_open=True)


class Rough(Fault):
    """A worker's connections are like this until it answers again, or for longer than its transaction may last.

    `outlasts`: it cannot answer meanwhile, so the harm is ended by the clock.
    """

    def __init__(self, name: str, weather: Weather, counted: str = "", *, outlasts: bool = False) -> None:
        self.name = f"network {name}"
        self._weather, self._counted, self._outlasts = weather, counted, outlasts
        self._slot = ""

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        run, worker = victim(stage, draw, pipelines=EVEN)
        self._slot, self._before = worker.slot, stage.proxy.counts[self._counted]
        at_ms = now_ms()
        stage.proxy.weather = replace(self._weather, client=worker.slot)
        if self._outlasts:
            pause(stage.shape.commit_s + 2.0)
            stage.proxy.weather = FINE
        return Hurt(at_ms, {run.pipeline: worker.live})

    def mend(self, stage: Stage) -> None:
        stage.proxy.weather = FINE

    def seen(self, stage: Stage) -> str:
        harmed = stage.proxy.counts[self._counted] - self._before
        if self._counted and not harmed:
            raise Void(f"nothing of {self._slot} came by meanwhile")
        return f"{self._slot} went on" + (f"; {self._counted}: {harmed}" if self._counted else "")


class Reset(Fault):
    """Every connection of a worker breaks at once."""

    name = "network reset"

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        run, worker = victim(stage, draw, pipelines=EVEN)
        self._slot, self._before = worker.slot, stage.proxy.counts["reset"]
        at_ms = now_ms()
        stage.proxy.reset(worker.slot)
        return Hurt(at_ms, {run.pipeline: worker.live})

    def seen(self, stage: Stage) -> str:
        broken = stage.proxy.counts["reset"] - self._before
        if not broken:
            raise Void(f"{self._slot} had no connection")
        return f"{broken} connections of {self._slot} broke"


class DeliveredLate(Fault):
    """A request of a transaction is held back, sent again by its client, and delivered two transactions later."""

    def __init__(self, api: Api, *, drop: bool) -> None:
        self.name = f"{api.name.replace('_', '').lower()} late, connection {'dropped' if drop else 'kept'}"
        self._api, self._drop = api, drop
        self._held: Held

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        run, worker = victim(stage, draw, pipelines=SCORING)
        self._slot = worker.slot
        at_ms = now_ms()
        nth = draw.randrange(1, 4)
        self._held = stage.proxy.hold(self._api, client=worker.slot, nth=nth, drop=self._drop, after=1)
        if not self._held.arrived.wait(MET_S):
            stage.proxy.held.remove(self._held)
            raise Void(f"{worker.slot} sent no such request")
        return Hurt(at_ms, {run.pipeline: worker.live})

    def mend(self, stage: Stage) -> None:
        wait_until(lambda: self._held.error is not None, LATE_S)
        stage.proxy.held.remove(self._held)

    def seen(self, stage: Stage) -> str:  # noqa: ARG002 - others look at it
        if self._held.error is None:
            raise Void(f"no later transaction of the same producer of {self._slot} came")
        return f"{self._slot}'s was delivered two transactions later; the broker answered {self._held.error}"


NETWORK: tuple[Callable[[], Fault], ...] = (
    lambda: Rough("slow", SLOW),
    lambda: Rough("throttled", NARROW),
    lambda: Rough("replies lost", UNHEARD, "reply lost", outlasts=True),
    lambda: Rough("half-open", HALF_OPEN, "request swallowed", outlasts=True),
    Reset,
    *(
        lambda api=api, drop=drop: DeliveredLate(api, drop=drop)
        for api in (Api.END_TXN, Api.TXN_OFFSET_COMMIT)
        for drop in (False, True)
    ),
)
