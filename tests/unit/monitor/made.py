"""Records as the fraud pipeline's topics have them."""

from __future__ import annotations

import json
from typing import Any

from app.monitor.watched import Watched, watched
from app.pipelines.fraud import FRAUD
from app.record import Headers, Record
from app.settings import PROJECT

DAY_MS = 86_400_000
TIME_MS = 1_700_000_000_000
FRAUD_WATCHED: Watched = watched(FRAUD, PROJECT / "models")


def answer(number: int, *, offset: int | None = None, score: float = 0.01, **changed: Any) -> Record:
    """Prediction `number`, on partition number % 3 unless it is told otherwise."""
    value = {
        "id": f"p{number}",
        "event_id": str(number),
        "customer_id": "1",
        "time_ms": TIME_MS + number % 4 * DAY_MS,
        "score": score,
        "threshold": 0.5,
        "decision": "alert" if score >= 0.5 else "pass",
        "model": {"name": "fraud", "version": 1},
        "features": dict.fromkeys(FRAUD.features, 0.5) | {"amount": float(number % 200)},
        "marks": ["late"] if number % 5 == 0 else [],
    } | changed
    headers: Headers = [("source", b"payments/0/%d" % number), ("scored-at", b"%d" % (TIME_MS + number + 3))]
    at = number // 3 if offset is None else offset
    return Record("payments.scored", number % 3, at, TIME_MS + 9 * DAY_MS + number, b"1", _bytes(value), headers)


def outcome(number: int, *, offset: int, fraud: bool = False, at_ms: int | None = None, days: int = 7) -> Record:
    at = TIME_MS + number % 4 * DAY_MS if at_ms is None else at_ms
    value = {"payment_id": str(number), "terminal_id": "1", "payment_time_ms": at}
    value |= {"known_at_ms": at + days * DAY_MS, "fraud": fraud}
    return Record("payments.labels", 0, offset, TIME_MS, b"1", _bytes(value), None)


def _bytes(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()
