"""Answers of a model that ranks: the items that fit an entity's history best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, get_args

from app.contracts.admission import Admitted
from app.errors import RecordError, Refused, Stage
from app.features.lookups import DEFAULTED
from app.features.memory import Features
from app.inference.ranker import History, Ranker, Ranking
from app.pipeline import Pipeline
from app.record import Output
from app.stream.answers import Envelope, Noted, Refusal

UNKNOWN = "unknown"  # the mark of an answer for which items of the history were left out, that the model does not know


class Rankings:
    """What a model that ranks makes of events: a history in, the best items out. Its one feature is the history."""

    def __init__(self, pipeline: Pipeline, model: Ranker) -> None:
        self.noted: Noted | None = None
        self._model = model
        self._envelope = Envelope(pipeline, model, ("items",))
        self._item: Callable[..., Any] = _item_of(self._envelope.types["items"], pipeline)

    def outputs(
        self, admitted: Sequence[Admitted], features: Sequence[Features], refusals: list[Refusal]
    ) -> list[Output]:
        """One answer for each event that could be ranked for; the others are added to `refusals`."""
        began = time.perf_counter()
        found = self._run([f.row[0] for f in features])
        ended = time.perf_counter()
        kept = [(event, f, ranking) for event, f, ranking in zip(admitted, features, found, strict=True) if ranking]
        for event, ranking in zip(admitted, found, strict=True):
            if ranking is None:
                error = RecordError(Stage.SCORE, "no-score", "The model could not rank for this event.")
                refusals.append((event.record, error))
        marks = [(*f.marks, *_marks(ranking)) for _, f, ranking in kept]
        self.noted = Noted(began, ended, list(filter(None, marks)))
        return self._envelope.outputs(
            [event for event, _, _ in kept],
            marks,
            {"items": [list(map(self._item, ranking.items, ranking.scores)) for _, _, ranking in kept]},
        )

    def _run(self, histories: Sequence[History]) -> list[Ranking | None]:
        """The model's answers; None where it fails. Halves the batch until the failing event stands alone."""
        try:
            return list(self._model.rank(histories))
        except Exception:  # whatever a model raises: the event is dead-lettered and the stream goes on
            if len(histories) == 1:
                return [None]
            half = len(histories) // 2
            return self._run(histories[:half]) + self._run(histories[half:])


def _marks(ranking: Ranking) -> tuple[str, ...]:
    if ranking.defaulted:
        return (DEFAULTED,)
    return (UNKNOWN,) if ranking.unknown else ()


def _item_of(items: Any, pipeline: Pipeline) -> Callable[..., Any]:
    """The struct of one item of an answer: inside a list, inside its bounds."""
    inner = items
    while get_args(inner):
        inner = get_args(inner)[0]
    if getattr(inner, "__struct_fields__", None) != ("item_id", "score"):
        raise Refused(f"The items on {pipeline.answering.name} must be a list of objects with item_id and score.")
    made: Callable[..., Any] = inner
    return made
