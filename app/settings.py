"""Where the services are and how the loop behaves: flags, then STREAMINFER_* variables, then a file, then `up`.

Reading settings is the only way that the environment gets in.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from app.errors import Refused, Unavailable

PROJECT = Path(__file__).resolve().parent.parent

# What exactness stands on is not a setting.
OURS = frozenset(
    {
        "bootstrap.servers", "metadata.broker.list", "client.id", "group.id", "group.instance.id", "group.protocol",
        "enable.auto.commit", "auto.commit.enable", "enable.auto.offset.store", "auto.offset.reset",
        "enable.partition.eof", "isolation.level", "partition.assignment.strategy", "session.timeout.ms",
        "heartbeat.interval.ms", "max.poll.interval.ms", "transactional.id", "transaction.timeout.ms",
        "enable.idempotence", "acks", "request.required.acks", "retries", "message.send.max.retries",
        "message.timeout.ms", "delivery.timeout.ms", "max.in.flight", "max.in.flight.requests.per.connection",
        "partitioner", "delivery.report.only.error", "message.max.bytes",
    }
)  # fmt: skip


def home_folder() -> Path:
    """Where this machine's servers, locks and caches live: $STREAMINFER_HOME, or .streaminfer in the project."""
    return Path(os.environ.get("STREAMINFER_HOME") or PROJECT / ".streaminfer").resolve()


class Settings(BaseSettings):
    """Every setting, with its unit in its name. Immutable once read."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMINFER_", env_ignore_empty=True, extra="forbid", frozen=True, validate_default=True
    )

    home: Path = Field(default_factory=home_folder, description="Where servers, locks and caches live.")
    kafka: str = Field(min_length=1, description="Kafka's bootstrap servers, host:port[,host:port].")
    redis: str = Field(min_length=1, description="The Redis or Valkey with the state, as a URL.")
    kafka_options: dict[str, str] = Field(
        default_factory=dict, description="Further librdkafka settings for every client, such as those of security."
    )
    models: Path = Field(default=PROJECT / "models", description="The folder with <model>/<version>/model.yaml.")

    group_protocol: Literal["classic", "consumer"] = Field(
        default="classic", description="classic: range, static members. consumer: KIP-848, dynamic members."
    )
    static_members: bool | None = Field(
        default=None, description="Whether a restarted worker keeps its partitions. Default: yes on classic groups."
    )
    session_timeout_ms: int = Field(default=6_000, ge=1_000, description="How long a silent worker keeps partitions.")
    max_poll_interval_ms: int = Field(default=120_000, ge=10_000)
    transaction_timeout_ms: int = Field(default=20_000, ge=2_000, description="When the broker aborts by itself.")
    commit_deadline_s: float = Field(default=15.0, gt=0, description="When a worker gives a transaction up.")

    batch_records: int = Field(default=512, ge=1, le=10_000, description="Records in one transaction at most.")
    flush_every_s: float = Field(default=1.0, gt=0, description="How often committed state goes to Redis.")
    entities_in_memory: int = Field(default=200_000, ge=1_000, description="Hot states a worker keeps.")
    lookup_rows_in_memory: int = Field(default=500_000, ge=1_000, description="Rows of lookups a worker keeps.")
    redis_timeout_s: float = Field(default=1.0, gt=0)
    accept_incomplete: bool = Field(
        default=False, description="Score although the log does not reach back over the views' horizon, and mark it."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.resolve()

    @field_validator("kafka_options")
    @classmethod
    def _refuse_ours(cls, options: dict[str, str]) -> dict[str, str]:
        if taken := sorted(set(options) & OURS):
            raise ValueError(f"{', '.join(taken)} cannot be set: exactly-once depends on it")
        return options

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.group_protocol == "consumer" and self.static_members:
            raise ValueError(
                "static_members does not go with group_protocol=consumer: a restarted worker would be refused until "
                "the dead one's session ends"
            )
        if self.session_timeout_ms > self.max_poll_interval_ms:
            raise ValueError("session_timeout_ms must not be longer than max_poll_interval_ms")
        if self.commit_deadline_s * 1000 >= self.transaction_timeout_ms:
            raise ValueError("commit_deadline_s must be shorter than transaction_timeout_ms")
        return self

    @property
    def is_static(self) -> bool:
        return self.group_protocol == "classic" if self.static_members is None else self.static_members

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic names it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic names it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        named = os.environ.get("STREAMINFER_SETTINGS")
        path = Path(named) if named else home_folder() / "settings.toml"
        if named and not path.is_file():
            raise Refused(f"STREAMINFER_SETTINGS names {named}, which is not a file.", exit_code=2)
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, path), _Started(settings_cls))


class _Started(PydanticBaseSettingsSource):
    """What `streaminfer up` started in this home, if it is alive."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic's
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        from app.local.stack import Stack  # only those who have no other address need the room

        given = {**self.current_state}
        if given.get("kafka") and given.get("redis"):
            return {}
        endpoints = Stack(Path(given.get("home") or home_folder())).endpoints()
        return {"kafka": endpoints.kafka, "redis": endpoints.redis} if endpoints else {}


def load_settings(**flags: Any) -> Settings:
    """Read the settings; flags that are None do not count.

    Raises Unavailable where nothing says where Kafka or Redis is, Refused where a setting is wrong.
    """
    _refuse_unknown()
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except (SettingsError, tomllib.TOMLDecodeError) as error:
        raise Refused(f"The settings cannot be read: {error}.", exit_code=2) from None
    except ValidationError as error:
        missing = sorted(str(e["loc"][0]) for e in error.errors() if e["type"] == "missing")
        if missing:
            raise Unavailable(
                f"Nothing says where to find {' and '.join(missing)}. Run `streaminfer up`, or set "
                f"{' and '.join('STREAMINFER_' + name.upper() for name in missing)}."
            ) from None
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "the settings"
        raise Refused(f"{name}: {first['msg'].removeprefix('Value error, ')}.", exit_code=2) from None


def _refuse_unknown() -> None:
    known = {f"STREAMINFER_{name.upper()}" for name in Settings.model_fields} | {"STREAMINFER_SETTINGS"}
    if unknown := sorted(name for name in os.environ if name.startswith("STREAMINFER_") and name not in known):
        raise Refused(f"{', '.join(unknown)} is no setting. There are {', '.join(sorted(known))}.", exit_code=2)


def consumer_config(settings: Settings, *, group: str, slot: str) -> dict[str, Any]:
    """A member of `group`; exactness first (protocol A2), then what keeps a busy loop fed."""
    config: dict[str, Any] = {
        "fetch.queue.backoff.ms": 10,  # the default of a second starves a loop that empties the queue in less
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": 16_384,
        **settings.kafka_options,
        "bootstrap.servers": settings.kafka,
        "client.id": slot,
        "group.id": group,
        "group.protocol": settings.group_protocol,
        "isolation.level": "read_committed",  # also makes the committed offsets wait for open transactions
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # where to start is decided from what is committed, never guessed
        "enable.partition.eof": True,
        "max.poll.interval.ms": settings.max_poll_interval_ms,
    }
    if settings.group_protocol == "classic":
        config["partition.assignment.strategy"] = "range"
        config["session.timeout.ms"] = settings.session_timeout_ms
        config["heartbeat.interval.ms"] = max(200, settings.session_timeout_ms // 4)
    if settings.is_static:
        config["group.instance.id"] = slot
    return config


def producer_config(settings: Settings, *, slot: str, max_record_bytes: int) -> dict[str, Any]:
    """A transactional producer; the id comes from its owner."""
    return {
        "socket.timeout.ms": min(10_000, settings.transaction_timeout_ms),
        "retry.backoff.ms": 5,  # waits for the other producer's markers in small steps
        "retry.backoff.max.ms": 100,
        "linger.ms": 0,
        **settings.kafka_options,
        "bootstrap.servers": settings.kafka,
        "client.id": slot,
        "transaction.timeout.ms": settings.transaction_timeout_ms,
        "message.timeout.ms": int(settings.commit_deadline_s * 1000),
        "delivery.report.only.error": True,
        "partitioner": "murmur2_random",  # the Java client's: an entity keeps its partition whoever produces
        "message.max.bytes": max_record_bytes + 64 * 1024,
    }


def host() -> str:
    """This machine's name, as far as a transactional id may hold it."""
    return re.sub(r"[^a-zA-Z0-9.-]", "-", socket.gethostname())[:60] or "host"
