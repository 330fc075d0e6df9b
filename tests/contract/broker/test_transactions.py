"""What the exactness protocol takes for granted of a broker's transactions, asked of the real one."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.local.process import wait_until
from tests.contract.broker.clients import Clients

pytestmark = pytest.mark.broker


def test_a_committed_record_is_read_after_the_commit_and_not_before(clients: Clients) -> None:
    topic, writer = clients.topic(), clients.producer()
    writer.begin_transaction()
    writer.produce(topic, b"x")
    writer.flush(30)
    assert clients.seen(topic, "read_uncommitted") == [b"x"]
    assert clients.seen(topic) == []
    writer.commit_transaction(30)
    assert clients.seen(topic) == [b"x"]


def test_an_aborted_record_is_never_read_and_those_after_it_are(clients: Clients) -> None:
    topic, writer = clients.topic(), clients.producer()
    for value, end in (
        (b"a", writer.commit_transaction),
        (b"b", writer.abort_transaction),
        (b"c", writer.commit_transaction),
    ):
        writer.begin_transaction()
        writer.produce(topic, value)
        writer.flush(30)
        end(30)
    assert clients.seen(topic) == [b"a", b"c"]
    assert clients.seen(topic, "read_uncommitted") == [b"a", b"b", b"c"]


def test_an_open_transaction_holds_the_last_stable_offset(clients: Clients) -> None:
    topic, slow, quick = clients.topic(), clients.producer(), clients.producer()
    slow.begin_transaction()
    slow.produce(topic, b"slow")
    slow.flush(30)
    quick.begin_transaction()
    quick.produce(topic, b"quick")
    quick.commit_transaction(30)
    assert clients.ends(topic) == (0, 3)  # two records and a marker
    assert clients.seen(topic) == []
    slow.commit_transaction(30)
    assert clients.ends(topic) == (4, 4)
    assert clients.seen(topic) == [b"slow", b"quick"]


def test_a_successor_ends_the_open_transaction_and_fences_the_zombie(clients: Clients) -> None:
    topic, slot = clients.topic(), clients.name("slot")
    zombie = clients.producer(slot)
    zombie.begin_transaction()
    zombie.produce(topic, b"zombie")
    zombie.flush(30)
    successor = clients.producer(slot)
    assert wait_until(lambda: clients.ends(topic) == (2, 2), timeout_s=10)  # the record and its abort marker
    zombie.produce(topic, b"late")
    with pytest.raises(KafkaException) as fenced:
        zombie.commit_transaction(30)
    assert fenced.value.args[0].code() == KafkaError._FENCED
    assert fenced.value.args[0].fatal()
    successor.begin_transaction()
    successor.produce(topic, b"successor")
    successor.commit_transaction(30)
    assert clients.seen(topic) == [b"successor"]


ABANDON = """
import sys, time
from confluent_kafka import Producer
writer = Producer({"bootstrap.servers": sys.argv[1], "transactional.id": sys.argv[3], "transaction.timeout.ms": 2000})
writer.init_transactions(30)
writer.begin_transaction()
writer.produce(sys.argv[2], b"abandoned")
writer.flush(30)
print("open", flush=True)
time.sleep(600)
"""


def test_an_abandoned_transaction_is_aborted_after_its_time_out(clients: Clients) -> None:
    topic = clients.topic()
    argv = [sys.executable, "-c", ABANDON, clients.kafka, topic, clients.name("id")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        writer.send_signal(signal.SIGKILL)
    assert clients.ends(topic) == (0, 1)
    assert wait_until(lambda: clients.ends(topic) == (2, 2), timeout_s=15, every_s=0.1)
    assert clients.seen(topic) == []
