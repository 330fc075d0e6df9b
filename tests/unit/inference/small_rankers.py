"""A small ranker of forty items, and a manifest that fits it, to be spoiled by the tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper

from models.recommendation.export import on_grid, to_onnx

ITEMS = tuple(f"i{number}" for number in range(40))
FEATURES = ("history",)

WriteRanker = Callable[..., Path]


def weights_and_popularity() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(3)
    weights = random.normal(0, 0.1, (len(ITEMS), len(ITEMS)))
    np.fill_diagonal(weights, 0)
    weights, popularity, _ = on_grid(weights, random.random(len(ITEMS)))
    return weights, popularity


def ranker() -> bytes:
    content: bytes = to_onnx(*weights_and_popularity(), name="small").SerializeToString()
    return content


def by_hand(history: list[str]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The ten best items and their scores, by the definition."""
    weights, popularity = weights_and_popularity()
    met = sorted({ITEMS.index(item) for item in history if item in ITEMS})
    scores = weights[met].sum(axis=0) if met else popularity
    found = sorted((-score, index) for index, score in enumerate(scores.tolist()) if index not in met)[:10]
    return tuple(ITEMS[index] for _, index in found), tuple(round(-score, 9) for score, _ in found)


def swayed(nodes: list[onnx.NodeProto]) -> bytes:
    """The ranker with `sway` added to every score, which the nodes make of `plain`, [N, 10], the scores."""
    model = onnx.load_from_string(ranker())
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            if name == "scores":
                node.output[i] = "plain"
    model.graph.node.extend([*nodes, helper.make_node("Add", ["plain", "sway"], ["scores"])])
    content: bytes = model.SerializeToString()
    return content


def sway_of_number(rows: int) -> list[onnx.NodeProto]:
    """A thousandth where the batch has so many rows."""
    return [*_is_so_many(rows), helper.make_node("Mul", ["is_so", "thousandth"], ["sway"])]


def sway_of_the_first() -> list[onnx.NodeProto]:
    """A thousandth of the first row's scores where the batch has 512 rows."""
    return [
        *_is_so_many(512),
        helper.make_node("Constant", [], ["at_first"], value_ints=[0]),
        helper.make_node("Gather", ["plain", "at_first"], ["first"], axis=0),
        helper.make_node("Mul", ["first", "thousandth"], ["little"]),
        helper.make_node("Mul", ["little", "is_so"], ["sway"]),
    ]


def not_a_number() -> list[onnx.NodeProto]:
    nan = helper.make_tensor("n", TensorProto.FLOAT, [1], [float("nan")])
    return [helper.make_node("Constant", [], ["sway"], value=nan)]


def _is_so_many(rows: int) -> list[onnx.NodeProto]:
    thousandth = helper.make_tensor("t", TensorProto.FLOAT, [1], [0.001])
    return [
        helper.make_node("Shape", ["plain"], ["count"], end=1),
        helper.make_node("Constant", [], ["wanted"], value_ints=[rows]),
        helper.make_node("Equal", ["count", "wanted"], ["equal"]),
        helper.make_node("Cast", ["equal"], ["is_so"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["thousandth"], value=thousandth),
    ]


def write_ranker(
    folder: Path,
    content: bytes | None = None,
    *,
    items: bytes | None = None,
    change: Callable[[dict[str, Any]], object] = lambda _: None,
) -> Path:
    """Writes a version 1 of the ranker `small` below `folder`; `change` spoils the manifest before that."""
    content = ranker() if content is None else content
    listed = "".join(f"{item}\n" for item in ITEMS).encode() if items is None else items
    histories = [[], ["what"], ["i3"], ["i7", "i3"], list(ITEMS[:35])]
    manifest = {
        "name": "small",
        "version": 1,
        "file": "model.onnx",
        "kind": "ranker",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "opset": {"ai.onnx": 18},
        "inputs": [
            {
                "name": "history",
                "dtype": "int64",
                "features": ["history"],
                "pad": len(ITEMS),
                "fallback": len(ITEMS) + 1,
            }
        ],
        "outputs": [
            {"name": "items", "dtype": "int64", "columns": 10},
            {"name": "scores", "dtype": "float32", "columns": 10},
        ],
        "items": {
            "file": "items.txt",
            "sha256": hashlib.sha256(listed).hexdigest(),
            "bytes": len(listed),
            "count": len(ITEMS),
        },
        "training": {
            **dict.fromkeys(("data", "split_rule", "parameters_rule"), "none"),
            **dict.fromkeys(("recipe", "users", "items", "train_rows", "test_rows"), 0),
            "data_sha256": "0" * 64,
            "parameters": {},
        },
        "metrics": {},
        "versions": {},
        "command": "none",
        "golden": [
            dict(zip(("history", "items", "scores"), (h, *map(list, by_hand(h))), strict=True)) for h in histories
        ],
    }
    change(manifest)
    folder = folder / "small" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "items.txt").write_bytes(listed)
    (folder / "model.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    return folder
