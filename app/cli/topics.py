"""`topics apply` and `topics list`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from app.cli.connection import Home, Json, Kafka, settings
from app.cli.naming import PipelinesOrAll
from app.cli.terminal import patience, say, say_json, table


def add_to(cli: typer.Typer) -> None:
    nouns = typer.Typer(help="Make and list the topics that pipelines need.", no_args_is_help=True)
    nouns.command("apply")(apply)
    nouns.command("list")(list_topics)
    cli.add_typer(nouns, name="topics")


def apply(
    pipelines: PipelinesOrAll = None,
    kafka: Kafka = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Create the topics that pipelines declare.

    Never shrinks or recreates one: a topic that is there keeps its partitions and what somebody has set on it. One
    that differs from its declaration is named, and the exit code is 1.

    \b
    Examples:
      streaminfer topics apply
      streaminfer topics apply fraud --json
      streaminfer topics apply shop/pipeline.py:pipeline
    """
    from app.pipelines import PIPELINES, pipeline_named
    from app.stream.topics import Topics

    wanted = [pipeline_named(name) for name in pipelines or PIPELINES]
    there = Topics(settings(kafka=kafka, home=home, needs="kafka"))
    with patience("Waiting for Kafka"):
        applied = there.apply(wanted)
    if as_json:
        say_json([asdict(topic) for topic in applied])
    else:
        for topic in applied:
            say(topic.sentence)
    if not all(topic.ok for topic in applied):
        raise typer.Exit(1)


def list_topics(kafka: Kafka = None, home: Home = None, as_json: Json = False) -> None:
    """List the topics and how many partitions they have.

    \b
    Example:
      streaminfer topics list
    """
    from app.stream.topics import Topics

    there = Topics(settings(kafka=kafka, home=home, needs="kafka"))
    with patience("Waiting for Kafka"):
        found = there.there()
    if as_json:
        say_json([{"topic": name, "partitions": partitions} for name, partitions in found.items()])
    elif not found:
        say("There are no topics: `streaminfer topics apply` creates what the pipelines need.")
    else:
        for line in table([("TOPIC", "PARTITIONS"), *found.items()], right=(1,)):
            say(line)
