"""A world that changes on one day: amounts grow threefold, and one terminal in fifty turns bad for good.

Owns what is changed, and nothing is drawn at random: the same seed and day give the same payments, and those before
the day are the ones of the simulation without it. Which payments were fraud already stays as it was, so a model that
knows large amounts for fraud now alerts about honest ones, and does not know of the bad terminals.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.errors import Refused
from app.simulate.payments import Payments

GROWTH = 3
ONE_IN = 50  # terminals
COMPROMISED = 2  # the scenario of a compromised terminal


def drifted(payments: Payments, day: int) -> Payments:
    """The payments with a world that changes at the beginning of `day`. Raises Refused for a day that there is not."""
    if not 0 <= day < payments.days:
        raise Refused(f"Day {day} is not to be had; choose one from 0 to {payments.days - 1}.", exit_code=2)
    changed = payments.day >= day
    bad = changed & (payments.terminal % ONE_IN == 0) & (payments.scenario == 0)
    return replace(
        payments,
        cents=np.where(changed, payments.cents * GROWTH, payments.cents),
        scenario=np.where(bad, COMPROMISED, payments.scenario),
    )
