"""TCP ports of this machine that a server can have, and keep over its restarts."""

from __future__ import annotations

import errno
import random
import socket
from contextlib import closing

HOST = "127.0.0.1"

# Below the ports that systems give to outgoing connections (Linux: from 32768, macOS: from 49152): while a server is
# down, a client that connects again and again would in the end be given the server's own port, and keep it.
_FIRST, _LAST = 20_000, 32_000


def free_ports(count: int) -> list[int]:
    """Distinct ports that nobody listens on now, picked at random so that two homes do not pick the same ones."""
    picked: list[int] = []
    for port in random.sample(range(_FIRST, _LAST), _LAST - _FIRST):
        if len(picked) == count:
            break
        if is_free(port):
            picked.append(port)
    return picked


def is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        # What a server does as well: connections of the last run that linger are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        return True


def accepts(port: int) -> bool:
    """Somebody listens there."""
    with closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0
