"""What there is to watch of a pipeline, read off its declaration and its model's manifest; nothing is named twice.

Scores have a threshold and, where a lookup folds outcomes, labels; rankings have a history whose next item tells
whether they hit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from app.errors import StreamInferError
from app.features.asof import AsOf
from app.features.history import History
from app.features.outcomes import Outcomes
from app.inference.manifest import Manifest, Reference, read_manifest
from app.inference.model import newest_version
from app.pipeline import Pipeline
from schemas.topics import TopicContract


@dataclass(frozen=True)
class Labelled:
    """Where outcomes come from: fields of the topic's contract."""

    topic: TopicContract
    id: str
    positive: str
    at: str


@dataclass(frozen=True)
class Watched:
    """A pipeline, and what its newest model says of its training; None where there is no such thing."""

    pipeline: Pipeline
    threshold: float | None = None
    reference: Reference | None = None

    @cached_property
    def kind(self) -> Literal["score", "ranker", "fold"]:
        if self.pipeline.answers is None:
            return "fold"
        return "score" if "score" in self.pipeline.answers.model.model_fields else "ranker"

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Those that an answer tells."""
        answers = self.pipeline.answers
        told = answers is not None and "features" in answers.model.model_fields
        return self.pipeline.features if told else ()

    @cached_property
    def labelled(self) -> Labelled | None:
        """The outcomes of its own events: those that one of its lookups folds and that name them by their id."""
        if self.kind != "score":
            return None
        for lookup in self.pipeline.lookups:
            if not isinstance(lookup, AsOf) or not isinstance(lookup.viewed, Outcomes):
                continue
            if lookup.viewed.id == self.pipeline.source.id:
                view = lookup.viewed
                return Labelled(lookup.of.source, view.id, view.amount, view.at)
        return None

    @cached_property
    def item(self) -> str | None:
        """The field of an event with the item that a person met, where rankings are made of such histories."""
        views = [view for view in self.pipeline.views if isinstance(view, History)]
        return views[0].item if self.kind == "ranker" and views else None


def watched(pipeline: Pipeline, models: Path) -> Watched:
    """With the manifest of its newest model. A model that is not there or not readable is no reason not to watch."""
    if pipeline.model is None:
        return Watched(pipeline)
    try:
        manifest = read_manifest(newest_version(models, pipeline.model))
    except StreamInferError:
        return Watched(pipeline)
    if not isinstance(manifest, Manifest):
        return Watched(pipeline)
    return Watched(pipeline, manifest.threshold, manifest.reference)
