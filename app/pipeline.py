"""A pipeline, declared: what is read, what is remembered, what the model sees, what is answered.

A declaration holds no connection and no state. It is checked whole when it is made, so that a mistake is one
sentence at start and not a dead letter at night.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.errors import Refused
from app.features.asof import AsOf
from app.features.lookups import Written
from app.features.recorded import Recorded
from app.features.views import View
from schemas.topics import TopicContract

ADMISSION = 2  # part of every digest: raise it when other records than before count as events
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")

# What the loop itself puts into an answer. Every other field of the answer's contract is carried over from the event.
ANSWERED = ("id", "event_id", "time_ms", "score", "threshold", "decision", "items", "model", "features", "marks")


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
class Again:
    """What makes a pipeline answer once more what the pipeline `of` has answered: its answers have the same ids.

    What it refuses goes to `dead_letters`; its answers bear `headers`. Where it is `relayed` its records are themselves
    answers, and each names in its `source` header the input that is answered.
    """

    of: str
    dead_letters: str
    headers: tuple[tuple[str, bytes], ...] = ()
    relayed: bool = False


@dataclass(frozen=True)
class Pipeline:
    """Score every event of `source` once with `model`, and answer on `answers`; or, with neither, only fold its views.

    The model's inputs are the columns of `event`, then of each view, then of each lookup; `model` is its name, or
    name@version, without which the highest version serves. An event whose time is
    more than `ahead_ms` after its record's Kafka timestamp is refused: its clock is wrong, and one such event would
    make every later one late. `name` is also the consumer group. A record that was refused is tried `attempts` times
    in all, each further time when somebody asks for it (`dlq redrive`). `again` is there for replays.
    """

    name: str
    source: TopicContract
    answers: TopicContract | None = None
    event: EventFeatures | None = None
    model: str | None = None
    views: tuple[View, ...] = ()
    lookups: tuple[Written | AsOf | Recorded, ...] = ()
    partitions: int = 6
    ahead_ms: int = 3_600_000
    max_record_bytes: int = 10 * 1024 * 1024
    attempts: int = 3
    again: Again | None = None

    def __post_init__(self) -> None:
        names = [*(view.name for view in self.views), *(lookup.name for lookup in self.lookups)]
        for name in (self.name, *names):
            if not NAME.fullmatch(name):
                raise Refused(f"The name {name!r} must be lower-case letters, digits and dashes.")
        self._refuse_twice("view or lookup", names)
        self._refuse_twice("feature", list(self.features))
        if self.attempts < 1:
            raise Refused(f"The pipeline {self.name} must try a record once at least.")
        if (self.answers is None) != (self.model is None):
            raise Refused(f"The pipeline {self.name} needs a model and a topic for its answers, or neither of them.")
        if self.fold_only and (not self.views or self.lookups or self.event is not None):
            raise Refused(f"The pipeline {self.name} scores nothing: it needs views to fold, and nothing else.")
        for waited in _read_by(self.lookups):
            if waited.name == self.name:
                raise Refused(f"The pipeline {self.name} reads a view that waits for {self.name} itself.")
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

    @property
    def fold_only(self) -> bool:
        """Whether it only keeps views for others: it answers nothing but dead letters."""
        return self.answers is None

    @property
    def model_name(self) -> str:
        """The model's name without its version. Raises Refused where there is none."""
        if self.model is None:
            raise Refused(f"The pipeline {self.name} scores nothing: it has no model.", exit_code=2)
        return self.model.partition("@")[0]

    @property
    def answering(self) -> TopicContract:
        """The topic of its answers. Raises Refused where there is none."""
        if self.answers is None:
            raise Refused(f"The pipeline {self.name} answers nothing: it folds {self.source.name} into views.")
        return self.answers

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The model's inputs by name, in order."""
        of_event = self.event.columns if self.event is not None else ()
        of_views = [column for view in self.views for column in view.columns]
        of_lookups = [column for lookup in self.lookups for column in lookup.columns]
        return (*of_event, *of_views, *of_lookups)

    @cached_property
    def carried(self) -> tuple[str, ...]:
        """The answer's fields that come from the event as they are."""
        if self.answers is None:
            return ()
        return tuple(name for name in self.answers.model.model_fields if name not in ANSWERED)

    def digest(self, view: View) -> str:
        """Names what a state of the view means: the view itself, and which records count as events."""
        return hashlib.blake2b(repr((view.digest, *self._admitted)).encode(), digest_size=8).hexdigest()

    @cached_property
    def contract(self) -> str:
        """Names which records count as events."""
        return hashlib.blake2b(repr(self._admitted).encode(), digest_size=8).hexdigest()

    @cached_property
    def _admitted(self) -> tuple[object, ...]:
        """The words that say which records count as events."""
        schema = json.dumps(_bare(self.source.model.model_json_schema()), sort_keys=True)
        return schema, self.source.key, self.source.time, self.ahead_ms, ADMISSION

    @property
    def dead_letters(self) -> str:
        return f"{self.source.name}.dead" if self.again is None else self.again.dead_letters

    def topics(self) -> tuple[TopicSpec, ...]:
        """What must be there before the pipeline runs."""
        # Event time is in the value; a broker that deleted by it would delete a replay of last year at once.
        kept = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
        # A compressible record may be larger than its topic's limit, and its letter must still fit.
        roomy = {"max.message.bytes": str(self.max_record_bytes + 64 * 1024)}
        answers = () if self.answers is None else (TopicSpec(self.answers.name, self.partitions, kept),)
        return (
            TopicSpec(self.source.name, self.partitions, kept),
            *answers,
            TopicSpec(self.dead_letters, self.partitions, kept | roomy),
        )


def _read_by(lookups: tuple[Written | AsOf | Recorded, ...]) -> Iterator[Pipeline]:
    """The pipelines whose views these lookups read, and those that these read in turn."""
    for lookup in lookups:
        if isinstance(lookup, AsOf):
            yield lookup.of
            yield from _read_by(lookup.of.lookups)


def _bare(schema: Any) -> Any:
    """A JSON Schema without its words for people."""
    if isinstance(schema, dict):
        return {name: _bare(part) for name, part in schema.items() if name not in ("title", "description")}
    return [_bare(part) for part in schema] if isinstance(schema, list) else schema
