"""Two pipelines side by side: outcomes are folded while payments that need them are scored, and both are killed.

Every prediction that bears no mark must have the terminal's features as a plain recount of what was known at the
payment's time gives them, to the millisecond.
"""

from __future__ import annotations

import json
import random
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from app.stream.observe import Step
from tests.contract.loop.rig import DAY_MS, START_MS, Rig, labels_of, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]

TERMINALS = 12
HOUR_MS = 3_600_000
WEEK_MS = 7 * DAY_MS
Label = tuple[int, int, bool]  # paid at, known at, fraud


class Both:
    """The rig of the payments, and one of their outcomes on the same settings."""

    def __init__(self, payments: Rig) -> None:
        self.payments = payments
        self.outcomes = replace(payments, pipeline=labels_of(payments.tag), members=[])
        self.outcomes.make_topics()
        self.known: dict[str, list[Label]] = defaultdict(list)
        self.of: dict[str, tuple[str, int]] = {}  # each payment's terminal and time

    def produce(self, count: int) -> None:
        """Payments some hours apart, and their outcomes, known a week later or much later, in the order of that."""
        draw, clock_ms = random.Random(5), START_MS
        labels = []
        producer = Producer({"bootstrap.servers": self.payments.settings.kafka, "partitioner": "murmur2_random"})
        for name in map(str, range(count)):
            clock_ms += draw.randrange(1, 4 * HOUR_MS)
            customer, terminal = str(draw.randrange(40)), str(draw.randrange(TERMINALS))
            payment = {
                "payment_id": name, "customer_id": customer, "terminal_id": terminal,
                "amount_cents": draw.randrange(1, 40_000), "time_ms": clock_ms,
            }  # fmt: skip
            producer.produce(self.payments.pipeline.source.name, json.dumps(payment), customer)
            self.of[name] = terminal, clock_ms
            known = clock_ms + WEEK_MS + draw.choice([0, 0, 0, 1, 20 * DAY_MS])
            labels.append((known, terminal, name, clock_ms, draw.random() < 0.3))
        # The last ones take every partition beyond the last payment.
        labels += [(clock_ms + 30 * DAY_MS, f"quiet-{i}", f"end-{i}", clock_ms, False) for i in range(30)]
        for known, terminal, name, at, fraud in sorted(labels):
            self.known[terminal].append((at, known, fraud))
            label = {
                "payment_id": name, "terminal_id": terminal, "payment_time_ms": at, "known_at_ms": known,
                "fraud": fraud,
            }  # fmt: skip
            producer.produce(self.outcomes.pipeline.source.name, json.dumps(label), terminal)
        producer.flush(30)
        self.payments.sent = count

    def check(self) -> int:
        """Compare the terminal's features in every prediction with a recount. Gives how many bear a mark."""
        marked, seen = 0, set()
        for message in self.payments.read(self.payments.pipeline.answering.name):
            prediction = json.loads(message.value())
            seen.add(prediction["event_id"])
            if prediction["marks"]:
                marked += 1
                continue
            terminal, at = self.of[prediction["event_id"]]
            until, features = at - WEEK_MS, prediction["features"]
            for days in (1, 7, 30):
                known = [
                    fraud
                    for paid, known_at, fraud in self.known[terminal]
                    if known_at <= at and until - days * DAY_MS < paid <= until
                ]
                assert features[f"terminal_count_{days}d"] == len(known), (prediction, known)
                assert features[f"terminal_risk_{days}d"] == (sum(known) / len(known) if known else 0.0)
        assert seen == set(self.of)
        return marked


@pytest.fixture
def both(new_rig: Callable[..., Rig]) -> Iterator[Both]:
    made = Both(new_rig(behind="wait", wait_s=60.0, pace_days=float("inf")))
    yield made
    made.outcomes.stop()


@pytest.mark.parametrize(
    ("whose", "step", "nth"),
    [
        ("outcomes", Step.COMMITTED, 3),
        ("outcomes", Step.CONFIRMED, 4),
        ("outcomes", Step.FLUSHING, 3),
        ("outcomes", Step.FLUSHED, 2),
        ("payments", Step.LOADED, 4),
        ("payments", Step.COMMITTED, 4),
    ],
)
def test_whichever_is_killed_every_payment_is_scored_with_what_was_known_then(
    both: Both, whose: str, step: Step, nth: int
) -> None:
    both.produce(1500)
    rig: Rig = getattr(both, whose)
    other = both.payments if rig is both.outcomes else both.outcomes
    steady, killed = other.member(), rig.member(step=step, nth=nth)
    assert killed.wait() == -signal.SIGKILL, killed.log
    rig.finish()
    if rig is both.payments:
        assert steady.end() == 0, steady.log
    else:
        wait_for("all payments", lambda: sum(e["event"] == "reached" for e in steady.hear()) == 3, within_s=60)
        assert steady.end() == 0, steady.log
    assert both.check() == 0
    both.payments.check()


def test_outcomes_that_keep_pace_with_waiting_payments_are_all_folded(new_rig: Callable[..., Rig]) -> None:
    """Seven days at a time: of each batch, the first outcome that must wait lies behind some that need not."""
    both = Both(new_rig(behind="wait", wait_s=60.0))
    both.produce(600)
    payments = both.payments.member()
    wait_for("payments to wait", lambda: payments.progress.get("waits") == "what its events look up")
    both.outcomes.member()
    wait_for("all payments", lambda: sum(e["event"] == "reached" for e in payments.hear()) == 3, within_s=60)
    assert payments.end() == 0, payments.log
    both.outcomes.stop()
    assert both.check() < 300  # a reader that is kept from telling is not waited for; its answers say so


def test_without_outcomes_payments_wait_for_so_long_and_are_marked(new_rig: Callable[..., Rig]) -> None:
    both = Both(new_rig(behind="wait", wait_s=0.5))
    both.produce(60)
    both.payments.finish()
    assert both.check() == 60


def test_a_label_twice_or_contradicted_or_too_late_is_counted_and_changes_nothing(both: Both) -> None:
    both.produce(200)
    topic = both.outcomes.pipeline.source.name
    producer = Producer({"bootstrap.servers": both.outcomes.settings.kafka, "partitioner": "murmur2_random"})
    name, (terminal, at) = "3", both.of["3"]
    newest = max(known for labels in both.known.values() for _, known, _ in labels)
    for fraud in (True, False, True):
        again = {"payment_id": name, "terminal_id": terminal, "payment_time_ms": at, "fraud": fraud}
        producer.produce(topic, json.dumps(again | {"known_at_ms": newest}), terminal)
    late = {"payment_id": "x", "terminal_id": terminal, "payment_time_ms": at, "fraud": True, "known_at_ms": at + 1}
    producer.produce(topic, json.dumps(late), terminal)
    producer.flush(30)
    both.outcomes.finish()
    told = both.outcomes.members[-1].progress["skipped"]
    assert told["too-late"] == 1
    assert told["repeated"] >= 1
    assert told["contradicted"] >= 1
    assert told["repeated"] + told["contradicted"] == 3
    both.payments.finish()
    assert both.check() == 0
