"""What was seen of one input partition: which offsets hold an input, and how often each was answered at which try.

One byte an offset for the inputs and one for each topic of answers, so that millions of inputs cost a few megabytes.
What is of a later try than the first is rare, and kept by offset.

An input has one final answer where its tries form a chain: each but the last one ended as a dead letter, and the last
as either. Two outputs of one try, or two predictions, are a duplicate; one whose try before left no letter is
unexplained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.replay.log import Span

EXAMPLES = 20  # of each kind
MOST = 255  # answers to one input are counted up to this


@dataclass
class Found:
    """A count, and the first few in words."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, examples: Iterable[str], count: int = 1) -> None:
        self.count += count
        self.examples += list(examples)[: EXAMPLES - len(self.examples)]


@dataclass
class Findings:
    """What the partitions' tallies add up to; `answers` by topic.

    Letters that a later try followed are no answers: `redriven` counts those. `parked` are final letters of the last
    try that is made.
    """

    inputs: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    redriven: int = 0
    parked: int = 0
    missing: Found = field(default_factory=Found)
    duplicated: Found = field(default_factory=Found)
    unexplained: Found = field(default_factory=Found)


class Tally:
    """One input partition, over `span`, with its answers on each of `topics`, of which `letters` has dead letters.

    A record is tried `attempts` times at most.
    """

    def __init__(self, name: str, span: Span, topics: Sequence[str], *, letters: str, attempts: int) -> None:
        self.name = name
        self.span = span
        self._letters = letters
        self._attempts = attempts
        self._later: dict[int, Counter[Try]] = {}
        self.judged_from = span.start
        self._visible = np.zeros(len(span), np.bool_)
        self._answers = {topic: np.zeros(len(span), np.uint8) for topic in topics}

    def see(self, offsets: Sequence[int]) -> None:
        """There are inputs at these offsets of the span."""
        self._visible[np.array(offsets, np.int64) - self.span.start] = True

    def answered(self, topic: str, offsets: Sequence[int]) -> None:
        """Answers on `topic` name these offsets of the span, as often as they come here."""
        counts = self._answers[topic]
        places, times = np.unique(np.array(offsets, np.int64) - self.span.start, return_counts=True)
        counts[places] = np.minimum(counts[places] + times, MOST)

    def tried_again(self, topic: str, offset: int, attempt: int) -> None:
        """An answer on `topic` of a later try names this offset of the span."""
        self._later.setdefault(offset - self.span.start, Counter())[attempt, topic == self._letters] += 1

    def judge_since(self, offset: int) -> None:
        """Leave out what is older."""
        self.judged_from = min(self.span.end, max(self.span.start, offset))

    def report(self, findings: Findings) -> None:
        """Add what is right and wrong with this partition."""
        judged = slice(self.judged_from - self.span.start, None)
        visible = self._visible[judged]
        times = np.zeros(len(visible), np.int64)
        for topic, counts in self._answers.items():
            times += counts[judged]
            findings.answers[topic] = findings.answers.get(topic, 0) + int(counts[judged][visible].sum(dtype=np.int64))
        self._judge_later(findings, times)
        inputs, here = np.flatnonzero(visible) + self.judged_from, times[visible]
        findings.inputs += len(inputs)
        gone = here == 0
        findings.missing.add((f"{self.name}/{_words(inputs[run])}" for run in _runs(gone)), int(gone.sum()))
        doubled = inputs[here > 1]
        findings.duplicated.add((f"{self.name}/{offset}" for offset in doubled[:EXAMPLES]), len(doubled))
        strays = np.flatnonzero(~visible & (times > 0))
        findings.unexplained.add(
            (f"{self.name}/{offset} is answered and not there" for offset in strays[:EXAMPLES] + self.judged_from),
            int(times[strays].sum()),
        )

    def _judge_later(self, findings: Findings, times: NDArray[np.int64]) -> None:
        """Inputs that were tried again. `times` is told how often each was answered, if it was not as it must be."""
        first = self.judged_from - self.span.start
        for place, tries in sorted(self._later.items()):
            if place < first:
                continue
            if not self._visible[place]:
                times[place - first] += tries.total()
                continue
            for topic, counts in self._answers.items():
                is_letter = topic == self._letters
                findings.answers[topic] += sum(count for (_, kind), count in tries.items() if kind is is_letter)
                tries[1, is_letter] += int(counts[place])
            chain = Chain(tries)
            for number in chain.gaps:
                where = f"{self.name}/{place + self.span.start}"
                findings.unexplained.add([f"{where} is answered at try {number}, and try {number - 1} left no letter"])
            findings.answers[self._letters] -= chain.followed
            findings.redriven += chain.followed
            findings.parked += chain.ends_as_letter and chain.last >= self._attempts
            times[place - first] = 2 if chain.is_doubled else 1


Try = tuple[int, bool]  # its number, and whether it ended as a dead letter


class Chain:
    """The tries of one input: `gaps` are those without a letter before, `followed` letters were tried again."""

    def __init__(self, tries: Counter[Try]) -> None:
        found = {one: count for one, count in tries.items() if count}
        by_number: Counter[int] = Counter()
        for (number, _), count in found.items():
            by_number[number] += count
        self.gaps = [number for number, _ in sorted(found) if number > 1 and (number - 1, True) not in found]
        self.followed = sum(is_letter and (number + 1 in by_number) for number, is_letter in found)
        self.last = max(by_number)
        self.ends_as_letter = (self.last, True) in found
        predictions = sum(count for (_, is_letter), count in found.items() if not is_letter)
        self.is_doubled = predictions > 1 or max(by_number.values()) > 1


def _runs(flags: NDArray[np.bool_]) -> Iterable[slice]:
    """The first runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return (slice(int(first), int(end)) for first, end in edges.reshape(-1, 2)[:EXAMPLES])


def _words(offsets: NDArray[np.int64]) -> str:
    return str(offsets[0]) if len(offsets) == 1 else f"{offsets[0]}-{offsets[-1]}"
