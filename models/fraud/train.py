"""Train a fraud model, judge it, and write its version: `python -m models.fraud.train` from the project's root.

Owns models/fraud/1 and, with `--version 2`, models/fraud/2. Promises that the same machine writes the same bytes again.
With `--choose` it only prints the search that led to a version's parameters. Needs the extra `train`.

Version 1 learns from the published training week. Version 2 learns from the four weeks that end with it. Both are
judged on the published test week.

What is fixed is fixed without a look at the test week or after the training week:
* a version's parameters are those of its grid with the highest mean average precision over EARLIER, four splits like
  the published one, whose test weeks end before the published training week does.
* the threshold is where F1 is highest over the test weeks of EARLIER, each scored by a model of its own training days.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import yaml
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from app.inference.manifest import MANIFEST, Manifest, read_manifest
from app.inference.model import open_session
from app.monitor.bins import binned
from app.settings import PROJECT, home_folder
from app.simulate.offline import FEATURES, Floats, feature_matrix, offline_features
from app.simulate.payments import Payments, simulate
from models.fraud.evaluation import TRAIN_DAY, Measures, Split, measure, split
from models.fraud.export import INPUT, OUTPUT, to_onnx

NAME = "fraud"
FILE = "model.onnx"
TREES = 100
GRID = {
    "learning_rate": (0.03, 0.05, 0.1),
    "num_leaves": (8, 12, 15),
    "min_data_in_leaf": (20, 60),
    "lambda_l2": (0.0, 10.0),
}
EARLIER = (TRAIN_DAY - 35, TRAIN_DAY - 28, TRAIN_DAY - 21, TRAIN_DAY - 14)
PUBLISHED = Measures(auc=0.862, average_precision=0.639, card_precision_100=0.273)  # the Handbook's XGBoost
OURS = "this model"
GOLDEN_SEED = 5


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a version is made: how many weeks it learns from, the last of them the split's, and with what parameters."""

    version: int
    weeks: int
    parameters: Mapping[str, float]
    command: str


RECIPES = {
    recipe.version: recipe
    for recipe in (
        Recipe(
            version=1,
            weeks=1,
            parameters={"learning_rate": 0.1, "num_leaves": 15, "min_data_in_leaf": 60, "lambda_l2": 10.0},
            command="python -m models.fraud.train",
        ),
        Recipe(
            version=2,
            weeks=4,
            parameters={"learning_rate": 0.03, "num_leaves": 15, "min_data_in_leaf": 60, "lambda_l2": 0.0},
            command="python -m models.fraud.train --version 2",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Data:
    """Payments and their features, row by row."""

    payments: Payments
    features: Mapping[str, Floats]

    def matrix(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return feature_matrix(self.features, rows)


@dataclass(frozen=True, slots=True)
class Written:
    """A version as it lies in its folder, and how it does."""

    onnx: bytes
    manifest: bytes
    measures: Measures


def train(data: Data, recipe: Recipe = RECIPES[1]) -> Written:
    """Fit on the recipe's weeks, judge on the published test week, and give the version's two files."""
    weeks = split(data.payments, weeks=recipe.weeks)
    graph = to_onnx(_fit(data, weeks.train, parameters=recipe.parameters), name=NAME)
    model = graph.SerializeToString(deterministic=True)
    session = open_session(model)

    def score(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = session.run((OUTPUT,), {INPUT: matrix})[0][:, 1]
        return scores

    measures = measure(data.payments, weeks.test, scores=score(data.matrix(weeks.test)).astype(np.float64))
    golden = _golden_rows(data, weeks)
    manifest = {
        **_described(model, recipe),
        "opset": {domain.domain or "ai.onnx": domain.version for domain in graph.opset_import},
        "threshold": _threshold(data, recipe),
        "reference": _reference(data, weeks, score),
        "training": _training(data, weeks, recipe=recipe),
        "metrics": {
            OURS: {name: round(value, 4) for name, value in asdict(measures).items()},
            "the Handbook's XGBoost, published": asdict(PUBLISHED),
            **_before(recipe),
        },
        "golden": [
            {"features": [_short(value) for value in row], "score": _short(probability)}
            for row, probability in zip(golden, score(golden), strict=True)
        ],
    }
    return Written(model, _yaml(manifest), measures)


def _before(recipe: Recipe) -> dict[str, Any]:
    """What the version before says of itself, which was judged on the same week."""
    if recipe.version == 1:
        return {}
    before = read_manifest(PROJECT / "models" / NAME / str(recipe.version - 1))
    return {f"{before.ref}, the version before": before.metrics[OURS].model_dump()}


def _fit(data: Data, rows: NDArray[np.int64], *, parameters: Mapping[str, float]) -> lightgbm.Booster:
    fixed = {"objective": "binary", "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 0}
    outcomes = lightgbm.Dataset(data.matrix(rows), data.payments.fraud[rows].astype(np.float64))
    return lightgbm.train({**parameters, **fixed, "verbose": -1}, outcomes, num_boost_round=TREES)


def _threshold(data: Data, recipe: Recipe) -> float:
    outcomes, scores = [], []
    for weeks in (split(data.payments, day, weeks=recipe.weeks) for day in EARLIER):
        booster = _fit(data, weeks.train, parameters=recipe.parameters)
        outcomes.append(data.payments.fraud[weeks.test])
        scores.append(booster.predict(data.matrix(weeks.test), num_threads=1))
    precision, recall, thresholds = precision_recall_curve(np.concatenate(outcomes), np.concatenate(scores))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return round(float(thresholds[np.argmax(f1[:-1])]), 2)


def _reference(data: Data, weeks: Split, score: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> dict[str, Any]:
    """How the features and the score lie over the training week: what the monitor measures drift against."""
    matrix = data.matrix(weeks.train).astype(np.float64)
    columns = dict(zip(FEATURES, matrix.T, strict=True))
    return {
        "rows": len(weeks.train),
        "features": {name: _distribution(column) for name, column in columns.items()},
        "score": _distribution(score(data.matrix(weeks.train)).astype(np.float64)),
    }


def _distribution(values: NDArray[np.float64]) -> dict[str, Any]:
    """Few digits: enough to tell float32 edges apart, and the same wherever it is computed."""
    found = binned(values)
    return {
        "edges": [float(f"{edge:.9g}") for edge in found.edges],
        "shares": [round(share, 6) for share in found.shares],
        "mean": float(f"{found.mean:.6g}"),
    }


def _golden_rows(data: Data, weeks: Split) -> NDArray[np.float32]:
    """Sixteen rows: no history at all, amounts no card allows, a terminal where all is fraud, and tested payments."""
    nothing = dict.fromkeys(FEATURES, 0.0)
    edges = (
        nothing,
        {**nothing, "amount": 1e9},
        {**nothing, "amount": 0.01, "weekend": 1.0, "night": 1.0},
        {**nothing, **{name: 1.0 for name in FEATURES if name.startswith("terminal")}, "amount": 50.0},
    )
    random = np.random.default_rng(GOLDEN_SEED)
    fraud = data.payments.fraud[weeks.test]
    tested = np.concatenate([random.choice(weeks.test[fraud == kind], 6, replace=False) for kind in (True, False)])
    rows = np.array([[edge[name] for name in FEATURES] for edge in edges], np.float32)
    return np.concatenate([rows, data.matrix(np.sort(tested))])


def _described(model: bytes, recipe: Recipe) -> dict[str, Any]:
    return {
        "name": NAME,
        "version": recipe.version,
        "file": FILE,
        "sha256": hashlib.sha256(model).hexdigest(),
        "bytes": len(model),
        "inputs": [{"name": INPUT, "dtype": "float32", "features": list(FEATURES)}],
        "outputs": [{"name": OUTPUT, "dtype": "float32", "columns": 2}],
        "command": recipe.command,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("lightgbm", "numpy", "onnx", "onnxmltools", "onnxruntime")},
        },
    }


def _training(data: Data, weeks: Split, *, recipe: Recipe) -> dict[str, Any]:
    matrix, fraud = data.matrix(weeks.train), data.payments.fraud
    first = date(2018, 7, 31) - timedelta(days=7 * recipe.weeks - 1)
    return {
        "data": "simulated payments of the Fraud Detection Handbook, app/simulate, seed 0",
        "train_days": f"{first} to 2018-07-31",
        "train_rows": len(weeks.train),
        "train_frauds": int(fraud[weeks.train].sum()),
        "train_sha256": hashlib.sha256(matrix.astype("<f4").tobytes() + fraud[weeks.train].tobytes()).hexdigest(),
        "test_days": "2018-08-08 to 2018-08-14, without cards known to be compromised",
        "test_rows": len(weeks.test),
        "test_frauds": int(fraud[weeks.test].sum()),
        "parameters": {"trees": TREES, **recipe.parameters},
        "parameters_rule": "highest mean average precision over four earlier splits, see models/fraud/train.py",
        "threshold_rule": "highest F1 over the test weeks of four earlier splits, see models/fraud/train.py",
    }


def _short(value: np.float32) -> float:
    """The shortest decimal that is this float32 and no other."""
    return float(str(value))


def _yaml(manifest: Mapping[str, Any]) -> bytes:
    ordered = {name: manifest[name] for name in Manifest.model_fields if name in manifest}
    return yaml.safe_dump(ordered, sort_keys=False, default_flow_style=None, width=118).encode()


def choose(data: Data, recipe: Recipe) -> None:
    """Print every choice of GRID with its means over EARLIER, the best average precision last."""
    tried = []
    for values in itertools.product(*GRID.values()):
        parameters = dict(zip(GRID, values, strict=True))
        judged = [
            _judged(data, split(data.payments, day, weeks=recipe.weeks), parameters=parameters) for day in EARLIER
        ]
        means = np.mean(judged, axis=0)
        tried.append((means.tolist(), parameters))
    for means, parameters in sorted(tried, key=lambda one: float(one[0][1])):
        print(*(f"{mean:.4f}" for mean in means), parameters)


def _judged(data: Data, weeks: Split, *, parameters: Mapping[str, float]) -> tuple[float, ...]:
    scores = _fit(data, weeks.train, parameters=parameters).predict(data.matrix(weeks.test), num_threads=1)
    return tuple(asdict(measure(data.payments, weeks.test, scores=np.asarray(scores))).values())


def main() -> None:
    """Write the version and print its measures beside the published ones."""
    parser = argparse.ArgumentParser(description="Train a fraud model and write its version.")
    parser.add_argument("--version", type=int, choices=RECIPES, default=1, help="which version, 1 if left out")
    parser.add_argument("--choose", action="store_true", help="print the search for the parameters, write nothing")
    parser.add_argument("--to", type=Path, help="where to write; models/fraud/VERSION if left out")
    flags = parser.parse_args()
    recipe = RECIPES[flags.version]
    folder = flags.to or PROJECT / "models" / NAME / str(recipe.version)
    payments = simulate(cache=home_folder() / "cache")
    data = Data(payments, offline_features(payments))
    if flags.choose:
        return choose(data, recipe)
    written = train(data, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_bytes(written.onnx)
    (folder / MANIFEST).write_bytes(written.manifest)
    print(f"{'':24}{'AUC':>8}{'avg. precision':>16}{'card precision@100':>20}")
    for who, measures in (("this model", written.measures), ("Handbook's XGBoost", PUBLISHED)):
        auc, precision, cards = asdict(measures).values()
        print(f"{who:24}{auc:8.3f}{precision:16.3f}{cards:20.3f}")
    return None


if __name__ == "__main__":
    main()
