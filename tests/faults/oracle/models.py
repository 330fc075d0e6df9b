"""The models, run without the product: ONNX Runtime, and a manifest read as plain YAML."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import yaml

ROWS = 256


def identity(pipeline: str, name: str, version: int, event_id: str) -> str:
    """A prediction's id: the same for the same event and model."""
    words = f"{pipeline}\0{name}@{version}\0{event_id}".encode()
    return hashlib.blake2b(words, digest_size=16).hexdigest()


class Scorer:
    """One version of a model that gives a probability."""

    def __init__(self, folder: Path) -> None:
        self.manifest, self._session = opened(folder)

    @property
    def threshold(self) -> float:
        return float(self.manifest["threshold"])

    def scores(self, rows: Sequence[Sequence[float]]) -> list[float]:
        found: list[float] = []
        given, (first, *_) = self.manifest["inputs"][0]["name"], self.manifest["outputs"]
        for at in range(0, len(rows), ROWS):
            matrix = np.array(rows[at : at + ROWS], np.float64).astype(np.float32)
            whole = np.concatenate([matrix, matrix[:1]])  # never one row alone
            (answers,) = self._session.run([first["name"]], {given: whole})
            column = answers if answers.ndim == 1 else answers[:, -1]
            found += column[: len(matrix)].astype(np.float64).round(9).tolist()
        return found


class Ranker:
    """One version of a model that ranks."""

    def __init__(self, folder: Path) -> None:
        self.manifest, self._session = opened(folder)
        self.items = (folder / self.manifest["items"]["file"]).read_text().splitlines()
        self._index = {item: index for index, item in enumerate(self.items)}

    def ranked(self, histories: Sequence[Sequence[str]]) -> list[tuple[list[dict[str, Any]], list[str]]]:
        """For each history the items with their scores, and the marks."""
        found: list[tuple[list[dict[str, Any]], list[str]]] = []
        for at in range(0, len(histories), ROWS):
            found += self._ranked(histories[at : at + ROWS])
        return found

    def _ranked(self, histories: Sequence[Sequence[str]]) -> list[tuple[list[dict[str, Any]], list[str]]]:
        given, outputs = self.manifest["inputs"][0], [one["name"] for one in self.manifest["outputs"]]
        known = [[self._index[item] for item in history if item in self._index] for history in histories]
        asked = [indexes or [given["fallback"]] for indexes in [*known, known[0]]]
        longest = max(map(len, asked))
        matrix = np.array([indexes + [given["pad"]] * (longest - len(indexes)) for indexes in asked], np.int64)
        items, scores = self._session.run(outputs, {given["name"]: matrix})
        answers = []
        for history, indexes, best, how in zip(histories, known, items, scores, strict=False):
            listed = [
                {"item_id": self.items[index], "score": round_(score)}
                for index, score in zip(best, how, strict=True)
                if score != -np.inf
            ]
            unknown = "unknown" if indexes else "defaulted"
            answers.append((listed, [unknown] if len(indexes) < len(history) else []))
        return answers


def round_(score: np.float32) -> float:
    return float(np.float64(score).round(9))


def opened(folder: Path) -> tuple[dict[str, Any], onnxruntime.InferenceSession]:
    manifest: dict[str, Any] = yaml.safe_load((folder / "model.yaml").read_text())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(folder / manifest["file"]), options, providers=["CPUExecutionProvider"])
    return manifest, session


@cache
def scorer(models: Path, name: str, version: int) -> Scorer:
    return Scorer(models / name / str(version))


@cache
def ranker(models: Path, name: str, version: int) -> Ranker:
    return Ranker(models / name / str(version))
