"""The pipelines that can be run by name."""

from app.errors import Refused
from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD

PIPELINES: dict[str, Pipeline] = {pipeline.name: pipeline for pipeline in (FRAUD,)}


def pipeline_named(name: str) -> Pipeline:
    """The pipeline, or Refused with the names that there are."""
    try:
        return PIPELINES[name]
    except KeyError:
        raise Refused(f"There is no pipeline {name!r}; there is {', '.join(PIPELINES)}.", exit_code=2) from None
