"""Which schema a topic carries, and which of its fields are key, time and identity. Said here and nowhere else.

A dead letter has no contract of its own: its value, key and headers are those of the record that was refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from schemas.alerts import MonitorAlert
from schemas.interactions import Interaction
from schemas.payments import Payment, PaymentLabel
from schemas.recommendations import Recommendation
from schemas.scored import FraudPrediction


@dataclass(frozen=True, slots=True)
class TopicContract:
    """A topic and what is on it. `key`, `time` (milliseconds since 1970, UTC) and `id` name fields of `model`."""

    name: str
    model: type[BaseModel]
    key: str
    time: str
    id: str
    description: str


_CONTRACTS: Final = (
    TopicContract(
        name="payments",
        model=Payment,
        key="customer_id",
        time="time_ms",
        id="payment_id",
        description="Payments to be scored, in the order in which each customer made them.",
    ),
    TopicContract(
        name="payments.labels",
        model=PaymentLabel,
        key="terminal_id",
        time="known_at_ms",
        id="payment_id",
        description="The outcome of each payment, published when it is known.",
    ),
    TopicContract(
        name="payments.scored",
        model=FraudPrediction,
        key="customer_id",
        time="time_ms",
        id="id",
        description="One prediction for each payment that could be scored.",
    ),
    TopicContract(
        name="interactions",
        model=Interaction,
        key="user_id",
        time="time_ms",
        id="interaction_id",
        description="Who met which item, in the order in which each person did.",
    ),
    TopicContract(
        name="recommendations",
        model=Recommendation,
        key="user_id",
        time="time_ms",
        id="id",
        description="The items that fit a person best, one answer for each interaction.",
    ),
    TopicContract(
        name="monitor.alerts",
        model=MonitorAlert,
        key="alert_id",
        time="time_ms",
        id="alert_id",
        description="What the monitor raises and clears; it may be told twice, and the newest of an alert_id holds.",
    ),
)

TOPICS: Final[dict[str, TopicContract]] = {contract.name: contract for contract in _CONTRACTS}
