"""Many commands in one round trip a server, and a Redis Cluster behind the commands of one Redis.

Nothing is tried twice: a node that answers MOVED or ASK has done nothing, so going where it points is no second try,
and every other trouble is the caller's (protocol B5). No call waits for long: a server has the client's time-out for
its first answer and once more for its last, and looking for the nodes takes no longer than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol, cast, runtime_checkable

import redis
from redis.client import Pipeline
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError

from app.errors import Refused

Command = tuple[Any, ...]
FOLLOWED = 4  # rounds of MOVED and ASK: a slot that moves on faster is asked for again by the caller
SLOTS = 16384
ANYWHERE = frozenset({"PING", "TIME", "CLUSTER"})  # commands without a key that any node answers
BY_NODE = frozenset({"INFO", "CONFIG", "SCAN", "KEYS", "DBSIZE", "FLUSHALL", "FLUSHDB", "SCRIPT", "CLIENT"})


def exchange(wanted: Sequence[tuple[redis.Redis, Sequence[Command]]]) -> list[list[Any]]:
    """Ask each server its commands, all of them before any answer is read; an error is an answer like others.

    Raises redis.RedisError where a server does not answer all.
    """
    asked: list[tuple[redis.Redis, Any]] = []
    try:
        for client, commands in wanted:
            connection: Any = client.connection_pool.get_connection()
            asked.append((client, connection))
            connection.send_packed_command([b"".join(connection.pack_commands(commands))])
        answers = [_answers(asked[i][1], len(commands)) for i, (_, commands) in enumerate(wanted)]
    except BaseException:
        for _, connection in asked:
            connection.disconnect()  # what it still answers is nobody's
        raise
    finally:
        for client, connection in asked:
            client.connection_pool.release(connection)
    return answers


def _answers(connection: Any, count: int) -> list[Any]:
    answers: list[Any] = []
    began, limit_s = time.monotonic(), connection.socket_timeout
    for _ in range(count):
        try:
            answers.append(connection.read_response())
        except redis.ResponseError as error:
            answers.append(error)
        if limit_s is not None and time.monotonic() - began > limit_s:
            raise redis.TimeoutError("it takes too long to answer all that was asked")
    return answers


@runtime_checkable
class Many(Protocol):
    """What answers many commands in a way of its own."""

    def many(self, commands: Sequence[Command]) -> list[Any]: ...


def many(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    """Each command's answer, or the error in its place, in one round trip a server; in no order among them."""
    if isinstance(client, Many):
        return client.many(commands)
    return exchange([(client, commands)])[0] if commands else []


def nodes(client: redis.Redis) -> list[redis.Redis]:
    """The servers that hold keys."""
    return client.nodes() if isinstance(client, Cluster) else [client]


class Cluster(redis.Redis):
    """A cluster by any of its nodes. Commands that name keys of one slot go where they lie."""

    def __init__(self, addresses: Iterable[str], node: Callable[[str], redis.Redis]) -> None:
        self._make = node
        self._seeds = list(addresses)
        self._known = {address: node(address) for address in self._seeds}
        self._slots: list[str] = []  # by slot: the node's address; empty strings where nobody has it
        self._is_stale = True
        super().__init__(connection_pool=self._known[self._seeds[0]].connection_pool)

    # -- asking ------------------------------------------------------------------------------------------------------

    def many(self, commands: Sequence[Command]) -> list[Any]:
        """Each command's answer, or the error in its place, in one round trip a node."""
        answers: list[Any] = [None] * len(commands)
        if not commands:
            return answers
        self._look()
        places = {i: (self._place(command), False) for i, command in enumerate(commands)}
        for _ in range(FOLLOWED):
            moved: dict[int, tuple[str, bool]] = {}
            for i, answer in self._ask(commands, places):
                answers[i] = answer
                if isinstance(answer, AskError):
                    moved[i] = self._redirected(answer, places[i][0])
                elif isinstance(answer, ClusterDownError):
                    self._is_stale = True
            if not moved:
                break
            places = moved
        return answers

    def _ask(self, commands: Sequence[Command], places: Mapping[int, tuple[str, bool]]) -> Iterator[tuple[int, Any]]:
        """The answers by their command's place, one pipeline a node."""
        sent: dict[str, list[Command]] = {}
        whose: dict[str, list[int | None]] = {}
        for i, (address, asking) in places.items():
            if asking:
                sent.setdefault(address, []).append(("ASKING",))
                whose.setdefault(address, []).append(None)
            sent.setdefault(address, []).append(commands[i])
            whose.setdefault(address, []).append(i)
        try:
            answered = exchange([(self._node(address), mine) for address, mine in sent.items()])
        except redis.RedisError:
            self._is_stale = True
            raise
        for owners, answers in zip(whose.values(), answered, strict=True):
            yield from ((i, answer) for i, answer in zip(owners, answers, strict=True) if i is not None)

    def _redirected(self, error: AskError, asked: str) -> tuple[str, bool]:
        """Where a node says that the key lies, and whether it is only about to."""
        host = error.host or asked.rsplit(":", 1)[0]  # no host: the one that was asked
        address = f"{host}:{error.port}"
        if isinstance(error, MovedError):
            self._slots[error.slot_id] = address
            self._is_stale = True
            return address, False
        return address, True

    def _place(self, command: Command) -> str:
        key = _key(command)
        if key is None:
            return next(filter(None, self._slots))
        address = self._slots[slot_of(key)]
        if not address:
            self._is_stale = True
            raise ClusterDownError("no node has the slot of a key")
        return address

    def _node(self, address: str) -> redis.Redis:
        if address not in self._known:
            self._known[address] = self._make(address)
        return self._known[address]

    # -- which node has what -------------------------------------------------------------------------------------------

    def nodes(self) -> list[redis.Redis]:
        self._look()
        return [self._node(address) for address in dict.fromkeys(filter(None, self._slots))]

    def _look(self) -> None:
        """Ask for the slots where what is known may be wrong; of a node that answers, and not for long."""
        if not self._is_stale:
            return
        trouble: Exception = redis.ConnectionError("no node of the cluster answers")
        until = time.monotonic() + (self.connection_pool.connection_kwargs.get("socket_timeout") or 1.0)
        for address in [*dict.fromkeys([*self._known, *self._seeds])]:
            try:
                ((ranges,),) = exchange([(self._node(address), [("CLUSTER", "SLOTS")])])
            except redis.RedisError as error:
                trouble = error
                self._known[address] = self._known.pop(address)  # the last to be asked the next time
            else:
                self._learn(ranges, address)
                return
            if time.monotonic() > until:
                break
        raise trouble

    def _learn(self, ranges: Any, asked: str) -> None:
        if isinstance(ranges, Exception):
            if "cluster support disabled" in str(ranges):
                raise Refused("The Redis that is named as a cluster is a single one: write redis:// in its address.")
            raise ranges
        slots = [""] * SLOTS
        for first, last, (host, port, *_), *_ in ranges:
            name = bytes(host or b"").decode() or asked.rsplit(":", 1)[0]
            slots[first : last + 1] = [f"{name}:{port}"] * (last + 1 - first)
        self._slots = slots
        self._is_stale = not all(slots)
        for gone in set(self._known) - set(slots) - set(self._seeds):
            self._known.pop(gone).close()

    # -- the commands of one Redis -------------------------------------------------------------------------------------

    def execute_command(self, *args: Any, **options: Any) -> Any:
        (answer,) = self.many([args])
        return self._told(args, answer, options)

    def _told(self, command: Command, answer: Any, options: dict[str, Any]) -> Any:
        if isinstance(answer, Exception):
            raise answer
        options.pop("keys", None)
        callbacks: Any = self.response_callbacks
        callback = callbacks.get(command[0])
        return callback(answer, **options) if callback else answer

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: ARG002 - redis-py names it
        """Commands in one round trip a node; there is no transaction over nodes."""
        if transaction:
            raise redis.RedisClusterException("a cluster has no transactions over its nodes")
        return _Pipe(self)

    def mget(self, keys: Any, *args: Any) -> list[bytes | None]:  # type: ignore[override]  # never awaited
        """Each slot's values at one moment, in one round trip a node."""
        names = [*([keys] if isinstance(keys, (str, bytes)) else keys), *args]
        groups = by_slot(names)
        answers = self.many([("MGET", *(names[place] for place in places)) for places in groups])
        return placed(len(names), groups, answers)

    def unlink(self, *names: Any) -> int:
        return sum(self._each("UNLINK", names))

    def delete(self, *names: Any) -> int:
        return sum(self._each("DEL", names))

    def _each(self, command: str, names: Sequence[Any]) -> Iterator[int]:
        for answer in self.many([(command, name) for name in names]):
            if isinstance(answer, Exception):
                raise answer
            yield answer

    def script_load(self, script: Any) -> Any:
        """On every node: nobody knows yet where its keys lie."""
        names = {node.script_load(script) for node in self.nodes()}
        return names.pop()

    def scan_iter(self, *args: Any, **options: Any) -> Iterator[Any]:
        """The keys of every node; where slots move meanwhile, some may come twice or not at all."""
        for node in self.nodes():
            yield from node.scan_iter(*args, **options)

    def close(self) -> None:
        for node in self._known.values():
            node.close()


class _Pipe(Pipeline):
    """redis-py's pipeline over the nodes of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, False, None)
        self._cluster = cluster

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack, self.command_stack = self.command_stack, []
        told: list[Any] = []
        for (args, options), answer in zip(stack, self._cluster.many([args for args, _ in stack]), strict=True):
            keep = isinstance(answer, Exception) and not raise_on_error
            told.append(answer if keep else self._cluster._told(args, answer, options))
        return told


def by_slot(keys: Sequence[str | bytes]) -> list[list[int]]:
    """The keys' places, those of a slot together."""
    groups: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(slot_of(key), []).append(place)
    return list(groups.values())


def placed(count: int, groups: Sequence[Sequence[int]], answers: Sequence[Any]) -> list[bytes | None]:
    """The values of several MGETs, each in its place. Raises the error that one of them was answered with."""
    found: list[bytes | None] = [None] * count
    for places, answer in zip(groups, answers, strict=False):
        if isinstance(answer, redis.RedisError):
            raise answer
        for place, value in zip(places, answer, strict=True):
            found[place] = value
    return found


def slot_of(key: str | bytes) -> int:
    return key_slot(key.encode() if isinstance(key, str) else key)


def _key(command: Command) -> str | bytes | None:
    """The key that says where a command goes, None for one that any node answers."""
    name = str(command[0]).split(" ", 1)[0].upper()
    if name in ANYWHERE:
        return None
    if name in BY_NODE:
        _refuse(name)
    place = 3 if name in ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO") else 1
    if len(command) <= place:
        _refuse(name)
    return cast("str | bytes", command[place])


def _refuse(name: str) -> NoReturn:
    raise redis.RedisClusterException(f"{name} names no key: each node of a cluster is asked by itself")
