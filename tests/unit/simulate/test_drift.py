"""The world that changes on one day: nothing before it, amounts and terminals from it on, the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from app.errors import Refused
from app.simulate.drift import GROWTH, ONE_IN, drifted
from app.simulate.payments import DAYS, Payments


def test_before_the_day_nothing_is_changed_and_from_it_on_amounts_and_terminals_are(payments: Payments) -> None:
    changed = drifted(payments, 100)
    before = payments.day < 100
    for was, now in zip(payments.columns, changed.columns, strict=True):
        assert np.array_equal(was[before], now[before])
    assert np.array_equal(changed.cents[~before], payments.cents[~before] * GROWTH)
    for kept in ("seconds", "customer", "terminal"):
        assert np.array_equal(getattr(changed, kept), getattr(payments, kept))
    turned = changed.fraud & ~payments.fraud
    assert set((changed.terminal[turned] % ONE_IN).tolist()) == {0}
    assert not (payments.fraud & ~changed.fraud).any()
    assert turned[~before].mean() == pytest.approx(1 / ONE_IN, rel=0.2)
    assert all(np.array_equal(*pair) for pair in zip(drifted(payments, 100).columns, changed.columns, strict=True))


@pytest.mark.parametrize("day", [-1, DAYS])
def test_a_day_that_there_is_not_is_refused(payments: Payments, day: int) -> None:
    with pytest.raises(Refused, match="choose one from 0 to"):
        drifted(payments, day)
