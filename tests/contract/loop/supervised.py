"""A rig's pipeline under the product's own supervisor."""

from __future__ import annotations

import sys
from collections.abc import Callable

from app.stream.supervisor import Event, Supervisor
from tests.contract.loop.rig import Rig


class Run:
    """A supervisor over a deadly pipeline, to the end of what is there."""

    def __init__(self, rig: Rig, *, workers: int = 1, hang_at: str | None = None) -> None:
        self.events: list[Event] = []
        self.on: dict[str, Callable[[Event], object]] = {}
        self._supervisor = Supervisor(
            rig.settings,
            rig.pipeline.name,
            instance="deadly",
            workers=workers,
            ends=rig.ends(),
            tell=self._hear,
            command=(sys.executable, "-m", "tests.contract.loop.deadly", rig.tag, *filter(None, [hang_at])),
        )
        self.code = -1

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        if (hear := self.on.get(event["event"])) is not None:
            hear(event)

    def run(self) -> Run:
        self.code = self._supervisor.run()
        return self

    def finish(self) -> Run:
        self.run()
        assert self.code == 0, self.failure
        return self

    def stop(self) -> None:
        self._supervisor.stop()

    @property
    def failure(self) -> str:
        return self._supervisor.failure or ""

    @property
    def starts(self) -> int:
        return sum(event["event"] == "worker" for event in self.events)

    @property
    def deaths(self) -> list[int]:
        return [event["code"] for event in self.events if event["event"] == "ended" and event["code"] != 0]
