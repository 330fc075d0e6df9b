"""One partition of one pipeline: what was asked, what was answered, and in which order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message

from tests.faults.oracle import reading
from tests.faults.oracle.findings import Cases, Finding, Place, Told, World


@dataclass
class Letters:
    """All dead letters of a pipeline, by what they are the letters of."""

    of: dict[Place, list[Message]] = field(default_factory=lambda: defaultdict(list))
    findings: list[Finding] = field(default_factory=list)


@dataclass
class Partition:
    """Inputs by offset, and the answers in the order in which they are there."""

    number: int
    inputs: dict[int, Message]
    answers: dict[int, Message]
    aborted: int = 0
    attempts_aborted: int = 0
    findings: list[Finding] = field(default_factory=list)


def read_letters(world: World, told: Told) -> Letters:
    """Every letter is of one input of its own; whether that deserved one is seen later."""
    found = Letters()
    unasked = Cases("unasked", told.letters)
    for number in range(world.partitions):
        messages = list(reading.records(world.kafka, told.letters, number))
        found.findings += _differs(told, told.letters, number, messages)
        for message in messages:
            source = reading.source(message)
            if source is None or source[0] != told.source:
                unasked.add(f"{told.letters}/{number}/{message.offset()}")
            else:
                found.of[source[1:]].append(message)
    found.findings += unasked.findings()
    return found


def read_partition(world: World, told: Told, letters: Letters, number: int) -> Partition:
    """Read all of it, and check what can be without looking into the values."""
    inputs = {_offset(m): m for m in reading.records(world.kafka, told.source, number)}
    read = Partition(number, inputs, {})
    lost_by_kafka = Cases("input", told.source)
    for offset in set(told.sent.get(number, ())) ^ set(inputs):
        lost_by_kafka.add(f"{told.source}/{number}/{offset}")
    read.findings += lost_by_kafka.findings()
    sources = _answers(world, told, read) if told.answers is not None else []
    _counted(told, letters, read, sources)
    return read


def _answers(world: World, told: Told, read: Partition) -> list[int]:
    """Gives the input offsets in the order of their answers."""
    topic, number = told.answers or "", read.number
    messages = list(reading.records(world.kafka, topic, number))
    read.findings += _differs(told, topic, number, messages)
    unasked, order = Cases("unasked", told.name), Cases("order", told.name)
    sources: list[int] = []
    for message in messages:
        source = reading.source(message)
        where = f"{topic}/{number}/{message.offset()}"
        if source is None or source[:2] != (told.source, number) or source[2] not in read.inputs:
            unasked.add(f"{where} answers {source}")
            continue
        if sources and source[2] < sources[-1]:
            order.add(f"{where} answers offset {source[2]} after {sources[-1]}")
        sources.append(source[2])
        read.answers.setdefault(source[2], message)
    read.findings += [*unasked.findings(), *order.findings()]
    _torn(world, topic, read, {_offset(message) for message in messages})
    return sources


def _counted(told: Told, letters: Letters, read: Partition, sources: Sequence[int]) -> None:
    number = read.number
    times = Counter(sources)
    for place, found in letters.of.items():
        if place[0] == number:
            times[place[1]] += len(found)
    lost, doubled, unasked = (Cases(check, told.name) for check in ("lost", "doubled", "unasked"))
    for offset in read.inputs:
        skipped = (number, offset) in told.skipped
        if times[offset] == 0 and not skipped and told.answers is not None:
            lost.add(f"{told.source}/{number}/{offset}")
        if times[offset] > 1:
            doubled.add(f"{told.source}/{number}/{offset} has {times[offset]} answers")
        if times[offset] and skipped:
            unasked.add(f"{told.source}/{number}/{offset}, which was skipped by hand")
    for offset in times.keys() - read.inputs.keys():
        unasked.add(f"{told.source}/{number}/{offset}, which is not there")
    read.findings += [*lost.findings(), *doubled.findings(), *unasked.findings()]


def _torn(world: World, topic: str, read: Partition, visible: set[int]) -> None:
    """An attempt answers a partition's records with one stamp: of its answers all are visible, or none is."""
    attempts: Mapping[Any, list[bool]] = defaultdict(list)
    for message in reading.records(world.kafka, topic, read.number, "read_uncommitted"):
        stamp = reading.source(message), reading.header(message, "scored-at")
        attempts[(stamp[0] or ("", 0))[:2], stamp[1]].append(_offset(message) in visible)
    torn = Cases("torn", topic)
    for (_, stamp), seen in attempts.items():
        read.aborted += seen.count(False)
        read.attempts_aborted += not any(seen)
        if any(seen) and not all(seen):
            torn.add(f"{seen.count(True)} of {len(seen)} answers of the attempt at {stamp} on {topic}/{read.number}")
    read.findings += torn.findings()


def _differs(told: Told, topic: str, number: int, messages: Sequence[Message]) -> list[Finding]:
    """Whether the reader during the faults saw just what is there."""
    if (topic, number) not in told.seen:
        return []
    seen = list(told.seen[topic, number])
    there = [(_offset(message), reading.digest(message)) for message in messages]
    if seen == there:
        return []
    cases = Cases("uncommitted", topic)
    for offset, _ in sorted(set(seen) ^ set(there)) or seen[:1]:
        had = "was seen and is not there" if offset in dict(seen) else "is there and was not seen"
        cases.add(f"{topic}/{number}/{offset} {had}")
    return cases.findings()


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None
    return offset
