"""The Faust app: agents that count, one table that outlives them, timers that judge; and what Faust is told of Kafka.

Each topic has one agent. It counts a batch and writes the cells that changed into the table, those that say how far a
partition is counted last: the changelog has one partition and one writer, so what it holds is a beginning of what was
written. A monitor that starts goes on behind what it says is counted, and what comes again counts nothing twice.

The table is kept in memory and recovered from its changelog topic, whose old entries Kafka compacts away. It has one
partition, because there is one monitor. (RocksDB would spare reading the changelog at start: some megabytes.)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Iterable
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.app.base import BootStrategy
from yarl import URL

from app.access.clients import kafka_client
from app.errors import Refused, Unavailable
from app.monitor.lookup import PATIENCE_S
from app.monitor.quality import Outcomes
from app.monitor.snapshot import seen
from app.monitor.state import State
from app.monitor.transport import CommittedTransport
from app.monitor.web import Page, Pages
from app.record import Record
from app.replay.log import Log
from app.settings import Settings
from app.stream.topics import Topics
from schemas.alerts import MonitorAlert
from schemas.topics import TOPICS

log = logging.getLogger(__name__)

ALERTS = TOPICS["monitor.alerts"].name
BATCH = 4_096
WITHIN_S = 0.5
HELD_S = 600.0  # how long outcomes wait for the predictions that are there at start
AGAIN_S = 0.3
LOOK_S = 2.0
EACH_S = 1.0  # between two snapshots
SEGMENT = {"segment.bytes": "16777216", "min.cleanable.dirty.ratio": "0.1", "max.compaction.lag.ms": "600000"}


class PageFirst(BootStrategy):
    """The page is up before Kafka answers: it is what says that Kafka does not."""

    def server(self) -> Iterable[Any]:
        return self._chain(
            self.sensors(),
            self.web_server(),
            self.kafka_producer(),
            self.kafka_consumer(),
            self.agents(),
            self.kafka_conductor(),
            self.tables(),
        )


class MonitorApp(faust.App):
    """With the monitor's own transport and pages; `shown` is set before it starts."""

    BootStrategy = PageFirst
    shown: Page

    def _new_web(self) -> Any:
        return Pages(self, self.shown)


def monitor_app(settings: Settings, state: State, *, host: str, port: int) -> MonitorApp:
    """The app, ready to be run by a Faust worker."""
    app = MonitorApp(
        settings.monitor_name,
        broker=[URL(f"kafka://{address.strip()}") for address in settings.kafka.split(",")],
        broker_credentials=credentials(settings),
        store="memory://",
        datadir=str(settings.home / "monitor"),
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=5_000,  # a topic that was not there is noticed so soon
        producer_metadata_max_age_ms=5_000,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.5,
        broker_rebalance_timeout=10.0,
        broker_commit_interval=1.0,
        broker_max_poll_records=BATCH,
        stream_buffer_maxsize=BATCH,
        producer_acks=-1,
        topic_partitions=1,
        topic_replication_factor=1,
        table_standby_replicas=0,
        web_bind=host,
        web_port=port,
        web_host="127.0.0.1",
        canonical_url=URL(f"http://127.0.0.1:{port}"),
    )
    app.shown = Page(state, settings.monitor_token)
    for which in ("transport", "producer_transport"):
        transport = CommittedTransport(list(app.conf.broker), app, loop=None)
        transport.is_own = lambda topic: topic == ALERTS or topic.startswith(settings.monitor_name)
        transport.counted = state.counted
        transport.is_held = lambda topic: topic in state.held
        setattr(app, which, transport)
    table = app.Table(
        "counts",
        key_type=bytes,
        value_type=bytes,
        partitions=1,
        use_partitioner=True,
        recovery_buffer_size=1000,
        extra_topic_configs=SEGMENT,
        help="Every cell that the monitor counts, with the offset up to which it counts.",
    )

    @table.on_recover
    async def recovered() -> None:
        if not state.restored:
            state.restore([(key, value) for key, value in table.items() if value is not None])
            log.info("The monitor goes on with %d entries.", len(table), extra={"event": "restored"})

    for topic in state.readers:
        _agent(app, state, topic, table)
    _timers(app, state, settings, table)
    return app


def _agent(app: MonitorApp, state: State, topic: str, table: Any) -> None:
    async def count(stream: Any) -> None:
        async for events in stream.take_events(BATCH, within=WITHIN_S):
            records = [_record(event.message) for event in events]
            state.see(topic, records)
            _write(state, table)

    channel = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(channel, name=f"count {topic}", concurrency=1)(count)


def _record(message: Any) -> Record:
    headers = message.headers
    listed = list(headers.items()) if isinstance(headers, dict) else list(headers or ())
    timestamp = round((message.timestamp or 0.0) * 1000)
    return Record(
        message.topic, message.partition, message.offset, timestamp, message.key, message.value, listed or None
    )


def _write(state: State, table: Any) -> None:
    for key, value in state.written():
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value


async def _open(app: MonitorApp, state: State, settings: Settings) -> None:
    """Let outcomes be read once the predictions are that are there now.

    An unalarming prediction of no sample is not kept, and neither is an outcome of one: an outcome that is read before
    its prediction would be missed where that is an alert.
    """
    while not state.restored:
        await asyncio.sleep(AGAIN_S)
    deadline = time.monotonic() + HELD_S
    for topic in [topic for topic in state.readers if topic in state.held]:
        for outcomes in state.outcomes_of(topic):
            while time.monotonic() < deadline and not await _all_read(app, state, settings, outcomes):
                await asyncio.sleep(AGAIN_S)
        state.held.discard(topic)
        app.consumer.resume_partitions({tp for tp in app.consumer.assignment() if tp.topic == topic})


async def _all_read(app: MonitorApp, state: State, settings: Settings, outcomes: Outcomes) -> bool:
    topic = state.answers_for(outcomes).topic
    try:
        ends = await asyncio.to_thread(_ends, settings, topic)
        places = {tp for tp in app.consumer.assignment() if tp.topic == topic}
        positions = {tp.partition: await app.consumer.position(tp) or 0 for tp in places}
    except Refused:
        return True  # no such topic, so there are no predictions
    except (Unavailable, KafkaError):
        return False
    return all(positions.get(partition, 0) >= end for partition, end in ends.items()) and state.is_still(topic)


def _ends(settings: Settings, topic: str) -> dict[int, int]:
    with contextlib.closing(Log(settings, settings.monitor_name, patience_s=PATIENCE_S)) as found:
        return found.ends(topic, found.partitions(topic), settled=True)


def _timers(app: MonitorApp, state: State, settings: Settings, table: Any) -> None:
    alerts = app.topic(
        ALERTS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", partitions=1
    )

    declared: list[bool] = []

    judged = asyncio.Event()

    async def first() -> None:
        """From when the page is up: Faust's timers begin when Kafka answers, and the page says when it does not."""
        state.arrivals.start()
        state.lags.start()
        looking = asyncio.create_task(_look(settings, state))
        while not judged.is_set():
            app.shown.show(seen(state))
            await asyncio.sleep(EACH_S)
        await looking

    app.shown.first = first

    @app.timer(EACH_S)  # type: ignore[untyped-decorator]
    async def judge() -> None:
        judged.set()
        snapshot = seen(state)
        app.shown.show(snapshot)
        if state.restored:
            if not declared:
                await alerts.maybe_declare()
                declared.append(True)
            for alert in state.alerts.judge(snapshot.pipelines, snapshot.at_ms):
                await tell(alert)
            _write(state, table)

    async def tell(alert: MonitorAlert) -> None:
        log.warning("%s (%s)", alert.summary, alert.state, extra={"event": "alert"})
        await alerts.send(key=alert.alert_id.encode(), value=alert.model_dump_json().encode())

    @app.task  # type: ignore[untyped-decorator]
    async def open_outcomes() -> None:
        await _open(app, state, settings)


async def _look(settings: Settings, state: State) -> None:
    """Which of the topics are there, for the page to say so."""
    topics = Topics(settings, patience_s=PATIENCE_S)
    while True:
        missing = await asyncio.to_thread(_missing, topics, list(state.readers))
        if missing is not None:
            state.there = set(state.readers) - missing
        await asyncio.sleep(LOOK_S)


def _missing(topics: Topics, wanted: list[str]) -> set[str] | None:
    try:
        return set(topics.missing(wanted))
    except Unavailable:
        return None


def credentials(settings: Settings) -> Any:
    """How clients get in, as Faust takes it. Raises Refused for what aiokafka cannot do."""
    options = kafka_client(settings)
    protocol = options.get("security.protocol", "plaintext").lower()
    context: ssl.SSLContext | None = None
    if protocol.endswith("ssl"):
        context = ssl.create_default_context(cafile=options.get("ssl.ca.location"))
        if certificate := options.get("ssl.certificate.location"):
            context.load_cert_chain(certificate, options.get("ssl.key.location"), options.get("ssl.key.password"))
    if not protocol.startswith("sasl"):
        return faust.SSLCredentials(context) if context is not None else None
    mechanism = options.get("sasl.mechanism", options.get("sasl.mechanisms", "")).upper()
    if mechanism not in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        raise Refused(f"The monitor cannot log in to Kafka by {mechanism}: PLAIN and SCRAM are what its client knows.")
    return faust.SASLCredentials(
        username=options.get("sasl.username"),
        password=options.get("sasl.password"),
        mechanism=mechanism,
        ssl_context=context,
    )
