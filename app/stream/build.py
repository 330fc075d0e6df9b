"""A worker from its settings: the one place where the parts of the loop are put together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from app.features.asof import AsOf, AsOfReader
from app.features.memory import Memory
from app.features.outcomes import Outcomes
from app.features.pace import Pace
from app.features.reader import Reader
from app.features.recorded import Recorded, RecordedReader
from app.features.store import Store, connected
from app.features.tables import reader_of
from app.inference.load import load
from app.inference.serving import serving
from app.pipeline import Pipeline
from app.settings import Settings, consumer_config, producer_config
from app.stream.committer import Committer
from app.stream.feed import Feed
from app.stream.guard import Guard
from app.stream.limits import Limits
from app.stream.measures import Meter
from app.stream.observe import Observer, nobody
from app.stream.processor import Processor
from app.stream.pulse import Note, Pulse
from app.stream.quota import Quota
from app.stream.suspects import Verdict
from app.stream.throttle import Throttle
from app.stream.transaction import Transactions
from app.stream.worker import Worker

DAY_MS = 86_400_000


def keeping(pipeline: Pipeline, settings: Settings) -> Pipeline:
    """The pipeline with views that keep what readers behind them need: their own horizon and `pace_days` more."""
    keep_ms = None if math.isinf(settings.pace_days) else int(settings.pace_days * DAY_MS)
    kept = [replace(view, keep_ms=keep_ms) if isinstance(view, Outcomes) else view for view in pipeline.views]
    return replace(pipeline, views=tuple(kept))


def build_memory(settings: Settings, pipeline: Pipeline, store: Store) -> Memory:
    """What a worker remembers, empty."""
    readers: list[Reader] = []
    for lookup in pipeline.lookups:
        if isinstance(lookup, AsOf):
            rows = settings.lookup_rows_in_memory
            readers.append(AsOfReader(lookup, store, behind=settings.behind, wait_s=settings.wait_s, rows=rows))
        elif isinstance(lookup, Recorded):
            readers.append(RecordedReader(lookup))
        else:
            readers.append(reader_of(lookup, store, most=settings.lookup_rows_in_memory))
    pace = None
    if pipeline.fold_only and not math.isinf(settings.pace_days):
        pace = Pace(store, [view.name for view in pipeline.views], int(settings.pace_days * DAY_MS))
    return Memory(pipeline, store, readers=readers, pace=pace, entities=settings.entities_in_memory)


def build_worker(
    settings: Settings,
    pipeline: Pipeline,
    *,
    slot: str,
    ends: Mapping[int, int] | None = None,
    pulse: Pulse | None = None,
    verdict: Verdict | None = None,
    observe: Observer = nobody,
    fold_from: Mapping[int, int] | None = None,
    throttle: Throttle | None = None,
) -> Worker:
    """A worker that is ready to run; without a `pulse` nothing ends it where it hangs.

    Raises Fatal where the model is refused, Unavailable where Redis is away.
    """
    pipeline = keeping(pipeline, settings)
    model = None
    if pipeline.model is not None:
        model = load(serving(pipeline, settings.models, settings.versions), pipeline.features)
    store = Store(connected(settings), pipeline.name)
    store.refuse_eviction()
    memory = build_memory(settings, pipeline, store)
    meter = Meter(pipeline.dead_letters, observe) if settings.observe != "off" or settings.otlp_url else None
    observe = meter or observe
    transactions = Transactions(
        producer_config(settings, slot=slot, max_record_bytes=pipeline.max_record_bytes),
        slot=slot,
        topic=pipeline.source.name,
        deadline_s=settings.commit_deadline_s,
        observe=observe,
    )
    config = consumer_config(settings, group=pipeline.name, slot=slot)
    return Worker(
        lambda worker: Feed(config, pipeline.source.name, worker),
        # Half a minute beyond its own deadline, a call hangs: librdkafka can ignore a time-out.
        Committer(transactions, limit_s=2 * settings.commit_deadline_s),
        Guard(
            Processor(pipeline, model, memory),
            pulse=pulse or Pulse(Note()),
            quota=Quota(settings.dead_letter_limit, accepted=settings.accept_dead_letters),
            verdict=verdict,
        ),
        limits=Limits(
            batch_records=settings.batch_records,
            # Readers of a view wait for its watermark, which is written by the flush.
            flush_every_s=min(0.1, settings.flush_every_s) if pipeline.fold_only else settings.flush_every_s,
            dirty_entities=settings.dirty_entities,
            accept_incomplete=settings.accept_incomplete,
            leave_at_end=bool(settings.leave_at_end),
        ),
        observe=observe,
        meter=meter,
        ends=ends,
        fold_from=fold_from,
        throttle=throttle,
    )
