"""What every bench stands on: topics, simulated payments, loaded lookups, and workers as the product runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from app.local.stack import Endpoints
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.settings import PROJECT, Settings
from app.simulate.events import label_events, payment_events
from app.simulate.payments import simulate
from tests.processes import cpu_s, memory_kb

CACHE = PROJECT / ".streaminfer" / "cache"


class Ground:
    """Servers with the fraud pipeline's topics on them."""

    def __init__(self, endpoints: Endpoints, home: Path) -> None:
        self.settings = Settings(kafka=endpoints.kafka, redis=endpoints.redis, home=home)
        self.payments = simulate(cache=CACHE)
        self.admin = AdminClient({"bootstrap.servers": self.settings.kafka})
        self.pipeline = FRAUD
        topics = (*FRAUD.topics(), *FRAUD_LABELS.topics())
        self.topics([NewTopic(t.name, t.partitions, 1, config=dict(t.config)) for t in topics])

    def topics(self, topics: list[NewTopic]) -> None:
        for made in self.admin.create_topics(topics).values():
            made.result(30)

    def fold_outcomes(self, count: int, *, skip: int = 0) -> None:
        """The outcomes of so many payments, folded to their end, so that no payment waits or is marked."""
        self.tell_outcomes(count, skip=skip)
        self.streaminfer("run", "fraud-labels", "--until-end")

    def tell_outcomes(self, count: int, *, skip: int = 0) -> None:
        """Put outcomes on their topic, for somebody to fold."""
        self._send("payments.labels", islice(label_events(self.payments), skip, skip + count))

    def streaminfer(self, *words: str) -> str:
        """Run the product's own command on these servers."""
        program = Path(sys.executable).with_name("streaminfer")
        found = {**os.environ, "STREAMINFER_KAFKA": self.settings.kafka, "STREAMINFER_REDIS": self.settings.redis}
        return subprocess.run([program, *words], check=True, stdout=subprocess.PIPE, text=True, env=found).stdout

    def events(self, count: int, *, skip: int = 0) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of simulated payments, in their order."""
        return islice(payment_events(self.payments, skip), count)

    def fill(self, count: int, *, skip: int = 0) -> None:
        """Put payments on the input topic, as fast as it takes them."""
        self._send("payments", self.events(count, skip=skip))

    def _send(self, topic: str, events: Iterator[tuple[bytes, bytes]]) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 10,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        for i, (key, value) in enumerate(events):
            producer.produce(topic, value, key)
            if i % 1000 == 0:
                producer.poll(0)
        producer.flush(60)

    def ends(self, topic: str = "payments") -> dict[int, int]:
        consumer = Consumer({"bootstrap.servers": self.settings.kafka, "group.id": "bench-ends"})
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in range(FRAUD.partitions)}
        consumer.close()
        return ends


class Running:
    """One worker's process, measured from outside."""

    def __init__(self, ground: Ground, pipeline: str = "fraud", *, changed: Mapping[str, object] | None = None) -> None:
        settings = json.loads(ground.settings.model_dump_json()) | dict(changed or {})
        ends = ground.ends() if pipeline == "fraud" else {}
        job = {"pipeline": pipeline, "slot": f"{pipeline}.bench-0", "settings": settings, "ends": ends}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        self.progress: dict[str, Any] = {"records": 0}
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "progress":
                self.progress = event

    def until(self, records: int) -> None:
        """Wait until so many records are committed."""
        deadline = time.monotonic() + 600
        while self.progress["records"] < records:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"The worker ended or stands still at {self.progress}.")
            time.sleep(0.005)

    def cpu_s(self) -> float:
        """User and system time of the process so far."""
        return cpu_s(self.process.pid)

    def rss_kb(self) -> int:
        return memory_kb(self.process.pid)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
