"""A model that somebody brings: tried before it stays, and refused in a sentence with nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from app.errors import Refused
from app.inference.manifest import Manifest, read_manifest
from app.inference.model import load_model, newest_version
from app.starter.graph import weighted
from app.starter.manifest import GOLDEN_ROWS, add_version

FEATURES = ("a", "b")
ROWS = np.random.default_rng(1).uniform(0, 9, (100, 2)).astype(np.float32)
GOOD = weighted((0.5, -0.25), 0.1)


def added(models: Path, content: bytes = GOOD) -> Path:
    return add_version(models, "mine", content, features=FEATURES, rows=ROWS, threshold=0.7, command="test")


def onnx_of(*nodes: onnx.NodeProto, outputs: dict[str, list[str | int | None]], inputs: int = 1) -> bytes:
    taken = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, ["N", 2]) for i in range(inputs)]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    graph = helper.make_graph(list(nodes), "test", taken, given)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = made.SerializeToString()
    return content


def test_it_becomes_the_next_version_and_serves(tmp_path: Path) -> None:
    assert [added(tmp_path).name, added(tmp_path, weighted((1.0, 1.0), 0.0)).name] == ["1", "2"]

    model = load_model(newest_version(tmp_path, "mine"), FEATURES)
    assert (model.ref, model.threshold) == ("mine@2", 0.7)


def test_its_golden_rows_are_spread_over_the_rows_that_it_was_tried_on(tmp_path: Path) -> None:
    manifest = read_manifest(added(tmp_path))
    assert isinstance(manifest, Manifest)
    golden = [row.features for row in manifest.golden]

    assert len(golden) == GOLDEN_ROWS
    assert (golden[0], golden[-1]) == (tuple(ROWS[0].tolist()), tuple(ROWS[-1].tolist()))


def test_one_row_is_enough(tmp_path: Path) -> None:
    add_version(tmp_path, "mine", GOOD, features=FEATURES, rows=ROWS[:1], threshold=0.5, command="test")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no model", r"does not run this model: .*protobuf parsing failed\.$"),
        (weighted((1.0,), 0.0), r"^The model takes 1 columns, and the pipeline gives 2: a, b\.$"),
        (onnx_of(helper.make_node("Identity", ["x0"], ["y"]), outputs={"y": ["N", 2]}), r"is not a manifest: golden"),
        (
            onnx_of(helper.make_node("Add", ["x0", "x1"], ["y"]), outputs={"y": ["N", 2]}, inputs=2),
            r"The model takes 2 inputs; one matrix",
        ),
        (
            onnx_of(
                helper.make_node("Sigmoid", ["x0"], ["y"]),
                helper.make_node("Sigmoid", ["x0"], ["z"]),
                outputs={"y": ["N", 2], "z": ["N", 2]},
            ),
            r"The model gives y tensor\(float\) .*; one float output",
        ),
        (
            onnx_of(
                helper.make_node("ReduceMean", ["x0"], ["m"], axes=[0], keepdims=1),
                helper.make_node("Add", ["x0", "m"], ["s"]),
                helper.make_node("Sigmoid", ["s"], ["y"]),
                outputs={"y": ["N", 2]},
            ),
            r"Model mine@1 (scores the same event differently|does not score as its manifest says)",
        ),
    ],
    ids=["no ONNX", "too few columns", "no probability", "two inputs", "two outputs", "mixes rows"],
)
def test_what_cannot_serve_is_refused_and_leaves_nothing(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(Refused, match=said) as refusal:
        added(tmp_path, content)

    assert refusal.value.exit_code == 2
    assert list((tmp_path / "mine").iterdir()) == []
