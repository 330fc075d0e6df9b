"""What was seen of one input partition: which offsets hold an input, and how often each was answered.

One byte an offset for the inputs and one for each topic of answers, so that millions of inputs cost a few megabytes.
"""

from __future__ import annotations

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
    """What the partitions' tallies add up to; `answers` by topic."""

    inputs: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    missing: Found = field(default_factory=Found)
    duplicated: Found = field(default_factory=Found)
    unexplained: Found = field(default_factory=Found)


class Tally:
    """One input partition, over `span`, with its answers on each of `topics`."""

    def __init__(self, name: str, span: Span, topics: Sequence[str]) -> None:
        self.name = name
        self.span = span
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


def _runs(flags: NDArray[np.bool_]) -> Iterable[slice]:
    """The first runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return (slice(int(first), int(end)) for first, end in edges.reshape(-1, 2)[:EXAMPLES])


def _words(offsets: NDArray[np.int64]) -> str:
    return str(offsets[0]) if len(offsets) == 1 else f"{offsets[0]}-{offsets[-1]}"
