"""`acls`: the least rights that a pipeline needs, to be pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.connection import Home, Json, Kafka, Redis, settings
from app.cli.naming import PipelineName
from app.cli.terminal import say, say_json
from app.errors import Unavailable

if TYPE_CHECKING:
    from app.access.rights import Rights
    from app.settings import Settings

SOMEWHERE = {"kafka": "HOST:9092", "redis": "redis://HOST:6379"}


def add_to(cli: typer.Typer) -> None:
    cli.command("acls")(acls)


def acls(
    pipeline: PipelineName,
    principal: Annotated[
        str | None,
        typer.Option(
            "--principal",
            metavar="User:NAME",
            help="Who gets the rights, as Kafka calls it. Default: the settings' user, or else the pipeline's name.",
        ),
    ] = None,
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the least rights that suffice: to run a pipeline, and to look at it.

    Lines for Kafka's kafka-acls.sh and for redis-cli, ready to be pasted; PASSWORD is yours to put in. Asks nobody.
    For whom looks (audit, lag, tail, features get and verify) there is a second, smaller set.

    \b
    Examples:
      streaminfer acls fraud
      streaminfer acls fraud --principal User:scorer --json
    """
    from app.access.rights import to_read, to_run
    from app.pipelines import pipeline_named

    chosen = pipeline_named(pipeline)
    where = _where(kafka=kafka, redis=redis, home=home)
    who = principal or _principal(where, chosen.name)
    roles = {"run": (who, to_run(chosen, where)), "look": (f"{who}-reader", to_read(chosen, where))}
    if as_json:
        say_json({role: _as_object(name, rights, where) for role, (name, rights) in roles.items()})
        return
    for role, (name, rights) in roles.items():
        say(f"# {'run' if role == 'run' else 'audit, lag, tail, status, features get and verify'}")
        for line in rights.kafka_lines(name, where.kafka):
            say(line)
        say(rights.redis_line(_user(name)))


def _where(**flags: Any) -> Settings:
    """The settings; where nothing says where a server is, its place is held by a word."""
    try:
        return settings(enter=False, **flags)
    except Unavailable:
        return settings(enter=False, **{**flags, **{name: flags[name] or at for name, at in SOMEWHERE.items()}})


def _principal(where: Settings, pipeline: str) -> str:
    return f"User:{where.kafka_username or pipeline}"


def _user(principal: str) -> str:
    return principal.partition(":")[2] or principal


def _as_object(principal: str, rights: Rights, where: Settings) -> dict[str, Any]:
    return {
        "principal": principal,
        "kafka": [
            {"operation": it.operation, "resource": it.kind, "name": it.name, "prefixed": it.prefixed}
            for it in rights.kafka
        ],
        "kafka_commands": rights.kafka_lines(principal, where.kafka),
        "redis": {
            "user": _user(principal),
            "keys": [keys.rule for keys in rights.keys],
            "commands": sorted({*rights.commands, *(c for keys in rights.keys for c in keys.commands)}),
        },
        "redis_command": rights.redis_line(_user(principal)),
    }
