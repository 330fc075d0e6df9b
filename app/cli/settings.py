"""`settings`: every setting, its value, and who said so."""

from __future__ import annotations

import typer

from app.cli.connection import Home, Json, Kafka, Redis
from app.cli.terminal import printable, say, say_json


def add_to(cli: typer.Typer) -> None:
    cli.command("settings")(show)


def show(kafka: Kafka = None, redis: Redis = None, home: Home = None, as_json: Json = False) -> None:
    """Show every setting with its value and who gave it: a flag, a variable, the settings file, `up`, or nobody.

    A flag comes first, then the variable STREAMINFER_<NAME>, then the file that STREAMINFER_SETTINGS names or
    settings.toml in the home, then what `up` started, then the default. Secrets are shown as ***. With --json one
    object a line.

    \b
    Examples:
      streaminfer settings
      streaminfer settings --json
    """
    from app.explained import explained

    for setting in explained(kafka=kafka, redis=redis, home=home):
        if as_json:
            say_json(setting.as_object())
        else:
            say(printable(f"{setting.name} = {setting.shown}  ({setting.source})"))
            say(f"    {setting.description}")
