"""The lag of each pipeline and who owns its partitions, measured every two seconds on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from app.errors import Refused, Unavailable
from app.monitor.seen import LagSeen, PartitionSeen
from app.pipeline import Pipeline
from app.replay.lag import PipelineLag, lag_of
from app.settings import Settings

EVERY_S = 2.0
PATIENCE_S = 5.0
COUNT_S = 1.0
UNKNOWN = LagSeen(
    measured_ms=None,
    said="Not measured yet.",
    lag=None,
    exact=False,
    seconds_behind_event=None,
    seconds_behind_append=None,
    rebalancing=False,
    partitions=[],
)


class Lags:
    """What was measured last; `told` says in words how far a pipeline is behind. Ends with the process."""

    def __init__(self, settings: Settings, pipelines: Iterable[Pipeline], told: Callable[[PipelineLag], str]) -> None:
        self._settings = settings
        self._pipelines = tuple(pipelines)
        self._told = told
        self._stop = threading.Event()
        self.of = {pipeline.name: UNKNOWN for pipeline in self._pipelines}
        self.away = ""

    def start(self) -> None:
        threading.Thread(target=self._measure, name="lags", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _measure(self) -> None:
        while not self._stop.is_set():
            away = ""
            for pipeline in self._pipelines:
                try:
                    self.of[pipeline.name] = self._seen(
                        lag_of(self._settings, pipeline, patience_s=PATIENCE_S, count_s=COUNT_S)
                    )
                except Unavailable as error:
                    away = str(error)
                    self.of[pipeline.name] = self.of[pipeline.name].model_copy(update={"said": str(error)})
                except Refused as error:
                    self.of[pipeline.name] = UNKNOWN.model_copy(update={"said": str(error)})
            self.away = away
            self._stop.wait(EVERY_S)

    def _seen(self, lag: PipelineLag) -> LagSeen:
        return LagSeen(
            measured_ms=int(time.time() * 1000),
            said=self._told(lag),
            lag=lag.lag,
            exact=lag.exact,
            seconds_behind_event=lag.seconds_behind_event,
            seconds_behind_append=lag.seconds_behind_append,
            rebalancing=lag.rebalancing,
            partitions=[
                PartitionSeen(
                    partition=one.partition,
                    committed=one.committed,
                    end=one.end,
                    lag=one.lag,
                    exact=one.exact,
                    seconds_behind_event=one.seconds_behind_event,
                    seconds_behind_append=one.seconds_behind_append,
                    owner=one.owner.client_id if one.owner is not None else None,
                    host=one.owner.host if one.owner is not None else None,
                    held=one.held,
                    held_seconds=one.held_seconds,
                )
                for one in lag.partitions
            ],
        )
