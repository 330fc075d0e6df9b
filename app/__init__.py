"""streaminfer: score every event of a Kafka topic once, with features that are right.

What a pipeline in a file of its own needs is here by name: `from app import Pipeline, Window`. Each name is imported
when it is asked for, so that nothing waits for rooms that it does not use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.errors import Refused
    from app.features.asof import AsOf
    from app.features.history import History
    from app.features.last import Last
    from app.features.lookups import Field, Lookup
    from app.features.outcomes import Outcomes
    from app.features.window import Window
    from app.offline import score
    from app.pipeline import EventFeatures, Pipeline
    from schemas.fields import INPUT, OUTPUT, Amount, AmountCents, Count, Id, Share, TimeMs
    from schemas.scored import Mark, ModelRef
    from schemas.topics import TopicContract

_ROOMS = {
    "AsOf": "app.features.asof",
    "EventFeatures": "app.pipeline",
    "Field": "app.features.lookups",
    "History": "app.features.history",
    "Last": "app.features.last",
    "Lookup": "app.features.lookups",
    "Outcomes": "app.features.outcomes",
    "Pipeline": "app.pipeline",
    "Refused": "app.errors",
    "TopicContract": "schemas.topics",
    "Window": "app.features.window",
    "score": "app.offline",
    **dict.fromkeys(("INPUT", "OUTPUT", "Amount", "AmountCents", "Count", "Id", "Share", "TimeMs"), "schemas.fields"),
    **dict.fromkeys(("Mark", "ModelRef"), "schemas.scored"),
}

__all__ = [
    "INPUT",
    "OUTPUT",
    "Amount",
    "AmountCents",
    "AsOf",
    "Count",
    "EventFeatures",
    "Field",
    "History",
    "Id",
    "Last",
    "Lookup",
    "Mark",
    "ModelRef",
    "Outcomes",
    "Pipeline",
    "Refused",
    "Share",
    "TimeMs",
    "TopicContract",
    "Window",
    "score",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
