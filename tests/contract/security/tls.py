"""TLS in front of a server that has none: ends it, and passes every byte on. For servers on loopback alone."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path

from app.local.ports import HOST
from tests.contract.security.certificates import Certificate

PIECE = 65_536


class Terminator:
    """Listens on `port`. With a `ca`, whoever comes needs a certificate that it has signed."""

    def __init__(self, upstream: int, certificate: Certificate, *, ca: Path | None = None) -> None:
        self._upstream = upstream
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        if ca is not None:
            self._context.load_verify_locations(ca)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listening = socket.create_server((HOST, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        """One connection. An unwelcome client has been told why by the handshake."""
        with client, contextlib.suppress(OSError):
            client.settimeout(10.0)
            with (
                self._context.wrap_socket(client, server_side=True) as secured,
                socket.create_connection((HOST, self._upstream)) as server,
            ):
                secured.settimeout(None)
                threading.Thread(target=_pass_on, args=(server, secured), daemon=True).start()
                _pass_on(secured, server)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        while piece := source.recv(PIECE):
            target.sendall(piece)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
