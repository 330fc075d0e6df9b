"""Pairs of answers, made by hand for tests of a difference."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from app.replay.diff import Asked, Difference, of_pairs
from app.replay.diff_join import Pair, Side
from app.replay.log import Span

MONDAY_NOON_MS = 1_522_670_400_000  # 2018-04-02T12:00:00Z


def asked(pipeline: str = "fraud", *, promised: bool = True, predictions_only: bool = False) -> Asked:
    old, new = Side("payments.scored"), Side("payments.scored.again")
    return Asked(pipeline, "payments", {0: Span(0, 1_000)}, old, new, promised, predictions_only)


def answer(
    score: float,
    *,
    version: int = 1,
    threshold: float = 0.5,
    marks: Iterable[str] = (),
    features: Mapping[str, float] | None = None,
    **others: Any,
) -> bytes:
    """One prediction of the fraud pipeline, or what a hostile topic may hold in its place."""
    value = {
        "id": f"id-{version}",
        "event_id": "7",
        "customer_id": "596",
        "time_ms": MONDAY_NOON_MS,
        "score": score,
        "threshold": threshold,
        "decision": "alert" if score >= threshold else "pass",
        "model": {"name": "fraud", "version": version},
        "features": {"amount": 57.16, "terminal_risk_7d": 0.0, **(features or {})},
        "marks": list(marks),
        **others,
    }
    return json.dumps(value).encode()


def ranking(*items: str, version: int = 1) -> bytes:
    value = {
        "event_id": "7",
        "items": [{"item_id": item, "score": 1.0} for item in items],
        "model": {"name": "recommendation", "version": version},
        "marks": [],
    }
    return json.dumps(value).encode()


def pairs(*both: tuple[bytes | None, bytes | None], key: bytes = b"596") -> list[Pair]:
    return [Pair((0, offset), old, new, key=key) for offset, (old, new) in enumerate(both)]


def found(*both: tuple[bytes | None, bytes | None]) -> Difference:
    return of_pairs(asked(), pairs(*both))
