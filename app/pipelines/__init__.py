"""The pipelines that can be run: those of this project by name, any other as `path/to/file.py:variable`.

Whatever takes a pipeline from outside takes either, and asks here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.errors import Fatal, Refused
from app.pipeline import Pipeline
from app.pipelines import own
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.pipelines.recommendation import RECOMMENDATION

PIPELINES: dict[str, Pipeline] = {pipeline.name: pipeline for pipeline in (FRAUD, FRAUD_LABELS, RECOMMENDATION)}


def pipeline_named(name: str) -> Pipeline:
    """The pipeline of that name or reference. Raises Refused with what there is, or with the line that is wrong."""
    if own.is_reference(name):
        return own.load(name)
    try:
        return PIPELINES[name]
    except KeyError:
        raise Refused(
            f"There is no pipeline {name!r}; there is {', '.join(PIPELINES)}. One of your own is named by its file: "
            "path/to/file.py:variable.",
            exit_code=2,
        ) from None


def pipelines_of(name: str | None) -> Mapping[str, Pipeline]:
    """One pipeline by its own name; without one, those of this project."""
    if name is None:
        return PIPELINES
    pipeline = pipeline_named(name)
    return {pipeline.name: pipeline}


def lasting(name: str) -> str:
    """The same name, as a process in any folder finds it."""
    return str(own.parse(name)) if own.is_reference(name) else name


def models_beside(name: str) -> Path | None:
    """The folder `models` beside a pipeline's own file, where there is one."""
    if not own.is_reference(name):
        return None
    folder = own.parse(name).path.parent / "models"
    return folder if folder.is_dir() else None


@contextmanager
def declared_at(name: str) -> Iterator[None]:
    """What is refused inside is a mistake in the pipeline's declaration, and is told with its line."""
    try:
        yield
    except (Refused, Fatal) as error:
        if not own.is_reference(name):
            raise
        raise Refused(f"{own.line_of(name)}: {error}", exit_code=2) from None
