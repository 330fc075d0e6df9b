"""The servers themselves, really started: found again, healed, stopped, side by side, and gone with their owner."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import redis
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from app.errors import Unavailable
from app.local.leash import Leash
from app.local.ports import HOST
from app.local.process import wait_until
from app.local.stack import Server, Stack
from app.local.watchdog import birth

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.broker, pytest.mark.redis]


@pytest.fixture(scope="module")
def own(new_stack: Callable[[], Stack], leash: Leash) -> Stack:
    """Servers that the tests of this module may stop and kill; every test leaves them up."""
    stack = new_stack()
    stack.up(leash=leash)
    return stack


def pids(stack: Stack) -> dict[str, int | None]:
    return {server.name: server.pid for server in stack.status()}


def the(stack: Stack, name: str) -> Server:
    return next(server for server in stack.status() if server.name == name)


def kill(stack: Stack, name: str, number: int = signal.SIGKILL) -> None:
    pid = the(stack, name).pid
    assert pid is not None
    os.kill(pid, number)
    if number == signal.SIGKILL:
        assert wait_until(lambda: birth(pid) is None, timeout_s=10)


def put(stack: Stack, topic: str, value: bytes, *, copies: int = 1) -> None:
    """One record into a new topic, acknowledged, and one key in Redis."""
    endpoints = stack.endpoints()
    assert endpoints is not None
    admin = AdminClient({"bootstrap.servers": endpoints.kafka})
    admin.create_topics([NewTopic(topic, 1, copies)])[topic].result(30)
    producer = Producer({"bootstrap.servers": endpoints.kafka, "acks": "all"})
    producer.produce(topic, value, timestamp=1_522_540_831_000)
    assert producer.flush(30) == 0
    with closing(redis.Redis.from_url(endpoints.redis)) as client:
        client.set(topic, value)


def first_record(stack: Stack, topic: str) -> Message:
    endpoints = stack.endpoints()
    assert endpoints is not None
    consumer = Consumer({"bootstrap.servers": endpoints.kafka, "group.id": "none"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.error() is None
    return message


def got(stack: Stack, topic: str) -> tuple[bytes | str | None, bytes | str | None]:
    """The topic's first record, and the key in Redis."""
    endpoints = stack.endpoints()
    assert endpoints is not None
    with closing(redis.Redis.from_url(endpoints.redis)) as client:
        return first_record(stack, topic).value(), client.get(topic)


def test_a_second_up_finds_the_first(own: Stack) -> None:
    before = pids(own)
    again = Stack(own.home).up()
    assert again == own.endpoints()
    assert pids(own) == before
    assert all(server.alive and server.uptime_s is not None and server.uptime_s >= 0 for server in own.status())


def test_two_ups_at_once_start_one_set_of_servers(new_stack: Callable[[], Stack]) -> None:
    stack = Stack(new_stack().home / "h\N{LATIN SMALL LETTER O WITH DIAERESIS}me 1")
    code = (
        "import sys; from pathlib import Path; from app.local.stack import Stack; print(Stack(Path(sys.argv[1])).up())"
    )
    argv = [sys.executable, "-c", code, str(stack.home)]
    plain = {**os.environ, "LC_ALL": "C"}  # a locale without umlauts
    both = [subprocess.Popen(argv, cwd=PROJECT, env=plain, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        said = [process.communicate(timeout=120)[0].strip() for process in both]
        assert said == [str(stack.endpoints())] * 2
        servers = stack.status()
        assert all(server.alive for server in servers)  # they outlive the commands that started them
    finally:
        stopped = stack.down()
    assert stopped == ("redis", "kafka-1")
    assert not any(birth(server.pid) for server in servers if server.pid is not None)
    assert stack.endpoints() is None
    assert stack.down() == ()


def test_data_outlive_down_and_up_at_the_same_addresses(own: Stack, leash: Leash) -> None:
    put(own, "outlive-down", b"x")
    before = own.endpoints()
    assert set(own.down()) == {"kafka-1", "redis"}
    assert own.endpoints() is None
    assert own.up(leash=leash) == before
    assert got(own, "outlive-down") == (b"x", b"x")


def test_what_was_killed_is_started_again_over_its_data_and_the_rest_left_alone(own: Stack, leash: Leash) -> None:
    put(own, "outlive-kill", b"x")
    before = pids(own)
    kill(own, "kafka-1")
    assert [(server.name, server.alive) for server in own.status()] == [("kafka-1", False), ("redis", True)]
    own.up(leash=leash)
    after = pids(own)
    assert after["redis"] == before["redis"]
    assert after["kafka-1"] not in (None, before["kafka-1"])
    kill(own, "redis")
    own.up(leash=leash)
    assert pids(own)["kafka-1"] == after["kafka-1"]
    assert got(own, "outlive-kill") == (b"x", b"x")


def test_dead_servers_whose_ports_were_taken_get_others_and_keep_their_data(own: Stack, leash: Leash) -> None:
    put(own, "other-ports", b"x")
    taken = [int(server.address.rpartition(":")[2]) for server in own.status()]
    own.down()
    with closing(socket.create_server((HOST, taken[0]))), closing(socket.create_server((HOST, taken[1]))):
        own.up(leash=leash)
        assert not {int(server.address.rpartition(":")[2]) for server in own.status()} & set(taken)
        assert got(own, "other-ports") == (b"x", b"x")


def test_a_server_that_does_not_come_up_is_told_with_the_end_of_its_log(own: Stack, leash: Leash) -> None:
    before = own.endpoints()
    own.down()
    properties = own.home / "kafka" / "1" / "data" / "meta.properties"
    whole = properties.read_text()
    properties.write_text(whole.replace("node.id=1", "node.id=7"))
    with pytest.raises(
        Unavailable, match=r"(?s)^kafka-1 ended during its start; its log is .*broker\.log and ends:\n.*node"
    ):
        own.up(leash=leash)
    assert not any(server.alive for server in own.status())  # what this call started does not stay behind
    properties.write_text(whole)
    assert own.up(leash=leash) == before


def test_homes_live_side_by_side(own: Stack, stack: Stack) -> None:
    addresses = [server.address for one in (own, stack) for server in one.status()]
    assert len(set(addresses)) == 4
    put(own, "only-here", b"x")
    endpoints = stack.endpoints()
    assert endpoints is not None
    assert "only-here" not in AdminClient({"bootstrap.servers": endpoints.kafka}).list_topics(timeout=30).topics


def test_an_unknown_topic_is_not_made_by_asking_for_it(own: Stack) -> None:
    endpoints = own.endpoints()
    assert endpoints is not None
    failed: list[bool] = []
    producer = Producer({"bootstrap.servers": endpoints.kafka, "message.timeout.ms": 2000})
    producer.produce("mispelt", b"x", on_delivery=lambda error, _: failed.append(error is not None))
    assert producer.flush(30) == 0
    assert failed == [True]


def test_records_of_old_events_bear_the_time_of_the_log(own: Stack) -> None:
    put(own, "old-event", b"x")
    kind, time_ms = first_record(own, "old-event").timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert abs(time_ms / 1000 - time.time()) < 600


def test_three_brokers_go_on_without_one_of_them_and_take_it_back(new_stack: Callable[[], Stack], leash: Leash) -> None:
    stack = new_stack()
    stack.up(brokers=3, leash=leash)
    put(stack, "before", b"x", copies=3)
    kill(stack, "kafka-2")
    assert stack.endpoints() is not None
    assert got(stack, "before") == (b"x", b"x")
    before = pids(stack)
    stack.up(leash=leash)
    assert {name: pid for name, pid in pids(stack).items() if name != "kafka-2"} == {
        name: pid for name, pid in before.items() if name != "kafka-2"
    }
    put(stack, "after", b"y", copies=3)


OWNER = """
import sys, time
from pathlib import Path
from app.local.leash import Leash
from app.local.stack import Stack
leash = Leash()
leash.remove_at_end(Path(sys.argv[1]))
stack = Stack(Path(sys.argv[1]))
stack.up(leash=leash)
print(*(server.pid for server in stack.status()), flush=True)
time.sleep(600)
"""


def test_when_the_owner_is_killed_its_servers_and_its_home_are_gone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    argv = [sys.executable, "-c", OWNER, str(home)]
    with subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        started = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(started) == 2
        assert all(map(birth, started))
        owner.kill()
    assert wait_until(lambda: not any(map(birth, started)) and not home.exists(), timeout_s=20)


def test_an_owner_killed_in_the_middle_of_a_start_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    log = home / "kafka" / "1" / "broker.log"
    with subprocess.Popen([sys.executable, "-c", OWNER, str(home)], cwd=PROJECT) as owner:
        assert wait_until(log.exists, timeout_s=30)  # the format runs
        owner.kill()
    assert wait_until(lambda: not home.exists(), timeout_s=20)
    assert not [process for process in Path("/proc").glob("[0-9]*") if str(home) in command_line(process)]


def command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def test_an_up_that_was_killed_in_the_middle_is_taken_up_by_the_next(
    new_stack: Callable[[], Stack], leash: Leash
) -> None:
    stack = new_stack()
    code = "import sys; from pathlib import Path; from app.local.stack import Stack; Stack(Path(sys.argv[1])).up()"
    with subprocess.Popen([sys.executable, "-c", code, str(stack.home)], cwd=PROJECT) as first:
        assert wait_until((stack.home / "kafka" / "1" / "broker.log").exists, timeout_s=30)  # the format runs
        first.kill()
    redis_pid = the(stack, "redis").pid
    try:
        stack.up(leash=leash)
        assert the(stack, "redis").pid == redis_pid  # not on the leash: the killed one's server was found
        put(stack, "x", b"x")
    finally:
        assert stack.down() == ("redis", "kafka-1")


def test_without_java_up_is_one_sentence_and_leaves_nothing_running(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from app.errors import Unavailable; from app.local.stack import Stack\n"
        "try: Stack(Path(sys.argv[1])).up()\nexcept Unavailable as told: print(told)"
    )
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    argv = [sys.executable, "-c", code, str(tmp_path / "home")]
    ran = subprocess.run(argv, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("Kafka needs Java 17 or newer, and neither JAVA_HOME nor PATH has a working one")
    assert ran.stdout.count("\n") == 1
    assert ran.stderr == ""
    assert not any(server.alive for server in Stack(tmp_path / "home").status())
