"""A pipeline's dead letters for people and programs: by what was wrong, and one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from app.record import Record
from app.replay.answered import Answered
from app.replay.letters import PROBLEMS, Letter, parted, read_letter
from app.replay.redrive import Selection
from app.replay.shown import as_object

REASONS = 1_000  # of one code
TOLD = 5  # of them
STATES = ("open", "again", "answered", "parked", "cannot")
STATE_WORDS = {
    "open": "It is left: `streaminfer dlq redrive` tries it again.",
    "again": "Its record was tried again since, and refused again.",
    "answered": "Its record was answered since.",
    "parked": "It is parked: its record was tried as often as its pipeline declares (attempts).",
}


@dataclass
class Pile:
    """The letters of one code. `states` counts them by what became of them, `attempts` is the most tries of any.

    Reasons may name places in a record, so there may be as many of them as letters: only so many are told apart.
    """

    stage: str
    code: str
    letters: int = 0
    attempts: int = 0
    first_ms: int = 0
    last_ms: int = 0
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, letter: Letter, state: str) -> None:
        self.first_ms = min(self.first_ms or letter.at_ms, letter.at_ms)
        self.last_ms = max(self.last_ms, letter.at_ms)
        self.letters += 1
        self.attempts = max(self.attempts, letter.attempt)
        self.states[state] += 1
        if letter.reason in self.reasons or len(self.reasons) < REASONS:
            self.reasons[letter.reason] += 1

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "stage": self.stage,
            "code": self.code,
            "letters": self.letters,
            "states": {state: self.states[state] for state in STATES},
            "attempts": self.attempts,
            "first_ms": self.first_ms,
            "last_ms": self.last_ms,
            "reasons": dict(self.reasons.most_common(TOLD)),
        }


def piles(answered: Answered) -> list[Pile]:
    """All letters by code, the largest pile first."""
    found: dict[tuple[str, str], Pile] = {}
    for letter in answered:
        found.setdefault(letter.kind, Pile(*letter.kind)).add(letter, answered.state(letter))
    return sorted(found.values(), key=lambda pile: (-pile.letters, pile.stage, pile.code))


@dataclass(frozen=True)
class Shown:
    """One letter, with its record and what became of it."""

    record: Record
    letter: Letter
    state: str
    words: str

    def as_object(self, *, payload: bool) -> dict[str, Any]:
        """For JSON: where it lies, what it says, and what became of it; key and value only with `payload`."""
        whole = as_object(self.record)
        theirs, _ = parted(self.record.headers or [])
        value = self.record.value
        told: dict[str, Any] = {
            "letter": self.record.source.decode(),
            "timestamp": self.record.timestamp_ms,
            "source": self.letter.source.decode(errors="replace") or None,
            "state": self.state,
            "why": self.words,
            "stage": self.letter.stage,
            "code": self.letter.code,
            "reason": self.letter.reason,
            "attempt": self.letter.attempt,
            "taken_at": self.letter.taken_ms,
            "key_bytes": len(self.record.key or b""),
            "value_bytes": None if value is None else len(value),
            "record_headers": len(theirs),
        }
        if payload:
            told |= {name: whole[name] for name in whole if name.startswith(("key", "value", "headers"))}
        return told


def shown(answered: Answered, selection: Selection, place: tuple[int, int] | None = None) -> Iterator[Shown]:
    """The selected letters in the log's order of each partition; with `place`, those of that record of the input."""
    for record in answered.records():
        letter = read_letter(record, answered.address)
        if not selection.takes(letter) or (place and place != (letter.of_partition, letter.of_offset)):
            continue
        state = answered.state(letter)
        words = STATE_WORDS.get(state) or PROBLEMS[answered.trouble(letter)]
        yield Shown(record, letter, state, words)
