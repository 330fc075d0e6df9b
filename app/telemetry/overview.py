"""Everything at one glance: what answers, what is there, and how each pipeline stands.

Asked of all at once and bounded in each part, so that the whole takes a few seconds, whatever is away. What cannot be
found out is said in the place where it would stand.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message

from app.errors import StreamInferError
from app.features.store import Store, connected
from app.inference.manifest import read_manifest
from app.inference.serving import serving
from app.pipeline import Pipeline
from app.record import headers_of
from app.replay.lag import PipelineLag, lag_of
from app.replay.letters import is_of
from app.replay.log import Log, Span
from app.settings import Settings
from app.stream.build import keeping
from app.stream.topics import Topics
from app.telemetry.ask import Verdict, ask
from app.telemetry.masking import mask
from app.telemetry.place import runs
from app.telemetry.watch import ask_redis

PATIENCE_S = 4.0
COUNT_S = 1.0  # of reading what is not scored; the rest is counted by offsets
LATE_S = 3600.0  # dead letters of the last hour
LETTERS = 1000  # offsets of a partition's end that are read for them
AT_ONCE = 8


@dataclass(frozen=True)
class Service:
    """Kafka or Redis. `why` is a sentence where it does not answer."""

    address: str
    why: str = ""

    @property
    def answers(self) -> bool:
        return not self.why


@dataclass(frozen=True)
class State:
    """A view's state in Redis: of how many partitions there is one of the present declaration."""

    view: str
    partitions: int
    of: int


@dataclass(frozen=True)
class Letters:
    """Dead letters of the last hour by stage/code; `more` says that older ones of it were not read."""

    by_code: dict[str, int]
    more: bool

    @property
    def count(self) -> int:
        return sum(self.by_code.values())


@dataclass
class PipelineSeen:
    """One pipeline. What is None could not be found out, or is not there; `unknown` says why in sentences."""

    name: str
    runs_here: list[Verdict] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    lag: PipelineLag | None = None
    letters: Letters | None = None
    model: str | None = None
    states: list[State] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def workers(self) -> list[str]:
        """Those that own a partition, wherever they run."""
        owners = self.lag.partitions if self.lag is not None else ()
        return sorted({partition.owner.client_id for partition in owners if partition.owner is not None})


@dataclass(frozen=True)
class Overview:
    """The whole. `topics` are those that are there, with their partitions."""

    kafka: Service
    redis: Service
    topics: dict[str, int]
    missing: list[str]
    pipelines: list[PipelineSeen]


def overview(settings: Settings, pipelines: Sequence[Pipeline]) -> Overview:
    """Looks at everything. Raises Refused where a setting is wrong, and nothing where something is away."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        there = pool.submit(_tried, lambda: Topics(settings, patience_s=PATIENCE_S).there())
        pinged = pool.submit(_tried, ask_redis(settings))
        topics, kafka_why = there.result()
        _, redis_why = pinged.result()
        kafka = Service(mask(settings.kafka), kafka_why)
        redis = Service(mask(settings.redis), redis_why)
        look = _Look(settings, topics or {}, kafka=kafka, redis=redis)
        seen = list(pool.map(look.at, pipelines))
    missing = list(dict.fromkeys(name for one in seen for name in one.missing))
    return Overview(kafka, redis, topics or {}, missing, seen)


@dataclass(frozen=True)
class _Look:
    settings: Settings
    topics: dict[str, int]
    kafka: Service
    redis: Service

    def at(self, pipeline: Pipeline) -> PipelineSeen:
        """Each part by itself: one that fails hides no other."""
        seen = PipelineSeen(pipeline.name)
        seen.runs_here = [ask(run) for run in runs(self.settings.kafka, pipeline.name)]
        if pipeline.model is not None:
            seen.model = self._part(seen, lambda: self._model(pipeline))
        if self.redis.answers:
            seen.states = self._part(seen, lambda: self._states(pipeline)) or []
        if self.kafka.answers:
            seen.missing = [spec.name for spec in pipeline.topics() if spec.name not in self.topics]
            if pipeline.source.name in self.topics:
                seen.lag = self._part(
                    seen, lambda: lag_of(self.settings, pipeline, patience_s=PATIENCE_S, count_s=COUNT_S)
                )
            if pipeline.dead_letters in self.topics:
                seen.letters = self._part(seen, lambda: self._letters(pipeline))
        return seen

    def _part(self, seen: PipelineSeen, find: Callable[[], Any]) -> Any:
        found, why = _tried(find)
        if why:
            seen.unknown.append(why)
        return found

    def _model(self, pipeline: Pipeline) -> str:
        return read_manifest(serving(pipeline, self.settings.models, self.settings.versions)).ref

    def _states(self, pipeline: Pipeline) -> list[State]:
        width = self.topics.get(pipeline.source.name, pipeline.partitions)
        client = connected(self.settings)
        with contextlib.closing(client):
            store = Store(client, pipeline.name)
            kept, states = keeping(pipeline, self.settings), []
            for view in kept.views:
                there = store.markers(view.name, range(width), kept.digest(view))
                states.append(State(view.name, sum(marker is not None for marker in there), width))
        return states

    def _letters(self, pipeline: Pipeline) -> Letters:
        topic = pipeline.dead_letters
        by_code: Counter[str] = Counter()
        with contextlib.closing(Log(self.settings, pipeline.name, patience_s=PATIENCE_S)) as log:
            partitions = list(range(self.topics[topic]))
            since = log.since(topic, partitions, int((time.time() - LATE_S) * 1000))
            ends = log.ends(topic, partitions, settled=True)
            first = {p: since[p] for p in partitions}
            whole = {p: Span(ends[p] if at is None else at, ends[p]) for p, at in first.items()}
            spans = {p: Span(max(span.start, span.end - LETTERS), span.end) for p, span in whole.items()}
            if any(map(len, spans.values())):
                for records in log.scan(topic, spans):
                    mine = (record for record in records if is_of(pipeline, headers_of(record)))
                    by_code.update(map(_code, mine))
        return Letters(dict(by_code.most_common()), any(len(whole[p]) > LETTERS for p in partitions))


def _code(letter: Message) -> str:
    """What was wrong, by the last headers of these names: a record's own come before ours."""
    told = {name: value for name, value in headers_of(letter) or () if name in ("stage", "code") and value}
    return f"{told.get('stage', b'?').decode(errors='replace')}/{told.get('code', b'?').decode(errors='replace')}"


def _tried(find: Callable[[], Any]) -> tuple[Any, str]:
    try:
        return find(), ""
    except StreamInferError as error:
        return None, mask(str(error))
