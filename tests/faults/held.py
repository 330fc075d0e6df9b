"""A request that the network keeps, and delivers when its sender has long given it up (KAFKA-17754).

Its client sends it again over another connection, is told that it succeeded, and goes on to other transactions. Then
the first one arrives.
"""

from __future__ import annotations

import socket
import struct
import threading

from app.local.ports import HOST
from tests.faults.wire import Api, Request, error_of, framed

DELIVER_S = 10.0


class Held:
    """The `nth` request of a kind, of clients whose id begins with `client`, once it has come.

    `after`: it is delivered by itself into the transaction of the same id that so many others follow; where two
    producers take turns, the next of the same id is two transactions later. An EndTxn arrives there when its outputs
    were sent and before its offsets are, a TxnOffsetCommit before its end.
    """

    def __init__(
        self, api: int, *, client: str = "", nth: int = 1, drop: bool = False, after: int | None = None
    ) -> None:
        self.api = api
        self.drop = drop
        self.request: Request | None = None
        self.arrived = threading.Event()
        self.error: int | None = None  # the broker's answer once it is delivered; 0 is success
        self._client = client
        self._left = nth
        self._until = after
        self._broker = 0
        self._delivering = threading.Lock()

    def wants(self, request: Request) -> bool:
        """Whether this is the one. Called once for each request."""
        if self.request is not None or request.api != self.api or not request.client.startswith(self._client):
            return False
        self._left -= 1
        return self._left == 0

    def take(self, request: Request, broker: int) -> None:
        if self._until is not None and self.api == Api.TXN_OFFSET_COMMIT:
            self._until += 1  # its own transaction's end comes first
        self._broker = broker
        self.request = request
        self.arrived.set()

    def is_due(self, request: Request) -> bool:
        """Whether it is to be delivered ahead of this one. Called once for each request."""
        marks = Api.ADD_OFFSETS_TO_TXN if self.api == Api.END_TXN else Api.END_TXN
        if self.request is None or self._until is None or self.error is not None or request.api != marks:
            return False
        if request.transaction != self.request.transaction:
            return False
        self._until -= 1
        return self._until == 0

    def deliver(self) -> int:
        """Over a connection of its own. Gives the broker's error code, 0 for success; again: the same answer."""
        assert self.request is not None, "nothing was held"
        with self._delivering:
            if self.error is None:
                with socket.create_connection((HOST, self._broker), DELIVER_S) as way:
                    way.sendall(framed(self.request.frame))
                    self.error = error_of(self.request, _frame(way))
            return self.error


def _frame(way: socket.socket) -> bytes:
    (length,) = struct.unpack(">i", _exactly(way, 4))
    return _exactly(way, length)


def _exactly(way: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = way.recv(count - len(data))
        if not more:
            raise EOFError("the broker closed the connection")
        data += more
    return data
