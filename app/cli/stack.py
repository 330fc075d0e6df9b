"""`up` and `down`: a real Kafka and Redis on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.connection import Home, Json
from app.cli.terminal import patience, say, say_json

if TYPE_CHECKING:
    from app.local.stack import Stack


def add_to(cli: typer.Typer) -> None:
    cli.command("up")(up)
    cli.command("down")(down)


def up(
    brokers: Annotated[
        int | None, typer.Option("--brokers", metavar="1|3", help="How many. Default: what the home has, else 1.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Start a real Kafka and Redis here, or find those that run.

    They live until `streaminfer down`; their data stay for the next `up`.

    \b
    Examples:
      streaminfer up
      streaminfer up --brokers 3 --json
    """
    stack = _stack(home)
    with patience("Starting Kafka and Redis"):
        found = stack.up(brokers)
    if as_json:
        say_json({"kafka": found.kafka, "redis": found.redis})
        return
    say(f"Kafka is at {found.kafka}")
    say(f"Redis is at {found.redis}")
    say(f"They live until `streaminfer down`; data and logs are in {stack.home}.")


def down(home: Home = None, as_json: Json = False) -> None:
    """Stop what `up` started. Data stay.

    \b
    Example:
      streaminfer down
    """
    stack = _stack(home)
    with patience("Stopping Kafka and Redis"):
        stopped = stack.down()
    if as_json:
        say_json({"stopped": list(stopped)})
        return
    say(f"Stopped {', '.join(stopped)}." if stopped else f"Nothing runs in {stack.home}.")


def _stack(home: Path | None) -> Stack:
    from app.local.stack import Stack
    from app.settings import home_folder

    return Stack(home or home_folder())
