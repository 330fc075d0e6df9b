"""What was answered before: which model gave the old answers of a range, where they lie, and how large they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import Message

from app.record import headers_of, last_header
from app.replay.audit import DIGITS, source_of
from app.replay.log import Log, Span
from app.replay.plan import Part, Stretch


@dataclass
class Old:
    """Counts of old answers to a range; `lies` has where they are on their own topic, by partition."""

    answers: int = 0
    bytes: int = 0
    models: Counter[str] = field(default_factory=Counter)
    lies: dict[int, Stretch] = field(default_factory=dict)


def old_answers(log: Log, topic: str, inputs: Part, *, told: Callable[[int], None]) -> Old:
    """Read the answers on `topic` that name an input of the range. Answers of replays are none."""
    old = Old()
    partitions = log.partitions(topic)
    starts, ends = log.starts(topic, partitions), log.ends(topic, partitions, settled=True)
    wanted = {f"{inputs.topic}/{p}".encode(): Span(s.start, s.end) for p, s in inputs.partitions.items()}
    for messages in log.scan(topic, {p: Span(starts[p], ends[p]) for p in partitions}):
        for message in messages:
            address, _, digits = source_of(message).rpartition(b"/")
            span = wanted.get(address)
            inside = span is not None and _is_within(span, digits) and of_replay(message) is None
            _see(old, message, inside=inside)
        told(len(messages))
    for p in partitions:
        old.lies.setdefault(p, Stretch(ends[p], ends[p], ends[p]))
    return old


def of_replay(message: Message) -> str | None:
    """The plan of the replay that gave this answer; None for a live one."""
    said = last_header(headers_of(message), "replay")
    return said.decode(errors="replace") or None


def _is_within(span: Span, digits: bytes) -> bool:
    return digits.isdigit() and len(digits) <= DIGITS and span.start <= int(digits) < span.end


def _see(old: Old, message: Message, *, inside: bool) -> None:
    partition, offset = message.partition() or 0, message.offset() or 0
    lies = old.lies.get(partition)
    if not inside:
        if lies is not None:  # counted where others of the range come behind it
            old.lies[partition] = Stretch(lies.start, lies.start, lies.end, lies.events, lies.outside, lies.warmup + 1)
        return
    old.answers += 1
    headers = headers_of(message) or []
    old.bytes += len(message) + sum(len(name) + len(value or b"") for name, value in headers)
    old.models[last_header(headers, "model").decode(errors="replace")] += 1
    start = offset if lies is None else lies.start
    between = 0 if lies is None else lies.warmup
    events, outside = (0, 0) if lies is None else (lies.events, lies.outside)
    old.lies[partition] = Stretch(start, start, offset + 1, events + 1 + between, outside + between)


def plain(lies: Mapping[int, Stretch]) -> dict[int, Stretch]:
    """Without what lies behind the last answer of the range."""
    return {p: Stretch(s.start, s.start, s.end, s.events, s.outside) for p, s in lies.items()}
