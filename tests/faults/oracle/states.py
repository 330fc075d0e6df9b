"""Redis beside a recount of the log. The layouts are read here by hand, so that no fault of the product's hides."""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from typing import Any

import msgspec
import redis

from tests.faults.oracle import folds
from tests.faults.oracle.findings import Cases, Finding, Told, World

PREFIX = 8  # a blob starts with its own next offset
HEAD = struct.Struct("<qqII")
NARROW, WIDE = 4, 8
WIDTHS = {b"I": NARROW, b"q": WIDE}
OUTCOMES_MS = (7 + 30) * folds.DAY_MS


def stored(world: World, told: Told, partition: int) -> tuple[dict[str, bytes], int | None]:
    """Every blob of a partition's build by its entity, and up to which offset it is folded; None without a marker."""
    client: Any = redis.Redis.from_url(world.redis)
    tag = f"{{{told.name}/{told.view}/{partition}}}"
    with client:
        keys = list(client.scan_iter(match=f"\\{tag}/*/marker", count=100_000))
        if len(keys) != 1:
            return {}, None
        marker = json.loads(client.get(keys[0]))
        prefix = f"{tag}/{marker['build']}/".encode()
        names = list(client.scan_iter(match=prefix.replace(b"{", b"\\{") + b"*", count=1000))
        blobs = client.mget(names) if names else []
    entities = [name.removeprefix(prefix).decode() for name in names]
    return {entity: blob[PREFIX:] for entity, blob in zip(entities, blobs, strict=True)}, marker["next"]


def compare(world: World, told: Told, partition: int, *, mine: dict[str, list[Any]], end: int) -> list[Finding]:
    """What a partition's blobs hold within the horizon, against what the oracle has counted."""
    cases = Cases("state", told.name)
    blobs, folded = stored(world, told, partition)
    if folded != end:
        cases.add(f"partition {partition} is folded up to {folded} and ends at {end}")
    read = {"customer": _payments, "terminal": _outcomes, "history": _films}[told.view]
    for entity in sorted(mine.keys() | blobs.keys()):
        try:
            there = read(blobs[entity]) if entity in blobs else None
        except (ValueError, IndexError, struct.error, KeyError) as error:
            there = [f"unreadable: {error}"]
        if there != mine.get(entity):
            cases.add(f"{told.view} {entity}: {_apart(there, mine.get(entity))}")
    return cases.findings()


def of_payments(state: folds.Partition) -> dict[str, list[Any]]:
    """By customer, what windows can still see."""
    return {entity: _recent(list(zip(one.times, one.entries, strict=True))) for entity, one in _there(state).items()}


def of_films(state: folds.Partition) -> dict[str, list[Any]]:
    return {entity: folds.of_history(one, one.times[-1]) for entity, one in _there(state).items()}


def of_outcomes(outcomes: folds.Outcomes, terminals: set[str]) -> dict[str, list[Any]]:
    """By terminal, what may still be looked at, at the time when its newest outcome became known."""
    found = {}
    for terminal in terminals:
        series, newest = outcomes.series[terminal], outcomes.known[terminal]
        rows = zip(series.times, series.entries, strict=True)
        found[terminal] = [(at, int(fraud)) for at, (_, fraud) in rows if at > newest - OUTCOMES_MS]
    return found


def _there(state: folds.Partition) -> dict[str, folds.Series]:
    return {entity: one for entity, one in state.series.items() if one.times}


def _recent(rows: list[tuple[int, int]]) -> list[Any]:
    return [(at, amount) for at, amount in rows if at > rows[-1][0] - folds.SPANS[-1] * folds.DAY_MS]


def _payments(body: bytes) -> list[Any]:
    return _recent(_series(body))


def _outcomes(body: bytes) -> list[Any]:
    _, newest, count, slow = HEAD.unpack_from(body)
    rows = _series(body[HEAD.size + 3 * WIDE * slow + NARROW * count :])
    assert len(rows) == count
    return [(at, fraud) for at, fraud in rows if at > newest - OUTCOMES_MS]


def _series(body: bytes) -> list[tuple[int, int]]:
    """A letter for the width, the first time, the steps from it to each time, the sums before each amount and after."""
    if not body:
        return []
    letter, width = body[:1], WIDTHS[body[:1]]
    (first,) = struct.unpack_from("<q", body, 1)
    numbers = struct.unpack_from(f"<{(len(body) - 9) // width}{letter.decode()}", body, 9)
    half = len(numbers) // 2
    amounts = [after - before for before, after in pairwise(numbers[half:])]
    return [(first + step, amount) for step, amount in zip(numbers[:half], amounts, strict=True)]


def _films(body: bytes) -> list[Any]:
    first, steps, items, *_ = msgspec.msgpack.decode(body)
    times = [first + step for step in steps]
    seen = [item for at, item in zip(times, items, strict=True) if at > times[-1] - folds.YEAR_MS]
    return seen[-folds.KEPT :]


def _apart(there: list[Any] | None, mine: list[Any] | None) -> str:
    if there is None or mine is None:
        return "is not in Redis" if there is None else "is in Redis and in no log"
    places = [i for i, (one, other) in enumerate(zip(there, mine, strict=False)) if one != other]
    first = places[0] if places else min(len(there), len(mine))
    return f"{len(there)} entries instead of {len(mine)}, the first that differs is number {first + 1}"
