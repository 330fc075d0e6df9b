"""Whether a run is alive, and whether it is ready: verdicts over what the workers tell and the services answer.

Alive is about this run's own processes, and says no where starting it anew may help: a service that is away never makes
it no. Ready says whether every record that comes now is scored, and names each part that keeps it from that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.replay.group import Owners
from app.stream.report import Place
from app.telemetry.fleet import Member
from app.telemetry.watch import Answer, Topic

SILENT_S = 5.0  # a worker tells something twice a second
START_S = 90.0  # for a worker's imports, its model's trial and its first report, on a busy machine
HELD_S = 5.0  # a partition that reads another pipeline's state may wait for it, a little and often
TURN_S = 10.0  # the supervisor turns ten times a second
SHOWN = 12  # partitions that a sentence names


@dataclass(frozen=True)
class Check:
    """One part of a verdict. The sentence is empty where it is well."""

    name: str
    sentence: str = ""

    @property
    def ok(self) -> bool:
        return not self.sentence


@dataclass(frozen=True)
class Seen:
    """A run at one moment. `waits` is what it waits for before any worker is started; `others` are the pipelines whose
    state it reads."""

    pipeline: str
    topic: str
    waits: str
    members: Sequence[Member]
    kafka: Answer[Topic]
    redis: Answer[bool]
    turned_s: float  # since the supervisor's loop turned
    others: Sequence[str] = ()
    stuck_s: float = (
        60.0  # a worker's loop that has not turned for longer will not: its own watchdog should have ended it
    )


def alive(seen: Seen) -> list[Check]:
    """The supervisor turns, and each worker tells and turns."""
    stands = f"The supervisor has not turned for {seen.turned_s:.0f} s." if seen.turned_s > TURN_S else ""
    checks = [Check("supervisor", stands)]
    for member in seen.members:
        told = ""
        if _silent(member):
            told = _silence(member)
        elif member.alive and member.report.turn_s > seen.stuck_s:
            told = f"Worker {member.slot} has not turned its loop for {member.report.turn_s:.0f} s."
        checks.append(Check(f"worker {member.slot}", told))
    return checks


def ready(seen: Seen) -> list[Check]:
    """Every part that scoring needs, in the order in which they come true at a start."""
    return [
        Check("kafka", _away(seen.kafka)),
        Check("redis", _away(seen.redis)),
        Check("workers", " ".join(_workers(seen))),
        Check("model", " ".join(_models(seen))),
        Check("assigned", " ".join(_assigned(seen))),
        Check("caught-up", " ".join(_caught_up(seen))),
    ]


def _away(answer: Answer[Topic] | Answer[bool]) -> str:
    return answer.why if answer.value is None else ""


def _silent(member: Member) -> bool:
    if not member.alive:
        return False  # it is started again
    return member.started_s > START_S if member.silent_s is None else member.silent_s > SILENT_S


def _silence(member: Member) -> str:
    since = member.started_s if member.silent_s is None else member.silent_s
    return f"Worker {member.slot} has told nothing for {since:.0f} s."


def _workers(seen: Seen) -> Iterator[str]:
    if not seen.members:
        yield f"No worker is started yet: {seen.waits}" if seen.waits else "No worker is started yet."
    for member in seen.members:
        if not member.alive:
            yield f"Worker {member.slot} has ended; it is started again."
        elif _silent(member):
            yield _silence(member)
        elif member.report.waits:
            yield f"Worker {member.slot} waits for {member.report.waits.rstrip('.')}."
        elif not member.report.running:
            yield f"Worker {member.slot} is starting."


def _models(seen: Seen) -> Iterator[str]:
    if not seen.members:
        yield "No worker has loaded the model yet."
    for member in seen.members:
        if not member.report.running:  # a running one has what its pipeline names
            yield f"Worker {member.slot} has not loaded its model."


def _assigned(seen: Seen) -> Iterator[str]:
    """Ownership as the broker has it, for a group that is said to be stable may still leave a partition to nobody."""
    topic = seen.kafka.value
    if topic is None:
        yield "Who owns the partitions is not known while Kafka does not answer."
        return
    unowned = sorted(set(topic.ends) - set(topic.owners.of))
    if unowned and topic.owners.rebalancing:
        yield f"{seen.topic} is being shared out again: nobody has {partitions(unowned)} yet."
    elif unowned:
        yield f"Nobody owns {partitions(unowned)} of {seen.topic}."
    yield from _not_taken_up(seen, topic.owners)


def _not_taken_up(seen: Seen, owners: Owners) -> Iterator[str]:
    for member in seen.members:
        given = [p for p, owner in sorted(owners.of.items()) if owner.client_id == member.slot]
        left = [p for p in given if p not in member.report.places]
        if left:
            yield f"Worker {member.slot} is to have {partitions(left)} of {seen.topic}, and has not taken it up."


def _caught_up(seen: Seen) -> Iterator[str]:
    places = {p: place for member in seen.members for p, place in member.report.places.items()}
    whys = " ".join(sorted({m.report.pending_why for m in seen.members if m.report.pending_why}))
    if not any(member.report.running for member in seen.members):
        yield "No worker has told yet where its partitions stand."
    if pending := _of(places, "pending"):
        yield f"{partitions(pending, start=True)} {_verb(pending, 'waits', 'wait')} to be started. {whys}".rstrip()
    if behind := _of(places, "catching up"):
        left = sum(places[p].left for p in behind)
        has = _verb(behind, "folds", "fold")
        yield f"{partitions(behind, start=True)} {has} what is committed into the state: {left:,} offsets to go."
    away = any(member.report.redis_away for member in seen.members)
    waiting = sorted(p for p, place in places.items() if place.waiting and (away or place.held_s > HELD_S))
    if waiting:
        what = "Redis" if away else f"what {' and '.join(seen.others) or 'another pipeline'} has not folded yet"
        yield f"{partitions(waiting, start=True)} {_verb(waiting, 'waits', 'wait')} for {what}."
    elif away:
        yield "Redis takes no state; it stays in memory until it does."


def _of(places: dict[int, Place], phase: str) -> list[int]:
    return sorted(p for p, place in places.items() if place.phase == phase)


def _verb(numbers: Sequence[int], one: str, many: str) -> str:
    return one if len(numbers) == 1 else many


def partitions(numbers: Sequence[int], *, start: bool = False) -> str:
    """`partition 3`, `partitions 0, 1`."""
    named = ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")
    return f"{'P' if start else 'p'}artition{'s' if len(numbers) > 1 else ''} {named}"
