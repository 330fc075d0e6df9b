"""A pipeline, declared: what is read, what is remembered, what the model sees, what is answered.

A declaration holds no connection and no state. It is checked whole when it is made, so that a mistake is one
sentence at start and not a dead letter at night.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.errors import Refused
from app.features.lookups import Lookup
from app.features.views import View
from schemas.topics import TopicContract

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")

# What the loop itself puts into an answer. Every other field of the answer's contract is carried over from the event.
ANSWERED = ("id", "event_id", "time_ms", "score", "threshold", "decision", "model", "features", "marks")


@dataclass(frozen=True)
class TopicSpec:
    """A topic as `topics apply` makes it."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EventFeatures:
    """What the model sees of the event itself: names, and a pure function that gives their values in that order."""

    columns: tuple[str, ...]
    of: Callable[[Any], tuple[float, ...]]


@dataclass(frozen=True)
class Pipeline:
    """Score every event of `source` once with `model`, and answer on `answers`.

    The model's inputs are the columns of `event`, then of each view, then of each lookup. An event whose time is
    more than `ahead_ms` after its record's Kafka timestamp is refused: its clock is wrong, and one such event would
    make every later one late. `name` is also the consumer group.
    """

    name: str
    source: TopicContract
    answers: TopicContract
    event: EventFeatures
    model: str
    views: tuple[View, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    partitions: int = 6
    ahead_ms: int = 3_600_000
    max_record_bytes: int = 10 * 1024 * 1024

    def __post_init__(self) -> None:
        names = [*(view.name for view in self.views), *(lookup.name for lookup in self.lookups)]
        for name in (self.name, *names):
            if not NAME.fullmatch(name):
                raise Refused(f"The name {name!r} must be lower-case letters, digits and dashes.")
        self._refuse_twice("view or lookup", names)
        self._refuse_twice("feature", list(self.features))
        of_views = [name for view in self.views for name in view.fields]
        for wanted in (*of_views, *(lookup.key for lookup in self.lookups), *self.carried):
            if wanted not in self.source.model.model_fields:
                raise Refused(
                    f"The pipeline {self.name} needs the field {wanted!r} of {self.source.name}, whose contract has "
                    f"{', '.join(self.source.model.model_fields)}."
                )

    def _refuse_twice(self, what: str, names: list[str]) -> None:
        for name in names:
            if names.count(name) > 1:
                raise Refused(f"The pipeline {self.name} declares the {what} {name!r} twice.")

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The model's inputs by name, in order."""
        of_views = [column for view in self.views for column in view.columns]
        of_lookups = [column for lookup in self.lookups for column in lookup.columns]
        return (*self.event.columns, *of_views, *of_lookups)

    @cached_property
    def carried(self) -> tuple[str, ...]:
        """The answer's fields that come from the event as they are."""
        return tuple(name for name in self.answers.model.model_fields if name not in ANSWERED)

    def digest(self, view: View) -> str:
        """Names what a state of the view means: the view itself, and which records count as events."""
        schema = json.dumps(_bare(self.source.model.model_json_schema()), sort_keys=True)
        words = (view.digest, schema, self.source.key, self.source.time, self.ahead_ms)
        return hashlib.blake2b(repr(words).encode(), digest_size=8).hexdigest()

    @property
    def dead_letters(self) -> str:
        return f"{self.source.name}.dead"

    def topics(self) -> tuple[TopicSpec, ...]:
        """What must be there before the pipeline runs."""
        # Event time is in the value; a broker that deleted by it would delete a replay of last year at once.
        kept = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
        # A compressible record may be larger than its topic's limit, and its letter must still fit.
        roomy = {"max.message.bytes": str(self.max_record_bytes + 64 * 1024)}
        return (
            TopicSpec(self.source.name, self.partitions, kept),
            TopicSpec(self.answers.name, self.partitions, kept),
            TopicSpec(self.dead_letters, self.partitions, kept | roomy),
        )


def _bare(schema: Any) -> Any:
    """A JSON Schema without its words for people."""
    if isinstance(schema, dict):
        return {name: _bare(part) for name, part in schema.items() if name not in ("title", "description")}
    return [_bare(part) for part in schema] if isinstance(schema, list) else schema
