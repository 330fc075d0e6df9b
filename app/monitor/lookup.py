"""One prediction in full, by its id or its event's: what is kept says where it lies, for others the log is searched.

The search goes over the newest SEARCHED records of each partition at most, and for SEARCH_S: an id that is not found
was not looked for any further, and the answer says so.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from confluent_kafka import Message

from app.errors import Refused
from app.features.asof import AsOf
from app.monitor.seen import FeatureSeen, HeldSeen, PredictionSeen
from app.monitor.state import State
from app.monitor.watched import Watched
from app.record import headers_of
from app.replay.log import Log, Span

SEARCHED = 50_000
SEARCH_S = 10.0
PATIENCE_S = 5.0
GROUP = "streaminfer-monitor-lookup"


def prediction(state: State, pipeline: str, wanted: str) -> PredictionSeen:
    """Raises Refused with a sentence where there is none, Unavailable where Kafka does not answer."""
    of = state.watched.get(pipeline)
    if of is None or of.pipeline.answers is None:
        names = ", ".join(state.answers)
        raise Refused(f"There is no pipeline of that name that answers anything; there is {names}.")
    topic = of.pipeline.answers.name
    kept = state.predictions[pipeline].kept.of.get(wanted) if pipeline in state.predictions else None
    with contextlib.closing(Log(state.settings, GROUP, patience_s=PATIENCE_S)) as log:
        partitions = log.partitions(topic)
        ends = log.ends(topic, partitions, settled=True)
        if kept is not None:
            spans = {kept.partition: Span(kept.offset, kept.offset + 1)}
        else:
            starts = log.starts(topic, partitions)
            spans = {p: Span(max(starts[p], ends[p] - SEARCHED), ends[p]) for p in partitions}
        found = _search(log, topic, spans, wanted)
    if found is None:
        raise Refused(
            f"There is no such prediction among those that wait for their outcomes, nor among the newest {SEARCHED:,} "
            f"of each partition of {topic}. `streaminfer tail {topic} --from beginning --until-end` shows all."
        )
    return _seen(state, of, *found)


def _search(log: Log, topic: str, spans: dict[int, Span], wanted: str) -> tuple[Message, dict[str, Any]] | None:
    """The first one whose id or event id it is. A record that is no prediction is none."""
    quick = wanted.encode("utf-8", "surrogatepass")
    plain = wanted.isascii() and wanted.isprintable() and not set(wanted) & set('"\\/')
    deadline = time.monotonic() + SEARCH_S
    for messages in log.scan(topic, {p: span for p, span in spans.items() if len(span)}):
        for message in messages:
            value: Any = message.value()
            if plain and quick not in (value or b""):
                continue
            with contextlib.suppress(ValueError, RecursionError):
                said = msgspec.json.decode(value or b"")
                if isinstance(said, dict) and wanted in (said.get("id"), said.get("event_id")):
                    return message, said
        if time.monotonic() > deadline:
            return None
    return None


def _seen(state: State, of: Watched, message: Message, said: dict[str, Any]) -> PredictionSeen:
    key: Any = message.key()
    model = said.get("model")
    ref = f"{model.get('name')}@{model.get('version')}" if isinstance(model, dict) else ""
    marks = said.get("marks")
    return PredictionSeen(
        pipeline=of.pipeline.name,
        id=str(said.get("id")),
        event_id=str(said.get("event_id")),
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        appended_ms=message.timestamp()[1],
        key=key.decode("utf-8", "replace") if key is not None else None,
        headers={name: (value or b"").decode("utf-8", "replace") for name, value in headers_of(message) or ()},
        model=ref,
        marks=[str(mark) for mark in marks] if isinstance(marks, list) else [],
        held=_held(of, said),
        value=said,
        outcome=_outcome(state, of, said),
    )


def _outcome(state: State, of: Watched, said: Mapping[str, Any]) -> Literal["positive", "negative"] | None:
    quality = state.quality.get(of.pipeline.name)
    known = quality.outcomes.known.of.get(str(said.get("event_id"))) if quality is not None else None
    return None if known is None else "positive" if known.positive else "negative"


def _held(of: Watched, said: Mapping[str, Any]) -> list[HeldSeen]:
    """The features by where they come from, with the entity that they are of."""
    pipeline, features = of.pipeline, said.get("features")
    if not isinstance(features, dict):
        return []
    known = of.reference.features if of.reference is not None else {}

    def told(columns: tuple[str, ...]) -> list[FeatureSeen]:
        return [
            FeatureSeen(name=name, value=features[name], reference_mean=known[name].mean if name in known else None)
            for name in columns
            if isinstance(features.get(name), (int, float))
        ]

    key = said.get(pipeline.source.key)
    held = []
    if pipeline.event is not None:
        held.append(HeldSeen(name="event", kind="event", entity=None, features=told(pipeline.event.columns)))
    for view in pipeline.views:
        entity = str(key) if key is not None else None
        held.append(HeldSeen(name=view.name, kind="view", entity=entity, features=told(view.columns)))
    for lookup in pipeline.lookups:
        told_key = said.get(lookup.key)
        entity = str(told_key) if told_key is not None else None
        name = f"{lookup.name} of {lookup.of.name}" if isinstance(lookup, AsOf) else lookup.name
        held.append(HeldSeen(name=name, kind="lookup", entity=entity, features=told(lookup.columns)))
    return held
