"""What being seen costs: runs with metrics, health and JSON logs, asked by two probes, against runs with none of it.

Pairs, one after the other on the same servers, in changing order. What two runs of the same kind differ by is told
beside it: a difference that is smaller than that is noise, and then the processor time of the added code tells more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.record import Output, Record
from app.stream.answers import Noted
from app.stream.measures import Meter
from app.stream.observe import Step, nobody
from tests.bench.ground import Ground
from tests.processes import cpu_s

WARM = 40_000
PAIRS = 6
MOST = 100_000  # events of a run: there are 1.7 million simulated ones
SCRAPE_S = 1.0  # a busy Prometheus asks every 15
ROUNDS = 20_000  # of the added code alone, on a batch


def observing(ground: Ground, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Pairs of runs, and the added code alone."""
    alone_us = _alone(ground.settings.batch_records)
    events = min(options.events, MOST)
    say(f"\nobserving: {PAIRS} pairs of runs of {events:,} events, seen from outside and not")
    ground.fold_outcomes(2 * PAIRS * (WARM + events))
    pairs = []
    for i in range(PAIRS):
        order = (True, False) if i % 2 else (False, True)
        found = {seen: _run(ground, events, 2 * i + j, seen=seen) for j, seen in enumerate(order)}
        on, off = found[True], found[False]
        pairs.append(
            {"on": on[0], "off": off[0], "ratio": on[0] / off[0], "on_us": on[1], "off_us": off[1],
             "supervisor_on_us": on[2], "supervisor_off_us": off[2]}
        )  # fmt: skip
        say(f"  pair {i + 1}: {on[0]:8,.0f}/s seen, {off[0]:8,.0f}/s not: ratio {on[0] / off[0]:.3f}; worker "
            f"{on[1]:.2f} and {off[1]:.2f} us CPU an event, supervisor {on[2]:.2f} and {off[2]:.2f}")  # fmt: skip
    median = {name: statistics.median(pair[name] for pair in pairs) for name in pairs[0]}
    offs = [pair["off"] for pair in pairs]
    noise = statistics.stdev(offs) / statistics.mean(offs)
    share = alone_us / median["off_us"]
    say(f"  median: ratio {median['ratio']:.3f}, CPU of the worker {median['on_us']:.2f} and "
        f"{median['off_us']:.2f} us an event, of the supervisor {median['supervisor_on_us']:.2f} and "
        f"{median['supervisor_off_us']:.2f}; runs of the same kind differ by {noise:.1%}")  # fmt: skip
    say(f"  the added code alone: {alone_us:.3f} us an event, {share:.2%} of a worker's")
    return {"median": median, "pairs": pairs, "noise": noise, "alone_us": alone_us, "alone_share": share}


def _run(ground: Ground, events: int, i: int, *, seen: bool) -> tuple[float, float, float]:
    """Events a second, and processor microseconds an event of the worker and of the supervisor."""
    ground.fill(WARM + events, skip=i * (WARM + events))
    run = _Run(ground, seen=seen)
    run.until(WARM)
    first, cpu, began = run.records, run.cpu_s(), time.monotonic()
    run.until(WARM + events)
    count = run.records - first
    supervisor, worker = (now - before for now, before in zip(run.cpu_s(), cpu, strict=True))
    result = count / (time.monotonic() - began), worker / count * 1e6, supervisor / count * 1e6
    run.stop()
    return result


class _Run:
    """`streaminfer run`, as a person starts it."""

    def __init__(self, ground: Ground, *, seen: bool) -> None:
        words = ["--observe", "127.0.0.1:0", "--log-format", "json"] if seen else ["--observe", "off"]
        settings = ground.settings
        found = {**os.environ, "STREAMINFER_KAFKA": settings.kafka, "STREAMINFER_REDIS": settings.redis}
        program = Path(sys.executable).with_name("streaminfer")
        self.process = subprocess.Popen(
            [program, "run", "fraud", "--instance", "bench", "--json", *words],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=found,
        )  # fmt: skip
        self.records = 0
        self._pids = [self.process.pid]
        self._ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "observed":
                threading.Thread(target=self._scrape, args=(event["url"],), daemon=True).start()
            elif event["event"] == "worker":
                self._pids.append(event["pid"])
            elif event["event"] == "progress":
                self.records = event["records"]

    def _scrape(self, url: str) -> None:
        while not self._ended.wait(SCRAPE_S):
            for path in ("/metrics", "/readyz"):
                with suppress(OSError), urllib.request.urlopen(url + path, timeout=5) as answer:
                    answer.read()

    def until(self, records: int) -> None:
        deadline = time.monotonic() + 600
        while self.records < records:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"The run ended or stands still at {self.records}.")
            time.sleep(0.005)

    def cpu_s(self) -> list[float]:
        """User and system time so far: of the supervisor, and of its worker."""
        return [cpu_s(pid) for pid in self._pids]

    def stop(self) -> None:
        self._ended.set()
        self.process.terminate()
        self.process.wait(60)


def _alone(size: int) -> float:
    """Processor microseconds an event of what a meter does for a full batch."""
    now_ms = time.time_ns() // 1_000_000
    records = [Record("payments", 0, i, now_ms - i // 50, b"596", b"{}", None) for i in range(size)]
    outputs = [Output("payments.scored", b"596", b"{}", []) for _ in range(size)]
    steps = (Step.BEGUN, Step.PRODUCED, Step.OFFSETS_SENT, Step.COMMITTED, Step.CONFIRMED)

    def batches(meter: Meter) -> float:
        began = time.process_time()
        for _ in range(ROUNDS):
            meter.turn()
            meter(Step.POLLED)
            meter.loaded(0.001)
            meter(Step.LOADED)
            facts = meter.facts(records, noted=Noted(0.0, 0.001, []))
            meter(Step.PREPARED)
            for step in steps:
                meter(step)
            meter.confirmed(outputs, facts)
        return time.process_time() - began

    meter = Meter("payments.dead", nobody)
    return statistics.median(batches(meter) for _ in range(5)) / ROUNDS / size * 1e6
