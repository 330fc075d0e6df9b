"""The headers of what goes out: their names, and what each says. Values are ASCII, numbers are decimal digits.

No header ever carries a part of a payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Header:
    """One header. An optional one is left out where there is nothing to say."""

    name: str
    description: str
    required: bool = True


SOURCE: Final = Header("source", "The record that this answers: topic/partition/offset.")

PREDICTION_HEADERS: Final = (
    Header("content-type", "Always application/json."),
    SOURCE,
    Header("model", "The model that gave the score: name@version."),
    Header("scored-at", "When it was scored, in milliseconds since 1970, UTC."),
    Header("replay", "The plan of the replay that gave this answer; a live answer has none.", required=False),
    Header(
        "lookups",
        "Of a replay, where what it looked up is from: asof (as it was known at the event's time), logged (the old "
        "answer's features) or current (as it is now).",
        required=False,
    ),
    Header("traceparent", "The W3C trace context that the source record carried.", required=False),
    Header(
        "attempt", "Which try gave this answer, where earlier ones ended as dead letters: 2 or more.", required=False
    ),
)

DEAD_LETTER_HEADERS: Final = (
    SOURCE,
    Header("__streams.errors.exception", "The name of the error's class."),
    Header("__streams.errors.message", "Why the record was refused, in one sentence that quotes no payload."),
    Header("__streams.errors.topic", "The topic of the record that was refused."),
    Header("__streams.errors.partition", "Its partition."),
    Header("__streams.errors.offset", "Its offset."),
    Header("stage", "Where it was refused: decode, validate, features, score, encode or deliver."),
    Header("code", "Why it was refused, in one word of a short list."),
    Header("reason", "Why it was refused, in one sentence that quotes no payload."),
    Header("attempt", "How many times the record has been tried, 1 at first."),
    Header("taken-at", "When Kafka took the record that was refused, in milliseconds since 1970, UTC."),
    Header("pipeline", "Who refused it: pipelines that read the same topic share its dead letters."),
    Header("contract", "A digest of what counted as an event when it was refused."),
    Header("topic-id", "Kafka's id of the record's topic, which a topic created anew does not share.", required=False),
    Header("parked", "true where the record has been tried as often as its pipeline declares.", required=False),
    Header(
        "stub",
        "true where Kafka does not take the record as a dead letter: the value is a JSON object with the record's "
        "sizes and digest in place of its bytes.",
        required=False,
    ),
)
