"""What the loop waits for may never come: each wait ends, and the worker goes on or is started again.

The faults are a broker and a Redis that are stopped: connections stay open, and nothing answers.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaException, TopicPartition

from app.errors import Unavailable
from app.local.leash import Leash
from app.local.stack import Stack
from app.settings import consumer_config
from app.stream.committer import WATCHDOG_EXIT
from app.stream.feed import Feed
from app.stream.observe import Step
from tests.contract.loop.rig import PARTITIONS, Rig, wait_for
from tests.contract.loop.servers import rig_on, server
from tests.contract.loop.supervised import Run
from tests.processes import stat, threads

pytestmark = [pytest.mark.broker, pytest.mark.redis]


@pytest.fixture(scope="module")
def frail_stack(new_stack: Callable[[], Stack], leash: Leash) -> Iterator[Stack]:
    stack = new_stack()
    stack.up(leash=leash)
    yield stack
    stack.down()


@pytest.fixture
def frail(frail_stack: Stack) -> Iterator[Rig]:
    """A rig on servers that may be stopped; they go on when the test ends."""
    rig = rig_on(
        frail_stack, transaction_timeout_ms=4000, commit_deadline_s=3.0, max_poll_interval_ms=10_000, leave_at_end=True
    )
    yield rig
    for name in ("kafka", "redis"):
        os.kill(server(frail_stack, name), signal.SIGCONT)
    rig.stop()


class Nobody:
    """An owner who does nothing with its partitions."""

    def assigned(self, partitions: frozenset[int]) -> None:
        self.partitions = partitions

    def revoked(self, partitions: frozenset[int]) -> None: ...
    def lost(self, partitions: frozenset[int]) -> None: ...


def stop(stack: Stack, name: str) -> None:
    """Returns once each of its threads stands: on a busy machine the last ones may answer for a moment."""
    pid = server(stack, name)
    os.kill(pid, signal.SIGSTOP)
    wait_for("all threads to stand", lambda: all(stat(pid, thread=one)[:1] == ["T"] for one in threads(pid)))


def test_questions_about_partitions_end_in_time(
    frail: Rig, frail_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Nobody()
    config = consumer_config(frail.settings, group=frail.tag, slot=f"{frail.tag}-0")
    feed = Feed(config, frail.pipeline.source.name, owner)
    feed.subscribe()
    wait_for("partitions", lambda: not feed.poll(1, 0.1).records and hasattr(owner, "partitions"))
    assert set(feed.found([0, 1, 2], 5.0)) == {0, 1, 2}
    stop(frail_stack, "kafka")
    with pytest.raises(Unavailable):  # the topic's description
        feed.found([0], 0.3)
    monkeypatch.setattr(feed, "_topic", lambda _: ("topic", PARTITIONS))
    with pytest.raises(Unavailable):  # the committed offsets
        feed.found([0], 0.3)
    with pytest.raises(KafkaException):  # the log's bounds
        feed._consumer.get_watermark_offsets(TopicPartition(feed.topic, 0), 0.3, cached=False)
    assert feed.poll(10, 0.1).records == []
    feed.close(leave=True)  # nobody answers, and it returns


@pytest.mark.parametrize("name", ["kafka", "redis"])
def test_a_worker_that_is_told_to_leave_while_a_server_hangs_leaves(frail: Rig, frail_stack: Stack, name: str) -> None:
    frail.produce(3000)
    member = frail.member()
    wait_for("work to begin", lambda: member.progress["records"] > 0)
    stop(frail_stack, name)
    assert member.end() in (0, WATCHDOG_EXIT, -signal.SIGALRM), member.log


def test_a_worker_that_starts_while_kafka_hangs_waits_for_it_and_leaves_when_told(
    frail: Rig, frail_stack: Stack
) -> None:
    frail.produce(500)
    member = frail.member(step=Step.STARTED, nth=1, number=signal.SIGSTOP)
    wait_for("the start", lambda: member.stands_still)
    stop(frail_stack, "kafka")
    os.kill(member.process.pid, signal.SIGCONT)
    with pytest.raises(AssertionError):  # it only waits: longer than a turn of its loop may take
        wait_for("the worker's end", lambda: member.process.poll() is not None, within_s=12.0)
    assert member.end() in (0, WATCHDOG_EXIT), member.log


@pytest.mark.parametrize("step", [Step.POLLED, Step.ASSIGNED, Step.FLUSHING])
def test_a_loop_that_stands_still_is_ended_and_its_records_are_answered_by_the_next(
    frail: Rig, step: Step, caplog: pytest.LogCaptureFixture
) -> None:
    frail.produce(500)
    run = Run(frail, hang_at=step)
    run.on["worker"] = lambda _: run.stop() if run.starts == 2 else None
    run.run()
    assert run.deaths[0] == -signal.SIGALRM
    assert "stood still for 10 s (max_poll_interval_ms)" in caplog.text
    frail.finish()
    frail.check()


def test_a_record_is_answered_though_the_batch_never_fills(new_rig: Callable[..., Rig]) -> None:
    """A batch that waited for more, or for its age, would wait for ever here: nothing else comes."""
    rig = new_rig(batch_records=10_000, flush_every_s=3600.0)
    rig.produce(10, poison=False)
    member = rig.member()
    for sent in range(11, 14):
        rig.produce(1, poison=False)
        wait_for("its answer", lambda sent=sent: member.progress["records"] == sent)  # type: ignore[misc]
    assert member.end() == 0
