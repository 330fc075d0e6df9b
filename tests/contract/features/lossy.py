"""A way to Redis that loses answers: what was asked is done, and nobody is told."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import pytest

FLUSH = b"EVALSHA"

# A way to one node is no way to a cluster.
ON_ONE_SERVER = pytest.mark.parametrize("server_url", ["one server"], indirect=True)


class LossyWay:
    """Listens on `url` and hands on to the real one. `lose(n)`: the n-th flush from now is done, its answer lost."""

    def __init__(self, redis_url: str) -> None:
        target = urlsplit(redis_url)
        assert target.hostname is not None
        assert target.port is not None
        self._target = (target.hostname, target.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.flushes = 0
        self.a_byte_each_s = 0.0  # how slow answers come, if they do
        self._until_lost = 0
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._listen)]

    def lose(self, n: int = 1) -> None:
        self._until_lost = n

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for open_socket in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()
        for thread in self._threads:
            thread.join(5.0)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            lost = threading.Event()
            self._sockets += [client, server]
            for target in (self._ask, self._answer):
                thread = threading.Thread(target=target, args=(client, server, lost))
                self._threads.append(thread)
                thread.start()

    def _ask(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while asked := client.recv(65536):
                if FLUSH in asked:
                    self.flushes += 1
                    self._until_lost -= 1
                    if self._until_lost == 0:
                        lost.set()
                server.sendall(asked)

    def _answer(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while told := server.recv(65536):
                if lost.is_set():
                    client.shutdown(socket.SHUT_RDWR)
                    return
                for part in (told,) if not self.a_byte_each_s else map(bytes, zip(told, strict=False)):
                    client.sendall(part)
                    time.sleep(self.a_byte_each_s)
