"""A way to Redis that can lose answers: what was asked is done, and nobody is told. It outlives the server behind."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit

WRITE = b"EVALSHA"
CONNECT_S = 1.0


class RedisWay:
    """Listens on `url` and hands on to the real one. `lose(n)`: the answers to the next n writes are lost."""

    def __init__(self, redis_url: str) -> None:
        target = urlsplit(redis_url)
        self._target = (target.hostname, target.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.lost = 0
        self._to_lose = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def lose(self, count: int = 1) -> None:
        with self._lock:
            self._to_lose = count

    def close(self) -> None:
        _close(self._listener)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, CONNECT_S)
            except OSError:
                client.close()  # as a server that is away does
                continue
            server.settimeout(None)
            losing = threading.Event()
            for hand_on in (self._ask, self._answer):
                threading.Thread(target=hand_on, args=(client, server, losing), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while asked := client.recv(65536):
                if WRITE in asked and self._loses():
                    losing.set()
                server.sendall(asked)
        _close(server)

    def _answer(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while told := server.recv(65536):
                if losing.is_set():
                    self.lost += 1
                    break
                client.sendall(told)
        _close(client)

    def _loses(self) -> bool:
        with self._lock:
            if not self._to_lose:
                return False
            self._to_lose -= 1
            return True


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
