"""Filling a lookup from a file: all of it or nothing.

The file is read twice: once to judge every row, once to write. The rows go into a new build beside the one that
serves, and then one pointer turns, so that a reader sees the old load or the new one. The build before the new one
stays until the next load, for workers that have not noticed yet; older ones, and those of loads that were killed, go.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast

import numpy as np
import redis

from app.errors import Refused
from app.features.files import RowFile
from app.features.lookups import BUILD_TIME, Lookup
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


def load(
    client: redis.Redis,
    lookup: Lookup,
    file: RowFile,
    *,
    checked: Callable[[int], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Load:
    """Make the file what the lookup serves. `checked` and `progress` are told how many rows are so far.

    Raises Refused for a file with anything wrong in it, or beside another load; then nothing has changed. Raises
    Unavailable where Redis does not answer; then the old build serves, or the new one if the pointer had turned.
    """
    count = _judged(file, lookup, checked or _silent)
    try:
        return _Loading(client, lookup).run(file.rows(lookup), count, progress or _silent)
    except redis.RedisError as error:
        raise unavailable(error) from error


def _judged(file: RowFile, lookup: Lookup, checked: Callable[[int], None]) -> int:
    """How many rows there are, once every row was looked at."""
    hashes = array("q")  # eight bytes a row: the names of millions would not fit
    for entity, _ in file.rows(lookup):
        hashes.append(hash(entity))
        if len(hashes) % SLICE == 0:
            checked(len(hashes))
    if not hashes:
        raise Refused(f"{file.path} has no rows. Nothing was loaded.")
    ordered = np.sort(np.frombuffer(hashes, dtype=np.int64))
    _refuse_twice(file, lookup, set(ordered[1:][ordered[1:] == ordered[:-1]].tolist()))
    return len(ordered)


def _refuse_twice(file: RowFile, lookup: Lookup, doubtful: set[int]) -> None:
    """Look again at the entities whose hash is there twice."""
    seen: set[str] = set()
    for entity, _ in file.rows(lookup) if doubtful else ():
        if hash(entity) in doubtful:
            if entity in seen:
                raise Refused(f"{file.path} has the {lookup.key} {entity!r} twice. Nothing was loaded.")
            seen.add(entity)


class _Loading:
    """One load, under a lock that other loads respect."""

    def __init__(self, client: redis.Redis, lookup: Lookup) -> None:
        self._client = client
        self._lookup = lookup
        self._build = f"{datetime.now(UTC).strftime(BUILD_TIME)}-{secrets.token_hex(3)}"
        self._prefix = lookup.rows
        self._lock = f"{lookup.tag}/loading"
        self._builds = f"{lookup.tag}/builds"  # all that have rows, so that none is forgotten

    def run(self, found: Iterable[tuple[str, bytes]], count: int, progress: Callable[[int], None]) -> Load:
        if not self._client.set(self._lock, self._build, nx=True, px=LOCK_MS):
            raise Refused(
                f"Another load of {self._lookup.name} is running, or was killed less than a minute ago: try again."
            )
        try:
            self._client.sadd(self._builds, self._build)
            if self._write(found, progress) != count:
                raise Refused("The file changed while it was loaded. Nothing has changed: try again.")
            before = self._turn()
            self._remove_old(keep={self._build, before})
        finally:
            self._unlock()
        return Load(self._build, count, before)

    def _write(self, found: Iterable[tuple[str, bytes]], progress: Callable[[int], None]) -> int:
        found, written = iter(found), 0
        while part := list(islice(found, SLICE)):
            with self._client.pipeline(transaction=False) as slice_:
                slice_.pexpire(self._lock, LOCK_MS)
                for entity, blob in part:
                    slice_.set(self._lookup.row_key(self._build, entity), blob)
                slice_.execute()
            written += len(part)
            progress(written)
        return written

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


def _silent(rows: int) -> None:
    """For those who do not watch."""
