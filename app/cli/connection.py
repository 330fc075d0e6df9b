"""The flags that say where the services are, the same for every command that needs one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from app.errors import Refused
from app.telemetry.masking import learn

if TYPE_CHECKING:
    from app.settings import Settings

Kafka = Annotated[str | None, typer.Option("--kafka", metavar="HOST:PORT,...", help="Kafka's bootstrap servers.")]
Redis = Annotated[str | None, typer.Option("--redis", metavar="URL", help="The Redis or Valkey with the state.")]
Home = Annotated[
    Path | None,
    typer.Option("--home", metavar="FOLDER", help="Where `up` keeps its servers. Default: $STREAMINFER_HOME, or here."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


NOT_NEEDED = "not needed"


def settings(
    *,
    kafka: str | None = None,
    redis: str | None = None,
    home: Path | None = None,
    needs: str = "both",
    pipeline: str | None = None,
    enter: bool = True,
    **others: object,
) -> Settings:
    """The settings, these flags first, `others` by their settings' names.

    `needs` is kafka, redis or both: what is not needed may be unknown. What is secret in them is shown by nobody after.
    Each that is needed is tried, unless not to `enter` them: what no waiting mends is refused here.

    The models of a `pipeline` in a file of its own lie beside that file, unless a setting says where.

    Raises Unavailable where nothing says where a needed service is, Refused where a setting is wrong.
    """
    from app.access.clients import secrets
    from app.access.entry import enter_kafka, enter_redis
    from app.access.files import refuse_unusable
    from app.settings import load_settings

    found = load_settings(
        kafka=NOT_NEEDED if needs == "redis" else kafka,
        redis=NOT_NEEDED if needs == "kafka" else redis,
        home=home,
        **others,
    )
    learn([found.redis, found.kafka, found.otlp_url], found.kafka_options | secrets(found))
    if needs != "kafka" and not _is_url_of_redis(found.redis):
        like = "redis://127.0.0.1:6379/0, or redis+cluster://host:port,host:port for a cluster"
        raise Refused(f"redis: it must be a URL such as {like}.", exit_code=2)
    if pipeline is not None and "models" not in found.model_fields_set:
        from app.pipelines import models_beside

        if (beside := models_beside(pipeline)) is not None:
            found = found.model_copy(update={"models": beside})
    refuse_unusable(found, kafka=needs != "redis", redis=needs != "kafka")
    if enter and needs != "redis":
        enter_kafka(found)
    if enter and needs != "kafka":
        enter_redis(found)
    return found


def _is_url_of_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        scheme, plus, kind = parts.scheme.partition("+")
        hosts = parts.netloc.rpartition("@")[2]
        ports = [urlsplit(f"//{host}").port for host in (hosts.split(",") if plus else [hosts])]
        allowed = kind == "cluster" and scheme != "unix" if plus else not kind
        return scheme in ("redis", "rediss", "unix") and allowed and 0 not in ports
    except ValueError:
        return False
