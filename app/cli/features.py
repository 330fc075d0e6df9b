"""`features get` and `features load`; `verify`, `rebuild` and `clean` stand in a file of their own."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import states
from app.cli.connection import Home, Json, Kafka, Redis, settings
from app.cli.naming import LookupName, Of, ViewName
from app.cli.terminal import counted, in_words, note, patience, printable, say, say_json
from app.errors import Refused

if TYPE_CHECKING:
    from app.pipeline import Pipeline
    from app.settings import Settings


class FileFormat(Enum):
    """What `features load` reads."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


def add_to(cli: typer.Typer) -> None:
    nouns = typer.Typer(help="Look at features, compare them with the log, fill lookups.", no_args_is_help=True)
    nouns.command("get")(get)
    nouns.command("load")(load)
    nouns.command("verify")(states.verify)
    nouns.command("rebuild")(states.rebuild)
    nouns.command("clean")(states.clean)
    cli.add_typer(nouns, name="features")


def get(
    view: ViewName,
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="Such as a customer_id.")],
    of: Of = None,
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
      streaminfer features get customer 7 --pipeline shop/pipeline.py:pipeline
    """
    from app.features.entity import declared
    from app.features.lookups import Written
    from app.pipelines import pipelines_of

    pipeline, part = declared(pipelines_of(of), view)
    needs = "redis" if isinstance(part, Written) else "both"
    where = settings(kafka=kafka, redis=redis, home=home, needs=needs)
    with patience(f"Looking for {printable(entity)}"):
        found = _row(where, part, entity) if isinstance(part, Written) else _state(where, pipeline, view, entity)
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
    for line in in_words(found):
        say(f"  {line}")


def load(
    lookup: LookupName,
    file: Annotated[Path, typer.Option("--file", metavar="FILE", help="CSV with a header, JSON lines or Parquet.")],
    format_: Annotated[
        FileFormat | None, typer.Option("--format", help="What the file is; by default its name's end says it.")
    ] = None,
    of: Of = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Fill a lookup from a file, all of it or nothing.

    A row has the entity, named as the lookup's key, and the lookup's fields; in CSV, the entity is the first column.
    Running workers use the new rows within about a second. Anything wrong in the file refuses all of it.

    \b
    Examples:
      streaminfer features load terminal --file terminals.csv
      streaminfer features load terminal --file terminals.parquet
      streaminfer features load terminal --file rows --format jsonl
    """
    from app.features.entity import declared
    from app.features.files import RowFile
    from app.features.load import load as fill
    from app.features.lookups import Lookup, Written
    from app.features.store import connected
    from app.pipelines import pipelines_of

    _, part = declared(pipelines_of(of), lookup)
    if not isinstance(part, Lookup):
        why = "is written by others where it lies" if isinstance(part, Written) else "is folded from the log"
        raise Refused(f"{lookup} {why} and not loaded.", exit_code=2)
    where = settings(redis=redis, home=home, needs="redis")
    far = ""

    def tell(what: str, rows: int) -> None:
        nonlocal far
        far = f"{counted(rows, 'row')} {what}"

    with patience(f"Loading {lookup}", lambda: far):
        client = connected(where)
        source = RowFile(file, format_.value if format_ is not None else None)
        done = fill(client, part, source, checked=partial(tell, "checked"), progress=partial(tell, "written"))
    if as_json:
        say_json({"lookup": lookup, "build": done.build, "rows": done.rows, "before": done.before})
        return
    say(
        f"{counted(done.rows, 'row')} loaded into {lookup} as build {done.build}; workers use it within a second or so."
    )
    if done.before:
        say(f"The build before, {done.before}, is kept until the next load.")


def _row(where: Settings, lookup: Any, entity: str) -> dict[str, Any] | None:
    from app.features.entity import row
    from app.features.store import connected

    found = row(connected(where), lookup, entity)
    if found is None:
        return None
    return {name: value for name, value in asdict(found).items() if value is not None}


def _state(where: Settings, pipeline: Pipeline, name: str, entity: str) -> dict[str, Any] | None:
    from app.features.entity import folded
    from app.features.store import Store, connected
    from app.stream.topics import Topics, refuse_missing

    store = Store(connected(where), pipeline.name)
    topics = Topics(where).there()
    refuse_missing([name for name in [pipeline.source.name] if name not in topics])
    view = next(view for view in pipeline.views if view.name == name)
    found = folded(store, view, entity, digest=pipeline.digest(view), partitions=topics[pipeline.source.name])
    return None if found is None else asdict(found)
