"""`new`: a pipeline of one's own, begun."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.connection import Json
from app.cli.terminal import patience, say, say_json


def add_to(cli: typer.Typer) -> None:
    cli.command("new")(new)


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and dashes.")],
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="FOLDER", help="Where to. Default: a folder of that name here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a new pipeline that runs as it is: its file, its schema, a tiny model, a test, and orders to try it on.

    Nothing is written over: a folder that has something in it is refused.

    \b
    Examples:
      streaminfer new shop
      streaminfer new shop --folder pipelines/shop
    """
    from app.starter.project import EVENTS, write

    to = folder or Path(name)
    with patience(f"Writing {to}"):
        written = write(name, to)
    if as_json:
        say_json({"pipeline": f"{to}/pipeline.py:pipeline", "files": [str(path) for path in written]})
        return
    for path in written:
        say(f"  {path}")
    say("It runs as it is:")
    own = f"{to}/pipeline.py:pipeline"
    say(f"  pytest {to}")
    say(f"  streaminfer topics apply {own}")
    say(f"  streaminfer produce {own} --file {to}/{EVENTS}")
    say(f"  streaminfer run {own} --until-end")
    say(f"  streaminfer tail {name}.scored --until-end")
    say("Then put your own fields into schema.py, your own features into pipeline.py, and your own model in with")
    say(f"  streaminfer models add {own} --file model.onnx --events {to}/{EVENTS}")
