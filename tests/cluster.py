"""A real cluster of three nodes, and a replica for each where a test wants them; every node may be harmed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from app.features.cluster import SLOTS
from app.local.leash import Leash
from app.local.ports import HOST, free_ports
from app.local.redis_server import find_server

PRIMARIES = 3


class RedisCluster:
    """`nodes` are the ports; the first three are primaries at the start."""

    def __init__(self, home: Path, leash: Leash, *, replicas: bool = False, durable: bool = False) -> None:
        self.home = home
        self._durable = durable
        self._leash = leash
        count = 2 * PRIMARIES if replicas else PRIMARIES
        ports = free_ports(2 * count)
        self.ports, self._buses = ports[:count], dict(zip(ports[:count], ports[count:], strict=True))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        for port in self.ports:
            self.start(port)
        self._join(replicas)

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{port}" for port in self.ports[:2])

    def start(self, port: int) -> None:
        """Start a node over what it has."""
        folder = self.home / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "port": port, "bind": HOST, "dir": folder, "save": "", "appendonly": "yes",
            # A busy disk puts a write off although it was answered, so a node that is killed may lose it.
            "appendfsync": "always" if self._durable else "everysec", "cluster-enabled": "yes",
            "cluster-port": self._buses[port], "cluster-node-timeout": 1000, "logfile": folder / "log",
        }  # fmt: skip
        argv = [str(find_server())]
        for name, value in settings.items():
            argv += [f"--{name}", str(value)]
        self._processes[port] = self._leash.popen(argv)
        until("a node to answer", lambda: bool(self.node(port).ping()))

    def signal(self, port: int, number: signal.Signals) -> None:
        process = self._processes[port]
        process.send_signal(number)
        if number is signal.SIGKILL:
            process.wait()

    def stop(self) -> None:
        for port, process in self._processes.items():
            if process.poll() is None:
                self.signal(port, signal.SIGKILL)

    def node(self, port: int) -> redis.Redis:
        """Asked directly; the caller's connection ends with each command."""
        return redis.Redis(HOST, port, socket_timeout=5.0)

    def owner(self, key: str | bytes) -> int:
        """The port of the node that has the key."""
        with self.node(self._alive()) as node:
            slot = node.execute_command("CLUSTER KEYSLOT", key)
            for first, last, primary, *_ in node.execute_command("CLUSTER SLOTS", NEVER_DECODE=True):
                if first <= slot <= last:
                    return int(primary[1])
        raise AssertionError("nobody has the slot")

    def whole(self) -> bool:
        """Every living node says that every slot is served."""
        return all(self._info(port).get("cluster_state") == "ok" for port in self._living())

    def _info(self, port: int) -> dict[str, Any]:
        with self.node(port) as node:
            told = node.execute_command("CLUSTER INFO")
        return told if isinstance(told, dict) else dict(line.split(":") for line in told.decode().split())

    def _living(self) -> list[int]:
        return [port for port, process in self._processes.items() if process.poll() is None]

    def _alive(self) -> int:
        return self._living()[0]

    def _join(self, replicas: bool) -> None:
        with self.node(self.ports[0]) as first:
            for i, port in enumerate(self.ports[:PRIMARIES]):
                with self.node(port) as node:
                    each = SLOTS // PRIMARIES + 1
                    node.execute_command("CLUSTER ADDSLOTSRANGE", i * each, min(SLOTS, (i + 1) * each) - 1)
                    node.execute_command("CLUSTER SET-CONFIG-EPOCH", i + 1)
            for port in self.ports[1:]:
                first.execute_command("CLUSTER MEET", HOST, port, self._buses[port])
        until("the nodes to know each other", self._all_met)
        if replicas:
            for port, of in zip(self.ports[PRIMARIES:], self.ports[:PRIMARIES], strict=True):
                with self.node(of) as primary, self.node(port) as node:
                    node.execute_command("CLUSTER REPLICATE", primary.execute_command("CLUSTER MYID"))
            until("the replicas to follow", lambda: all(map(self._follows, self.ports[PRIMARIES:])))
        until("the cluster to serve", self.whole)

    def _all_met(self) -> bool:
        return all(int(self._info(port)["cluster_known_nodes"]) == len(self.ports) for port in self.ports)

    def _follows(self, port: int) -> bool:
        with self.node(port) as node:
            return bool(node.info("replication").get("master_link_status") == "up")


def until(what: str, ready: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Poll until it is so; an AssertionError names what never came."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if ready():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.02)
