"""A run as it answers outside: the parts put together, in the supervisor's process, away from whatever scores."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from app.features.asof import AsOf
from app.pipeline import Pipeline
from app.settings import Settings
from app.telemetry.exposition import Exposition
from app.telemetry.fleet import Fleet
from app.telemetry.health import Check, Seen, alive, ready
from app.telemetry.masking import mask
from app.telemetry.server import Page, Server, json_page
from app.telemetry.watch import Question, ask_kafka, ask_redis

log = logging.getLogger(__name__)

METRICS = "text/plain; version=0.0.4; charset=utf-8"
LOOK_S = 1.0  # between two looks at whether a verdict has changed
MARGIN_S = 30.0


class Outside:
    """Serves /metrics, /healthz and /readyz for as long as it is open, if the settings want it to.

    `waits` is what the run waits for before its workers are started; `turned` gives when the supervisor's loop last
    turned, once there is one.
    """

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self.waits = ""
        self.turned: Callable[[], float] = time.monotonic
        self.fleet = Fleet()
        self._pipeline = pipeline
        self._stuck_s = 2 * settings.commit_deadline_s + MARGIN_S  # the committer's watchdog ends it before
        self._kafka = Question("Kafka", ask_kafka(settings, pipeline))
        self._redis = Question("Redis", ask_redis(settings), patience_s=settings.redis_timeout_s)
        self._exposition = Exposition(pipeline.name, self.fleet)
        self._ended = threading.Event()
        pages = {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}
        self._server = Server(settings.observe, pages) if settings.observe != "off" else None

    @property
    def url(self) -> str | None:
        """Where it answers; None where it does not."""
        return self._server.url if self._server is not None else None

    def hear(self, event: Mapping[str, Any]) -> None:
        """What the supervisor tells."""
        self.fleet.hear(event)

    def __enter__(self) -> Self:
        if self._server is not None:
            self._kafka.start()
            self._redis.start()
            self._server.start()
            threading.Thread(target=self._tell_changes, name="readiness", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._kafka.stop()
        self._redis.stop()
        if self._server is not None:
            self._server.stop()

    def seen(self) -> Seen:
        """The run now."""
        return Seen(
            self._pipeline.name,
            self._pipeline.source.name,
            self.waits,
            self.fleet.members,
            self._kafka.answer,
            self._redis.answer,
            turned_s=time.monotonic() - self.turned(),
            others=sorted({lookup.of.name for lookup in self._pipeline.lookups if isinstance(lookup, AsOf)}),
            stuck_s=self._stuck_s,
        )

    # -- pages ---------------------------------------------------------------------------------------------------------

    def _metrics(self) -> Page:
        seen = self.seen()
        is_ready = all(check.ok for check in ready(seen))
        return Page(self._exposition.text(ready=is_ready, kafka=seen.kafka, redis=seen.redis), METRICS)

    def _healthz(self) -> Page:
        return _page("alive", alive(self.seen()))

    def _readyz(self) -> Page:
        return _page("ready", ready(self.seen()))

    def _tell_changes(self) -> None:
        """A line where readiness has changed and stayed so for two looks."""
        told, before = None, None
        while not self._ended.wait(LOOK_S):
            wrong = [check for check in ready(self.seen()) if not check.ok]
            names = tuple(check.name for check in wrong)
            if names == before and names != told:
                if not names:
                    log.info("%s is ready.", self._pipeline.name, extra={"event": "ready"})
                elif told is not None:  # at a start nobody expects it to be
                    why = " ".join(check.sentence for check in wrong)
                    log.warning("%s is not ready. %s", self._pipeline.name, why, extra={"event": "not-ready"})
                if not names or told is not None:
                    told = names
            before = names


def _page(word: str, checks: list[Check]) -> Page:
    well = all(check.ok for check in checks)
    told = {word: well, "checks": {check.name: mask(check.sentence) or "ok" for check in checks}}
    return json_page(told, 200 if well else 503)
