"""The oracle: reads topics and Redis, and shares no code with the product.

A plain consumer, features by their definition in plain Python, models by ONNX Runtime alone. What it finds are named
checks (findings.py) with the first cases of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.oracle import folds, reading, states
from tests.faults.oracle.answers import Letters, Partition, read_letters, read_partition
from tests.faults.oracle.events import event
from tests.faults.oracle.findings import CHECKS, Cases, Finding, Told, World
from tests.faults.oracle.judged import Judge

__all__ = ["CHECKS", "Finding", "Told", "Verdict", "World", "judge"]


@dataclass
class Verdict:
    """What was found wrong, and how much was looked at. `marks` are how many predictions bear each."""

    findings: list[Finding] = field(default_factory=list)
    inputs: int = 0
    answers: int = 0
    letters: int = 0
    aborted: int = 0
    attempts_aborted: int = 0
    marks: Counter[str] = field(default_factory=Counter)

    def count(self, *checks: str) -> int:
        return sum(finding.count for finding in self.findings if finding.check in checks)


def judge(world: World, told: Sequence[Told]) -> Verdict:
    """Judge all that the pipelines did, at a moment when they have done all and have left."""
    verdict, outcomes = Verdict(), folds.Outcomes()
    for one in sorted(told, key=lambda one: one.answers is not None):  # outcomes first: others look them up
        letters = read_letters(world, one)
        verdict.findings += letters.findings
        verdict.letters += sum(map(len, letters.of.values()))
        for number in range(world.partitions):
            read = read_partition(world, one, letters, number)
            verdict.findings += read.findings
            verdict.inputs += len(read.inputs)
            verdict.aborted += read.aborted
            verdict.attempts_aborted += read.attempts_aborted
            if one.answers is None:
                _outcomes(world, one, letters, read=read, outcomes=outcomes, verdict=verdict)
            else:
                _answers(world, one, letters, read=read, outcomes=outcomes, verdict=verdict)
        verdict.findings += _offsets(world, one)
    return verdict


def _outcomes(
    world: World, told: Told, letters: Letters, *, read: Partition, outcomes: folds.Outcomes, verdict: Verdict
) -> None:
    """A partition of what is only folded: letters for what is no outcome, and the rest in Redis."""
    cases, terminals = Cases("letters", told.name), set[str]()
    for offset, message in sorted(read.inputs.items()):
        label, found = event(message, told.source, world.partitions), letters.of.get((read.number, offset), [])
        if (label is None) != bool(found):
            cases.add(f"{told.source}/{read.number}/{offset} has {len(found)} dead letters")
        if label is not None:
            outcomes.fold(label)
            terminals.add(label["terminal_id"])
    verdict.findings += cases.findings()
    mine = states.of_outcomes(outcomes, terminals)
    verdict.findings += states.compare(world, told, read.number, mine=mine, end=_end(read))


def _answers(
    world: World, told: Told, letters: Letters, *, read: Partition, outcomes: folds.Outcomes, verdict: Verdict
) -> None:
    judged = Judge(world, told, letters, outcomes).judge(read)
    verdict.findings += judged.findings
    verdict.answers += judged.answers
    verdict.marks.update(judged.marks)
    of = states.of_films if told.source == "interactions" else states.of_payments
    verdict.findings += states.compare(world, told, read.number, mine=of(judged.state), end=_end(read))


def _end(read: Partition) -> int:
    return max(read.inputs, default=-1) + 1


def _offsets(world: World, told: Told) -> list[Finding]:
    """Where the group stands, and whether any reader is held back."""
    moved, held = Cases("offsets", told.name), Cases("held-open", told.name)
    for words in told.went_back:
        moved.add(words)
    ends = reading.ends(world.kafka, told.source)
    stands = reading.committed(world.kafka, told.source, told.name, list(ends))
    for partition, end in ends.items():
        if stands.get(partition, 0) != end:
            moved.add(f"{told.source}/{partition}: committed {stands.get(partition)}, and it ends at {end}")
    for topic in filter(None, (told.answers, told.letters)):
        settled = reading.ends(world.kafka, topic, "read_committed")
        for partition, end in reading.ends(world.kafka, topic).items():
            if settled[partition] != end:
                held.add(f"{topic}/{partition} can be read up to {settled[partition]} and ends at {end}")
    return [*moved.findings(), *held.findings()]
