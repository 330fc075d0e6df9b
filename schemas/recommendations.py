"""The answers on the topic `recommendations`: what the recommendation pipeline writes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from schemas.fields import ID_WORDS, OUTPUT, TIME_WORDS, Id, TimeMs
from schemas.scored import MARKS_LENGTH, Mark, ModelRef

ITEMS_LENGTH = 10
SCORE_MAX = 10**9

RankScore = Annotated[float, Field(ge=-SCORE_MAX, le=SCORE_MAX)]


class RankedItem(BaseModel):
    """One item that is recommended."""

    model_config = OUTPUT

    item_id: Id = Field(description=f"The item; {ID_WORDS}.")
    score: RankScore = Field(
        description=f"How well it fits, -{SCORE_MAX} to {SCORE_MAX}: comparable within one answer, and no probability."
    )


class Recommendation(BaseModel):
    """The answer to one interaction. The same interaction, state and model give the same bytes."""

    model_config = OUTPUT

    id: Id = Field(description=f"This answer: a digest of pipeline, event and model; {ID_WORDS}.")
    event_id: Id = Field(description=f"The interaction_id of the interaction; {ID_WORDS}.")
    user_id: Id = Field(description=f"Who, and the record's key; {ID_WORDS}.")
    time_ms: TimeMs = Field(description=f"The time of the interaction; {TIME_WORDS}.")
    items: Annotated[list[RankedItem], Field(max_length=ITEMS_LENGTH)] = Field(
        description=f"The items that fit best and are not in the history, the best first, at most {ITEMS_LENGTH}."
    )
    model: ModelRef = Field(description="The model that ranked, by name and version.")
    marks: Annotated[list[Mark], Field(max_length=MARKS_LENGTH)] = Field(
        description=f"What could not be exact, one word each (1 to 64 characters), at most {MARKS_LENGTH}; else empty."
    )
