"""`models add`: a model of one's own as the next version that a pipeline is scored with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.connection import NOT_NEEDED, Home, Json, settings
from app.cli.naming import PipelineName
from app.cli.terminal import patience, say, say_json
from app.errors import Refused

if TYPE_CHECKING:
    from app.pipeline import Pipeline


def add_to(cli: typer.Typer) -> None:
    nouns = typer.Typer(help="Put models where pipelines find them.", no_args_is_help=True)
    nouns.command("add")(add)
    cli.add_typer(nouns, name="models")


def add(
    pipeline: PipelineName,
    file: Annotated[Path, typer.Option("--file", metavar="FILE", help="The ONNX file, whole in itself.")],
    events: Annotated[
        Path, typer.Option("--events", metavar="FILE", help="JSON lines of the pipeline's input to try it on.")
    ],
    threshold: Annotated[
        float, typer.Option("--threshold", min=0, max=1, help="The score from which on a decision is an alert.")
    ] = 0.5,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put an ONNX file in as the next version of a pipeline's model, with its manifest.

    The model takes one float matrix with the pipeline's features as columns and gives a probability a row. Features of
    the events, computed as the loop computes them, and the scores that the model gives them here become the
    manifest's golden rows: a start on a machine that scores otherwise is refused. Running workers keep their version
    until they are started again; a pipeline that declares a version keeps it even then.

    \b
    Example:
      streaminfer models add shop/pipeline.py:pipeline --file model.onnx --events shop/orders.jsonl
    """
    from app.pipelines import pipeline_named

    chosen = pipeline_named(pipeline)
    name = chosen.model_name
    where = settings(kafka=NOT_NEEDED, redis=NOT_NEEDED, home=home, needs="kafka", pipeline=pipeline, enter=False)
    with patience(f"Trying {file}"):
        from app.contracts.lines import opened
        from app.offline import rows_of
        from app.starter.manifest import add_version

        try:
            content = file.read_bytes()
        except OSError as error:
            raise Refused(f"{file} cannot be read: {error.strerror}.", exit_code=2) from None
        with opened(str(events)) as lines:
            rows = rows_of(chosen, lines)
        command = f"streaminfer models add {chosen.name}"
        folder = add_version(
            where.models,
            name,
            content,
            features=chosen.features,
            rows=rows,
            threshold=threshold,
            command=command,
        )
    if as_json:
        say_json({"model": name, "version": int(folder.name), "folder": str(folder), "golden_rows": len(rows)})
        return
    say(f"{name}@{folder.name} is in {folder}, tried on {len(rows)} events; {_who_scores(chosen, folder.name)}.")


def _who_scores(pipeline: Pipeline, version: str) -> str:
    name = pipeline.model_name
    if pipeline.model == name:
        return "the next `run` scores with it"
    return (
        f"{pipeline.name} declares {pipeline.model} and is scored by it until it declares {name}@{version}, or `run` "
        f"is told --model {name}@{version}"
    )
