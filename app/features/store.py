"""The state in Redis: keys, one read a batch, and the fenced write (protocol B1, B2, B4).

All keys of a view's partition share a hash tag, so that a partition is one slot of a Redis Cluster. Nothing here
retries: a lost reply is not a failed write, and only the caller knows what it meant (protocol B5).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.errors import Refused, Unavailable
from app.features.marker import Marker, decode_marker

SLICE = 500  # blobs in one script call: 50,000 in one would stall the server's other clients for 135 ms
PREFIX = struct.Struct(">Q")  # a blob starts with its own next offset

# The marker is compared before anything is written, so a zombie's late flush writes nothing. A blob that is there
# and newer stays: it was written by a flush that ended half way.
FLUSH = """
local held = redis.call('GET', KEYS[1]) or ''
if held ~= ARGV[1] then return held end
for i = 2, #KEYS do
  local old = redis.call('GETRANGE', KEYS[i], 0, 7)
  if #old < 8 or struct.unpack('>I8', old) < struct.unpack('>I8', ARGV[i + 1]) then
    redis.call('SET', KEYS[i], ARGV[i + 1])
  end
end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2]) end
return 1
"""


def connect(url: str, *, timeout_s: float = 1.0) -> redis.Redis:
    """A client that never retries by itself and waits `timeout_s` at most for any answer."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        client_name="streaminfer",
    )


class Store:
    """One pipeline's state in one Redis. Raises Unavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis, pipeline: str) -> None:
        self.client = client
        self.pipeline = pipeline
        self._flush = client.register_script(FLUSH)

    def tag(self, view: str, partition: int) -> str:
        return f"{{{self.pipeline}/{view}/{partition}}}"

    def marker_key(self, view: str, partition: int) -> str:
        return f"{self.tag(view, partition)}/marker"

    def blob_key(self, view: str, partition: int, build: str) -> str:
        """What an entity's name is put behind."""
        return f"{self.tag(view, partition)}/{build}/"

    def mget(self, keys: Sequence[str | bytes]) -> list[bytes | None]:
        """All the values at one moment, in one round trip."""
        if not keys:
            return []
        try:
            return cast("list[bytes | None]", self.client.mget(keys))
        except redis.RedisError as error:
            raise unavailable(error) from error

    def markers(self, view: str, partitions: Sequence[int]) -> list[Marker | None]:
        """Each partition's marker, None where there is none.

        Raises Refused where a value is there that is no marker: it was not this program that wrote it.
        """
        markers: list[Marker | None] = []
        for partition, value in zip(partitions, self.mget([self.marker_key(view, p) for p in partitions]), strict=True):
            marker = decode_marker(value) if value is not None else None
            if value is not None and marker is None:
                raise Refused(
                    f"The Redis key {self.marker_key(view, partition)} does not hold a marker; "
                    f"`streaminfer features rebuild {view}` makes the state anew from the log."
                )
            markers.append(marker)
        return markers

    def write(
        self, key: str, held: Marker | None, target: Marker | None, blobs: Sequence[tuple[str | bytes, bytes]]
    ) -> Marker | None:
        """Write blobs if the marker at `key` is `held`, and then move it to `target` if one is given.

        Gives the marker that is there afterwards. If it is neither `target` nor `held`, nothing was written.
        """
        names: list[str | bytes] = [key, *(name for name, _ in blobs)]
        values: list[bytes] = [held.encode() if held else b"", target.encode() if target else b""]
        values.extend(value for _, value in blobs)
        try:
            answer: Any = self._flush(keys=names, args=values)
        except redis.RedisError as error:
            raise unavailable(error) from error
        if answer == 1:
            return target or held
        return decode_marker(answer) if answer else None

    def refuse_eviction(self) -> None:
        """A server that may evict blobs would lie silently, so only `noeviction` is served."""
        try:
            policy = self.client.info("memory").get("maxmemory_policy", "noeviction")
        except redis.RedisError as error:
            raise unavailable(error) from error
        if policy != "noeviction":
            raise Refused(
                f"Redis may evict state that the log says is there (maxmemory-policy is {policy}); "
                "set it to noeviction: `redis-cli config set maxmemory-policy noeviction`."
            )


def unavailable(error: Exception) -> Unavailable:
    """Redis' own words, without what was sent to it."""
    return Unavailable(f"Redis does not answer ({type(error).__name__}: {str(error)[:200]}).")
