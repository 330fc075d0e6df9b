"""Which parts of the answers are told apart, and what they are worth: declared here, for each pipeline by its name.

Whatever is scored is told apart by time of day and by weekend. A grouping reads one answer and gives the number of its
label, or none where the answer does not say.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Grouping:
    """Answers told apart by one thing."""

    name: str
    labels: tuple[str, ...]
    of: Callable[[Answer], int | None]


@dataclass(frozen=True)
class Declared:
    """What is told of one pipeline's answers. `money` names the feature with what is at stake, in units of currency."""

    groupings: tuple[Grouping, ...]
    money: str | None = None


def feature(answer: Answer, name: str) -> float | None:
    """One of the features that an answer shows, if it is a number."""
    features = answer.get("features")
    value = features.get(name) if isinstance(features, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else None


def _banded(name: str, edges: tuple[float, ...]) -> Callable[[Answer], int | None]:
    def of(answer: Answer) -> int | None:
        value = feature(answer, name)
        return None if value is None else bisect_right(edges, value)

    return of


def _time_of_day(answer: Answer) -> int | None:
    time_ms = answer.get("time_ms")
    if not isinstance(time_ms, int):
        return None
    return bisect_right((7, 13, 19), time_ms % DAY_MS // HOUR_MS)


def _day(answer: Answer) -> int | None:
    time_ms = answer.get("time_ms")
    if not isinstance(time_ms, int):
        return None
    return 1 if (time_ms // DAY_MS + 3) % 7 >= 5 else 0  # 1970-01-01 was a Thursday


TIMES = (
    Grouping("time of day, UTC", ("night 00-06", "07-12", "13-18", "19-23"), _time_of_day),
    Grouping("day, UTC", ("Monday to Friday", "weekend"), _day),
)
FRAUD = Declared(
    (
        Grouping("amount", ("below 10", "10 to 50", "50 to 100", "100 to 220", "220 and more"),
                 _banded("amount", (10.0, 50.0, 100.0, 220.0))),
        Grouping("fraud at the terminal, 7 days", ("none known", "up to 10 %", "10 to 50 %", "over 50 %"),
                 _banded("terminal_risk_7d", (1e-9, 0.1 + 1e-9, 0.5 + 1e-9))),
        *TIMES,
    ),
    money="amount",
)  # fmt: skip
DECLARED = {"fraud": FRAUD}


def declared(pipeline: str) -> Declared:
    """What is declared for the pipeline of that name, or what is told of any."""
    return DECLARED.get(pipeline, Declared(TIMES))
