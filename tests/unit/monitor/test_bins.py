"""Bins: what training lays down and drift is measured by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.monitor.bins import Spread, binned, counted, psi


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300))
def test_every_value_has_one_bin(values: list[float]) -> None:
    found = binned(np.array(values))
    assert list(found.edges) == sorted(set(found.edges))
    assert len(found.shares) == len(found.edges) + 1
    assert sum(found.shares) == pytest.approx(1)
    assert counted(np.array(values), found.edges).sum() == len(values)


def test_nought_has_a_bin_of_its_own_where_it_is_frequent() -> None:
    """Else a risk that is nearly always nought could rise everywhere and never drift."""
    found = binned(np.array([0.0] * 9_700 + [0.1, 0.5, 0.9] * 100))
    assert 0.0 in found.edges
    assert psi(counted(np.full(1000, 0.3), found.edges), found.shares) > 5


def test_alike_is_nought_and_a_shift_is_not() -> None:
    chance = np.random.default_rng(2)
    found = binned(chance.normal(size=50_000))
    assert psi(counted(chance.normal(size=5_000), found.edges), found.shares) < 0.02
    assert psi(counted(chance.normal(0.5, size=5_000), found.edges), found.shares) > 0.2


def test_a_spread_tells_quantiles_within_a_twentieth() -> None:
    values = np.random.default_rng(3).lognormal(4, 1, 20_000)
    counts = Spread.counts(values)
    for share in (0.5, 0.99):
        assert Spread.quantile(counts, share) == pytest.approx(np.quantile(values, share), rel=0.06)
    assert Spread.quantile(Spread.counts(np.array([])), 0.5) is None
