"""A producer that librdkafka had to retry for is not trusted with another transaction (protocol A3)."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from app.errors import BatchAborted
from app.local.leash import Leash
from app.local.stack import Stack
from app.record import Output
from app.settings import Settings, producer_config
from app.stream.transaction import Batch, Transactions
from tests.contract.loop.rig import wait_for
from tests.contract.loop.servers import server

pytestmark = pytest.mark.broker

SOCKET_TIMEOUT_S = 1.0
OVERRUN_S = 60.0  # beyond every deadline of a commit: a worker's watchdog would have ended it
TRIES = 3


class Overran(Exception):
    """librdkafka ignored its own time-out, as it can when the coordinator was away. A worker ends itself then."""


@dataclass
class Bench:
    """Transactions on a broker that may be killed, and a member of a group to send offsets for."""

    stack: Stack
    transactions: Transactions
    consumer: Consumer
    leash: Leash
    offset: int = 0

    def commit(self) -> None:
        """One transaction; after an abort the same again, as the loop does. Raises Overran where it never ends."""
        failed: list[BaseException] = []
        ended = threading.Event()

        def run() -> None:
            try:
                self._commit()
            except BaseException as error:
                failed.append(error)
            ended.set()

        threading.Thread(target=run, daemon=True).start()
        if not ended.wait(OVERRUN_S):
            raise Overran
        if failed:
            raise failed[0]

    def _commit(self) -> None:
        self.offset += 1
        while True:
            batch = Batch([Output("out", b"k", b"v", [])], {0: self.offset}, self._group())
            try:
                self.transactions.commit(batch)
            except BatchAborted:
                self.transactions.recover(30)
            else:
                return

    def _group(self) -> object:
        self.consumer.poll(0)
        return self.consumer.consumer_group_metadata()


@contextmanager
def benched(new_stack: Callable[[], Stack], leash: Leash) -> Iterator[Bench]:
    stack = new_stack()
    endpoints = stack.up(leash=leash)
    admin = AdminClient({"bootstrap.servers": endpoints.kafka})
    for made in admin.create_topics([NewTopic("in", 1, 1), NewTopic("out", 1, 1)]).values():
        made.result(30)
    options = {"socket.timeout.ms": str(int(SOCKET_TIMEOUT_S * 1000))}
    settings = Settings(kafka=endpoints.kafka, redis=endpoints.redis, home=stack.home, kafka_options=options)
    transactions = Transactions(producer_config(settings, slot="s", max_record_bytes=1000), slot="s", topic="in")
    transactions.recover(30)
    consumer = Consumer({"bootstrap.servers": endpoints.kafka, "group.id": "g", "group.instance.id": "s"})
    consumer.subscribe(["in"])
    wait_for("the group to be joined", lambda: consumer.poll(0.1) is None and bool(consumer.assignment()))
    try:
        yield Bench(stack, transactions, consumer, leash)
        consumer.close()
    finally:
        stack.down()


def test_after_a_quiet_commit_both_producers_stay(
    new_stack: Callable[[], Stack], leash: Leash, caplog: pytest.LogCaptureFixture
) -> None:
    with benched(new_stack, leash) as bench, caplog.at_level(logging.WARNING):
        for _ in range(6):
            bench.commit()
    assert "it is replaced" not in caplog.text


def test_a_producer_whose_request_timed_out_inside_is_replaced_before_its_next_transaction(
    new_stack: Callable[[], Stack], leash: Leash, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(TRIES):
        with suppress(Overran), benched(new_stack, leash) as bench:
            _time_out_inside(bench, caplog)
            return
    pytest.fail(f"A commit never ended in {TRIES} tries.")


def _time_out_inside(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.commit()
    bench.commit()
    broker = server(bench.stack, "kafka")
    with ThreadPoolExecutor() as pool:
        os.kill(broker, signal.SIGSTOP)
        committed = pool.submit(bench.commit)
        time.sleep(2 * SOCKET_TIMEOUT_S + 0.5)  # the fault itself: a broker that does not answer for so long
        os.kill(broker, signal.SIGCONT)
        committed.result(60)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            bench.commit()
    assert "may still be on its way" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            bench.commit()
    assert "it is replaced" not in caplog.text
