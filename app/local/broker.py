"""What a broker is told: its number, its ports, its settings, as a properties file. No process, no network.

Three brokers replicate each topic three times and go on when any one of them dies. The settings are for a development
machine: what a group or a transaction waits for is short, and nothing is deleted by age.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.errors import Refused
from app.local.ports import HOST

_SETTINGS = {
    "process.roles": "broker,controller",
    "inter.broker.listener.name": "CLIENT",
    "controller.listener.names": "CONTROLLER",
    # A misspelt topic is an error, not a new topic.
    "auto.create.topics.enable": "false",
    # Event time is not record time: records stamped with an old event's time would be deleted by age within minutes.
    "log.message.timestamp.type": "LogAppendTime",
    "log.retention.ms": "-1",
    # The log is kept for ever, so its readers' positions are too: a home may be down for weeks.
    "offsets.retention.minutes": "2147483647",
    "num.partitions": "4",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "3000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "log.segment.bytes": "67108864",
}

# A killed broker is let in again only when the session of its former life has ended.
_SETTINGS_OF_ONE = {
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}

# A dead broker is missed, and a new leader found, within seconds.
_SETTINGS_OF_THREE = {
    "unclean.leader.election.enable": "false",
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "1000",
    "controller.quorum.election.timeout.ms": "1000",
    "controller.quorum.fetch.timeout.ms": "2000",
    "replica.lag.time.max.ms": "5000",
}


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One more listener of a broker, and the address that it tells clients who came by it: of what stands between."""

    port: int
    advertised: str


@dataclass(frozen=True, slots=True)
class Broker:
    """One server of the cluster; `folder` has its configuration, its log and its data."""

    number: int
    folder: Path
    client_port: int
    controller_port: int
    outer: Outer | None = None

    @property
    def name(self) -> str:
        return f"kafka-{self.number}"

    @property
    def address(self) -> str:
        return f"{HOST}:{self.client_port}"

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def configuration(self) -> Path:
        return self.folder / "server.properties"


def new_cluster_id() -> str:
    """16 bytes in Kafka's own way of writing. The first is fixed, so that it never begins like an option."""
    return base64.urlsafe_b64encode(b"\x04" + os.urandom(15)).decode().rstrip("=")


def settings(broker: Broker, cluster: Sequence[Broker], *, data: Path | None = None) -> dict[str, str]:
    """The whole configuration of one broker; `data` is another directory than its own, while that is being made."""
    copies, needed = ("3", "2") if len(cluster) == 3 else ("1", "1")
    voters = ",".join(f"{one.number}@{HOST}:{one.controller_port}" for one in cluster)
    listeners = {"CLIENT": broker.address, "CONTROLLER": f"{HOST}:{broker.controller_port}"}
    advertised = {"CLIENT": broker.address}
    if broker.outer is not None:
        listeners["OUTER"], advertised["OUTER"] = f"{HOST}:{broker.outer.port}", broker.outer.advertised
    return {
        **_SETTINGS,
        **(_SETTINGS_OF_THREE if len(cluster) > 1 else _SETTINGS_OF_ONE),
        "node.id": str(broker.number),
        "controller.quorum.voters": voters,
        "listeners": _named(listeners),
        "advertised.listeners": _named(advertised),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
        "log.dirs": str(data or broker.data),
        "default.replication.factor": copies,
        "min.insync.replicas": needed,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": needed,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": needed,
    }


def _named(addresses: dict[str, str]) -> str:
    return ",".join(f"{name}://{address}" for name, address in addresses.items())


def render(properties: dict[str, str]) -> str:
    """A Java properties file: ASCII, with escapes. Raises Refused for a directory that Kafka cannot be told."""
    if "," in properties["log.dirs"]:
        raise Refused(
            f"Kafka reads the comma in {properties['log.dirs']} as the end of one directory and the start of another: "
            "set STREAMINFER_HOME to a path without a comma."
        )
    return "".join(f"{key}={_escaped(value)}\n" for key, value in properties.items())


def _escaped(value: str) -> str:
    utf16 = value.replace("\\", "\\\\").encode("utf-16-be")
    units = (int.from_bytes(utf16[at : at + 2]) for at in range(0, len(utf16), 2))
    return "".join(chr(unit) if 0x20 <= unit < 0x7F else f"\\u{unit:04x}" for unit in units)
