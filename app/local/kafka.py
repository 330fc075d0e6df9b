"""A real Apache Kafka, one broker or three (KRaft, broker and controller in one process): formatted, started, asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from app.errors import Unavailable
from app.local.broker import Broker, render, settings
from app.local.jars import Kafka, Sources
from app.local.ports import accepts
from app.local.process import Known, last_lines, start

_FORMAT_TIMEOUT_S = 60.0

# Serial and C1 only: on a machine that has other work, too, a broker starts faster and idles lighter so.
_JVM = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
)

Register = Callable[[Known], None]


def archive(kafka: Kafka) -> Path:
    """Where app/local/archive.py puts the classes, loaded once and for all, of this Kafka on this Java."""
    return kafka.root / f"classes-{kafka.java.version}.jsa"


def run(
    kafka: Kafka, arguments: Sequence[str], *, log: Path, register: Register, options: Sequence[str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts one of Kafka's programs: its class and what it is told. `options` are the JVM's, else the class archive.

    It runs in kafka.root with relative paths there: a colon in the project's path would end one of them.
    """
    if options is None:
        options = [f"-XX:SharedArchiveFile={archive(kafka).name}"] if archive(kafka).is_file() else []
    log4j = (Sources().pinned / "log4j2.properties").as_uri()
    class_path = ":".join(f"libs/{jar}" for jar in kafka.jars)
    java = [str(kafka.java.path), *_JVM, *options, f"-Dlog4j2.configurationFile={log4j}", "-cp", class_path]
    # Java reads the names of files by the locale, and would not find a home with an umlaut in it under LANG=C.
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    with log.open("ab") as out:
        return start([*java, *arguments], register, cwd=kafka.root, env=environment, stdout=out, stderr=out)


def format_data(kafka: Kafka, cluster: Sequence[Broker], *, cluster_id: str, register: Register) -> None:
    """Gives every broker that has no data its empty, formatted directory: whole, or not at all. Raises Unavailable."""
    started = []
    for broker in cluster:
        if broker.data.exists():
            continue
        broker.folder.mkdir(parents=True, exist_ok=True)
        for left in broker.folder.glob("new-*"):
            shutil.rmtree(left, ignore_errors=True)
        # Beside, and under a name of its own: a format whose starter was killed may still be at work.
        new = Path(tempfile.mkdtemp(prefix="new-", dir=broker.folder))
        configuration = new / "server.properties"
        configuration.write_text(render(settings(broker, cluster, data=new / "data")))
        arguments = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "--config", str(configuration)]
        started.append((broker, new, run(kafka, arguments, log=broker.log, register=register)))
    for broker, new, process in started:
        _await_format(broker, process)
        (new / "data").rename(broker.data)
        shutil.rmtree(new)


def _await_format(broker: Broker, process: subprocess.Popen[bytes]) -> None:
    try:
        failed = process.wait(_FORMAT_TIMEOUT_S) != 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        failed = True
    if failed:
        raise Unavailable(
            f"Kafka could not format the data of {broker.name}; its log is {broker.log} and ends:\n"
            f"{last_lines(broker.log)}"
        )


def start_broker(
    kafka: Kafka,
    broker: Broker,
    cluster: Sequence[Broker],
    *,
    register: Register,
    options: Sequence[str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts it over its data; `options` as for `run`. Whether it answers is for `answers` to say."""
    broker.configuration.write_text(render(settings(broker, cluster)))
    arguments = ["kafka.Kafka", str(broker.configuration)]
    return run(kafka, arguments, log=broker.log, register=register, options=options)


def answers(broker: Broker, brokers: int) -> bool:
    """It takes requests, and knows that many live brokers, itself among them."""
    if not accepts(broker.client_port):  # far cheaper than a client
        return False
    try:
        metadata = AdminClient({"bootstrap.servers": broker.address, "log_level": 0}).list_topics(timeout=5.0)
    except KafkaException:
        return False
    return len(metadata.brokers) == brokers
