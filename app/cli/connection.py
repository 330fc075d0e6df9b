"""The flags that say where the services are, the same for every command that needs one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from app.errors import Refused

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
    *, kafka: str | None = None, redis: str | None = None, home: Path | None = None, needs: str = "both"
) -> Settings:
    """The settings, these flags first. `needs` is kafka, redis or both: what is not needed may be unknown.

    Raises Unavailable where nothing says where a needed service is, Refused where a setting is wrong.
    """
    from app.settings import load_settings

    found = load_settings(
        kafka=NOT_NEEDED if needs == "redis" else kafka, redis=NOT_NEEDED if needs == "kafka" else redis, home=home
    )
    if needs != "kafka" and not _is_url_of_redis(found.redis):
        raise Refused("redis: it must be a URL such as redis://127.0.0.1:6379/0.", exit_code=2)
    return found


def _is_url_of_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
    except ValueError:
        return False
