"""The simulated payments of the Fraud Detection Handbook: 5,000 customers, 10,000 terminals, 183 days.

Owns the recipe: who pays where, when and how much, and which payments are fraud. Promises that seed 0 is the
published data set, in the published order, on every machine: a run that is not is refused. Imports numpy only.

Randomness has to be drawn exactly as it was: two generators a customer, each seeded with the customer's number.
Another seed shifts every one of them by the same amount.
"""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.errors import Fatal, Refused
from app.simulate.cache import load_columns, save_columns

EPOCH_MS = 1_522_540_800_000  # 2018-04-01 00:00 UTC, a Sunday
DAYS = 183
DAY_S = 86_400
CUSTOMERS = 5_000
TERMINALS = 10_000

_REACH = 5.0  # how far a customer goes to pay, on a map of 100 by 100
_SEED_STEP = 1_000_000  # farther apart than any two seeds within one run
_SEEDS = 2**32 // _SEED_STEP  # numpy's old generator takes 32 bits
_VERSION = 1  # of the recipe and of the cached columns
_PUBLISHED = "da7d9b14f5ce812d1d085f55a5b1393a717f7bb4f3bcebc39fecc35d5f6bb8a5"  # see _digest

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Payments:
    """Columns of equal length in the published order; a payment's id is its row.

    seconds since EPOCH_MS, customer, terminal, amount in cents, and scenario: 0 for an honest payment, 1 for a large
    amount, 2 for a compromised terminal, 3 for a stolen card.
    """

    seconds: Ints
    customer: Ints
    terminal: Ints
    cents: Ints
    scenario: Ints

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def columns(self) -> tuple[Ints, ...]:
        """The five columns in the order above."""
        return tuple(getattr(self, name) for name in COLUMNS)

    @property
    def days(self) -> int:
        """Since EPOCH_MS, as many as a whole simulation has."""
        return DAYS

    @property
    def time_ms(self) -> Ints:
        """Milliseconds since 1970, UTC."""
        return self.seconds * 1_000 + EPOCH_MS

    @property
    def day(self) -> Ints:
        """Days since EPOCH_MS, from 0."""
        return self.seconds // DAY_S

    @property
    def fraud(self) -> NDArray[np.bool_]:
        return self.scenario > 0

    def first_days(self, days: int) -> Payments:
        """The payments of the first `days` days."""
        end = int(np.searchsorted(self.seconds, days * DAY_S))
        return Payments(*(column[:end] for column in self.columns))


COLUMNS = tuple(field.name for field in fields(Payments))


def simulate(seed: int = 0, days: int = DAYS, *, cache: Path | None = None) -> Payments:
    """Give the first `days` days; seed 0 is the published data set.

    The whole is always simulated, some four seconds: the order of payments within a second, and which payments of a
    stolen card are fraud, depend on all of them. `cache` is a folder that keeps the whole for the next time.

    Raises:
        Refused: for a seed or a number of days that there is not.
        Fatal: when this numpy or Python does not give the published data set.
    """
    if not 0 <= seed < _SEEDS:
        raise Refused(f"Seed {seed} is not to be had; choose one from 0 to {_SEEDS - 1}.", exit_code=2)
    if not 1 <= days <= DAYS:
        raise Refused(f"{days} days are not to be had; choose from 1 to {DAYS}.", exit_code=2)
    path = None if cache is None else cache / f"payments-v{_VERSION}-seed{seed}.npz"
    whole = None if path is None else _from_cache(path, seed)
    if whole is None:
        whole = _generate(seed * _SEED_STEP)
        if seed == 0 and _digest(whole) != _PUBLISHED:
            raise Fatal(
                "The simulated payments are not the published ones: this Python or numpy draws or sorts in another "
                f"way (digest {_digest(whole)}, expected {_PUBLISHED}). Use the versions in ops/requirements.lock."
            )
        if path is not None:
            save_columns(path, dict(zip(COLUMNS, whole.columns, strict=True)))
    return whole if days == DAYS else whole.first_days(days)


def _from_cache(path: Path, seed: int) -> Payments | None:
    columns = load_columns(path, COLUMNS)
    if columns is None:
        return None
    whole = Payments(*columns)
    return None if seed == 0 and _digest(whole) != _PUBLISHED else whole


def _digest(payments: Payments) -> str:
    """The columns' sha256, as 32-bit integers: a hundred times faster than formatting 1.7 million lines."""
    digest = hashlib.sha256()
    for column in payments.columns:
        digest.update(column.astype("<i4").tobytes())
    return digest.hexdigest()


def _generate(shift: int) -> Payments:
    drawn = [_pay(shift + customer, habits) for customer, habits in enumerate(_habits(shift))]
    seconds, terminal, amount = (np.concatenate(column) for column in zip(*drawn, strict=True))
    customer = np.repeat(np.arange(CUSTOMERS), [len(times) for times, _, _ in drawn])
    # The published order comes from numpy's default sort, which does not keep equal times in their order. For times
    # it is one plain algorithm on every processor; for integers it would be chosen by what the processor can do.
    order = np.argsort(seconds.view("datetime64[s]"))
    seconds, customer, terminal = seconds[order], customer[order], terminal[order]
    cents = np.rint(amount[order] * 100).astype(np.int64)
    scenario = _defraud(shift, seconds // DAY_S, customer=customer, terminal=terminal, cents=cents)
    return Payments(seconds, customer, terminal, cents, scenario)


class _Habits(NamedTuple):
    near: list[int]  # terminals within reach
    mean: float  # amount
    per_day: float  # payments


def _habits(shift: int) -> Iterator[_Habits]:
    """How each customer pays."""
    traits = np.random.RandomState(shift).uniform(size=(CUSTOMERS, 4))
    places = np.random.RandomState(shift + 1).uniform(size=(TERMINALS, 2)) * 100
    for x, y, wealth, activity in traits:
        away = np.sqrt(((places - (x * 100, y * 100)) ** 2).sum(axis=1))
        yield _Habits(np.flatnonzero(away < _REACH).tolist(), float(5 + (100 - 5) * wealth), float(activity * 4))


def _pay(seed: int, habits: _Habits) -> tuple[Ints, Ints, Floats]:
    """One customer's payments as (seconds, terminals, amounts), in the order of drawing."""
    seconds, terminals, amounts = array("q"), array("q"), array("d")
    near, mean, per_day = habits
    numbers = np.random.RandomState(seed)
    poisson, normal, choose = numbers.poisson, numbers.normal, random.Random(seed).choice
    for midnight in range(0, DAYS * DAY_S if near else 0, DAY_S):
        for _ in range(poisson(per_day)):
            second = int(normal(DAY_S / 2, 20_000))
            if 0 < second < DAY_S:
                amount = normal(mean, mean / 2)
                amounts.append(amount if amount >= 0 else numbers.uniform(0, mean * 2))
                terminals.append(choose(near))
                seconds.append(midnight + second)
    return np.array(seconds), np.array(terminals), np.array(amounts)


def _defraud(shift: int, day: Ints, *, customer: Ints, terminal: Ints, cents: Ints) -> Ints:
    """Tell each payment's scenario, the last one that applies; stolen cards' amounts grow in place."""
    scenario = np.where(cents > 220_00, 1, 0)
    starts = np.searchsorted(day, np.arange(DAYS + 28))
    for start in range(DAYS - 1):
        compromised = np.random.RandomState(shift + start).choice(TERMINALS, 2, replace=False)
        span = slice(starts[start], starts[start + 28])
        scenario[span][np.isin(terminal[span], compromised)] = 2
    for start in range(DAYS - 1):
        stolen = np.random.RandomState(shift + start).choice(CUSTOMERS, 3, replace=False)
        span = slice(starts[start], starts[start + 14])
        theirs = np.flatnonzero(np.isin(customer[span], stolen)) + span.start
        picked = random.Random(shift + start).sample(range(len(theirs)), len(theirs) // 3)
        cents[theirs[picked]] *= 5
        scenario[theirs[picked]] = 3
    return scenario
