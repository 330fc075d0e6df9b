"""Filling a lookup from a CSV file: all of it or nothing.

The file is read twice: once to judge every line, once to write. The rows go into a new build beside the one that
serves, and then one pointer turns, so that a reader sees the old load or the new one. The build before the new one
stays until the next load, for workers that have not noticed yet; older ones, and those of loads that were killed, go.
"""

from __future__ import annotations

import csv
import math
import secrets
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, cast

import redis

from app.errors import Refused
from app.features.lookups import Lookup
from app.features.store import unavailable

SLICE = 1_000  # rows or keys in one round trip
LOCK_MS = 60_000  # how long a load that was killed keeps others out

# The pointer is turned by the load that holds the lock and by no other.
TURN = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0, ''} end
local old = redis.call('GET', KEYS[2]) or ''
redis.call('SET', KEYS[2], ARGV[1])
if old ~= '' then redis.call('SADD', KEYS[3], old) end
return {1, old}
"""


@dataclass(frozen=True)
class Load:
    """What a load did: the build that serves now, its rows, and the build that served before."""

    build: str
    rows: int
    before: str | None


def load(client: redis.Redis, lookup: Lookup, path: Path, *, progress: Callable[[int], None] | None = None) -> Load:
    """Make the file what the lookup serves. `progress` is told how many rows are written.

    Raises Refused for a file with anything wrong in it, or beside another load; then nothing has changed. Raises
    Unavailable where Redis does not answer; then the old build serves, or the new one if the pointer had turned.
    """
    count = _judged(path, lookup)
    try:
        return _Loading(client, lookup).run(rows(path, lookup), count, progress or _silent)
    except redis.RedisError as error:
        raise unavailable(error) from error


def rows(path: Path, lookup: Lookup) -> Iterator[tuple[str, bytes]]:
    """Each line's entity and packed row. Raises Refused, with the line's number, at the first thing that is wrong."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            places = _places(next(lines, []), lookup, path)
            try:
                for cells in lines:
                    if cells:
                        yield _row(cells, lookup, places)
            except (_WrongError, csv.Error) as error:
                raise Refused(f"{path}, line {lines.line_num}: {error}. Nothing was loaded.") from None
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8. Nothing was loaded.") from None
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}.", exit_code=2) from None


class _WrongError(Exception):
    """What is wrong with a line, in words that quote none of it."""


def _judged(path: Path, lookup: Lookup) -> int:
    """How many rows there are, once every line was looked at."""
    seen: set[str] = set()
    for entity, _ in rows(path, lookup):
        if entity in seen:
            raise Refused(f"{path} has the {lookup.key} {entity!r} twice. Nothing was loaded.")
        seen.add(entity)
    if not seen:
        raise Refused(f"{path} has no rows. Nothing was loaded.")
    return len(seen)


def _places(header: list[str], lookup: Lookup, path: Path) -> list[int]:
    """Where each of the lookup's fields stands in a line. Raises Refused where the columns are not its fields."""
    names = [name.strip() for name in header]
    if names[:1] != [lookup.key] or sorted(names[1:]) != sorted(lookup.columns):
        raise Refused(
            f"{path} has the columns {', '.join(names) or '(none)'}; {lookup.name} needs {lookup.key} first, and then, "
            f"in any order, {', '.join(lookup.columns)}. Nothing was loaded."
        )
    return [names.index(column) for column in lookup.columns]


def _row(cells: list[str], lookup: Lookup, places: list[int]) -> tuple[str, bytes]:
    if len(cells) != len(places) + 1:
        raise _WrongError(f"it has {len(cells)} columns, the header has {len(places) + 1}")
    if not cells[0]:
        raise _WrongError(f"it has no {lookup.key}")
    values = tuple(_number(cells[place], column) for place, column in zip(places, lookup.columns, strict=True))
    return cells[0], lookup.pack(values)


def _number(text: str, column: str) -> float:
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(array("f", (value,))[0]):
        raise _WrongError(f"{column} is not a finite number of 32 bits")
    return value


class _Loading:
    """One load, under a lock that other loads respect."""

    def __init__(self, client: redis.Redis, lookup: Lookup) -> None:
        self._client = client
        self._lookup = lookup
        self._build = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self._prefix = f"lookup/{lookup.name}/"
        self._lock = f"{self._prefix}loading"
        self._builds = f"{self._prefix}builds"  # all that have rows, so that none is forgotten

    def run(self, found: Iterable[tuple[str, bytes]], count: int, progress: Callable[[int], None]) -> Load:
        if not self._client.set(self._lock, self._build, nx=True, px=LOCK_MS):
            raise Refused(
                f"Another load of {self._lookup.name} is running, or was killed less than a minute ago: try again."
            )
        try:
            self._client.sadd(self._builds, self._build)
            self._write(found, progress)
            before = self._turn()
            self._remove_old(keep={self._build, before})
        finally:
            self._unlock()
        return Load(self._build, count, before)

    def _write(self, found: Iterable[tuple[str, bytes]], progress: Callable[[int], None]) -> None:
        found, written = iter(found), 0
        while part := list(islice(found, SLICE)):
            with self._client.pipeline(transaction=False) as slice_:
                slice_.pexpire(self._lock, LOCK_MS)
                for entity, blob in part:
                    slice_.set(self._lookup.row_key(self._build, entity), blob)
                slice_.execute()
            written += len(part)
            progress(written)

    def _turn(self) -> str | None:
        keys = [self._lock, self._lookup.pointer, self._builds]
        done, before = cast("tuple[int, bytes]", self._client.eval(TURN, len(keys), *keys, self._build))
        if not done:
            raise Refused(f"Another load of {self._lookup.name} has taken over; the lookup is as that one leaves it.")
        return before.decode() or None

    def _remove_old(self, keep: set[str | None]) -> None:
        members = cast("set[bytes]", self._client.smembers(self._builds))
        stale = {build.decode() for build in members} - keep
        if not stale:
            return
        part: list[Any] = []
        for key in self._client.scan_iter(match=f"{self._prefix}*", count=SLICE):
            if bytes(key).decode()[len(self._prefix) :].split("/", 1)[0] in stale:
                part.append(key)
            if len(part) == SLICE:
                self._client.unlink(*part)
                part.clear()
        if part:
            self._client.unlink(*part)
        self._client.srem(self._builds, *stale)

    def _unlock(self) -> None:
        """Let others load; the lock of one that took over stays."""
        if self._client.get(self._lock) == self._build.encode():
            self._client.delete(self._lock)


def _silent(written: int) -> None:
    """For those who do not watch."""
