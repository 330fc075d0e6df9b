"""Train the recommendation model, judge it, and write its version: `python -m models.recommendation.train`.

Owns models/recommendation/1, which is in no repository: the licence of MovieLens lets nobody pass on the data, and the
weights are made from nothing else. `ops/setup` calls it with `--setup`. Needs the extra `train`.

EASE (Steck, 2019): B = -P / diag(P) with a diagonal of noughts, P the inverse of X'X + lambda; an item's score is the
sum of B over the items of the history. It is fitted on the published training split, so that the published figures are
those of the version that serves; lambda is the one of LAMBDAS with the highest nDCG@10 where the training split is
split once more. Films that nobody met in the training split are not the model's.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from app.errors import Fatal, StreamInferError
from app.inference.manifest import MANIFEST, RankerManifest, read_items, read_manifest, read_model_bytes
from app.inference.model import open_session
from app.local.lock import locked
from app.settings import PROJECT
from app.simulate.interactions import FOLDER, SHA256, Interactions, read_interactions
from models.recommendation.evaluation import Split, items_by_user, multi_hot, ndcg_at_10, split
from models.recommendation.export import INPUT, ITEMS, SCORES, TEN, on_grid, to_onnx
from models.recommendation.fetch import fetch

NAME, VERSION = "recommendation", 1
RECIPE = 1  # raised with a change of what is written: ops/setup then writes it again
FILE, ITEMS_FILE = "model.onnx", "items.txt"
LAMBDAS = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1000.0)
VALIDATION_SEED = 43
PUBLISHED = {"BiVAE, published": 0.4751, "BPR, published": 0.4420, "SAR, published": 0.3825}
GOLDEN_SEED = 5
LOCK_TIMEOUT_S = 600.0

Floats = NDArray[np.float64]
Histories = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Written:
    """A version as it lies in its folder, and how it does."""

    onnx: bytes
    items: bytes
    manifest: bytes
    ndcg_10: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model before it is exported: its films, the weights between them, how many of all people met each."""

    items: NDArray[np.int64]
    weights: Floats
    popularity: Floats


def train(interactions: Interactions) -> Written:
    """Fit on the published training split, judge on the published test split, and give the version's files."""
    parts = split(interactions)
    tried = validated(parts.train)
    best = max(tried, key=lambda one: tried[one])
    fitted = fit(parts.train, best)
    weights, popularity, bits = on_grid(fitted.weights, fitted.popularity)
    graph = to_onnx(weights, popularity, name=NAME)
    model = graph.SerializeToString(deterministic=True)
    items = [str(item) for item in fitted.items.tolist()]
    listed = "".join(f"{item}\n" for item in items).encode()
    ranks = _Ranks(model, items)
    ndcg = ndcg_at_10(ranks.by_user(items_by_user(parts.train)), parts.test)
    manifest = {
        **_described(model, listed, count=len(items)),
        "opset": {domain.domain or "ai.onnx": domain.version for domain in graph.opset_import},
        "training": _training(parts, parameters={"lambda": best, "grid_bits": bits}),
        "metrics": {
            "this model, whole histories": {"ndcg_10": round(ndcg, 4)},
            **{who: {"ndcg_10": figure} for who, figure in PUBLISHED.items()},
        },
        "golden": ranks.golden(_golden_histories(parts)),
    }
    return Written(model, listed, _yaml(manifest), ndcg)


def validated(train_part: Interactions) -> dict[float, float]:
    """nDCG@10 of each of LAMBDAS, on a split of the training split."""
    parts = split(train_part, VALIDATION_SEED)
    return {
        strength: ndcg_at_10(recommended(fit(parts.train, strength), parts.train), parts.test) for strength in LAMBDAS
    }


def fit(interactions: Interactions, strength: float) -> Fitted:
    """EASE in closed form, with lambda = `strength`."""
    items = np.unique(interactions.item)
    met = multi_hot(interactions, items)
    inverse = np.linalg.inv(met.T @ met + strength * np.eye(len(items)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return Fitted(items, weights, met.mean(axis=0))


def recommended(fitted: Fitted, interactions: Interactions) -> dict[str, list[str]]:
    """The ten best items that each person did not meet, by plain numpy."""
    met = multi_hot(interactions, fitted.items)
    scores = np.where(met > 0, -np.inf, met @ fitted.weights)
    best = fitted.items[np.argsort(-scores, axis=1, kind="stable")[:, :TEN]]
    return {
        str(user): [str(item) for item in row]
        for user, row in zip(np.unique(interactions.user).tolist(), best.tolist(), strict=True)
    }


class _Ranks:
    """What the exported graph gives, asked as a worker asks it."""

    def __init__(self, model: bytes, items: list[str]) -> None:
        self._session = open_session(model)
        self._items = items
        self._index = {item: index for index, item in enumerate(items)}

    def by_user(self, histories: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        ranked = self._run([[self._index[item] for item in history] for history in histories.values()])[0]
        return {user: [self._items[i] for i in row] for user, row in zip(histories, ranked.tolist(), strict=True)}

    def golden(self, histories: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
        known = [[self._index[item] for item in history if item in self._index] for history in histories]
        items, scores = self._run(known)
        rounded = scores.astype(np.float64).round(9)
        return [
            {"history": list(history), "items": [self._items[i] for i in row], "scores": values}
            for history, row, values in zip(histories, items.tolist(), rounded.tolist(), strict=True)
        ]

    def _run(self, histories: Histories) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        pad, fallback = len(self._items), len(self._items) + 1
        matrix = np.full((len(histories), max(1, *map(len, histories))), pad, np.int64)
        for row, history in zip(matrix, histories, strict=True):
            row[: max(1, len(history))] = history or fallback
        items, scores = self._session.run((ITEMS, SCORES), {INPUT: matrix})
        return items, scores


def _golden_histories(parts: Split) -> list[list[str]]:
    """No history, one that nobody knows, one item, a repeat, and twelve people's whole histories and their starts."""
    histories = list(items_by_user(parts.train).values())
    random = np.random.default_rng(GOLDEN_SEED)
    people = [histories[i] for i in random.choice(len(histories), 6, replace=False).tolist()]
    first = people[0][0]
    return [[], ["no-such-item"], [first], [first, "no-such-item", first], *people, *(whole[:7] for whole in people)]


def _described(model: bytes, listed: bytes, *, count: int) -> dict[str, Any]:
    return {
        "kind": "ranker",
        "name": NAME,
        "version": VERSION,
        "file": FILE,
        "sha256": hashlib.sha256(model).hexdigest(),
        "bytes": len(model),
        "inputs": [
            {"name": INPUT, "dtype": "int64", "features": ["history"], "pad": count, "fallback": count + 1},
        ],
        "outputs": [
            {"name": ITEMS, "dtype": "int64", "columns": TEN},
            {"name": SCORES, "dtype": "float32", "columns": TEN},
        ],
        "items": {
            "file": ITEMS_FILE,
            "sha256": hashlib.sha256(listed).hexdigest(),
            "bytes": len(listed),
            "count": count,
        },
        "command": "python -m models.recommendation.train",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "onnx", "onnxruntime")},
        },
    }


def _training(parts: Split, *, parameters: Mapping[str, float]) -> dict[str, Any]:
    return {
        "recipe": RECIPE,
        "data": "MovieLens-100k, whose licence forbids to pass it on; a rating is an interaction",
        "data_sha256": SHA256,
        "split_rule": "three quarters of each person's interactions at random, seed 42",
        "users": len(np.unique(parts.train.user)),
        "items": len(np.unique(parts.train.item)),
        "train_rows": len(parts.train),
        "test_rows": len(parts.test),
        "parameters": dict(parameters),
        "parameters_rule": "highest nDCG@10 where the training split is split once more, see the program",
    }


def _yaml(manifest: Mapping[str, Any]) -> bytes:
    ordered = {name: manifest[name] for name in RankerManifest.model_fields}
    return yaml.safe_dump(ordered, sort_keys=False, default_flow_style=None, width=118).encode()


def write(written: Written, folder: Path) -> None:
    """Put the version into `folder`, the manifest last: what has none is no version."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, content in ((FILE, written.onnx), (ITEMS_FILE, written.items), (MANIFEST, written.manifest)):
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as part:
            part.write(content)
        Path(part.name).chmod(0o644)
        Path(part.name).replace(folder / name)


def is_written(folder: Path) -> bool:
    """Whether the version is whole, and of this recipe."""
    try:
        manifest = read_manifest(folder)
        if not isinstance(manifest, RankerManifest) or manifest.training.recipe != RECIPE:
            return False
        read_items(folder, manifest)
        read_model_bytes(folder, manifest)
    except Fatal:
        return False
    return True


def set_up(to: Path) -> str | None:
    """Fetch the data and write the version, each where it is missing. Gives why not, as a sentence."""
    here = Path(__file__).parent
    (here / FOLDER).mkdir(exist_ok=True)
    busy = "Another process has been training the recommendation model for long: wait for it, and run ops/setup again."
    try:
        with locked(here / FOLDER / "setup.lock", timeout_s=LOCK_TIMEOUT_S, busy=busy):
            fetch(here)
            if not is_written(to):
                print("Training the recommendation model on MovieLens-100k, once.", file=sys.stderr)
                write(train(read_interactions(here.parent)), to)
    except StreamInferError as error:
        return str(error)
    return None


def main() -> int:
    """Write the version and print its measure beside the published ones."""
    parser = argparse.ArgumentParser(description="Train the recommendation model and write models/recommendation/1.")
    parser.add_argument("--setup", action="store_true", help="do only what is missing, and say why it cannot be done")
    parser.add_argument("--to", type=Path, default=PROJECT / "models" / NAME / str(VERSION), help="where to write")
    flags = parser.parse_args()
    if flags.setup:
        why = set_up(flags.to)
        if why is not None:
            print(
                "The pipeline recommendation and `produce interactions --simulate` will not work until ops/setup got "
                f"MovieLens-100k; all else does. {why}",
                file=sys.stderr,
            )
        return 0
    here = Path(__file__).parent
    try:
        fetch(here)
        written = train(read_interactions(here.parent))
    except StreamInferError as error:
        print(error, file=sys.stderr)
        return 3
    write(written, flags.to)
    for who, figure in {"this model": written.ndcg_10, **PUBLISHED}.items():
        print(f"{who:24}{figure:8.4f}  nDCG@10")
    return 0


if __name__ == "__main__":
    sys.exit(main())
