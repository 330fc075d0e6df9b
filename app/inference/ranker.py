"""A model that ranks: the items of an entity's history in, the best items that are not among them out.

Owns the mapping between items and the model's indexes, and what a history is answered with of which the model knows
nothing. Promises what app.inference.model promises: a ranker that is not what its manifest says, does not take what
the pipeline gives, or whose bits depend on the batch is refused with a sentence, at start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.errors import Fatal, RecordError, Stage
from app.inference.manifest import RankerManifest, read_items
from app.inference.model import ORT_ERRORS, check_tensors, described, opened
from app.inference.ranker_trial import check_ranker

History = Sequence[str]
Indexes = NDArray[np.int64]
Ranked = tuple[Indexes, NDArray[np.float32]]


class Ranking(NamedTuple):
    """The best items with their scores, the best first; fewer than ten where the history leaves no more.

    `unknown` items of the history are not the model's, and were left out. Where nothing else was in it, the items are
    those that the model ranks for nobody in particular, and they are `defaulted`.
    """

    items: tuple[str, ...]
    scores: tuple[float, ...]
    unknown: int
    defaulted: bool


@dataclass(frozen=True, slots=True)
class Ranker:
    """A loaded ranker. One thread at a time; it holds no state between calls."""

    manifest: RankerManifest
    items: tuple[str, ...]
    _index: dict[str, int]
    _session: onnxruntime.InferenceSession

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> int:
        return self.manifest.version

    @property
    def ref(self) -> str:
        """name@version, as headers and logs name it."""
        return self.manifest.ref

    def rank(self, histories: Sequence[History]) -> list[Ranking]:
        """Rank for each history. The order of a history and repeats in it do not matter; scores have 9 decimals.

        Raises:
            RecordError: when the model fails on at least one of them; halve the batch to find which.
        """
        known = [self._known(history) for history in histories]
        try:
            items, scores = self.ranked(known)
        except ORT_ERRORS as error:
            raise RecordError(Stage.SCORE, "model-failed", f"Model {self.ref} fails on this event.") from error
        if np.isnan(scores).any() or np.isposinf(scores).any():
            raise RecordError(Stage.SCORE, "not-finite", f"Model {self.ref} gives no finite scores for this event.")
        rows = zip(items.tolist(), scores.astype(np.float64).round(9).tolist(), strict=True)
        return [
            self._ranking(row, len(history) - len(indexes), not indexes)
            for row, history, indexes in zip(rows, histories, known, strict=True)
        ]

    def ranked(self, known: Sequence[Sequence[int]]) -> Ranked:
        """The model's own answers, (n, ten) indexes and float32 scores. A single row runs as two, as in every model."""
        if not known:
            columns = self.manifest.outputs[0].columns
            return np.empty((0, columns), np.int64), np.empty((0, columns), np.float32)
        given, (first, second) = self.manifest.inputs[0], self.manifest.outputs
        asked = [indexes or (given.fallback,) for indexes in known]
        asked += [asked[0]] if len(asked) == 1 else []
        lengths = np.fromiter(map(len, asked), np.int64, len(asked))
        matrix = np.full((len(asked), lengths.max()), given.pad, np.int64)
        matrix[np.arange(matrix.shape[1]) < lengths[:, None]] = np.fromiter(chain.from_iterable(asked), np.int64)
        items, scores = self._session.run((first.name, second.name), {given.name: matrix})
        return items[: len(known)], scores[: len(known)]

    def _known(self, history: History) -> list[int]:
        return [index for index in map(self._index.get, history) if index is not None]

    def _ranking(self, row: tuple[list[int], list[float]], unknown: int, defaulted: bool) -> Ranking:
        found = [(self.items[index], score) for index, score in zip(*row, strict=True) if score != -np.inf]
        items, scores = zip(*found, strict=True) if found else ((), ())
        return Ranking(items, scores, unknown, defaulted)


def load_ranker(folder: Path, features: tuple[str, ...]) -> Ranker:
    """Load the version in `folder`, a model that ranks, for a pipeline that gives `features`: one history.

    Raises:
        Fatal: when it must not serve, with a sentence that shows both sides.
    """
    manifest = described(folder, features)
    if not isinstance(manifest, RankerManifest):
        raise Fatal(f"Model {manifest.ref} is of the kind {manifest.kind}, and ranks nothing.")
    items = read_items(folder, manifest)
    ranker = Ranker(manifest, items, {item: index for index, item in enumerate(items)}, opened(folder, manifest))
    names = [("tensor(int64)", manifest.outputs[0]), ("tensor(float)", manifest.outputs[1])]
    check_tensors(
        ranker._session,
        manifest,
        inputs=[(manifest.inputs[0].name, "tensor(int64)", [None, None])],
        outputs=[(tensor.name, kind, [None, tensor.columns]) for kind, tensor in names],
    )
    check_ranker(manifest, ranker.rank, items)
    return ranker
