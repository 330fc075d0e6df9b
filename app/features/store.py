"""The state in Redis: keys, one read a batch, and the fenced write (protocol B1, B2, B4).

All keys of a view's partition share a hash tag, so that a partition is one slot of a Redis Cluster. Nothing here
retries: a lost reply is not a failed write, and only the caller knows what it meant (protocol B5).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, NoScriptError
from redis.retry import Retry

from app.access.clients import redis_client
from app.errors import Refused, Unavailable
from app.features.cluster import Cluster, Command, by_slot, many, nodes, placed
from app.features.marker import Marker, decode_marker
from app.features.reader import Ask, Found

if TYPE_CHECKING:
    from app.settings import Settings

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


FLUSH_NAME = hashlib.sha1(FLUSH.encode(), usedforsecurity=False).hexdigest()


def connected(settings: Settings, *, least_s: float = 0.0) -> redis.Redis:
    """A client of the Redis that the settings name, by the user and certificates in them; it waits `least_s` or more.

    As `connect`.
    """
    timeout_s = max(least_s, settings.redis_timeout_s)
    return connect(settings.redis, timeout_s=timeout_s, access=redis_client(settings))


def connect(url: str, *, timeout_s: float = 1.0, access: Mapping[str, Any] | None = None) -> redis.Redis:
    """A client that never retries by itself and waits `timeout_s` at most for any answer.

    `access` is what a connection needs to get in, beside the address.

    `redis+cluster://host:port[,host:port]` (`rediss+cluster://` with TLS) is a cluster, by some of its nodes. Raises
    Refused for what is no address. Connects to nobody yet.
    """
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    try:
        if kind != "cluster":
            return _server(url, timeout_s, access)
        if parts.path.strip("/") not in ("", "0"):
            raise Refused("A Redis Cluster has one database only: leave the number out of its address.", exit_code=2)
        user, at, hosts = parts.netloc.rpartition("@")
        addresses = [host if _has_port(host) else f"{host}:6379" for host in hosts.split(",") if host]
        if not addresses:
            raise ValueError("it names no host")
        rest = (parts.path, parts.query, "")
        return Cluster(
            addresses, lambda address: _server(urlunsplit((scheme, user + at + address, *rest)), timeout_s, access)
        )
    except ValueError as error:
        raise Refused(f"The address of Redis cannot be used ({error}).", exit_code=2) from None


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def _server(url: str, timeout_s: float, access: Mapping[str, Any] | None) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        client_name="streaminfer",
        **(access or {}),
    )


class Store:
    """One pipeline's state in one Redis. Raises Unavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis, pipeline: str) -> None:
        self.client = client
        self.pipeline = pipeline

    def tag(self, view: str, partition: int) -> str:
        return f"{{{self.pipeline}/{view}/{partition}}}"

    def marker_key(self, view: str, partition: int, digest: str) -> str:
        """One for each declaration: a changed one is filled beside the old one while that still serves."""
        return f"{self.tag(view, partition)}/{digest}/marker"

    def blob_key(self, view: str, partition: int, build: str) -> str:
        """What an entity's name is put behind."""
        return f"{self.tag(view, partition)}/{build}/"

    def mget(self, keys: Sequence[str | bytes]) -> list[bytes | None]:
        """All the values in one round trip; at one moment, as far as they lie in one slot of a cluster."""
        return list(self.read([Ask(keys)])[0])

    def read(self, asks: Sequence[Ask]) -> list[Found]:
        """Each ask's values, all in one round trip a server.

        Values of one slot are read at one moment; on a server that is no cluster, all values but those of hashes.
        """
        plain = [key for ask in asks if ask.fields is None for key in ask.keys]
        hashes = [("HMGET", key, *ask.fields) for ask in asks if ask.fields is not None for key in ask.keys]
        whole = [range(len(plain))] if plain else []
        groups: Sequence[Sequence[int]] = by_slot(plain) if isinstance(self.client, Cluster) else whole
        commands: list[Command] = [("MGET", *(plain[place] for place in places)) for places in groups]
        try:
            answers = many(self.client, [*commands, *hashes])
            found = placed(len(plain), groups, answers)
            rows = map(_row, answers[len(groups) :])
        except redis.RedisError as error:
            raise unavailable(error) from error
        values, hashed = iter(found), iter(list(rows))
        return [list(islice(values if ask.fields is None else hashed, len(ask.keys))) for ask in asks]

    def markers(self, view: str, partitions: Sequence[int], digest: str) -> list[Marker | None]:
        """Each partition's marker, None where there is none.

        Raises Refused where a value is there that is no marker: it was not this program that wrote it.
        """
        markers: list[Marker | None] = []
        keys = [self.marker_key(view, partition, digest) for partition in partitions]
        for key, value in zip(keys, self.mget(keys), strict=True):
            marker = decode_marker(value) if value is not None else None
            if value is not None and (marker is None or marker.digest != digest):
                raise Refused(
                    f"The Redis key {key} does not hold a marker of {view}; "
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
            answer: Any = self._evaluate(len(names), [*names, *values])
        except redis.ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise unavailable(error) from error
            raise Refused(
                f"The Redis key {key}, or one of its state's, is of a type that this program does not write; "
                f"`streaminfer features rebuild {key.split('/')[1]}` makes the state anew from the log."
            ) from error
        except redis.RedisError as error:
            raise unavailable(error) from error
        if answer == 1:
            return target or held
        return decode_marker(answer) if answer else None

    def _evaluate(self, count: int, words: Sequence[str | bytes]) -> Any:
        try:
            return self.client.evalsha(FLUSH_NAME, count, *words)
        except NoScriptError:  # which has done nothing; this server is told the script with the call
            return self.client.eval(FLUSH, count, *words)

    def refuse_eviction(self) -> None:
        """A server that may evict blobs would lie silently, so only `noeviction` is served, on every node.

        Raises Refused for a cluster that is not named as one too: it would answer for a third of the keys.
        """
        try:
            told = [node.info() for node in nodes(self.client)]
        except redis.RedisError as error:
            raise unavailable(error) from error
        for policy in {str(one.get("maxmemory_policy", "noeviction")) for one in told} - {"noeviction"}:
            raise Refused(
                f"Redis may evict state that the log says is there (maxmemory-policy is {policy}); "
                "set it to noeviction: `redis-cli config set maxmemory-policy noeviction`."
            )
        if not isinstance(self.client, Cluster) and told[0].get("cluster_enabled"):
            raise Refused("This Redis is a node of a cluster: write redis+cluster:// in its address.")


def _row(answer: Any) -> list[bytes | None] | None:
    """A hash's fields; None where there is a value of another kind."""
    if not isinstance(answer, redis.RedisError):
        return cast("list[bytes | None]", answer)
    if str(answer).startswith("WRONGTYPE"):
        return None
    raise answer


def unavailable(error: Exception) -> Unavailable:
    """Redis' own words, without what was sent to it."""
    if isinstance(error, NoPermissionError):
        return Unavailable(
            f"Redis does not allow its user this ({error}); `streaminfer acls` prints the rights needed."
        )
    return Unavailable(f"Redis does not answer ({type(error).__name__}: {str(error)[:200]}).")
