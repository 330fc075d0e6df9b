"""A monitor on topics of its own, run as a process, killed at will, and asked as the page asks it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import uuid
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from app.settings import Settings
from tests.contract.loop.rig import pipeline_of, wait_for

FEATURES = pipeline_of("x").features
DAY_MS = 86_400_000
TIME_MS = 1_700_000_000_000
PIPELINE = """
from tests.contract.loop.rig import pipeline_of
pipeline = pipeline_of({tag!r})
"""


class Monitored:
    """One pipeline's topics, and a monitor that may die; it dies with this process, which holds its standard input."""

    def __init__(self, kafka: str, home: Path, **settings: Any) -> None:
        self.tag = uuid.uuid4().hex[:8]
        self.pipeline = pipeline_of(self.tag)
        self.labels = self.pipeline.lookups[0].of  # type: ignore[union-attr]
        self.kafka, self.home = kafka, home
        self.settings = Settings(
            kafka=kafka, redis="-", home=home, monitor_name=f"monitor-{self.tag}", **{"monitor_share": 1.0, **settings}
        )
        (home / "own.py").write_text(PIPELINE.format(tag=self.tag))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.sent = 0

    def make_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.kafka})
        specs = [*self.pipeline.topics(), *self.labels.topics()]
        made = admin.create_topics([NewTopic(s.name, s.partitions, 1, config=dict(s.config)) for s in specs])
        for future in made.values():
            future.result(30)

    # -- what is on the topics -----------------------------------------------------------------------------------------

    def predictions(self, numbers: Iterable[int], *, aborted: bool = False, **fields: Any) -> None:
        """Answers in one transaction, which ends in the one way or in the other."""
        producer = Producer(
            {"bootstrap.servers": self.kafka, "transactional.id": f"t-{self.tag}-{uuid.uuid4().hex[:6]}"}
        )
        producer.init_transactions(30)
        producer.begin_transaction()
        for number in numbers:
            producer.produce(
                self.pipeline.answering.name,
                json.dumps(prediction(number, **fields)).encode(),
                str(number % 7).encode(),
                number % self.pipeline.partitions,
                headers=[("source", f"{self.pipeline.source.name}/0/{number}".encode())],
            )
        producer.flush(30)
        if aborted:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)

    def send(self, topic: str, *values: bytes, headers: Any = None) -> None:
        producer = Producer({"bootstrap.servers": self.kafka})
        for value in values:
            producer.produce(topic, value, b"key", 0, headers=headers)
        assert producer.flush(30) == 0

    def label(self, number: int, *, fraud: bool, after_days: int = 7) -> None:
        at = time_of(number)
        value = {"payment_id": str(number), "terminal_id": "1", "payment_time_ms": at}
        value |= {"known_at_ms": at + after_days * DAY_MS, "fraud": fraud}
        self.send(self.labels.source.name, json.dumps(value).encode())

    # -- the monitor ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        job = {
            "pipelines": [f"{self.home / 'own.py'}:pipeline"],
            "settings": json.loads(self.settings.model_dump_json()),
            "host": "127.0.0.1",
            "port": self.port,
        }
        with (self.home / "log").open("ab") as log:
            argv = [sys.executable, "-m", "app.monitor"]
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process = None

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    def ask(self, path: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Status, what is said, and the headers of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = b"" if path == "/api/live" and answer.status == 200 else answer.read()
        answer.close()
        connection.close()
        said = json.loads(body) if body and "json" in answer.headers.get("Content-Type", "") else body
        return answer.status, said, dict(answer.headers)

    def seen(self) -> dict[str, Any] | None:
        """The snapshot; None while the page is not up."""
        if self.process is not None and self.process.poll() == 75:
            self.kill()
            self.start()  # as the command does
        try:
            status, said, _ = self.ask("/api/seen")
            return dict(said) if status == 200 else {}
        except (OSError, http.client.HTTPException):
            return None

    def until(self, what: str, ready: Any, *, within_s: float = 150.0) -> dict[str, Any]:
        """The pipeline as the page is told of it, once it is so."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            snapshot = self.seen()
            found[:] = (
                [snapshot["pipelines"][0] | {"monitor": snapshot["monitor"], "alerts": snapshot["alerts"]}]
                if (snapshot)
                else []
            )
            return bool(found) and bool(ready(found[0]))

        try:
            wait_for(what, look, within_s=within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{found}\n{self.log[-3000:]}") from None
        return found[0]

    def live(self) -> Generator[dict[str, Any], None, None]:
        """What is sent as it happens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", "/api/live")
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
        try:
            while True:
                assert answer.readline() == b"event: seen\n"
                yield json.loads(answer.readline().removeprefix(b"data: "))
                assert answer.readline() == b"\n"
        finally:
            answer.close()
            connection.close()


def time_of(number: int) -> int:
    return TIME_MS + number % 3 * DAY_MS + number


def prediction(number: int, *, score: float | None = None, marks: tuple[str, ...] = (), **features: float) -> Any:
    """An answer as the pipeline writes them; every tenth is an alert."""
    said = (0.9 if number % 10 == 0 else 0.01) if score is None else score
    return {
        "id": f"p{number}",
        "event_id": str(number),
        "customer_id": str(number % 7),
        "time_ms": time_of(number),
        "score": said,
        "threshold": 0.5,
        "decision": "alert" if said >= 0.5 else "pass",
        "model": {"name": "fraud", "version": 1},
        "features": dict.fromkeys(FEATURES, 0.5) | {"amount": float(number % 100)} | features,
        "marks": list(marks),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
