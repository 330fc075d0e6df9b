"""The wire, said once: pydantic models of every event, and which topic carries which.

JSON Schema (`json/`) and AsyncAPI (`asyncapi.json`) beside this file are generated from here; nothing here reads them.
May import pydantic and nothing of the app.
"""

from schemas.alerts import MonitorAlert
from schemas.interactions import Interaction
from schemas.payments import Payment, PaymentLabel
from schemas.recommendations import RankedItem, Recommendation
from schemas.scored import FraudFeatures, FraudPrediction, ModelRef
from schemas.topics import TOPICS, TopicContract

__all__ = [
    "TOPICS",
    "FraudFeatures",
    "FraudPrediction",
    "Interaction",
    "ModelRef",
    "MonitorAlert",
    "Payment",
    "PaymentLabel",
    "RankedItem",
    "Recommendation",
    "TopicContract",
]
