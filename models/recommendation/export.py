"""EASE as an ONNX graph: item indexes in, the ten best items that are not among them out.

Owns the graph. Promises scores whose bits do not depend on the batch, the order of a history or the processor: weights
lie on a grid so coarse that every sum of them is exact in float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

INPUT, ITEMS, SCORES = "history", "items", "scores"
TEN = 10
MANTISSA = 24  # bits of a float32 that count

Floats = NDArray[np.float64]


def on_grid(weights: Floats, popularity: Floats) -> tuple[Floats, Floats, int]:
    """Round to multiples of 2**-bits, where no sum of one item's weights is beyond what float32 holds exactly."""
    largest = max(float(np.abs(weights).sum(axis=0).max()), float(np.abs(popularity).max()), 1e-9)
    bits = MANTISSA - 1 - math.ceil(math.log2(largest))
    step = 2.0**-bits
    return np.round(weights / step) * step, np.round(popularity / step) * step, bits


def to_onnx(weights: Floats, popularity: Floats, *, name: str) -> onnx.ModelProto:
    """INPUT [N, L] int64 to ITEMS [N, 10] int64 and SCORES [N, 10] float32, the best first.

    Index n, one past the items, fills a history up; n + 1 alone asks for the most popular ones. An item of the
    history scores minus infinity. An item that is there twice counts once. `weights` [n, n] and `popularity` [n] are
    those that `on_grid` gave.
    """
    n = len(weights)
    table = np.zeros((n + 2, n), np.float32)
    table[:n], table[n + 1] = weights, popularity
    constants: dict[str, NDArray[Any]] = {
        "weights": table,
        "rows": np.array([0], np.int64),
        "width": np.array([n + 2], np.int64),
        "one": np.array([1], np.float32),
        "start": np.array([0], np.int64),
        "end": np.array([n], np.int64),
        "columns": np.array([1], np.int64),
        "nothing": np.array([-np.inf], np.float32),
        "ten": np.array([TEN], np.int64),
    }
    zero = numpy_helper.from_array(np.zeros(1, np.float32))
    node = helper.make_node
    nodes = [
        node("Shape", [INPUT], ["shape"]),
        node("Gather", ["shape", "rows"], ["n"]),
        node("Concat", ["n", "width"], ["wide"], axis=0),
        node("ConstantOfShape", ["wide"], ["none"], value=zero),
        node("Expand", ["one", "shape"], ["ones"]),
        node("ScatterElements", ["none", INPUT, "ones"], ["met"], axis=1),
        # Of a fixed width whatever the length of the history: a sum over gathered rows costs more from 100 items on.
        node("MatMul", ["met", "weights"], ["sums"]),
        node("Slice", ["met", "start", "end", "columns"], ["met_items"]),
        node("Cast", ["met_items"], ["is_met"], to=TensorProto.BOOL),
        node("Where", ["is_met", "nothing", "sums"], ["unmet"]),
        node("TopK", ["unmet", "ten"], [SCORES, ITEMS], axis=1, largest=1, sorted=1),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(INPUT, TensorProto.INT64, ["N", "L"])],
        [
            helper.make_tensor_value_info(ITEMS, TensorProto.INT64, ["N", TEN]),
            helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["N", TEN]),
        ],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model
