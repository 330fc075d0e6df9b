"""The Kafka and the Redis of one home: started, found again, healed, stopped. Several homes live side by side.

The home's state file says what was started. A server counts as alive only if the very process that was started lives;
what is dead is started again over its data, at the ports it had. One `up` or `down` works in a home at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from app.errors import Refused, Unavailable
from app.local import kafka, redis_server
from app.local.broker import Broker, Outer, new_cluster_id
from app.local.jars import ensure_jars
from app.local.leash import Leash
from app.local.lock import locked
from app.local.ports import free_ports, is_free
from app.local.process import Known, detach, last_lines, reap, stop, wait_until
from app.local.redis_server import RedisServer
from app.local.state import BrokerPorts, Running, State, read, write

_PORT_TIMEOUT_S = 2.0
_START_TIMEOUT_S = 90.0
_LOCK_TIMEOUT_S = 240.0  # longer than a start may take
_STOP_TIMEOUT_S = 20.0  # the last of three controllers waits 5 s for the others before it goes


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where clients connect: bootstrap servers of Kafka, URL of Redis."""

    kafka: str
    redis: str


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the home. `pid` and `uptime_s` are None when it is not alive."""

    name: str
    pid: int | None
    address: str
    alive: bool
    uptime_s: float | None
    log: Path


class Stack:
    """The servers of `home`. Holds nothing but the path: any number of these, in any process, see the same servers."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()

    def up(self, brokers: int | None = None, leash: Leash | None = None, *, outer: Sequence[Outer] = ()) -> Endpoints:
        """Starts what does not live yet, and returns when all answers. On a leash, what it starts dies with the leash.

        `outer` gives each broker of a new home one more listener, which it keeps. `brokers` is 1 or 3 (default: what
        the home has, else 1). Raises Unavailable when something is missing or does not answer in time (what this call
        started is then stopped again), Refused when the home has another number.
        """
        with self._locked():
            state = self._planned(brokers, outer)
            started: list[Known] = []
            try:
                self._start(state, started, leash)
            except BaseException:
                stop(started, grace_s=0.0)
                raise
            return _endpoints(self.home, state)

    def down(self) -> tuple[str, ...]:
        """Stops what lives: SIGTERM, time to end well, SIGKILL. Data stay. Returns the names of those stopped."""
        if read(self.home) is None:
            return ()
        with self._locked():
            state = read(self.home)
            assert state is not None
            alive = {name: running.known for name, running in state.running.items() if running.known.alive}
            stop(alive.values(), grace_s=_STOP_TIMEOUT_S)
            write(self.home, msgspec.structs.replace(state, running={}))
            return tuple(alive)

    def status(self) -> tuple[Server, ...]:
        """Every server of the home, dead ones too; empty where nothing was ever started."""
        state = read(self.home)
        if state is None:
            return ()
        reap()
        servers: list[Broker | RedisServer] = [*_cluster(self.home, state), _redis(self.home, state)]
        return tuple(_seen(server, state.running.get(server.name)) for server in servers)

    def endpoints(self) -> Endpoints | None:
        """Where the servers are, if any of them lives: who needs a dead one can wait for it, as for any outage."""
        state = read(self.home)
        if state is None or not any(server.alive for server in self.status()):
            return None
        return _endpoints(self.home, state)

    def _start(self, state: State, started: list[Known], leash: Leash | None) -> None:
        def register(process: Known, name: str | None = None) -> None:
            started.append(process)
            if leash is not None:
                leash.hold(process)
            if name is not None:
                self._remember(name, process)

        redis, cluster = _redis(self.home, state), _cluster(self.home, state)
        dead = {server.name for server in self.status() if not server.alive}
        to_start = [broker for broker in cluster if broker.name in dead]
        fetched = ensure_jars() if to_start else None  # first: without Java nothing is started at all
        if redis.name in dead:
            detach(redis_server.start_server(redis, register=partial(register, name=redis.name)))
        if fetched is not None:
            kafka.format_data(fetched, cluster, cluster_id=state.cluster_id, register=register)
            for broker in to_start:
                detach(kafka.start_broker(fetched, broker, cluster, register=partial(register, name=broker.name)))
        for broker in cluster:
            self._await(broker, partial(kafka.answers, broker, len(cluster)))
        self._await(redis, partial(redis_server.answers, redis))

    def _await(self, server: Broker | RedisServer, answers: Callable[[], bool]) -> None:
        state = read(self.home)
        assert state is not None
        process = state.running[server.name].known
        if wait_until(lambda: not process.alive or answers(), timeout_s=_START_TIMEOUT_S) and process.alive:
            return
        trouble = f"did not answer within {_START_TIMEOUT_S:.0f} s" if process.alive else "ended during its start"
        raise Unavailable(f"{server.name} {trouble}; its log is {server.log} and ends:\n{last_lines(server.log)}")

    def _remember(self, name: str, process: Known) -> None:
        state = read(self.home)
        assert state is not None
        running = Running(pid=process.pid, birth=process.birth, started_ms=time.time_ns() // 1_000_000)
        write(self.home, msgspec.structs.replace(state, running={**state.running, name: running}))

    def _planned(self, brokers: int | None, outer: Sequence[Outer] = ()) -> State:
        """The state to start from: the home's own, or a new one. Dead servers whose ports are taken get others."""
        if brokers not in (None, 1, 3):
            raise Refused(f"A cluster of {brokers} brokers is not offered: take 1 or 3.", exit_code=2)
        state = read(self.home)
        if state is None:
            count = brokers or 1
            client, controller, redis = _split(free_ports(2 * count + 1), count)
            each: Sequence[Outer | None] = outer or [None] * count
            state = State(new_cluster_id(), tuple(map(BrokerPorts, client, controller, each)), redis[0])
        elif brokers not in (None, len(state.brokers)):
            raise Refused(
                f"{self.home} holds a cluster of {len(state.brokers)}, and its data cannot be made one of {brokers}: "
                "leave the number out, or set STREAMINFER_HOME to another directory."
            )
        state = self._with_ports(state)
        write(self.home, state)
        return state

    def _with_ports(self, state: State) -> State:
        dead = {server.name for server in self.status() if not server.alive}
        if "redis" in dead and not _comes_free(state.redis_port):
            state = msgspec.structs.replace(state, redis_port=free_ports(1)[0])
        cluster = _cluster(self.home, state)
        taken = [
            port
            for broker in cluster
            if broker.name in dead
            for port in (broker.client_port, broker.controller_port)
            if not _comes_free(port)
        ]
        if not taken:
            return state
        if any(broker.name not in dead for broker in cluster):
            raise Unavailable(
                f"A dead broker cannot have its port {taken[0]} again, because another program listens there: "
                "run `streaminfer down`, and then `streaminfer up` for other ports."
            )
        client, controller, _ = _split(free_ports(2 * len(cluster)), len(cluster))
        each = [broker.outer for broker in cluster]
        return msgspec.structs.replace(state, brokers=tuple(map(BrokerPorts, client, controller, each)))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(
                f"{self.home} cannot be made ({error.strerror}): set STREAMINFER_HOME to a directory that can.",
                exit_code=2,
            ) from error
        busy = f"Another command is starting or stopping the servers of {self.home}: try again when it has ended."
        with locked(self.home / "stack.lock", timeout_s=_LOCK_TIMEOUT_S, busy=busy):
            yield


def _comes_free(port: int) -> bool:
    """A server that was just killed holds its port for a moment longer, and its clients know no other."""
    return wait_until(lambda: is_free(port), timeout_s=_PORT_TIMEOUT_S)


def _cluster(home: Path, state: State) -> tuple[Broker, ...]:
    return tuple(
        Broker(number, home / "kafka" / str(number), ports.client, ports.controller, ports.outer)
        for number, ports in enumerate(state.brokers, start=1)
    )


def _redis(home: Path, state: State) -> RedisServer:
    return RedisServer(home / "redis", state.redis_port)


def _endpoints(home: Path, state: State) -> Endpoints:
    bootstrap = ",".join(broker.address for broker in _cluster(home, state))
    return Endpoints(kafka=bootstrap, redis=_redis(home, state).url)


def _seen(server: Broker | RedisServer, running: Running | None) -> Server:
    if running is None or not running.known.alive:
        return Server(server.name, None, server.address, alive=False, uptime_s=None, log=server.log)
    uptime_s = time.time() - running.started_ms / 1000
    return Server(server.name, running.pid, server.address, alive=True, uptime_s=uptime_s, log=server.log)


def _split(ports: list[int], count: int) -> tuple[list[int], list[int], list[int]]:
    return ports[:count], ports[count : 2 * count], ports[2 * count :]
