"""All that the monitor has counted, put together from the pipelines' declarations. Knows no Faust and no page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from app.monitor.arrivals import Arrivals
from app.monitor.cells import Changes as Written
from app.monitor.changes import Changes
from app.monitor.counts import Answers, DeadLetters, Reader
from app.monitor.hits import Hits
from app.monitor.lags import Lags
from app.monitor.quality import Outcomes, Predictions, Quality
from app.monitor.rules import Alerts
from app.monitor.watched import Watched, watched
from app.pipeline import Pipeline
from app.record import Record
from app.replay.lag import PipelineLag
from app.settings import Settings

STILL_S = 2.0


class Taker(Protocol):
    """Whatever writes entries of its own, and takes them up again."""

    def changes(self) -> Written: ...
    def restore(self, key: str, value: bytes) -> bool: ...


class State:
    """What is read, by topic; what is counted, by pipeline."""

    def __init__(self, settings: Settings, pipelines: Iterable[Pipeline], told: Callable[[PipelineLag], str]) -> None:
        self.settings = settings
        self.watched = {pipeline.name: watched(pipeline, settings.models) for pipeline in pipelines}
        self.started_ms = int(time.time() * 1000)
        declared = [one.pipeline for one in self.watched.values()]
        self.arrivals = Arrivals(settings, {one.source.name for one in declared if one.answers is not None})
        self.lags = Lags(settings, declared, told)
        self.answers: dict[str, Answers] = {}
        self.dead: dict[str, DeadLetters] = {}
        self.predictions: dict[str, Predictions] = {}
        self.quality: dict[str, Quality] = {}
        self.hits: dict[str, Hits] = {}
        self.changes: dict[str, Changes] = {}
        self.alerts = Alerts()
        self.readers: dict[str, list[Reader]] = {}
        self.there: set[str] = set()  # topics that Kafka has
        self.held: set[str] = set()  # topics of outcomes, until the predictions are read
        self.restored = False
        self._moved: dict[str, float] = {}  # when a topic's records were counted last
        for one in self.watched.values():
            self._watch(one)

    def _watch(self, of: Watched) -> None:
        name = of.pipeline.name
        letters = self.dead[name] = DeadLetters(of.pipeline.dead_letters)
        self._read(letters)
        if of.kind == "fold":
            return
        answers = self.answers[name] = Answers(of, self.arrivals.of)
        self._read(answers)
        if of.kind == "score":
            predictions = self.predictions[name] = Predictions(answers.topic, self.settings.monitor_share)
            self.changes[name] = Changes()
            answers.also += [predictions.see, self.changes[name].see]
            if of.labelled is not None:
                outcomes = Outcomes(of.labelled, predictions, lambda: answers.newest_event_ms)
                answers.also.append(outcomes.meet)
                self.quality[name] = Quality(predictions, outcomes)
                self._read(outcomes)
                self.held.add(outcomes.topic)
        elif of.item is not None:
            hits = self.hits[name] = Hits(of)
            answers.also.append(hits.tell)
            self._read(hits)

    def _read(self, reader: Reader) -> None:
        self.readers.setdefault(reader.topic, []).append(reader)

    def see(self, topic: str, records: Sequence[Record]) -> None:
        """Records of one topic, in the order of each partition."""
        self._moved[topic] = time.monotonic()
        for reader in self.readers[topic]:
            reader.see(records)

    def is_still(self, topic: str) -> bool:
        """Whether nothing of the topic was counted for a while: what was fetched is counted by then."""
        return time.monotonic() - self._moved.get(topic, 0.0) > STILL_S

    def written(self) -> Written:
        """What has changed since this was asked last: key and value of each entry, None for what is no more.

        How far a partition is counted comes last: a writer that is cut off has then not said so.
        """
        readers = [reader for readers in self.readers.values() for reader in readers]
        takers: tuple[Taker, ...] = (*self.predictions.values(), self.alerts, *readers)
        for taker in takers:
            yield from taker.changes()
        for reader in readers:
            yield from reader.totals.changes()

    def counted(self) -> dict[tuple[str, int], int]:
        """What comes next of each partition: of its readers the one that is least far."""
        found = {}
        for topic, readers in self.readers.items():
            partitions = set.intersection(*({*reader.totals.of} for reader in readers))
            for partition in partitions:
                found[topic, int(partition)] = min(reader.goes_on(partition) for reader in readers)
        return found

    def restore(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Take up what was written."""
        readers = [reader for readers in self.readers.values() for reader in readers]
        takers: tuple[Taker, ...] = (*readers, *self.predictions.values(), self.alerts)
        for key, value in entries:
            name = key.decode()
            any(taker.restore(name, value) for taker in takers)  # none, where it is watched no longer
        self.restored = True

    def outcomes_of(self, topic: str) -> list[Outcomes]:
        return [reader for reader in self.readers[topic] if isinstance(reader, Outcomes)]

    def answers_for(self, outcomes: Outcomes) -> Answers:
        """Whose outcomes these are."""
        return next(self.answers[name] for name, quality in self.quality.items() if quality.outcomes is outcomes)
