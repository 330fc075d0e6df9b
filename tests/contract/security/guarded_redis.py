"""A Redis that lets in its users alone, behind TLS that demands a client's certificate.

The Valkey that comes as a package is built without TLS, so TLS ends in front of it (tests/contract/security/tls.py).
"""

from __future__ import annotations

import shlex
from pathlib import Path

import redis

from app.local.leash import Leash
from app.local.ports import HOST, free_ports
from app.local.redis_server import find_server
from tests.cluster import until
from tests.contract.security.certificates import Authority
from tests.contract.security.tls import Terminator

ADMIN_PASSWORD = "for-the-keeper-of-redis"


class GuardedRedis:
    """`port` is the server's own; `tls` and `mutual` are the ports in front of it, without and with certificates."""

    def __init__(self, home: Path, leash: Leash, authority: Authority) -> None:
        folder = home / "redis"
        folder.mkdir(parents=True)
        users = folder / "users.acl"
        users.write_text(f"user default off\nuser keeper on >{ADMIN_PASSWORD} ~* &* +@all\n")
        (self.port,) = free_ports(1)
        settings = {"port": self.port, "bind": HOST, "dir": folder, "save": "", "aclfile": users,
                    "logfile": folder / "log"}  # fmt: skip
        argv = [str(find_server())]
        for name, value in settings.items():
            argv += [f"--{name}", str(value)]
        leash.popen(argv)
        self.keeper = redis.Redis(HOST, self.port, username="keeper", password=ADMIN_PASSWORD)
        until("Redis to answer", lambda: bool(self.keeper.ping()))
        certificate = authority.issue("redis")
        self._terminators = [
            Terminator(self.port, certificate),
            Terminator(self.port, certificate, ca=authority.file),
        ]
        self.tls, self.mutual = (terminator.port for terminator in self._terminators)

    def url(self, scheme: str, port: int, host: str = HOST) -> str:
        return f"{scheme}://{host}:{port}/0"

    def paste(self, line: str, password: str) -> None:
        """A line as it is typed at redis-cli, with the password in its place."""
        self.keeper.execute_command(*shlex.split(line.replace(">PASSWORD", f">{password}")))  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self.keeper.close()
        for terminator in self._terminators:
            terminator.close()
