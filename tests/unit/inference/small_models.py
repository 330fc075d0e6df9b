"""Small ONNX models, and manifests that fit them, to be spoiled by the tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from app.inference.model import open_session

FEATURES = ("amount", "weekend", "night")
GOLDEN = np.array([[0, 0, 0], [100, 1, 0], [2.5, 0, 1]], np.float32)

Nodes = list[onnx.NodeProto]
Change = Callable[[dict[str, Any]], object]
WriteModel = Callable[..., Path]


def graph(nodes: Nodes, *, columns: int = 3, shape: tuple[Any, ...] = ("N", 1), kind: int = TensorProto.FLOAT) -> bytes:
    """A model that takes x [N, columns] and gives y. The constants `scale`, `one` and `many` are there to be used."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", columns])]
    outputs = [helper.make_tensor_value_info("y", kind, shape)]
    constants = [
        helper.make_tensor("scale", TensorProto.FLOAT, [1], [0.001]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("many", TensorProto.INT64, [1], [512]),
    ]
    made = helper.make_graph(nodes, "small", inputs, outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def mean_of_row(name: str = "y") -> Nodes:
    """A thousandth of the mean of a row's columns: a score that knows nothing of other rows."""
    return [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "scale"], [name]),
    ]


def scores_of(content: bytes) -> list[float]:
    """What the model gives for GOLDEN."""
    scores: list[float] = open_session(content).run(None, {"x": GOLDEN})[0].ravel().tolist()
    return scores


def manifest_of(content: bytes, scores: list[float]) -> dict[str, Any]:
    """The manifest of version 1 of the model `small`."""
    return {
        "name": "small",
        "version": 1,
        "file": "model.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "opset": {"ai.onnx": 17},
        "inputs": [{"name": "x", "dtype": "float32", "features": list(FEATURES)}],
        "outputs": [{"name": "y", "dtype": "float32", "columns": 1}],
        "threshold": 0.5,
        "training": {
            "data": "none",
            **dict.fromkeys(("train_days", "test_days", "parameters_rule", "threshold_rule"), "none"),
            **dict.fromkeys(("train_rows", "train_frauds", "test_rows", "test_frauds"), 0),
            "train_sha256": "0" * 64,
            "parameters": {},
        },
        "metrics": {},
        "versions": {},
        "command": "none",
        "golden": [{"features": row, "score": score} for row, score in zip(GOLDEN.tolist(), scores, strict=True)],
    }
