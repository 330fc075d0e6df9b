"""A pipeline in a file of its own, with one that it looks up, both run live to their end; and a replay's answers."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from app.features.store import connect
from app.pipelines import pipeline_named
from app.record import Record
from app.replay import bounds
from app.replay.asked import Asked
from app.replay.group import Group
from app.replay.plan import Plan
from app.replay.planning import make_plan
from app.replay.running import Running, Wanted
from app.replay.tail import tail
from app.settings import Settings
from tests.contract.cli.shell import Shell

DAY_MS = 86_400_000
START_MS = 1_522_540_831_000
PARTITIONS = 3
EVERY_MS = 700_000
COUNT = 4000

FILE = """
from dataclasses import replace

from app import AsOf
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from beside import NAME

labels = replace(
    FRAUD_LABELS, name=f"{NAME}-labels", source=replace(FRAUD_LABELS.source, name=f"{NAME}.outcomes"), partitions=3
)
pipeline = replace(
    FRAUD,
    name=NAME,
    source=replace(FRAUD.source, name=f"{NAME}.payments"),
    answers=replace(FRAUD.answers, name=f"{NAME}.scored"),
    lookups=(AsOf(labels, "terminal", key="terminal_id"),),
    partitions=3,
)
"""

Answers = dict[bytes, bytes]


def at(number: int) -> str:
    """The time of the payment of this number, as a bound."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((START_MS + number * EVERY_MS) / 1000))


class World:
    """One shell, one pipeline, and what it answered live."""

    def __init__(self, shell: Shell, folder: Path, name: str) -> None:
        (folder / "beside.py").write_text(f"NAME = {name!r}\n")
        (folder / "own.py").write_text(FILE)
        self.shell, self.name, self.folder = shell, name, folder
        self.labels, self.pipeline = (f"{folder}/own.py:{variable}" for variable in ("labels", "pipeline"))
        self.payments, self.answers, self.letters = f"{name}.payments", f"{name}.scored", f"{name}.payments.dead"
        endpoints = shell.stack.endpoints()
        assert endpoints is not None
        self.settings = Settings(kafka=endpoints.kafka, redis=endpoints.redis, home=shell.stack.home)
        self._numbers = random.Random(11)
        self.sent = 0
        shell.environment["STREAMINFER_PACE_DAYS"] = "inf"  # live reads of any time are exact
        shell.environment["STREAMINFER_DEAD_LETTER_LIMIT"] = "1"  # payments are bad at random

    def run_live(self, count: int = COUNT) -> None:
        """Outcomes and payments, answered to the end."""
        shell = self.shell
        shell.run("topics", "apply", self.labels, self.pipeline)
        shell.run("produce", self.labels, stdin=b"\n".join(self._outcome(number) for number in range(2500)))
        self.produce(count)
        shell.run("run", self.labels, "--until-end")
        shell.run("run", self.pipeline, "--until-end")

    def produce(self, count: int) -> None:
        lines = [self._payment(self.sent + number) for number in range(count)]
        self.shell.run("produce", self.pipeline, "--raw", stdin=b"\n".join(lines))
        self.sent += count

    def _payment(self, number: int) -> bytes:
        """One in fifty is none, and one in ten comes late."""
        numbers = self._numbers
        late = numbers.randrange(9_000_000) if numbers.random() < 0.1 else 0
        event: dict[str, Any] = {
            "payment_id": str(number),
            "customer_id": str(numbers.randrange(40)),
            "terminal_id": str(numbers.randrange(30)),
            "amount_cents": numbers.randrange(1, 40_000) if numbers.random() > 0.02 else -1,
            "time_ms": START_MS + number * EVERY_MS - late,
        }
        return b"{" if numbers.random() < 0.01 else json.dumps(event).encode()

    def _outcome(self, number: int) -> bytes:
        paid_ms = START_MS - 20 * DAY_MS + number * 1_500_000
        event = {
            "payment_id": f"p{number}",
            "terminal_id": str(self._numbers.randrange(30)),
            "payment_time_ms": paid_ms,
            "known_at_ms": paid_ms + 7 * DAY_MS,
            "fraud": self._numbers.random() < 0.2,
        }
        return json.dumps(event).encode()

    # -- replays -----------------------------------------------------------------------------------------------------

    def plan(self, *flags: str) -> dict[str, Any]:
        plan: dict[str, Any] = self.shell.json("replay", "plan", self.pipeline, *flags)
        return plan

    def refused(self, *words: str, code: int) -> str:
        """What a replay command that is refused says: one sentence, and nothing on standard output."""
        out, why = self.shell.run("replay", *words, code=code)
        assert out == ""
        return why.strip()

    def start(self, plan_id: str, *flags: str) -> subprocess.Popen[bytes]:
        return self.shell.start(
            "replay", "start", plan_id, *flags, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def status(self, plan_id: str) -> dict[str, Any]:
        status: dict[str, Any] = self.shell.json("replay", "status", plan_id)
        return status

    def _at(self, plan: dict[str, Any]) -> tuple[dict[int, int | None], dict[int, int]]:
        """What a replay's group has committed, asked without a command, and where it began."""
        part = plan["recorded"] or plan["inputs"]
        starts = {int(p): s["start"] for p, s in part["partitions"].items()}
        group = Group(self.settings, part["group"], patience_s=10.0)
        try:
            return group.committed(part["topic"], list(starts), settle_s=0.2), starts
        finally:
            group.close()

    def begun(self, plan: dict[str, Any]) -> bool:
        return None not in self._at(plan)[0].values()

    def done(self, plan: dict[str, Any]) -> int:
        """Offsets that are answered."""
        at, starts = self._at(plan)
        return sum((at[p] or start) - start for p, start in starts.items())

    # -- what the outside sees -----------------------------------------------------------------------------------------

    def records(self, topic: str) -> list[Record]:
        return [r for batch in tail(self.settings, topic, start="beginning", until_end=True) for r in batch]

    def by_source(self, topic: str) -> Answers:
        """Values by the input that they are of; each input once."""
        found: Answers = {}
        for record in self.records(topic):
            source = dict(record.headers or [])["source"] or b""
            assert source not in found, f"{source!r} is answered twice"
            found[source] = record.value or b""
        return found

    def live(self) -> tuple[str, ...]:
        """Digests of everything that a replay must not touch: topics, offsets, state."""
        words = []
        for topic in (self.payments, self.answers, self.letters, f"{self.name}.outcomes", f"{self.name}.outcomes.dead"):
            records = [(r.partition, r.offset, r.key, r.value, r.headers) for r in self.records(topic)]
            words.append(hashlib.blake2b(repr(sorted(records, key=lambda r: r[:2])).encode()).hexdigest())
        for name, topic in ((self.name, self.payments), (f"{self.name}-labels", f"{self.name}.outcomes")):
            group = Group(self.settings, name, patience_s=10.0)
            words.append(repr(group.committed(topic, range(PARTITIONS))))
            group.close()
        with connect(self.settings.redis) as client:
            keys = sorted(k for name in (self.name, f"{self.name}-labels") for k in client.scan_iter(f"{{{name}/*"))
            words.append(hashlib.blake2b(repr([(k, client.dump(k)) for k in keys]).encode()).hexdigest())
        return tuple(words)

    def time_of(self, record: Record) -> int | None:
        """The event time of a payment; None where it is none."""
        try:
            event = json.loads(record.value or b"")
        except ValueError:
            return None
        return int(event["time_ms"]) if event["amount_cents"] > 0 else None

    def marks_of(self, record: Record) -> list[str]:
        marks: list[str] = json.loads(record.value or b"")["marks"]
        return marks

    def keys(self, plan_id: str) -> list[str]:
        """Keys in Redis that bear the plan's id."""
        with connect(self.settings.redis) as client:
            return [key.decode() for key in client.scan_iter(f"*{plan_id}*")]

    def left(self, plan_id: str) -> list[str]:
        """Topics, groups and keys that bear the plan's id."""
        admin = AdminClient({"bootstrap.servers": self.settings.kafka})
        topics = list(admin.list_topics(timeout=10).topics)
        groups = [group.group_id for group in admin.list_consumer_groups().result(10).valid]
        return [name for name in (*topics, *groups, *self.keys(plan_id)) if plan_id in name]


def planned(world: World, start: str = at(1000), end: str = at(3000), **asked: Any) -> tuple[Plan, list[str]]:
    """A plan made in this process, and what it tells."""
    given = Asked(world.pipeline, bounds.since(start), bounds.until(end), **asked)
    return make_plan(world.settings, pipeline_named(world.pipeline), given)


def run(world: World, plan: Plan) -> None:
    """The plan, run to its end in this process."""
    Running(world.settings, plan.id, Wanted(wait_s=0.0), watch=lambda _: None).run()


def wait_for(what: str, ready: Callable[[], bool], *, within_s: float = 180.0) -> None:
    """Poll until it is so; an AssertionError names what never came."""
    deadline = time.monotonic() + within_s
    while not ready():
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.05)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def end(process: subprocess.Popen[bytes], number: signal.Signals | None = None) -> tuple[int, str, str]:
    """Signal it, if a signal is given, and wait. Gives the exit code and what it said."""
    if number is not None:
        process.send_signal(number)
    out, why = process.communicate(timeout=240)
    assert b"Traceback" not in why, why.decode()
    return process.returncode, out.decode(), why.decode()
