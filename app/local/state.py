"""What a home remembers between two commands: its cluster, its ports, and which processes are its servers."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from app.errors import Refused
from app.local.broker import Outer
from app.local.process import Known

_FILE = "stack.json"


class BrokerPorts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    client: int
    controller: int
    outer: Outer | None = None


class Running(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server that was started; whether it still lives, `known` can say. Times are milliseconds since 1970, UTC."""

    pid: int
    birth: str
    started_ms: int

    @property
    def known(self) -> Known:
        return Known(self.pid, self.birth)


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`brokers` in their order, the first is number 1; `running` by the server's name."""

    cluster_id: str
    brokers: tuple[BrokerPorts, ...]
    redis_port: int
    running: dict[str, Running] = {}


def read(home: Path) -> State | None:
    """None where nothing was ever started. Raises Refused for a file that somebody has damaged."""
    path = home / _FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as damaged:
        raise Refused(
            f"{path} cannot be read ({damaged}): end the servers of this home by hand, and remove {home}, "
            "or set STREAMINFER_HOME to another directory."
        ) from damaged


def write(home: Path, state: State) -> None:
    """Whole or not at all: a reader finds the old state or the new one."""
    new = home / f"{_FILE}.new"
    new.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=2))
    os.replace(new, home / _FILE)
