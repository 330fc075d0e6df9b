"""Payments as records, made by hand: what the tests of features and answers feed."""

from __future__ import annotations

import msgspec

from app.contracts.admission import Admission, Admitted
from app.pipelines.fraud import FRAUD
from app.record import Headers, Record

NOON_MS = 1_522_584_000_000  # Sunday, 2018-04-01 12:00 UTC
TAKEN_MS = NOON_MS + 86_400_000  # when Kafka took the records
DAY_MS = 86_400_000
HOUR_MS = 3_600_000

_admit = Admission(FRAUD).admit


def payment(**changed: object) -> bytes:
    """A payment's value; a field that is changed to ... is left out."""
    fields = {
        "payment_id": "1",
        "customer_id": "596",
        "terminal_id": "3156",
        "amount_cents": 5716,
        "time_ms": NOON_MS,
        **changed,
    }
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not ...})


def record(
    value: bytes | None,
    *,
    offset: int = 0,
    partition: int = 0,
    key: bytes | None = b"596",
    headers: Headers | None = None,
    timestamp_ms: int = TAKEN_MS,
) -> Record:
    return Record("payments", partition, offset, timestamp_ms, key, value, headers)


def event(customer: str, *, offset: int, partition: int = 0, terminal: str = "9", time_ms: int = NOON_MS) -> Admitted:
    """An admitted payment; its amount is made of its offset, so that no two are alike."""
    value = payment(
        payment_id=str(offset), customer_id=customer, terminal_id=terminal, amount_cents=offset + 1, time_ms=time_ms
    )
    admitted = _admit(record(value, offset=offset, partition=partition, key=customer.encode()))
    assert isinstance(admitted, Admitted), admitted
    return admitted
