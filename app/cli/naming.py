"""How pipelines, topics and views are named on the command line, and what a shell completes of their names.

Nothing is connected to: a shell that completes knows what is declared in this project, and for all else it offers
files.
"""

from __future__ import annotations

from typing import Annotated

import typer

OWN = "path/to/file.py:variable"


def _pipelines(incomplete: str) -> list[str]:
    from app.pipelines import PIPELINES

    return [name for name in PIPELINES if name.startswith(incomplete)]


def _topics(incomplete: str) -> list[str]:
    from app.pipelines import PIPELINES
    from schemas.topics import TOPICS

    declared = {spec.name: None for pipeline in PIPELINES.values() for spec in pipeline.topics()}
    return [name for name in declared | dict.fromkeys(TOPICS) if name.startswith(incomplete)]


def _views(incomplete: str) -> list[str]:
    return [*_folded(incomplete), *_lookups(incomplete)]


def _lookups(incomplete: str) -> list[str]:
    from app.pipelines import PIPELINES

    parts = [lookup.name for pipeline in PIPELINES.values() for lookup in pipeline.lookups]
    return [name for name in parts if name.startswith(incomplete)]


def _folded(incomplete: str) -> list[str]:
    from app.pipelines import PIPELINES

    parts = [view.name for pipeline in PIPELINES.values() for view in pipeline.views]
    return [name for name in parts if name.startswith(incomplete)]


PipelineName = Annotated[
    str, typer.Argument(metavar="PIPELINE", help=f"Its name, or {OWN}.", autocompletion=_pipelines)
]
PipelineOrAll = Annotated[
    str | None,
    typer.Argument(
        metavar="PIPELINE", help=f"Its name, or {OWN}. Default: all of this project.", autocompletion=_pipelines
    ),
]
PipelinesOrAll = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PIPELINE", help=f"Names, or {OWN}. Default: all of this project.", autocompletion=_pipelines
    ),
]
Of = Annotated[
    str | None,
    typer.Option(
        "--pipeline",
        metavar="PIPELINE",
        help=f"Whose it is, by name or as {OWN}. Default: looked for in this project.",
        autocompletion=_pipelines,
    ),
]
TopicName = Annotated[str, typer.Argument(metavar="TOPIC", help="The topic's name.", autocompletion=_topics)]
TopicOrOwn = Annotated[
    str,
    typer.Argument(
        metavar="TOPIC", help=f"The topic's name, or {OWN} for the input of that pipeline.", autocompletion=_topics
    ),
]
ViewName = Annotated[
    str, typer.Argument(metavar="VIEW", help="A view or a lookup of a pipeline.", autocompletion=_views)
]
FoldedName = Annotated[str, typer.Argument(metavar="VIEW", help="A folded view of a pipeline.", autocompletion=_folded)]
FoldedOrAll = Annotated[
    str, typer.Argument(metavar="[VIEW]", help="A folded view; all of them by default.", autocompletion=_folded)
]
LookupName = Annotated[str, typer.Argument(metavar="LOOKUP", help="A lookup of a pipeline.", autocompletion=_lookups)]
PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="A plan's id, as `replay list` shows it.")]
