"""The events of the topic `interactions`: what the recommendation pipeline reads."""

from __future__ import annotations

from pydantic import BaseModel, Field

from schemas.fields import ID_WORDS, INPUT, TIME_WORDS, Id, TimeMs


class Interaction(BaseModel):
    """A person and an item met: it was watched, bought, rated; what was thought of it is not said."""

    model_config = INPUT

    interaction_id: Id = Field(description=f"The interaction, unique in its topic; {ID_WORDS}.")
    user_id: Id = Field(description=f"Who, and the record's key; {ID_WORDS}.")
    item_id: Id = Field(description=f"Which item; {ID_WORDS}.")
    time_ms: TimeMs = Field(description=f"When; {TIME_WORDS}.")
