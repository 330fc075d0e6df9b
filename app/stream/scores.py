"""Answers of a model that scores: a probability, and on which side of the threshold it lies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.admission import Admitted
from app.errors import RecordError, Refused, Stage
from app.features.memory import Features
from app.inference.model import Model
from app.pipeline import Pipeline
from app.record import Output
from app.stream.answers import Envelope, Noted, Refusal


class Scores:
    """What a model that scores makes of events: features in, a prediction each out."""

    def __init__(self, pipeline: Pipeline, model: Model) -> None:
        self.noted: Noted | None = None
        self._model = model
        self._envelope = Envelope(pipeline, model, ("score", "threshold", "decision", "features"))
        self._features: Callable[..., Any] = self._envelope.types["features"]
        listed: tuple[str, ...] = self._envelope.types["features"].__struct_fields__
        if listed != pipeline.features:
            raise Refused(
                f"The answers on {pipeline.answering.name} list the features {', '.join(listed)}, "
                f"but the pipeline {pipeline.name} computes {', '.join(pipeline.features)}."
            )

    def outputs(
        self, admitted: Sequence[Admitted], features: Sequence[Features], refusals: list[Refusal]
    ) -> list[Output]:
        """One prediction for each event that has a score; the others are added to `refusals`."""
        began = time.perf_counter()
        kept, scores = self._score(admitted, features, refusals)
        ended = time.perf_counter()
        threshold = self._model.threshold
        columns = {
            "score": scores,
            "threshold": repeat(threshold),
            "decision": ["alert" if score >= threshold else "pass" for score in scores],
            "features": [self._features(*features[i].row) for i in kept],
        }
        marks = [features[i].marks for i in kept]
        self.noted = Noted(began, ended, list(filter(None, marks)))
        return self._envelope.outputs([admitted[i] for i in kept], marks, columns)

    def _score(
        self, admitted: Sequence[Admitted], features: Sequence[Features], refusals: list[Refusal]
    ) -> tuple[list[int], list[float]]:
        """The places of the events that have a score, and the scores. The others are added to `refusals`."""
        with np.errstate(over="ignore"):  # what the model's narrower type cannot hold is not finite there
            matrix = np.array([f.row for f in features], dtype=np.float64).astype(np.float32)
        finite = np.isfinite(matrix).all(axis=1)
        places = np.flatnonzero(finite)
        for i in np.flatnonzero(~finite).tolist():
            error = RecordError(Stage.FEATURES, "not-finite", "A feature of this event is not a finite number.")
            refusals.append((admitted[i].record, error))
        scores = self._run(matrix[places])
        good = np.isfinite(scores)
        for i in places[~good].tolist():
            error = RecordError(Stage.SCORE, "no-score", "The model gave no finite score for this event.")
            refusals.append((admitted[i].record, error))
        return places[good].tolist(), scores[good].tolist()

    def _run(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """The model's scores; not-a-number where it fails. Halves the batch until the failing event stands alone."""
        if not len(matrix):
            return np.empty(0)
        try:
            return self._model.score(matrix)
        except Exception:  # whatever a model raises: the event is dead-lettered and the stream goes on
            if len(matrix) == 1:
                return np.full(1, np.nan)
            half = len(matrix) // 2
            return np.concatenate([self._run(matrix[:half]), self._run(matrix[half:])])
