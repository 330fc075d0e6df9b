"""What the oracle can find, by name, and what it is told before it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Place = tuple[int, int]  # partition, offset
Seen = Sequence[tuple[int, bytes]]  # offset and digest of each record of a partition, in the order of reading

CHECKS: dict[str, str] = {
    "lost": "every input is answered, but for those that were skipped by hand",
    "doubled": "no input is answered more than once",
    "unasked": "no answer without an input",
    "order": "answers keep the order of the inputs",
    "torn": "the answers of one attempt are visible all together or not at all",
    "uncommitted": "what a reader saw during the faults is what is there at the end",
    "letters": "dead letters for what is no event and for nothing else, byte for byte",
    "features": "the features of a prediction are those of the log",
    "value": "the rest of a prediction is what features and model say",
    "marks": "marks are those that the log explains",
    "state": "Redis is what a recount of the log gives",
    "offsets": "committed offsets never go back, and end where the inputs end",
    "held-open": "no transaction holds readers back at the end",
    "progress": "after every fault what was hurt answers again within a bound",
    "run": "a run ends only when it is told to, and with 0",
    "input": "what Kafka confirmed is on the input topics",
    "audit": "the product's own audit says the same",
    "void": "the faults took effect",
}  # fmt: skip

SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One check that does not hold, how often, and a few words about the first cases."""

    check: str
    where: str
    count: int
    detail: str

    def __post_init__(self) -> None:
        assert self.check in CHECKS, self.check

    def __str__(self) -> str:
        return f"{self.check} ({self.where}): {self.count:,} times, such as {self.detail}"


@dataclass(frozen=True)
class Told:
    """One pipeline as the oracle is told of it: names, and what was done to it by hand.

    `sent` are the inputs that Kafka confirmed; `skipped` those that an offset was moved over; `seen` is what a reader
    of each topic saw while the faults were dealt, by topic and partition; `went_back` are offsets of the group that
    were seen to go back.
    """

    name: str
    source: str
    answers: str | None
    view: str
    sent: Mapping[int, Sequence[int]] = field(default_factory=dict)
    skipped: frozenset[Place] = frozenset()
    seen: Mapping[tuple[str, int], Seen] = field(default_factory=dict)
    went_back: Sequence[str] = ()

    @property
    def letters(self) -> str:
        return f"{self.source}.dead"


@dataclass(frozen=True)
class World:
    """Where all of it is, reached directly: by no way that a fault may be on."""

    kafka: str
    redis: str
    models: Path
    partitions: int


class Cases:
    """Gathers the cases of one check."""

    def __init__(self, check: str, where: str) -> None:
        self._check, self._where = check, where
        self.count = 0
        self._first: list[str] = []

    def add(self, words: str) -> None:
        self.count += 1
        if len(self._first) < SHOWN:
            self._first.append(words)

    def findings(self) -> list[Finding]:
        if not self.count:
            return []
        return [Finding(self._check, self._where, self.count, "; ".join(self._first))]
