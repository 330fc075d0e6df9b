"""Going on with a simulation where a topic ends, so that every simulated event is in it exactly once.

Asks the topic itself, whatever became of the program that filled it: a simulated event is known by its bytes, and in
each partition the simulated ones are there up to some row and no further. What else is in the topic does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from confluent_kafka import murmur2
from numpy.typing import NDArray

from app.errors import Refused
from app.replay.log import Log, Span
from app.settings import Settings
from app.simulate.drift import drifted
from app.simulate.events import interaction_events, label_events, payment_events
from app.simulate.interactions import recorded
from app.simulate.payments import DAY_S, Payments, simulate


class Rows(Protocol):
    """What a simulation is made from: columns of equal length, in the order of sending."""

    @property
    def seconds(self) -> NDArray[np.int64]: ...
    @property
    def days(self) -> int: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Recipe:
    """How the simulated events of a topic are come by. `id` is the field of an event that has its row's number."""

    rows: Callable[[Settings, int], Rows]  # of a seed
    events: Callable[[Any, int], Iterator[tuple[bytes, bytes]]]  # from a row on
    id: str


def _payments(settings: Settings, seed: int) -> Rows:
    return simulate(seed, cache=settings.home / "cache")


def _interactions(settings: Settings, seed: int) -> Rows:
    return recorded(settings.models, seed)


SIMULATED: Final[dict[str, Recipe]] = {
    "payments": Recipe(_payments, payment_events, "payment_id"),
    "payments.labels": Recipe(_payments, label_events, "payment_id"),
    "interactions": Recipe(_interactions, interaction_events, "interaction_id"),
}

LOOK = 1_000  # records of a partition that are looked at first; then twice as many each time
CHUNK = 8_192  # rows whose bytes are made together, to be compared


@dataclass(frozen=True)
class Next:
    """One simulated event that the topic does not have yet."""

    key: bytes
    value: bytes
    partition: int


class Simulation:
    """The simulated events of one topic, by row."""

    def __init__(self, topic: str, rows: Rows) -> None:
        self._recipe = _recipe(topic)
        self.rows = rows
        named = msgspec.defstruct("Named", [("id", str)], rename={"id": self._recipe.id})
        self._id: msgspec.json.Decoder[Any] = msgspec.json.Decoder(named)
        self._chunk = lru_cache(maxsize=8)(self._bytes_of)

    def row(self, key: bytes | None, value: bytes | None) -> int | None:
        """Which row's event this record is, None if it is not one's."""
        try:
            name = self._id.decode(value or b"").id
        except (ValueError, RecursionError):
            return None
        if not (name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(self.rows)):
            return None
        chunk, place = divmod(int(name), CHUNK)
        return int(name) if self._chunk(chunk)[place] == (key, value) else None

    def start(self, day: int) -> int:
        """The first row of a day. Raises Refused for a day that there is not."""
        if not 0 <= day < self.rows.days:
            raise Refused(f"Day {day} is not to be had; choose one from 0 to {self.rows.days - 1}.", exit_code=2)
        return int(np.searchsorted(self.rows.seconds, day * DAY_S))

    def day(self, row: int) -> int:
        return int(self.rows.seconds[row] // DAY_S)

    def events(self, row: int) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each event from a row on."""
        return self._recipe.events(self.rows, row)

    def _bytes_of(self, chunk: int) -> list[tuple[bytes, bytes]]:
        return list(islice(self.events(chunk * CHUNK), CHUNK))


def simulation(topic: str, settings: Settings, *, seed: int = 0, drift: int | None = None) -> Simulation:
    """The simulation of a topic, whose world changes on the day `drift`.

    Raises Refused where there is none, or what it is made from is not to be had.
    """
    rows = _recipe(topic).rows(settings, seed)
    if drift is None:
        return Simulation(topic, rows)
    if not isinstance(rows, Payments):
        raise Refused(
            f"The simulation of {topic} cannot drift; those of payments and payments.labels can.", exit_code=2
        )
    return Simulation(topic, drifted(rows, drift))


def _recipe(topic: str) -> Recipe:
    try:
        return SIMULATED[topic]
    except KeyError:
        raise Refused(
            f"There is no simulation of the topic {topic}; there is one of {', '.join(SIMULATED)}.", exit_code=2
        ) from None


def going_on(simulation: Simulation, log: Log, topic: str, *, start_day: int | None = None) -> Iterator[Next]:
    """The events that the topic does not have yet, in their order; the topic is looked at before this returns.

    `start_day` is where a topic starts that has none yet (default: 0). Raises Refused where it started on another.
    """
    partitions = log.partitions(topic)
    found = _Found(simulation, log, topic, partitions)
    last = found.last()
    if not last:
        first = simulation.start(start_day or 0)
    elif len(last) < len(partitions) or start_day is not None:
        first = _started(found, sorted(last), start_day)
    else:
        first = 0  # unused: every partition has its own last row
    return missing(simulation, {p: last.get(p, first - 1) for p in partitions})


def missing(simulation: Simulation, last: dict[int, int]) -> Iterator[Next]:
    """Each event that comes after the last one of its partition."""
    places: dict[bytes, int] = {}
    start = min(last.values()) + 1
    for row, (key, value) in enumerate(simulation.events(start), start=start):
        partition = places.get(key)
        if partition is None:
            partition = places[key] = murmur2(key, len(last))
        if row > last[partition]:
            yield Next(key, value, partition)


def _started(found: _Found, partitions: list[int], start_day: int | None) -> int:
    """The row that the topic's simulation began with: the first one of its first event's day."""
    day = min(found.simulation.day(row) for row in found.first(partitions).values())
    if start_day is not None and start_day != day and found.whole:
        raise Refused(
            f"The simulated events of {found.topic} start on day {day} and not on day {start_day}: leave --start-day "
            "out to go on with them, or use it with a topic that has none."
        )
    return found.simulation.start(day)


class _Found:
    """The simulated events that a topic has."""

    def __init__(self, simulation: Simulation, log: Log, topic: str, partitions: list[int]) -> None:
        self.simulation = simulation
        self.topic = topic
        self._log = log
        self._partitions = len(partitions)
        self._starts = log.starts(topic, partitions)
        self._ends = log.ends(topic, partitions, settled=False)

    @property
    def whole(self) -> bool:
        """Whether nothing was deleted, so that the first event is the one that the simulation began with."""
        return not any(self._starts.values())

    def last(self) -> dict[int, int]:
        """The last row in each partition; a partition that has none is left out."""
        rows: dict[int, int] = {}
        ends, look = dict(self._ends), LOOK
        while ends := {p: end for p, end in ends.items() if p not in rows and end > self._starts[p]}:
            spans = {p: Span(max(self._starts[p], end - look), end) for p, end in ends.items()}
            rows |= {p: max(found) for p, found in self._rows(spans).items()}
            ends, look = {p: span.start for p, span in spans.items()}, 2 * look
        return rows

    def first(self, partitions: list[int]) -> dict[int, int]:
        """The first row in each of these partitions, which have one."""
        rows: dict[int, int] = {}
        starts, look = {p: self._starts[p] for p in partitions}, LOOK
        while starts := {p: start for p, start in starts.items() if p not in rows and start < self._ends[p]}:
            spans = {p: Span(start, min(self._ends[p], start + look)) for p, start in starts.items()}
            rows |= {p: min(found) for p, found in self._rows(spans).items()}
            starts, look = {p: span.end for p, span in spans.items()}, 2 * look
        return rows

    def _rows(self, spans: dict[int, Span]) -> dict[int, list[int]]:
        rows: dict[int, list[int]] = {}
        for records in self._log.scan(self.topic, spans):
            for record in records:
                key: Any = record.key()
                value: Any = record.value()
                row = self.simulation.row(key, value)
                if row is not None:
                    partition = record.partition() or 0
                    self._refuse_moved(key, partition)
                    rows.setdefault(partition, []).append(row)
        return rows

    def _refuse_moved(self, key: bytes, partition: int) -> None:
        if murmur2(key, self._partitions) != partition:
            raise Refused(
                f"The simulated events of {self.topic} were placed for another number of partitions than "
                f"{self._partitions}: where they end cannot be told. Delete the topic and create it anew."
            )
