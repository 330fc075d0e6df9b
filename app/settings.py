"""Where the services are and how the loop behaves: flags, then STREAMINFER_* variables, then a file, then `up`.

Reading settings is the only way that the environment gets in.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from app.access.clients import kafka_client
from app.access.declared import Access
from app.errors import Refused, Unavailable

PROJECT = Path(__file__).resolve().parent.parent
HEARTBEAT_MS = 500

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

# A connection that is dead and does not say so is given up after this; the default of a minute stops its partitions.
SOCKET_TIMEOUT_MS = 10_000


def home_folder() -> Path:
    """Where this machine's servers, locks and caches live: $STREAMINFER_HOME, or .streaminfer in the project."""
    return Path(os.environ.get("STREAMINFER_HOME") or PROJECT / ".streaminfer").resolve()


class Settings(Access):
    """Every setting, with its unit in its name. Immutable once read."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMINFER_",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
        ser_json_inf_nan="strings",  # a worker gets its settings as JSON, which has no infinity
    )

    home: Path = Field(default_factory=home_folder, description="Where servers, locks and caches live.")
    kafka: str = Field(min_length=1, description="Kafka's bootstrap servers, host:port[,host:port].")
    redis: str = Field(
        min_length=1,
        description="The Redis or Valkey with the state, as a URL; a cluster as redis+cluster://host:port[,host:port].",
    )
    kafka_options: dict[str, str] = Field(
        default_factory=dict, description="Further librdkafka settings for every client."
    )
    models: Path = Field(default=PROJECT / "models", description="The folder with <model>/<version>/model.yaml.")
    versions: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description="Which version of a model scores, by the model's name, in place of the one its pipeline declares.",
    )

    group_protocol: Literal["classic", "consumer"] = Field(
        default="classic", description="classic: range, static members. consumer: KIP-848, dynamic members."
    )
    static_members: bool | None = Field(
        default=None, description="Whether a restarted worker keeps its partitions. Default: yes on classic groups."
    )
    leave_at_end: bool | None = Field(
        default=None,
        description="Whether a run that ends gives its partitions up at once, or keeps them for its session, to be "
        "started again. Default: a run that --instance names keeps them, unless it runs --until-end.",
    )
    session_timeout_ms: int = Field(default=6_000, ge=1_000, description="How long a silent worker keeps partitions.")
    max_poll_interval_ms: int = Field(
        default=120_000, ge=10_000, description="How long a worker may go without a poll before it loses partitions."
    )
    transaction_timeout_ms: int = Field(default=20_000, ge=2_000, description="When the broker aborts by itself.")
    commit_deadline_s: float = Field(default=15.0, gt=0, description="When a worker gives a transaction up.")

    batch_records: int = Field(default=512, ge=1, le=10_000, description="Records in one transaction at most.")
    flush_every_s: float = Field(default=1.0, gt=0, description="How often committed state goes to Redis.")
    entities_in_memory: int = Field(default=200_000, ge=1_000, description="Hot states a worker keeps.")
    behind: Literal["mark", "wait"] = Field(
        default="mark", description="Where another pipeline's view is behind an event: wait for it, or mark the answer."
    )
    wait_s: float = Field(default=5.0, gt=0, description="How long behind=wait waits before it marks all the same.")
    pace_days: float = Field(
        default=7.0, ge=0, description="How far a fold-only pipeline may go ahead of readers that wait; inf: any."
    )
    lookup_rows_in_memory: int = Field(default=500_000, ge=1_000, description="Rows of lookups a worker keeps.")
    redis_timeout_s: float = Field(default=1.0, gt=0, description="How long an answer of Redis is waited for.")
    dirty_entities: int = Field(
        default=100_000, ge=1_000, description="States that a worker keeps for a Redis that is away, before it waits."
    )
    consumer_queue_kbytes: int = Field(
        default=16_384, ge=1_024, description="Records that a worker has fetched and not yet taken."
    )
    producer_queue_kbytes: int = Field(
        default=262_144, ge=16_384, description="Answers that a worker has on their way to Kafka."
    )
    score_deadline_s: float = Field(
        default=20.0, gt=0, description="When a worker that scores a batch counts as hung and is ended."
    )
    dead_letter_limit: float = Field(
        default=0.05, ge=0, le=1, description="The share of the last 1,000 records that may be dead letters; 1: all."
    )
    accept_dead_letters: int = Field(default=0, ge=0, description="Dead letters beyond the limit that are let through.")
    accept_incomplete: bool = Field(
        default=False, description="Score although the log does not reach back over the views' horizon, and mark it."
    )

    worker_rate: float = Field(
        default=20_000, gt=0, description="Events a second that one worker is counted on for, in workers_wanted."
    )
    drain_s: float = Field(
        default=60.0, gt=0, description="How soon the workers that are wanted have scored what is left, in seconds."
    )

    observe: str = Field(
        default="auto",
        description="Where a run answers /metrics, /healthz and /readyz: HOST:PORT, auto (on loopback, the first free "
        "port from 9464 on) or off.",
    )
    log_format: Literal["human", "json"] = Field(default="human", description="How log lines look.")
    otlp_url: str | None = Field(
        default=None,
        description="Where a span for each batch goes: OTLP over HTTP, http://HOST:4318/v1/traces. Default: nowhere.",
    )

    monitor_web: str = Field(
        default="auto",
        description="Where the monitor's page is: HOST:PORT, or auto (on loopback, the first free port from 9570 on).",
    )
    monitor_token: str | None = Field(
        default=None, min_length=16, description="What opens the monitor's page; without one it stays on loopback."
    )
    monitor_share: float = Field(
        default=0.05, gt=0, le=1, description="The share of unalarming predictions that wait for their outcomes."
    )
    monitor_name: str = Field(
        default="streaminfer-monitor",
        pattern=r"^[a-z][a-z0-9-]{0,62}$",
        description="The monitor's group and the beginning of its own topics: two monitors need two names.",
    )

    @field_validator("monitor_web")
    @classmethod
    def _page(cls, address: str) -> str:
        if address != "auto" and not _is_address(address):
            raise ValueError("it must be HOST:PORT such as 127.0.0.1:9570, or auto")
        return address

    @field_validator("observe")
    @classmethod
    def _address(cls, address: str) -> str:
        if address not in ("auto", "off") and not _is_address(address):
            raise ValueError("it must be HOST:PORT such as 127.0.0.1:9464, or auto, or off")
        return address

    @field_validator("otlp_url")
    @classmethod
    def _url(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/]", url):
            raise ValueError("it must be a URL such as http://127.0.0.1:4318/v1/traces")
        return url

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
        assert isinstance(init_settings, InitSettingsSource)
        file = InitSettingsSource(settings_cls, read_file(settings_file(init_settings.init_kwargs.get("home"))))
        return (init_settings, env_settings, file, Started(settings_cls))


def _is_address(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and port.isascii() and port.isdecimal() and int(port) < 65536


def settings_file(home: Path | str | None = None) -> Path | None:
    """The file that STREAMINFER_SETTINGS names, or settings.toml in the home; None where there is none."""
    named = os.environ.get("STREAMINFER_SETTINGS")
    path = Path(named) if named else Path(home or home_folder()) / "settings.toml"
    if named and not path.is_file():
        raise Refused(f"STREAMINFER_SETTINGS names {named}, which is not a file.", exit_code=2)
    return path if path.exists() else None


def read_file(path: Path | None) -> dict[str, Any]:
    """What a settings file says. Raises Refused where it cannot be read, or says what is no setting."""
    if path is None:
        return {}
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"The settings file {path} is no TOML: {error}.", exit_code=2) from None
    except UnicodeDecodeError:
        raise Refused(f"The settings file {path} is no TOML: it is not UTF-8.", exit_code=2) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a list in a list in a list ...
        raise Refused(f"The settings file {path} says what no setting is: {error}.", exit_code=2) from None
    except OSError as error:
        raise Refused(f"The settings file {path} cannot be read: {error.strerror}.", exit_code=2) from None
    for name in said:
        if name not in Settings.model_fields:
            near = _nearest(name, {one: one for one in Settings.model_fields})
            raise Refused(f"{name}, in the settings file {path}, is no setting{near}", exit_code=2)
    return said


def _nearest(name: str, known: Mapping[str, str]) -> str:
    """The end of a sentence about a name that is none: the one that may have been meant, or all of `known`."""
    close = get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {known[close[0]]}?" if close else f". There are {', '.join(sorted(known.values()))}."


class Started(PydanticBaseSettingsSource):
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
    refuse_unknown()
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except SettingsError as error:
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
        said = first["msg"].removeprefix("Value error, ")
        raise Refused(f"{name}: {said}{_said_by(first['loc'], flags)}.", exit_code=2) from None


def _said_by(place: tuple[int | str, ...], flags: dict[str, Any]) -> str:
    """The end of a sentence about a setting that is wrong: who gave it, where that is not plain to see."""
    name = str(place[0]) if place else ""
    if not name or flags.get(name) is not None:
        return ""
    if os.environ.get(variable := f"STREAMINFER_{name.upper()}"):
        return f" (from {variable})"
    path = settings_file(flags.get("home"))
    return f" (from {path})" if name in read_file(path) else ""


def refuse_unknown() -> None:
    """Raises Refused for a variable that looks like a setting and is none."""
    known = {name: f"STREAMINFER_{name.upper()}" for name in (*Settings.model_fields, "settings")}
    for variable in sorted(os.environ):
        if variable.startswith("STREAMINFER_") and variable not in known.values():
            near = _nearest(variable.removeprefix("STREAMINFER_"), known)
            raise Refused(f"{variable} is no setting{near}", exit_code=2)


def consumer_config(settings: Settings, *, group: str, slot: str) -> dict[str, Any]:
    """A member of `group`; exactness first (protocol A2), then what keeps a busy loop fed."""
    config: dict[str, Any] = {
        "fetch.queue.backoff.ms": 10,  # the default of a second starves a loop that empties the queue in less
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": settings.consumer_queue_kbytes,
        "socket.timeout.ms": SOCKET_TIMEOUT_MS,
        **kafka_client(settings),
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
        # By its heartbeat a member learns that partitions are shared out anew, and the first waits for the last: this
        # is how long a partition stops when a worker joins, however long the session is.
        config["heartbeat.interval.ms"] = min(HEARTBEAT_MS, settings.session_timeout_ms // 4)
    if settings.is_static:
        config["group.instance.id"] = slot
    return config


def producer_config(settings: Settings, *, slot: str, max_record_bytes: int) -> dict[str, Any]:
    """A transactional producer; the id comes from its owner."""
    return {
        "socket.timeout.ms": min(SOCKET_TIMEOUT_MS, settings.transaction_timeout_ms),
        "retry.backoff.ms": 5,  # waits for the other producer's markers in small steps
        "retry.backoff.max.ms": 100,
        "linger.ms": 0,
        "queue.buffering.max.kbytes": settings.producer_queue_kbytes,
        **kafka_client(settings),
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
