"""One entity as Redis has it: a view's folded state, or a lookup's row. For people; the loop reads in batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import redis
from confluent_kafka import murmur2

from app.errors import Refused
from app.features.lookups import Keyed, Lookup, Written
from app.features.marker import decode_marker
from app.features.store import PREFIX, Store, unavailable
from app.features.views import View
from app.pipeline import Pipeline


@dataclass(frozen=True)
class Folded:
    """An entity's state in a view; `next_offset` is the first offset of its partition that is not in the marker."""

    partition: int
    build: str
    next_offset: int
    state: dict[str, object]


@dataclass(frozen=True)
class Row:
    """An entity's row in a lookup; `build` is the load that serves, `written_ms` when the row says it was written."""

    build: str | None
    values: dict[str, float | None]
    written_ms: int | None = None


def declared(pipelines: Mapping[str, Pipeline], name: str) -> tuple[Pipeline, View | Written]:
    """The view or lookup of that name, and its pipeline. Raises Refused with the names that there are."""
    known: dict[str, tuple[Pipeline, View | Written]] = {}
    for pipeline in pipelines.values():
        known |= {view.name: (pipeline, view) for view in pipeline.views}
        known |= {lookup.name: (pipeline, lookup) for lookup in pipeline.lookups if isinstance(lookup, Written)}
    try:
        return known[name]
    except KeyError:
        raise Refused(f"There is no view {name!r}; there is {', '.join(known)}.", exit_code=2) from None


def folded(store: Store, view: View, entity: str, *, digest: str, partitions: int) -> Folded | None:
    """The entity's state as of its partition's marker, None where it has none.

    `digest` is the view's in its pipeline, `partitions` how many the pipeline's topic has.

    Raises Refused where nothing of its partition is folded, Unavailable where Redis does not answer.
    """
    key = entity.encode()
    partition = murmur2(key, partitions)
    marker = store.markers(view.name, [partition], digest)[0]
    while marker is not None and marker.digest == digest:
        blob_key = store.blob_key(view.name, partition, marker.build).encode() + key
        now, blob = store.mget([store.marker_key(view.name, partition, digest), blob_key])
        then, marker = marker, decode_marker(now) if now is not None else None
        if marker is None or not marker.same_state(then):
            continue  # another build has taken its place since
        if blob is None:
            return None
        state = view.describe(view.unpack(blob[PREFIX.size :]))
        return Folded(partition, marker.build, marker.next, state)
    raise Refused(
        f"Nothing of partition {partition}, where that entity belongs, is folded into {view.name} as it is declared "
        f"now: run {store.pipeline} first (`streaminfer run`)."
    )


def row(client: redis.Redis, lookup: Written, entity: str) -> Row | None:
    """The entity's row, None where it has none; a value that cannot be used is None.

    Raises Refused where nothing was loaded, Unavailable where Redis does not answer.
    """
    try:
        if isinstance(lookup, Keyed):
            return _keyed(client, lookup, entity)
        assert isinstance(lookup, Lookup)
        return _loaded(client, lookup, entity)
    except redis.RedisError as error:
        raise unavailable(error) from error


def _loaded(client: redis.Redis, lookup: Lookup, entity: str) -> Row | None:
    while (build := cast("bytes | None", client.get(lookup.pointer))) is not None:
        name = build.decode()
        blob, now = cast("list[bytes | None]", client.mget([lookup.row_key(name, entity), lookup.pointer]))
        if now == build:
            values = lookup.unpack(blob) if blob is not None else None
            return Row(name, dict(zip(lookup.columns, values, strict=True))) if values is not None else None
    raise Refused(
        f"Nothing is loaded into {lookup.name}: `streaminfer features load {lookup.name} --file rows.csv` does it."
    )


def _keyed(client: redis.Redis, lookup: Keyed, entity: str) -> Row | None:
    store = Store(client, lookup.name)
    ((found,),) = store.read([lookup.ask([entity])])
    stored = lookup.parse(found)
    if stored.values is None:
        return None
    return Row(None, dict(zip(lookup.columns, stored.values, strict=True)), stored.written_ms)
