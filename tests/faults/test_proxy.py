"""The proxy itself, before a real broker: who is behind it stays behind it, and each fault does what it is called."""

from __future__ import annotations

import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import KafkaError, NewTopic

from app.local.ports import HOST, free_ports
from tests.faults.conftest import Ground
from tests.faults.proxy import Proxy, Route, Weather
from tests.faults.wire import Api, NotKafka, Request, framed, read_request

pytestmark = pytest.mark.broker

API_VERSIONS = 18
WAIT_S = 10.0


@pytest.fixture
def topic(ground: Ground) -> str:
    name = f"proxied-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": ground.direct.kafka})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    return name


def send(ground: Ground, topic: str, value: bytes, *, timeout_s: float = WAIT_S) -> list[KafkaError | None]:
    """What one record's producer was told, once, within its time."""
    told: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": ground.kafka, "message.timeout.ms": int(timeout_s * 1000)})

    def hear(error: KafkaError | None, _: Message) -> None:
        told.append(error)

    producer.produce(topic, value, on_delivery=hear)
    producer.flush(timeout_s + WAIT_S)
    return told


def values(kafka: str, topic: str) -> list[bytes | str | None]:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "none", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[bytes | str | None] = []
    deadline = time.monotonic() + 30
    while (message := consumer.poll(1)) is None or message.error() is None:
        assert time.monotonic() < deadline, "the topic does not end"
        if message is not None:
            found.append(message.value())
    consumer.close()
    return found


class Client:
    """A client by hand: one connection through the proxy, and questions that any broker answers."""

    def __init__(self, ground: Ground, name: str = "by-hand") -> None:
        self.name = name
        self.way = socket.create_connection((HOST, ground.proxy.ways[0].port), WAIT_S)

    def ask(self) -> None:
        name = self.name.encode()
        self.way.sendall(framed(struct.pack(">hhih", API_VERSIONS, 0, 1, len(name)) + name))

    def close(self) -> None:
        self.way.close()

    def answer(self, within_s: float = WAIT_S) -> bytes:
        """What came; empty where the connection is closed. Raises TimeoutError, ConnectionResetError."""
        self.way.settimeout(within_s)
        return self.way.recv(65536)


Connect = Callable[..., Client]


@pytest.fixture
def connect(ground: Ground) -> Iterator[Connect]:
    """Makes clients by hand, and closes them."""
    clients: list[Client] = []

    def make(name: str = "by-hand", at: Ground = ground) -> Client:
        clients.append(Client(at, name))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_who_asks_through_the_proxy_stays_behind_it(ground: Ground, topic: str) -> None:
    brokers = AdminClient({"bootstrap.servers": ground.kafka}).list_topics(timeout=WAIT_S).brokers
    assert [broker.port for broker in brokers.values()] == [ground.proxy.ways[0].port]
    assert send(ground, topic, b"v") == [None]
    assert values(ground.kafka, topic) == [b"v"]


def test_latency_is_added_to_what_passes(ground: Ground, connect: Connect) -> None:
    client = connect()
    client.ask()
    assert client.answer()
    with ground.proxy.during(Weather(latency_s=0.3)):
        began = time.monotonic()
        client.ask()
        assert client.answer()
        assert time.monotonic() - began >= 0.6  # there and back


def test_a_throttled_connection_takes_as_long_as_its_bytes_need(ground: Ground, topic: str) -> None:
    assert send(ground, topic, b"v") == [None]
    with ground.proxy.during(Weather(bytes_per_s=100_000)):
        began = time.monotonic()
        assert send(ground, topic, b"x" * 150_000) == [None]
        assert time.monotonic() - began >= 1.5


def test_a_lost_reply_is_a_request_that_was_done(ground: Ground, connect: Connect, topic: str) -> None:
    client = connect()
    client.ask()
    assert client.answer()
    with ground.proxy.during(Weather(loses_replies=True)):
        client.ask()
        with pytest.raises(TimeoutError):
            client.answer(0.5)
    client.ask()
    with pytest.raises(TimeoutError):  # it has lost something, and nothing can come behind it
        client.answer(0.5)
    with ground.proxy.during(Weather(loses_replies=True, client="lost-")):
        producer = Producer({"bootstrap.servers": ground.kafka, "client.id": "mine", "message.timeout.ms": 5000})
        producer.produce(topic, b"v")
        assert producer.flush(WAIT_S) == 0  # of another client
    assert values(ground.direct.kafka, topic) == [b"v"]


def test_what_a_half_open_connection_takes_never_arrives_and_nobody_is_told(
    ground: Ground, connect: Connect, topic: str
) -> None:
    client = connect()
    with ground.proxy.during(Weather(half_open=True)):
        client.ask()
        with pytest.raises(TimeoutError):
            client.answer(0.5)
        (error,) = send(ground, topic, b"v", timeout_s=1.5)
        assert error is not None
    assert values(ground.direct.kafka, topic) == []
    assert send(ground, topic, b"w") == [None]  # new connections are well


def test_a_reset_breaks_what_is_open_and_clients_come_back(ground: Ground, connect: Connect, topic: str) -> None:
    client, other = connect(), connect("other")
    for one in (client, other):
        one.ask()
        assert one.answer()
    ground.proxy.reset("by-")
    with pytest.raises(ConnectionResetError):
        client.answer()
    other.ask()
    assert other.answer()
    assert send(ground, topic, b"v") == [None]


@pytest.mark.parametrize("drop", [False, True])
def test_a_held_request_does_not_pass_and_its_connection_is_mute_or_closed(
    ground: Ground, connect: Connect, drop: bool
) -> None:
    held = ground.proxy.hold(API_VERSIONS, client="by-hand", nth=2, drop=drop)
    client = connect()
    client.ask()
    assert client.answer()
    client.ask()
    assert held.arrived.wait(WAIT_S)
    if drop:
        assert client.answer() == b""
    else:
        with pytest.raises(TimeoutError):
            client.answer(0.5)
    again = connect()
    again.ask()
    assert again.answer()


def test_garbage_closes_its_own_connection_alone(ground: Ground, connect: Connect) -> None:
    client, other = connect(), connect()
    client.way.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert client.answer() == b""
    other.ask()
    assert other.answer()


def test_the_proxy_ends_with_its_thread_and_its_connections(ground: Ground, connect: Connect) -> None:
    before = threading.active_count()
    (port,) = free_ports(1)
    with Proxy([Route(port, ground.proxy.ways[0].broker)]) as proxy:
        client = connect(at=Ground(proxy, ground.direct))
        client.ask()
        assert client.answer()
        proxy.weather = Weather(latency_s=600)
        client.ask()
    with pytest.raises((ConnectionResetError, AssertionError)):
        assert client.answer()
    assert threading.active_count() == before


def test_a_broker_that_is_away_is_away_to_the_proxys_clients() -> None:
    with (
        Proxy([Route(*free_ports(2))]) as proxy,
        socket.create_connection((HOST, proxy.ways[0].port), WAIT_S) as way,
        pytest.raises((ConnectionResetError, AssertionError)),
    ):
        assert way.recv(1)


def test_a_request_tells_its_transaction() -> None:
    plain = struct.pack(">hhih", Api.END_TXN, 1, 7, 2) + b"me" + struct.pack(">h", 3) + b"t.a"
    compact = struct.pack(">hhih", Api.TXN_OFFSET_COMMIT, 3, 7, 2) + b"me" + b"\x00" + b"\x04t.a"
    outside = struct.pack(">hhih", Api.PRODUCE, 9, 7, -1) + b"\x00" + b"\x00"
    told: list[Request] = [read_request(frame) for frame in (plain, compact, outside)]
    assert [(one.client, one.correlation, one.transaction) for one in told] == [
        ("me", 7, "t.a"), ("me", 7, "t.a"), ("", 7, None),
    ]  # fmt: skip
    with pytest.raises(NotKafka):
        read_request(b"GET / HTTP/1.1")
