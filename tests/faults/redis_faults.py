"""Faults of Redis: away, empty, old, without its newest writes, slow, full; and answers of it that are lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import redis

from app.local.ports import HOST, free_ports
from app.local.redis_server import find_server
from tests.faults.faults import Fault, Void
from tests.faults.runs import now_ms
from tests.faults.seen import wait_until
from tests.faults.servers import pause
from tests.faults.stage import PARTITIONS, PIPELINES, Hurt, Stage

AWAY_S = 1.0
MISSED_S = 2.0
STALL_S = 2.0
FULL_S = 3.0


class RedisKilled(Fault):
    """kill -9, and started again over what it has."""

    name = "Redis killed"

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        self._before = stage.servers.pid("redis")
        self._prepare(stage)
        at_ms = now_ms()
        stage.servers.end("redis")
        self._change(stage)
        pause(AWAY_S * draw.random())
        stage.servers.up()
        return Hurt.everything(at_ms)

    def _prepare(self, stage: Stage) -> None:
        """Before it dies."""

    def _change(self, stage: Stage) -> None:
        """While it is dead."""

    def seen(self, stage: Stage) -> str:
        if stage.servers.pid("redis") == self._before:
            raise Void("Redis is the same process")
        return self._states_are_there(stage)

    def _states_are_there(self, stage: Stage) -> str:
        """Every partition's state is named again, be it that it was made anew."""

        def all_there() -> bool:
            with stage.servers.redis() as client:
                return all(_markers(client, name, p) for name in PIPELINES for p in range(PARTITIONS))

        if not wait_until(all_there, 90, 0.2):
            raise Void("not all states came back")
        return "another process serves all states"


class RedisEmpty(RedisKilled):
    """Its machine is gone, and another takes its place."""

    name = "Redis restarted empty"

    def _change(self, stage: Stage) -> None:
        stage.servers.lose_redis_data()


class RedisOld(RedisKilled):
    """It comes back with what it had some seconds ago."""

    name = "Redis restarted with an old copy"

    def _prepare(self, stage: Stage) -> None:
        self._copy = stage.home / "redis-copy"
        shutil.rmtree(self._copy, ignore_errors=True)
        for last in (False, False, True):
            try:
                shutil.copytree(stage.servers.redis_data, self._copy)
                break
            except (OSError, shutil.Error):  # it was just writing its file anew
                shutil.rmtree(self._copy, ignore_errors=True)
                if last:
                    raise Void("its files cannot be copied") from None
        pause(MISSED_S)

    def _change(self, stage: Stage) -> None:
        stage.servers.lose_redis_data(self._copy)


class RedisReplica(RedisKilled):
    """A replica takes over that has not heard of the last writes."""

    name = "Redis replica promoted"

    def _prepare(self, stage: Stage) -> None:
        """A real replica; it is cut off, and what comes then is missed."""
        self._folder = stage.home / "redis-replica"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        primary, port = stage.servers.redis(), free_ports(1)[0]
        server = _replica(stage, port, self._folder, primary.connection_pool.connection_kwargs["port"])
        with redis.Redis(HOST, port) as replica:
            if not wait_until(lambda: _in_sync(replica), 30):
                raise Void("the replica is never in sync")
            replica.execute_command("REPLICAOF NO ONE")
            pause(MISSED_S)
            self._missed = _writes(primary) - _writes(replica)
            replica.shutdown(nosave=True)
        server.wait(30)

    def _change(self, stage: Stage) -> None:
        stage.servers.lose_redis_data(self._folder)

    def seen(self, stage: Stage) -> str:
        if self._missed <= 0:
            raise Void("the replica missed nothing")
        super().seen(stage)
        return f"a replica serves that missed {self._missed:,} bytes of writes"


class StatesLost(Fault):
    """What Redis has of one partition of each pipeline is deleted: only its marker, or its states too."""

    def __init__(self, *, blobs: bool) -> None:
        self.name = "Redis lost a partition" if blobs else "Redis lost a marker"
        self._blobs = blobs
        self._gone = 0

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        partition = draw.randrange(PARTITIONS)
        self._partition = partition
        at_ms = now_ms()
        with stage.servers.redis() as client:
            for name in PIPELINES:
                keys = _keys(client, name, partition) if self._blobs else _markers(client, name, partition)
                self._gone += client.delete(*keys) if keys else 0
        return Hurt(at_ms, dict.fromkeys(PIPELINES, frozenset({partition})))

    def seen(self, stage: Stage) -> str:
        def made_anew() -> bool:
            with stage.servers.redis() as client:
                return all(_markers(client, name, self._partition) for name in PIPELINES)

        if not self._gone or not wait_until(made_anew, 90, 0.2):
            raise Void("nothing was deleted, or it was not made anew")
        return f"{self._gone:,} keys of partition {self._partition} were deleted, and it was folded anew"


class RedisStalls(Fault):
    """It stands still for two seconds, with its connections open."""

    name = "Redis stalls"

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:  # noqa: ARG002 - nothing to be drawn
        pid, at_ms = stage.servers.pid("redis"), now_ms()
        os.kill(pid, signal.SIGSTOP)
        try:
            pause(STALL_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        self._stood_ms = now_ms() - at_ms
        return Hurt.everything(at_ms)

    def seen(self, stage: Stage) -> str:
        with stage.servers.redis() as client:
            client.ping()
        return f"it stood for {self._stood_ms / 1000:.1f} s"


class RedisFull(Fault):
    """It refuses writes for want of memory."""

    name = "Redis out of memory"

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:  # noqa: ARG002 - nothing to be drawn
        with stage.servers.redis() as client:
            at_ms = now_ms()
            client.config_set("maxmemory", 1)
            try:
                self._refused = _refuses(client)
                pause(FULL_S)
            finally:
                client.config_set("maxmemory", 0)
        return Hurt.everything(at_ms)

    def seen(self, stage: Stage) -> str:
        with stage.servers.redis() as client:
            if not self._refused or _refuses(client):
                raise Void("it took writes all the time, or takes none now")
        return "a write was refused, and one is taken now"


class AnswerLost(Fault):
    """A flush is done and nobody is told; so are the next."""

    name = "Redis' answer lost"

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        self._before = stage.redis_way.lost
        at_ms = now_ms()
        stage.redis_way.lose(wanted := draw.randrange(1, 4))
        if not wait_until(lambda: stage.redis_way.lost - self._before >= wanted, 30):
            raise Void("nothing was flushed")
        return Hurt.everything(at_ms)

    def seen(self, stage: Stage) -> str:
        return f"{stage.redis_way.lost - self._before} answers to a flush were lost"


def _replica(stage: Stage, port: int, folder: Path, of: int) -> subprocess.Popen[bytes]:
    settings = {"port": port, "bind": HOST, "dir": folder, "save": "", "appendonly": "yes", "logfile": folder / "log",
                "repl-diskless-sync-delay": 0, "replicaof": f"{HOST} {of}"}  # fmt: skip
    argv = [str(find_server())]
    for name, value in settings.items():
        argv += [f"--{name}", *str(value).split(" ")]
    server = stage.leash.popen(argv)
    client = redis.Redis(HOST, port)
    if not wait_until(lambda: _answers(client), 20):
        raise Void("the replica does not start")
    return server


def _answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _in_sync(replica: Any) -> bool:
    """In sync, and its own file of writes begun: what it has is on its disk."""
    told, kept = replica.info("replication"), replica.info("persistence")
    return bool(told["master_link_status"] == "up" and not kept["aof_rewrite_in_progress"])


def _writes(client: Any) -> int:
    return int(client.info("replication")["master_repl_offset"])


def _refuses(client: Any) -> bool:
    try:
        client.set("faults-probe", "1")
        client.delete("faults-probe")
    except redis.ResponseError as error:
        return "OOM" in str(error) or "maxmemory" in str(error)
    return False


def _markers(client: Any, pipeline: str, partition: int) -> list[bytes]:
    view = PIPELINES[pipeline].view
    return list(client.scan_iter(match=f"\\{{{pipeline}/{view}/{partition}}}/*/marker", count=100_000))


def _keys(client: Any, pipeline: str, partition: int) -> list[bytes]:
    view = PIPELINES[pipeline].view
    return list(client.scan_iter(match=f"\\{{{pipeline}/{view}/{partition}}}/*", count=100_000))
