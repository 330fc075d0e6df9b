"""What a loaded model is put through before it may score: rows with known answers, and the same rows in other company.

Owns the two trials. Promises that a model which passed gives a row the same bits in every batch that was tried.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from app.errors import Fatal
from app.inference.manifest import Manifest

Matrix = NDArray[np.float32]
Probabilities = Callable[[Matrix], Matrix]

ROWS = 512
SIZES_AND_ROWS = ((1, 48), (2, 64), (3, 96), (64, ROWS))  # small batches cost most, so fewer rows run in them


def check_golden(manifest: Manifest, probabilities: Probabilities) -> None:
    """Score the manifest's golden rows.

    Raises:
        Fatal: when a score is not the manifest's, to the bit.
    """
    matrix = _golden_rows(manifest)
    expected = np.array([row.score for row in manifest.golden], np.float32)
    found = probabilities(matrix)
    differing = np.flatnonzero(found != expected)
    if len(differing):
        row = int(differing[0])
        raise Fatal(
            f"Model {manifest.ref} does not score as its manifest says: golden row {row + 1} of {len(expected)} should "
            f"give {expected[row]!s} and gives {found[row]!s} ({len(differing)} rows differ). The file, ONNX Runtime "
            "or the processor is another one than where the manifest was written."
        )


def check_batches(manifest: Manifest, probabilities: Probabilities) -> None:
    """Score 512 rows together, shuffled, and in batches of 1, 2, 3 and 64.

    Raises:
        Fatal: when one row's bits depend on its company.
    """
    matrix = _many_rows(_golden_rows(manifest))
    together = probabilities(matrix)
    shuffle = np.random.default_rng(7).permutation(ROWS)
    shuffled = np.empty_like(together)
    shuffled[shuffle] = probabilities(matrix[shuffle])
    _same_bits(manifest, together, shuffled, how=f"a shuffled batch of {ROWS}")
    for size, rows in SIZES_AND_ROWS:
        parts = [probabilities(matrix[first : first + size]) for first in range(0, rows, size)]
        _same_bits(manifest, together[:rows], np.concatenate(parts), how=f"a batch of {size}")


def _same_bits(manifest: Manifest, together: Matrix, apart: Matrix, *, how: str) -> None:
    differing = np.flatnonzero(together.view(np.uint32) != apart.view(np.uint32))
    if len(differing):
        row = int(differing[0])
        raise Fatal(
            f"Model {manifest.ref} scores the same event differently in other company: {together[row]!s} in a batch "
            f"of {ROWS} and {apart[row]!s} in {how} ({len(differing)} of {len(apart)} rows differ), so a replay "
            "could not give the same answers. Export it without operators that mix rows or depend on their number."
        )


def _golden_rows(manifest: Manifest) -> Matrix:
    columns = len(manifest.inputs[0].features)
    for place, row in enumerate(manifest.golden, 1):
        if len(row.features) != columns:
            raise Fatal(
                f"Golden row {place} of model {manifest.ref} has {len(row.features)} features; its manifest names "
                f"{columns}."
            )
    return np.array([row.features for row in manifest.golden], np.float32)


def _many_rows(golden: Matrix) -> Matrix:
    """The golden rows, and as many more that lie near them."""
    rows = np.resize(golden, (ROWS, golden.shape[1]))
    near = np.random.default_rng(11).uniform(0.5, 1.5, rows.shape).astype(np.float32)
    near[: len(golden)] = 1
    return rows * near
