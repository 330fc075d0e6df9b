"""`tail`: the committed records of a topic."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated

import typer

from app.cli.connection import Home, Json, Kafka, settings
from app.cli.naming import TopicName
from app.cli.terminal import note, patience, printable, say, say_json
from app.errors import Refused


def add_to(cli: typer.Typer) -> None:
    cli.command("tail")(tail)


def tail(
    topic: TopicName,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WHERE",
            help="beginning, end, or a time with a zone such as 2026-01-31T12:00:00Z. Default: end, or beginning with "
            "--until-end.",
        ),
    ] = None,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop at what is committed now.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Stop after so many records.")] = None,
    kafka: Kafka = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the committed records of a topic, one a line, until Ctrl-C.

    With --json each line is an object: topic, partition, offset, timestamp (milliseconds since 1970, UTC), key,
    headers, value. A value that is a JSON object is that object, other text is text; bytes that are not UTF-8 are in
    base64 under value_base64 (key_base64). A header that comes more than once is a list.

    \b
    Examples:
      streaminfer tail payments.scored
      streaminfer tail payments.dead --from beginning --until-end
      streaminfer tail payments.scored --from 2026-01-31T12:00:00Z --json
    """
    moment = moment_of(start) if start is not None else "beginning" if until_end else "end"
    where = settings(kafka=kafka, home=home, needs="kafka")

    from app.replay.shown import as_line, as_object
    from app.replay.tail import limited
    from app.replay.tail import tail as read

    batches = limited(read(where, topic, start=moment, until_end=until_end, away=note), limit)
    with patience(f"Looking at {topic}"):
        records = next(batches, [])
    while True:
        for record in records:
            if as_json:
                say_json(as_object(record))
            else:
                say(printable(as_line(record)))
        if records:
            sys.stdout.flush()
        try:
            records = next(batches)
        except StopIteration:
            return


def moment_of(text: str, *, option: str = "--from") -> str | int:
    """`beginning`, `end`, or milliseconds since 1970. Raises Refused for what is none of them."""
    if text in ("beginning", "end"):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(
            f"{option} {printable(text)!r} is neither beginning nor end nor a time such as 2026-01-31T12:00:00Z.",
            exit_code=2,
        ) from None
    if moment.tzinfo is None:
        raise Refused(f"{option} {text} has no zone: write {text}Z for UTC, or {text}+01:00.", exit_code=2)
    return int(moment.timestamp() * 1000)
