"""Simulated columns as the bytes of the wire: the topics payments, payments.labels and interactions.

Owns which column is which field. The fields, their order and their spelling are those of the contracts in schemas/.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from app.contracts.compile import compile_contract
from app.simulate.interactions import Interactions
from app.simulate.payments import DAY_S, Payments
from schemas.interactions import Interaction
from schemas.payments import Payment, PaymentLabel

LABEL_DELAY_MS = 7 * DAY_S * 1_000  # how long after a payment it is known whether it was fraud

_CHUNK = 8_192  # rows turned into Python numbers at a time: whoever reads a few does not pay for all


def payment_events(payments: Payments, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Give (key, value) of each payment from row `start` on, in the published order; a payment's id is its row."""
    contract = compile_contract(Payment)
    event, encode = contract.struct, contract.encode
    columns = (payments.customer, payments.terminal, payments.cents, payments.time_ms)
    for row, customer, terminal, cents, time_ms in _rows(columns, start):
        key = str(customer)
        yield key.encode(), encode(event(str(row), key, str(terminal), cents, time_ms))


def label_events(payments: Payments, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Give (key, value) of each payment's outcome from row `start` on, in the order in which they become known."""
    contract = compile_contract(PaymentLabel)
    event, encode = contract.struct, contract.encode
    for row, terminal, time_ms, fraud in _rows((payments.terminal, payments.time_ms, payments.fraud), start):
        key = str(terminal)
        yield key.encode(), encode(event(str(row), key, time_ms, time_ms + LABEL_DELAY_MS, fraud))


def interaction_events(interactions: Interactions, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Give (key, value) of each interaction from row `start` on, in their order; an interaction's id is its row."""
    contract = compile_contract(Interaction)
    event, encode = contract.struct, contract.encode
    columns = (interactions.user, interactions.item, interactions.time_ms)
    for row, user, item, time_ms in _rows(columns, start):
        key = str(user)
        yield key.encode(), encode(event(str(row), key, str(item), time_ms))


def _rows(columns: tuple[NDArray[Any], ...], start: int) -> Iterator[tuple[Any, ...]]:
    end = len(columns[0])
    for first in range(start, end, _CHUNK):
        last = min(first + _CHUNK, end)
        yield from zip(range(first, last), *(column[first:last].tolist() for column in columns), strict=True)
