"""The first model of a new pipeline: ONNX that scores as its weights say, with bits that depend on no company."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inference.model import open_session
from app.starter.graph import weighted

weights = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40)


@given(weights, st.floats(-100, 100, width=32))
def test_it_is_a_model_that_onnx_itself_finds_no_fault_with(weights: list[float], bias: float) -> None:
    model = onnx.load_from_string(weighted(weights, bias))

    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [17]


@given(weights, st.floats(-100, 100, width=32))
def test_it_scores_the_weighted_sum_between_nought_and_one(weights: list[float], bias: float) -> None:
    rows = np.random.default_rng(3).uniform(-50, 50, (9, len(weights))).astype(np.float32)
    (found,) = open_session(weighted(weights, bias)).run(None, {"x": rows})

    z = rows.astype(np.float64) @ np.array(weights) + bias
    assert found.shape == (9, 1)
    # Where big parts cancel, their rounding is all that is left of the sum.
    parts = np.abs(rows * np.array(weights)).sum(axis=1) + abs(bias)
    assert (np.abs(found[:, 0] - (0.5 + z / (1 + np.abs(z)) / 2)) <= 1e-6 + 1e-6 * parts).all()
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("rows", [2, 3, 7, 64, 512])
def test_a_row_has_the_same_bits_wherever_it_stands(rows: int) -> None:
    session = open_session(weighted((0.004, 0.25, 0.3, 0.05, -0.1), -2.5))
    many = np.random.default_rng(5).uniform(0, 900, (512, 5)).astype(np.float32)
    (together,) = session.run(None, {"x": many})
    apart = [session.run(None, {"x": many[first : first + rows]})[0] for first in range(0, 512, rows)]

    assert np.concatenate(apart).tobytes() == together.tobytes()
