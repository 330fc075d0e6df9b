"""The events of the topic `monitor.alerts`: what the monitor raises and clears."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schemas.fields import ID_WORDS, OUTPUT, TIME_WORDS, Id, TimeMs

TEXT_LENGTH = 1000
SUBJECT_LENGTH = 256
VALUE_MAX = 10**15

Text = Annotated[str, Field(min_length=1, max_length=TEXT_LENGTH)]
Subject = Annotated[str, Field(max_length=SUBJECT_LENGTH)]
Measured = Annotated[float, Field(ge=-VALUE_MAX, le=VALUE_MAX)]

_VALUE_WORDS = f"-{VALUE_MAX} to {VALUE_MAX}"


class MonitorAlert(BaseModel):
    """Something that somebody should look at, or that is well again. The newest one of an `alert_id` holds."""

    model_config = OUTPUT

    alert_id: Id = Field(description=f"A digest of rule, pipeline and subject, and the record's key; {ID_WORDS}.")
    rule: Id = Field(description=f"The rule that was broken, such as drift; {ID_WORDS}.")
    pipeline: Id = Field(description=f"The pipeline that it is about; {ID_WORDS}.")
    subject: Subject = Field(
        description=f"What of the pipeline, such as a feature or a partition; empty: all of it; at most "
        f"{SUBJECT_LENGTH} characters."
    )
    state: Literal["raised", "cleared"] = Field(description="Whether it holds, or is well again.")
    severity: Literal["page", "ticket"] = Field(description="page: somebody should look now; ticket: this week.")
    value: Measured = Field(description=f"What was measured; {_VALUE_WORDS}.")
    raise_at: Measured = Field(description=f"The value that raises it; {_VALUE_WORDS}.")
    clear_at: Measured = Field(description=f"The value that clears it; {_VALUE_WORDS}.")
    since_ms: TimeMs = Field(description=f"When the value first was beyond raise_at; {TIME_WORDS}.")
    time_ms: TimeMs = Field(description=f"When it was raised or cleared; {TIME_WORDS}.")
    summary: Text = Field(description=f"What is wrong, in one sentence; 1 to {TEXT_LENGTH} characters.")
    action: Text = Field(description=f"What to do, in one sentence; 1 to {TEXT_LENGTH} characters.")
    runbook: Id = Field(description=f"The entry of ops/runbook.md that goes further; {ID_WORDS}.")
