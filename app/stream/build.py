"""A worker from its settings: the one place where the parts of the loop are put together."""

from __future__ import annotations

from collections.abc import Mapping

from app.features.memory import Memory
from app.features.store import Store, connect
from app.inference.model import load_model, newest_version
from app.pipeline import Pipeline
from app.settings import Settings, consumer_config, producer_config
from app.stream.committer import Committer
from app.stream.feed import Feed
from app.stream.limits import Limits
from app.stream.observe import Observer, nobody
from app.stream.processor import Processor
from app.stream.transaction import Transactions
from app.stream.worker import Worker


def build_worker(
    settings: Settings,
    pipeline: Pipeline,
    *,
    slot: str,
    ends: Mapping[int, int] | None = None,
    observe: Observer = nobody,
) -> Worker:
    """A worker that is ready to run. Raises Fatal where the model is refused, Unavailable where Redis is away."""
    model = load_model(newest_version(settings.models, pipeline.model), pipeline.features)
    store = Store(connect(settings.redis, timeout_s=settings.redis_timeout_s), pipeline.name)
    store.refuse_eviction()
    memory = Memory(pipeline, store, entities=settings.entities_in_memory, rows=settings.lookup_rows_in_memory)
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
        Processor(pipeline, model, memory),
        limits=Limits(
            batch_records=settings.batch_records,
            flush_every_s=settings.flush_every_s,
            accept_incomplete=settings.accept_incomplete,
        ),
        observe=observe,
        ends=ends,
    )
