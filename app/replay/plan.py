"""A replay as it was planned: which offsets are answered again, by which model, from what, and where to.

A plan is made once and never changed; any machine that has it makes the same answers of it. How far it came is not
part of it: Kafka knows that, as the offsets of the plan's own groups.
"""

from __future__ import annotations

from typing import Literal

import msgspec

LIKE = 40  # letters of a pipeline's name in those of its replays: a name has 63 at most

Lookups = Literal["asof", "logged", "current"]


class Stretch(msgspec.Struct, frozen=True):
    """Offsets of one partition: [start, end) are answered, [fold_from, start) are folded before that.

    `events` and `warmup` count the records of both; `outside` those of `events` whose time lies outside what was
    asked for, between others that lie within; and `first_ms` is the earliest event time that is answered.
    """

    fold_from: int
    start: int
    end: int
    events: int = 0
    outside: int = 0
    warmup: int = 0
    first_ms: int | None = None


class Part(msgspec.Struct, frozen=True):
    """One topic that is read, by the `group` of a pipeline that was derived from `pipeline`.

    `topic_id` is what a topic that is created anew does not share.
    """

    pipeline: str
    group: str
    topic: str
    topic_id: str
    partitions: dict[int, Stretch]

    @property
    def ends(self) -> dict[int, int]:
        return {partition: stretch.end for partition, stretch in self.partitions.items()}

    @property
    def starts(self) -> dict[int, int]:
        return {partition: stretch.start for partition, stretch in self.partitions.items()}

    @property
    def fold_from(self) -> dict[int, int]:
        return {partition: stretch.fold_from for partition, stretch in self.partitions.items()}

    @property
    def events(self) -> int:
        """How many records are answered."""
        return sum(stretch.events for stretch in self.partitions.values())

    @property
    def outside(self) -> int:
        return sum(stretch.outside for stretch in self.partitions.values())

    @property
    def warmup(self) -> int:
        """How many records are folded first."""
        return sum(stretch.warmup for stretch in self.partitions.values())


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a replay needs to know.

    `pipeline` is what a process finds the pipeline by, `name` is its own name. `inputs` are the records that are
    answered again; with the lookups `logged` the loop reads `recorded` in their place, which are their old answers.
    `beside` are the pipelines whose views are read as of the events' times, folded again beside it. `against` is where
    the old answers are, `target` where the new ones go. `makes` are the topics that are created for it, and deleted
    when it is cancelled. `incomplete`: retention has deleted what the first answers look back on, and they say so.
    """

    id: str
    pipeline: str
    name: str
    planned_ms: int
    since: str
    until: str
    inputs: Part
    recorded: Part | None = None
    beside: tuple[Part, ...] = ()
    against: str
    target: str
    dead_letters: str
    makes: tuple[str, ...]
    into_live: bool = False
    model: str
    lookups: Lookups = "asof"
    workers: int = 1
    rate: float | None = None
    yield_at: int
    incomplete: bool = False
    seconds: float
    disk_bytes: int

    @property
    def scored(self) -> Part:
        """What the loop that answers reads."""
        return self.recorded or self.inputs

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every loop of the replay: the one that answers first."""
        return (self.scored, *self.beside)


def group_of(pipeline: str, plan_id: str) -> str:
    """The name of a pipeline that is derived for a plan: also its consumer group, and what its state is kept under."""
    return f"{pipeline[:LIKE]}-replay-{plan_id}"


def target_of(answers: str, plan_id: str) -> str:
    """Where new answers go, if nobody says where."""
    return f"{answers}.replay-{plan_id}"


def letters_of(source: str, plan_id: str) -> str:
    """Where what a replay refuses goes: never to the live dead letters, whose redrive would answer it there."""
    return f"{source}.dead.replay-{plan_id}"
