"""`features get`, `features load` and `features rebuild`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.connection import Home, Json, Kafka, Redis, settings
from app.cli.terminal import counted, note, patience, printable, say, say_json
from app.errors import Refused

if TYPE_CHECKING:
    from app.pipeline import Pipeline
    from app.settings import Settings


def add_to(cli: typer.Typer) -> None:
    nouns = typer.Typer(help="Look at features, and fill lookups.", no_args_is_help=True)
    nouns.command("get")(get)
    nouns.command("load")(load)
    nouns.command("rebuild")(rebuild)
    cli.add_typer(nouns, name="features")


def get(
    view: Annotated[str, typer.Argument(metavar="VIEW", help="A view or a lookup of a pipeline.")],
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="Such as a customer_id.")],
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show what Redis has of one entity. Exits with 1 where it has nothing.

    \b
    Examples:
      streaminfer features get customer 596
      streaminfer features get terminal 3156 --json
    """
    from app.features.entity import declared
    from app.features.lookups import Lookup
    from app.pipelines import PIPELINES

    pipeline, part = declared(PIPELINES, view)
    needs = "redis" if isinstance(part, Lookup) else "both"
    where = settings(kafka=kafka, redis=redis, home=home, needs=needs)
    with patience(f"Looking for {printable(entity)}"):
        found = _row(where, part, entity) if isinstance(part, Lookup) else _state(where, pipeline, view, entity)
    whose = {"view": view, "entity": entity, "pipeline": pipeline.name}
    if found is None:
        if as_json:
            say_json(whose | {"found": False})
        note(f"{view} has nothing of {printable(entity)}.")
        raise typer.Exit(1)
    if as_json:
        say_json(whose | {"found": True} | found)
        return
    say(f"{view} {printable(entity)}, as {pipeline.name} has it:")
    for line in _words(found):
        say(f"  {line}")


def load(
    lookup: Annotated[str, typer.Argument(metavar="LOOKUP", help="A lookup of a pipeline.")],
    file: Annotated[Path, typer.Option("--file", metavar="FILE", help="CSV with a header.")],
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Fill a lookup from a CSV file, all of it or nothing.

    The first column is the entity, named as the lookup's key; the others are the lookup's fields, in any order.
    Running workers use the new rows within about a second. Anything wrong in the file refuses all of it.

    \b
    Example:
      streaminfer features load terminal --file terminals.csv
    """
    from app.features.entity import declared
    from app.features.load import load as fill
    from app.features.lookups import Lookup
    from app.features.store import connect
    from app.pipelines import PIPELINES

    _, part = declared(PIPELINES, lookup)
    if not isinstance(part, Lookup):
        raise Refused(f"{lookup} is folded from the log and not loaded.", exit_code=2)
    where = settings(redis=redis, home=home, needs="redis")
    written = 0

    def progress(rows: int) -> None:
        nonlocal written
        written = rows

    with patience(f"Loading {lookup}", lambda: counted(written, "row")):
        done = fill(connect(where.redis, timeout_s=where.redis_timeout_s), part, file, progress=progress)
    if as_json:
        say_json({"lookup": lookup, "build": done.build, "rows": done.rows, "before": done.before})
        return
    say(
        f"{counted(done.rows, 'row')} loaded into {lookup} as build {done.build}; workers use it within a second or so."
    )
    if done.before:
        say(f"The build before, {done.before}, is kept until the next load.")


def rebuild(
    view: Annotated[str, typer.Argument(metavar="VIEW", help="A folded view of a pipeline.")],
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Throw a view's state away, to be folded again from the log.

    Running workers notice within a second or so and fold it at once; otherwise the next `run` does. Nothing is scored
    from a state that is not whole.

    \b
    Example:
      streaminfer features rebuild customer
    """
    from app.features.entity import declared
    from app.features.lookups import Lookup
    from app.features.rebuild import forget
    from app.features.store import Store, connect
    from app.pipelines import PIPELINES
    from app.stream.topics import Topics, refuse_missing

    pipeline, part = declared(PIPELINES, view)
    if isinstance(part, Lookup):
        raise Refused(f"{view} is loaded and not folded from the log; fill it with `features load`.", exit_code=2)
    where = settings(kafka=kafka, redis=redis, home=home)
    there = Topics(where).there()
    refuse_missing([] if pipeline.source.name in there else [pipeline.source.name])
    store = Store(connect(where.redis, timeout_s=where.redis_timeout_s), pipeline.name)
    with patience(f"Throwing {view} away"):
        partitions = forget(store, view, there[pipeline.source.name])
    if as_json:
        say_json({"view": view, "pipeline": pipeline.name, "partitions": partitions})
        return
    say(f"The state of {view} is gone for {counted(partitions, 'partition')}; its owners fold it again from the log.")


def _row(where: Settings, lookup: Any, entity: str) -> dict[str, Any] | None:
    from app.features.entity import row
    from app.features.store import connect

    found = row(connect(where.redis, timeout_s=where.redis_timeout_s), lookup, entity)
    return None if found is None else asdict(found)


def _state(where: Settings, pipeline: Pipeline, name: str, entity: str) -> dict[str, Any] | None:
    from app.features.entity import folded
    from app.features.store import Store, connect
    from app.stream.topics import Topics, refuse_missing

    topics = Topics(where).there()
    refuse_missing([name for name in [pipeline.source.name] if name not in topics])
    view = next(view for view in pipeline.views if view.name == name)
    store = Store(connect(where.redis, timeout_s=where.redis_timeout_s), pipeline.name)
    found = folded(store, view, entity, digest=pipeline.digest(view), partitions=topics[pipeline.source.name])
    return None if found is None else asdict(found)


def _words(values: Mapping[str, Any], before: str = "") -> list[str]:
    """A line for each value; times as times."""
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{before}{name.replace('_', ' ')}:", *_words(value, before + "  ")]
        elif name.endswith("_ms") and isinstance(value, int):
            when = datetime.fromtimestamp(value / 1000, UTC)
            lines.append(f"{before}{name.removesuffix('_ms').replace('_', ' ')}: {when:%Y-%m-%d %H:%M:%S} UTC")
        else:
            number = f"{name}: {value:.6g}" if isinstance(value, float) else f"{name.replace('_', ' ')}: {value}"
            lines.append(before + number)
    return lines
