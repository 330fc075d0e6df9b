"""A LightGBM model of two classes as ONNX with one output: the probabilities, and nothing beside them.

Owns the step from LightGBM to ONNX. Promises that ONNX takes every branch that LightGBM takes, for float32 inputs, and
that the same model gives the same bytes.
"""

from __future__ import annotations

import warnings

import lightgbm
import numpy as np
import onnx
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

INPUT, OUTPUT = "features", "probabilities"


def to_onnx(booster: lightgbm.Booster, *, name: str) -> onnx.ModelProto:
    """Give a graph of one node: INPUT [N, features] to OUTPUT [N, 2], both float32; the second column is fraud.

    Raises:
        ValueError: when the converter builds a graph of another kind than the one that is cut here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the converter's own
        model: onnx.ModelProto = convert_lightgbm(
            _with_float32_thresholds(booster),
            name=name,
            initial_types=[(INPUT, FloatTensorType([None, booster.num_feature()]))],
            zipmap=False,
            target_opset=15,  # the highest that the converter knows
        )
    trees, *rest = model.graph.node
    if trees.op_type != "TreeEnsembleClassifier" or {node.op_type for node in rest} - {"Identity", "Cast", "Mul"}:
        raise ValueError(f"the converter gave {[node.op_type for node in model.graph.node]}")
    # The label's static shape makes ONNX Runtime warn at every call, and the other nodes multiply by one.
    trees.output[1] = OUTPUT
    del model.graph.node[1:], model.graph.initializer[:], model.graph.output[0]
    onnx.checker.check_model(model, full_check=True)
    return model


def _with_float32_thresholds(booster: lightgbm.Booster) -> lightgbm.Booster:
    """Move each threshold down to the nearest float32.

    LightGBM goes left where x <= threshold, in float64. ONNX holds the threshold as float32; rounded to the nearest it
    may come to lie on the next x, which then goes left, too. Rounded down it parts the same float32 values.
    """
    lines = booster.model_to_string().split("\n")
    moved = ["threshold=" + _floored(line[10:]) if line.startswith("threshold=") else line for line in lines]
    # The text tells each tree's length, which the moved thresholds change; without the list it is read in order.
    return lightgbm.Booster(model_str="\n".join(line for line in moved if not line.startswith("tree_sizes=")))


def _floored(thresholds: str) -> str:
    exact = np.array(thresholds.split(), np.float64)
    nearest = exact.astype(np.float32)
    floored = np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    return " ".join(repr(float(value)) for value in floored)
