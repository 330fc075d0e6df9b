"""The events of the topics `payments` and `payments.labels`: what the fraud pipeline reads."""

from __future__ import annotations

from pydantic import BaseModel, Field

from schemas.fields import CENTS_WORDS, ID_WORDS, INPUT, TIME_WORDS, AmountCents, Id, TimeMs


class Payment(BaseModel):
    """One card payment, as it is asked for: its outcome is not known yet."""

    model_config = INPUT

    payment_id: Id = Field(description=f"The payment, unique in its topic; {ID_WORDS}.")
    customer_id: Id = Field(description=f"Who pays, and the record's key; {ID_WORDS}.")
    terminal_id: Id = Field(description=f"Where it is paid; {ID_WORDS}.")
    amount_cents: AmountCents = Field(description=f"What is paid; {CENTS_WORDS}.")
    time_ms: TimeMs = Field(description=f"When it is paid; {TIME_WORDS}.")


class PaymentLabel(BaseModel):
    """What became of one payment, known some days after it."""

    model_config = INPUT

    payment_id: Id = Field(description=f"The payment that this is the outcome of; {ID_WORDS}.")
    terminal_id: Id = Field(description=f"Where it was paid, and the record's key; {ID_WORDS}.")
    payment_time_ms: TimeMs = Field(description=f"When it was paid; {TIME_WORDS}.")
    known_at_ms: TimeMs = Field(description=f"When the outcome became known; {TIME_WORDS}.")
    fraud: bool = Field(description="Whether the payment was fraud.")
