"""A proxy between workers and brokers that every byte passes, and what goes wrong on the way when a test says so.

One listening port before each broker. It runs in a thread of its own; every method may be called from any thread, and
takes effect from the next frame on. A connection that has lost anything stays broken until its client closes it, as a
real one would: what came after cannot have arrived without what was lost.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from app.local.broker import Outer
from app.local.ports import HOST, free_ports
from tests.faults.held import Held
from tests.faults.wire import LARGEST, NotKafka, Request, framed, read_request

START_S = 10.0
STOP_S = 15.0
CONNECT_S = 5.0
ON_THE_WAY = 256  # frames of one connection and direction that wait for their time


@dataclass(frozen=True)
class Weather:
    """What a connection is like, for clients whose id begins with `client`.

    `loses_replies`: requests pass, and what is answered does not come back; with `to` only from a request of this kind
    on. `half_open`: nothing passes either way, and nobody is told.
    """

    latency_s: float = 0.0
    bytes_per_s: float = math.inf
    loses_replies: bool = False
    to: int | None = None
    half_open: bool = False
    client: str = ""


FINE = Weather()


@dataclass(frozen=True)
class Route:
    """Who connects to `port` speaks with the broker at `broker`."""

    port: int
    broker: int


def routes(brokers: int) -> list[Route]:
    """Ports for a proxy before so many brokers, and for the listeners behind it."""
    ports = free_ports(2 * brokers)
    return [Route(port, broker) for port, broker in zip(ports[:brokers], ports[brokers:], strict=True)]


class Proxy:
    """Stands before the brokers' outer listeners. `counts` tells what was done to how many."""

    def __init__(self, ways: Sequence[Route]) -> None:
        self.ways = ways
        self.weather = FINE
        self.counts: Counter[str] = Counter()
        self.held: list[Held] = []
        self._connections: set[Connection] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="proxy", daemon=True)

    @property
    def outer(self) -> list[Outer]:
        """What the brokers are to be told, in their order."""
        return [Outer(way.broker, f"{HOST}:{way.port}") for way in self.ways]

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{HOST}:{way.port}" for way in self.ways)

    def start(self) -> Self:
        self._thread.start()
        assert self._started.wait(START_S), "the proxy does not start"
        return self

    def stop(self) -> None:
        """Every connection ends, and the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(STOP_S)
        assert not self._thread.is_alive(), "the proxy does not end"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- faults --------------------------------------------------------------------------------------------------------

    @contextmanager
    def during(self, weather: Weather) -> Iterator[None]:
        """Connections are like this for a while; what they have lost by then stays lost."""
        self.weather = weather
        try:
            yield
        finally:
            self.weather = FINE

    def reset(self, client: str = "") -> None:
        """Every connection that is open now breaks, both ends being told so (RST)."""
        self._loop.call_soon_threadsafe(self._reset, client)

    def hold(self, api: int, *, client: str = "", nth: int = 1, drop: bool = False, after: int | None = None) -> Held:
        """The `nth` such request from now on does not pass; it is delivered later, as Held says.

        Its connection is kept, and mute from then on, or with `drop` closed.
        """
        held = Held(api, client=client, nth=nth, drop=drop, after=after)
        self.held.append(held)
        return held

    def _reset(self, client: str) -> None:
        for connection in [one for one in self._connections if one.client.startswith(client)]:
            self.counts["reset"] += 1
            connection.abort(told=True)

    # -- the thread ----------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        servers = [await self._listen(way) for way in self.ways]
        self._started.set()
        await self._end.wait()
        for server in servers:
            server.close()
        for connection in list(self._connections):
            connection.abort(told=False)
        while self._connections:
            await asyncio.sleep(0.01)

    async def _listen(self, way: Route) -> asyncio.Server:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._accept(way, reader, writer)

        return await asyncio.start_server(accept, HOST, way.port)

    async def _accept(self, way: Route, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind = await asyncio.wait_for(asyncio.open_connection(HOST, way.broker), CONNECT_S)
        except (OSError, TimeoutError):  # the broker is away, and the client is told as it would be without a proxy
            writer.transport.abort()
            return
        connection = Connection(self, way, (reader, writer), behind)
        self._connections.add(connection)
        try:
            await connection.carry()
        finally:
            connection.abort(told=False)
            self._connections.discard(connection)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Sending = asyncio.Queue[tuple[float, bytes]]


class Connection:
    """One client's connection, and the one behind it to the broker."""

    def __init__(self, proxy: Proxy, way: Route, client: Streams, broker: Streams) -> None:
        self.client = ""  # its id, as its requests tell it
        self._proxy = proxy
        self._way = way
        self._from_client, self._to_client = client
        self._from_broker, self._to_broker = broker
        self._deaf = False  # what the client sends does not arrive
        self._mute = False  # what the broker sends does not arrive

    async def carry(self) -> None:
        """Until either end closes, or the proxy breaks it."""
        up: Sending = asyncio.Queue(ON_THE_WAY)
        down: Sending = asyncio.Queue(ON_THE_WAY)
        work = [
            asyncio.ensure_future(one)
            for one in (self._up(up), self._down(down), send(up, self._to_broker), send(down, self._to_client))
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in work:
                one.cancel()
            for ended in await asyncio.gather(*work, return_exceptions=True):
                # A peer that is gone ends a connection; anything else is a fault of the proxy.
                if isinstance(ended, Exception) and not isinstance(ended, (OSError, EOFError, NotKafka)):
                    self._proxy.counts[f"proxy failed: {ended!r}"] += 1

    def abort(self, *, told: bool) -> None:
        """Close both ends at once; where `told`, with a reset."""
        for writer in (self._to_client, self._to_broker):
            if told and (raw := writer.get_extra_info("socket")) is not None:
                with suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    @property
    def _weather(self) -> Weather:
        weather = self._proxy.weather
        return weather if self.client.startswith(weather.client) else FINE

    async def _up(self, sending: Sending) -> None:
        due = 0.0
        while True:
            request = read_request(await frame_of(self._from_client))
            self.client = request.client
            weather = self._weather
            if weather.half_open:
                self._deaf = self._mute = True
            if weather.loses_replies and weather.to == request.api:
                self._mute = True
            if self._deaf:
                self._proxy.counts["request swallowed"] += 1
                continue
            if (held := next((one for one in self._proxy.held if one.wants(request)), None)) is not None:
                self._proxy.counts["request held"] += 1
                held.take(request, self._way.broker)
                if held.drop:
                    return
                self._deaf = self._mute = True
                continue
            await self._deliver_late_ones(request)
            due = due_at(request.frame, weather, due)
            await sending.put((due, request.frame))

    async def _deliver_late_ones(self, request: Request) -> None:
        """What was held and is due ahead of this request."""
        for held in [one for one in self._proxy.held if one.is_due(request)]:
            await asyncio.to_thread(held.deliver)
            self._proxy.counts["request delivered late"] += 1

    async def _down(self, sending: Sending) -> None:
        due = 0.0
        while True:
            frame = await frame_of(self._from_broker)
            weather = self._weather
            self._mute = self._mute or weather.half_open or (weather.loses_replies and weather.to is None)
            if self._mute:
                self._proxy.counts["reply lost"] += 1
                continue
            due = due_at(frame, weather, due)
            await sending.put((due, frame))


def due_at(frame: bytes, weather: Weather, before: float) -> float:
    """When a frame arrives that comes now, behind one that arrives at `before`."""
    return max(time.monotonic() + weather.latency_s, before + len(frame) / weather.bytes_per_s)


async def frame_of(reader: asyncio.StreamReader) -> bytes:
    """The next frame, without its length. Raises EOFError at the end, NotKafka."""
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    if not 0 <= length <= LARGEST:
        raise NotKafka(f"a frame of {length} bytes")
    return await reader.readexactly(length)


async def send(sending: Sending, writer: asyncio.StreamWriter) -> None:
    """Each frame when it is due."""
    while True:
        due, frame = await sending.get()
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        writer.write(framed(frame))
        await writer.drain()
