"""The little web server of a run: GET of a few paths, on threads that cannot pile up and cannot be held for long."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from app.errors import Refused

FIRST_PORT, PORTS = 9464, 100  # where OpenTelemetry's own exporter of Prometheus' form is looked for
LOOPBACK = "127.0.0.1"
AT_ONCE = 16  # requests; more are turned away
REQUEST_S = 10.0  # then the connection is cut, however slowly the other side reads or writes
PLAIN, JSON = "text/plain; charset=utf-8", "application/json"


@dataclass(frozen=True)
class Page:
    """What a path answers."""

    body: bytes
    kind: str = PLAIN
    status: int = 200


class Server:
    """Answers on `address` from `start` to `stop`. `pages` are made when they are asked for."""

    def __init__(self, address: str, pages: Mapping[str, Callable[[], Page]]) -> None:
        """`address` is HOST:PORT, or `auto`. Raises Refused where it cannot be had."""
        self._http = _bound(address, pages)
        host, port = self._http.server_address[:2]
        # What a probe on this machine can open.
        shown = LOOPBACK if host in ("0.0.0.0", "::") else str(host)  # noqa: S104 - compared, not bound
        self.url = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

    def start(self) -> None:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def _bound(address: str, pages: Mapping[str, Callable[[], Page]]) -> _Http:
    if address == "auto":
        for port in [*range(FIRST_PORT, FIRST_PORT + PORTS), 0]:
            with contextlib.suppress(OSError):
                return _Http((LOOPBACK, port), pages)
        raise Refused(f"No port of {LOOPBACK} is free for /metrics: set observe to another address, or to off.")
    host, _, port_text = address.rpartition(":")
    try:
        return _Http((host.strip("[]"), int(port_text)), pages)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is taken" if taken else f"cannot be listened on ({error.strerror or error})"
        raise Refused(
            f"The address {address}, which observe names, {why}: name another one, or say observe=auto for the first "
            f"free port from {FIRST_PORT} on, or observe=off.",
            exit_code=1 if taken else 2,
        ) from None


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], pages: Mapping[str, Callable[[], Page]]) -> None:
        self.pages = pages
        self._places = threading.BoundedSemaphore(AT_ONCE)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        cut = threading.Timer(REQUEST_S, _cut, (request,))
        cut.daemon = True
        cut.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            cut.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone, or was cut off: nothing that a log is for."""

    def server_bind(self) -> None:
        """As the base's, without asking a name server who we are."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    server_version, sys_version = "streaminfer", ""
    timeout = REQUEST_S

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        page = self.server.pages.get(path)
        if page is None:
            there = "".join(f"{path}\n" for path in self.server.pages)
            self._answer(Page(f"There are:\n{there}".encode(), status=200 if path == "/" else 404))
        else:
            self._answer(page())

    do_HEAD = do_GET  # noqa: N815 - the base's name

    def _answer(self, page: Page) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """A probe every second is no state change."""


def json_page(value: object, status: int) -> Page:
    return Page(json.dumps(value, indent=2).encode() + b"\n", JSON, status)
