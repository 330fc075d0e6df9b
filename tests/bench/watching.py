"""What the monitor takes: predictions a second of one core against a Faust agent that only counts; memory; its page.

The processes are measured by the CPU time that they use, so that what else runs on the machine does not matter.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from confluent_kafka import Producer

from app.pipelines.fraud import FRAUD
from tests.bench.ground import Ground
from tests.processes import cpu_s, memory_kb
from tests.unit.monitor.made import TIME_MS, answer

EVENTS = 150_000
PER_DAY = EVENTS // 5  # the days of event time go by, as they do within weeks
PATIENCE_S = 300.0
TOLD = 30  # predictions whose way to the page is timed
BARE = """
import os, sys, time
import faust
kafka, want, datadir = sys.argv[1], int(sys.argv[2]), sys.argv[3]
app = faust.App("bench-bare", broker="kafka://" + kafka, store="memory://", web_enabled=False,
                consumer_auto_offset_reset="earliest", datadir=datadir)
answers = app.topic("payments.scored", value_type=bytes, value_serializer="raw", key_serializer="raw")
seen, began = 0, 0.0

@app.agent(answers)
async def count(stream):
    global seen, began
    async for batch in stream.take(4096, within=0.5):
        began = began or sum(os.times()[:2])
        seen += len(batch)
        if seen >= want:
            os.write(1, f" {seen / (sum(os.times()[:2]) - began)}".encode())
            os._exit(0)

faust.Worker(app, loglevel="ERROR").execute_from_commandline()
"""


class Watching:
    """A monitor's process, measured from outside."""

    def __init__(self, ground: Ground) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        settings = json.loads(ground.settings.model_dump_json())
        job = {"pipelines": ["fraud"], "settings": settings, "host": "127.0.0.1", "port": self.port}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.monitor"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()

    def until(self, predictions: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self._counted() < predictions:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"The monitor ended or stands still at {self._counted()}.")
            time.sleep(0.05)

    def _counted(self) -> int:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request("GET", "/api/seen")
            found = json.loads(connection.getresponse().read())
            connection.close()
            return int(found["pipelines"][0]["predictions"])
        except OSError:
            return -1

    def cpu_s(self) -> float:
        return cpu_s(self.process.pid)

    def rss_mb(self) -> float:
        return memory_kb(self.process.pid) / 1024

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def watching(ground: Ground, _: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Predictions of one core, memory over the days, the page's share of a core."""
    say(f"\nmonitor: {EVENTS:,} predictions with 15 features; faust-streaming {version('faust-streaming')}")
    watch = Watching(ground)
    try:
        watch.until(0)
        idle = watch.cpu_s()
        time.sleep(20)
        still = (watch.cpu_s() - idle) / 20
        began, memory = watch.cpu_s(), []
        for day in range(5):
            _fill(ground, day)
            watch.until((day + 1) * PER_DAY)
            memory.append(watch.rss_mb())
        each = EVENTS / (watch.cpu_s() - began)
        page = _page(watch)
        behind = sorted(_behind(ground, watch))
    finally:
        watch.stop()
    bare = _bare(ground)
    say(f"  predictions a second of CPU, counted, binned, kept, shown       {each:9,.0f}")
    say(f"  a Faust agent that only counts, take(4096)                      {bare:9,.0f}   ratio {each / bare:.2f}")
    say(f"  share of a core with nothing to count                           {still:9.1%}")
    say(f"  more with one page open                                         {page - still:9.1%}")
    say(f"  memory after each of five days, MB                      {'  '.join(f'{mb:.0f}' for mb in memory)}")
    p50, most = behind[len(behind) // 2], behind[-1]
    say(f"  from Kafka's answer for a prediction to the page, s             p50 {p50:.2f}  most {most:.2f}")
    shares = {"idle": still, "page": page - still}
    return {"each": each, "bare_faust": bare, **shares, "memory_mb": memory, "behind_s": {"p50": p50, "max": most}}


def _fill(ground: Ground, day: int) -> None:
    producer: Any = Producer({"bootstrap.servers": ground.settings.kafka, "linger.ms": 10})
    for number in range(day * PER_DAY, (day + 1) * PER_DAY):
        score = 0.9 if number % 200 == 0 else 0.001 * (number % 300)
        one = answer(number, score=score, time_ms=TIME_MS + number * 86_400_000 // PER_DAY)
        producer.produce(FRAUD.answering.name, one.value, one.key, number % FRAUD.partitions, headers=one.headers)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush(60)


def _page(watch: Watching) -> float:
    """The share of a core while a page is open."""
    connection = http.client.HTTPConnection("127.0.0.1", watch.port, timeout=30)
    connection.request("GET", "/api/live")
    answer = connection.getresponse()
    began, cpu = time.monotonic(), watch.cpu_s()
    while time.monotonic() < began + 20:
        answer.readline()
    share = (watch.cpu_s() - cpu) / (time.monotonic() - began)
    answer.close()
    connection.close()
    return share


def _behind(ground: Ground, watch: Watching) -> list[float]:
    """Seconds from when Kafka has a prediction to when an open page is told of it, of one prediction after another."""
    producer: Any = Producer({"bootstrap.servers": ground.settings.kafka, "linger.ms": 0})
    connection = http.client.HTTPConnection("127.0.0.1", watch.port, timeout=30)
    connection.request("GET", "/api/live")
    live = connection.getresponse()
    found = []
    for number in range(EVENTS, EVENTS + TOLD):
        one = answer(number, time_ms=TIME_MS + 5 * 86_400_000)
        producer.produce(FRAUD.answering.name, one.value, one.key, number % FRAUD.partitions, headers=one.headers)
        producer.flush(30)
        sent = time.monotonic()
        while _told(live.readline()) <= number:
            pass
        found.append(time.monotonic() - sent)
        time.sleep(0.37 * (number % 3))  # so that it comes at any moment between two snapshots
    live.close()
    connection.close()
    return found


def _told(line: bytes) -> int:
    """The predictions of a line of the page's stream; -1 where it tells something else."""
    said = line.removeprefix(b"data: ")
    return int(json.loads(said)["pipelines"][0]["predictions"]) if said.startswith(b"{") else -1


def _bare(ground: Ground) -> float:
    argv = [sys.executable, "-c", BARE, ground.settings.kafka, str(EVENTS), str(ground.settings.home / "faust")]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True, timeout=PATIENCE_S)
    return float(done.stdout.split()[-1])
