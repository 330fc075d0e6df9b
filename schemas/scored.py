"""The answers on the topic `payments.scored`: what the fraud pipeline writes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schemas.fields import AMOUNT_WORDS, ID_WORDS, OUTPUT, TIME_WORDS, Amount, Count, Id, Share, TimeMs

MARKS_LENGTH = 32

Mark = Annotated[str, Field(min_length=1, max_length=64)]


def _days(days: int) -> str:
    return "day" if days == 1 else f"{days} days"


def _customer(what: str, days: int, unit: str) -> str:
    return f"{what} of the customer in the {_days(days)} up to this payment, itself included; {unit}."


def _terminal(what: str, days: int, unit: str) -> str:
    return f"{what} at the terminal in the {_days(days)} that ended 7 days before this payment; {unit}."


_COUNT = "a count, at least 0"
_SHARE = "a share, 0 to 1"


class FraudFeatures(BaseModel):
    """The inputs of the fraud model, in the order in which it takes them, as they were computed (float64)."""

    model_config = OUTPUT

    amount: Amount = Field(description=f"What is paid, {AMOUNT_WORDS}.")
    weekend: Share = Field(description="1 on Saturday and Sunday (UTC), else 0.")
    night: Share = Field(description="1 from 00:00 to 06:59 (UTC), else 0.")
    customer_count_1d: Count = Field(description=_customer("Payments", 1, _COUNT))
    customer_mean_1d: Amount = Field(description=_customer("Mean amount", 1, AMOUNT_WORDS))
    customer_count_7d: Count = Field(description=_customer("Payments", 7, _COUNT))
    customer_mean_7d: Amount = Field(description=_customer("Mean amount", 7, AMOUNT_WORDS))
    customer_count_30d: Count = Field(description=_customer("Payments", 30, _COUNT))
    customer_mean_30d: Amount = Field(description=_customer("Mean amount", 30, AMOUNT_WORDS))
    terminal_count_1d: Count = Field(description=_terminal("Payments", 1, _COUNT))
    terminal_risk_1d: Share = Field(description=_terminal("Frauds among the payments", 1, _SHARE))
    terminal_count_7d: Count = Field(description=_terminal("Payments", 7, _COUNT))
    terminal_risk_7d: Share = Field(description=_terminal("Frauds among the payments", 7, _SHARE))
    terminal_count_30d: Count = Field(description=_terminal("Payments", 30, _COUNT))
    terminal_risk_30d: Share = Field(description=_terminal("Frauds among the payments", 30, _SHARE))


class ModelRef(BaseModel):
    """Which model gave the score."""

    model_config = OUTPUT

    name: Id = Field(description=f"The model's name; {ID_WORDS}.")
    version: Annotated[int, Field(ge=1, le=10**9)] = Field(description="The model's version, 1 to 1000000000.")


class FraudPrediction(BaseModel):
    """The answer to one payment. The same payment, state and model give the same bytes."""

    model_config = OUTPUT

    id: Id = Field(description=f"This prediction: a digest of pipeline, event and model; {ID_WORDS}.")
    event_id: Id = Field(description=f"The payment_id of the payment; {ID_WORDS}.")
    customer_id: Id = Field(description=f"Who pays, and the record's key; {ID_WORDS}.")
    time_ms: TimeMs = Field(description=f"The time of the payment; {TIME_WORDS}.")
    score: Share = Field(description="How likely the payment is fraud, 0 to 1.")
    threshold: Share = Field(description="The score from which on the decision is an alert, 0 to 1.")
    decision: Literal["pass", "alert"] = Field(description="alert if score is at least threshold, else pass.")
    model: ModelRef = Field(description="The model that gave the score, by name and version.")
    features: FraudFeatures = Field(description="What the model was given.")
    marks: Annotated[list[Mark], Field(max_length=MARKS_LENGTH)] = Field(
        description=f"What could not be exact, one word each (1 to 64 characters), at most {MARKS_LENGTH}; else empty."
    )
