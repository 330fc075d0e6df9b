"""Recommendations of films, ten for each interaction: EASE over what a person met, trained on MovieLens-100k.

An answer is the model's for the last KEPT items that the person met within a year, the present one included. What is
not in that history is recommended, be it that it was met before: histories longer than KEPT are forgotten from
their start. KEPT is large, since a film that falls out of a history is soon recommended again: of the published
test split's nDCG@10 of .479 with whole histories, 100 items leave .336, 200 leave .433 and 500 leave .477.

Items that the model does not know are left out, and the answer is marked `unknown`. Where it knows none of a
person's items, the answer is what most people met, marked `defaulted`. Repeats of an item count once.
"""

from __future__ import annotations

from app.features.history import History
from app.pipeline import Pipeline
from schemas.topics import TOPICS

KEPT = 500
YEAR_MS = 365 * 86_400_000

RECOMMENDATION = Pipeline(
    name="recommendation",
    source=TOPICS["interactions"],
    answers=TOPICS["recommendations"],
    views=(History("history", item="item_id", keep=KEPT, within_ms=YEAR_MS),),
    model="recommendation@1",
)
