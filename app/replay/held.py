"""How long the oldest open transaction of a partition has held its records back.

Looked at without committed isolation, the only place where that is right: the record is dated, never read.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from app.access.clients import kafka_client
from app.settings import Settings

LOOK_S = 2.0


def since_ms(settings: Settings, topic: str, settled: Mapping[int, int], *, look_s: float = LOOK_S) -> dict[int, int]:
    """When the record at each partition's settled end was taken, in milliseconds since 1970, UTC.

    That record is the first one of the oldest open transaction. A partition whose record does not come within
    `look_s`, or is decided meanwhile and deleted, is left out: this is told beside the lag, not instead of it.
    """
    quiet = logging.Logger("librdkafka")
    quiet.disabled = True
    options: dict[str, Any] = {
        **kafka_client(settings),
        "group.id": "streaminfer-lag",  # a consumer must name one; nothing is ever committed for it
        "isolation.level": "read_uncommitted",
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 20,
        "fetch.message.max.bytes": 1024,  # one record is wanted; a larger one comes all the same
    }
    found: dict[int, int] = {}
    if not settled:
        return found
    consumer = Consumer(options, logger=quiet)
    try:
        left = dict(settled)
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in left.items()])
        deadline = time.monotonic() + look_s
        while left and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            partition = message.partition() or 0
            if left.pop(partition, None) == message.offset():
                found[partition] = message.timestamp()[1]
    finally:
        consumer.close()
    return found
