"""How long a partition's answers stay away while workers come and go, as a reader outside sees it.

Twelve partitions, payments at a steady rate, the product's own `run` as whole runs of two workers each. A pause is the
longest gap between two committed answers to one input partition; it is there without any change too (`steady`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Producer, murmur2
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]  # public, not exported

from app.pipelines.fraud import FRAUD
from app.replay.group import Group
from tests.bench.ground import Ground
from tests.pauses import Sending, Watching, generation

PARTITIONS, RATE = 12, 1000
AFTER_S = 2.0  # of answers, once the partitions are shared out
PATIENCE_S = 180.0
BACK_S = 20  # the session of runs that come back: more than a run takes to start on a busy machine
ENTITIES = 100_000  # in one partition, where it is measured how state comes
WHAT = ("steady", "join", "leave", "restart", "restart_others", "killed", "killed_others")


@dataclass
class Scene:
    """The servers, who runs on them, and what is seen."""

    ground: Ground
    group: Group
    seen: Watching
    runs: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    pauses: dict[str, list[float]] = field(default_factory=lambda: {what: [] for what in WHAT})
    shared: dict[str, list[int]] = field(default_factory=dict)

    def start(self, name: str, *, workers: int = 2, leaves: bool = True, session_s: int = 6) -> None:
        program = Path(sys.executable).with_name("streaminfer")
        words = ["run", "fraud", "--workers", str(workers), "--instance", name, "--observe", "off"]
        settings = self.ground.settings
        found = {**os.environ, "STREAMINFER_KAFKA": settings.kafka, "STREAMINFER_REDIS": settings.redis,
                 "STREAMINFER_LEAVE_AT_END": str(leaves).lower(),
                 "STREAMINFER_SESSION_TIMEOUT_MS": str(session_s * 1000)}  # fmt: skip
        self.runs[name] = subprocess.Popen(
            [program, *words], env=found, start_new_session=True, stdout=subprocess.DEVNULL
        )

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        run = self.runs.pop(name)
        if number is signal.SIGKILL:
            os.killpg(run.pid, number)
        else:
            run.send_signal(number)
            run.wait(PATIENCE_S)

    def owners(self) -> dict[int, str]:
        """Each partition's run: a worker's name without the number behind it."""
        found = self.group.owners(FRAUD.source.name)
        names = {p: owner.client_id.removeprefix("fraud.").rpartition("-")[0] for p, owner in found.of.items()}
        return {} if found.rebalancing else names

    def until_shared(self) -> None:
        """Wait until the runs that there are own all partitions, and each has answered since."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            owners = self.owners()
            if len(owners) == PARTITIONS and set(owners.values()) == set(self.runs):
                break
            ended = [name for name, run in self.runs.items() if run.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise SystemExit(f"The partitions are not shared out: {owners}; ended by itself: {ended}.")
            time.sleep(0.05)
        moment = time.monotonic()
        while any(self.seen.first_after(p, moment) is None for p in range(PARTITIONS)):
            if time.monotonic() > deadline:
                raise SystemExit("Some partitions are not answered.")
            time.sleep(0.05)
        time.sleep(AFTER_S)

    def generation(self) -> int:
        return generation(self.ground.settings.kafka, FRAUD.name)

    @contextlib.contextmanager
    def change(self, what: str, *, its: str = "") -> Iterator[None]:
        """A change in the block. With `its`, partitions of that run count as `what`, the others' apart."""
        owners, before, began = self.owners(), self.generation(), time.monotonic()
        yield
        self.until_shared()
        ended = time.monotonic()
        self.pauses[what] += self.seen.pauses(began, ended, of=lambda p: not its or owners[p] == its).values()
        if its:
            self.pauses[f"{what}_others"] += self.seen.pauses(began, ended, of=lambda p: owners[p] != its).values()
        self.shared.setdefault(what, []).append(self.generation() - before)


def scaling(ground: Ground, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs join, leave, are started again by name, and die."""
    say(
        f"\nscaling: {PARTITIONS} partitions, {RATE:,} payments a second, runs of two workers, sessions of 6 s "
        f"({BACK_S} s where they are started again)"
    )
    _widen(ground)
    kafka = ground.settings.kafka
    with (
        contextlib.closing(Group(ground.settings, FRAUD.name, patience_s=30.0)) as group,
        Sending(kafka, FRAUD.source.name, ground.events(1_700_000), rate=RATE) as sending,
        Watching(kafka, [FRAUD.answering.name, FRAUD.dead_letters]) as seen,
    ):
        scene = Scene(ground, group, seen)
        try:
            _changes(scene, options.rounds)
            state = _state_on_demand(scene)
        finally:
            for name in list(scene.runs):
                scene.end(name)
    return _told(scene, state, sending.stalled_s, say)


def _widen(ground: Ground) -> None:
    """Give the topics so many partitions, and wait until a producer is told so: it would place keys by the old ones."""
    topics = (FRAUD.source.name, FRAUD.answering.name)
    for made in ground.admin.create_partitions([NewPartitions(topic, PARTITIONS) for topic in topics]).values():
        made.result(30)
    deadline = time.monotonic() + PATIENCE_S
    while any(len(ground.admin.list_topics(topic, 10).topics[topic].partitions) < PARTITIONS for topic in topics):
        if time.monotonic() > deadline:
            raise SystemExit("The topics do not get their partitions.")
        time.sleep(0.1)


def _changes(scene: Scene, rounds: int) -> None:
    scene.start("a", leaves=False, session_s=BACK_S)
    scene.until_shared()
    with scene.change("steady"):
        time.sleep(10)
    for _ in range(rounds):
        with scene.change("join"):
            scene.start("b")
        with scene.change("leave"):
            scene.end("b")
    scene.start("c", leaves=False, session_s=BACK_S)
    scene.until_shared()
    for name in "ac":
        with scene.change("restart", its=name):
            scene.end(name)
            scene.start(name, leaves=False, session_s=BACK_S)
            time.sleep(1)  # before it is there again, the group still has its name
    scene.start("e")
    scene.until_shared()
    with scene.change("killed", its="e"):
        scene.end("e", signal.SIGKILL)


def _state_on_demand(scene: Scene) -> dict[str, float]:
    """From a partition's assignment to its first answer: the one with many entities, and the others."""
    _fill(scene.ground)
    scene.until_shared()
    time.sleep(10)  # the many are scored, and flushed
    for name in list(scene.runs):
        scene.end(name)
    time.sleep(BACK_S)
    began = time.monotonic()
    scene.start("d", workers=1)
    while len(scene.owners()) < PARTITIONS:
        if time.monotonic() - began > PATIENCE_S:
            raise SystemExit("Nobody takes the partitions.")
        time.sleep(0.005)
    assigned = time.monotonic()
    scene.until_shared()
    first = {p: (scene.seen.first_after(p, began) or 0.0) - assigned for p in range(PARTITIONS)}
    return {"full_s": first.pop(0), "others_s": statistics.median(first.values())}


def _fill(ground: Ground) -> None:
    """A payment each of so many customers of partition 0."""
    producer = Producer({"bootstrap.servers": ground.settings.kafka, "partitioner": "murmur2_random", "linger.ms": 10})
    _, value = next(ground.events(1, skip=50_000))
    payment, made, i = json.loads(value), 0, 0
    while made < ENTITIES:
        i += 1
        customer = f"many-{i}"
        if murmur2(customer.encode(), PARTITIONS) != 0:
            continue
        made += 1
        paid = payment | {"payment_id": customer, "customer_id": customer}
        producer.produce(FRAUD.source.name, json.dumps(paid, separators=(",", ":")).encode(), customer)
        if made % 1000 == 0:
            producer.poll(0)
    producer.flush(60)


def _told(scene: Scene, state: dict[str, float], stalled_s: float, say: Callable[[str], None]) -> dict[str, Any]:
    result: dict[str, Any] = {"stalled_s": stalled_s, "state": state, "shared_out": scene.shared}
    for what, pauses in scene.pauses.items():
        result[what] = {"p50_s": statistics.median(pauses), "worst_s": max(pauses), "partitions": len(pauses)}
        times = scene.shared.get(what)
        shared = f"; the group was shared out {', '.join(map(str, times))} times" if times else ""
        say(f"  {what:15} p50 {result[what]['p50_s']:6.2f} s  worst {max(pauses):6.2f} s  of {len(pauses)}{shared}")
    say(f"  from assignment to the first answer: {state['full_s']:.2f} s with {ENTITIES:,} entities in the partition, "
        f"{state['others_s']:.2f} s with some hundred")  # fmt: skip
    say(f"  the sender itself was late by {stalled_s:.2f} s at the worst")
    return result
