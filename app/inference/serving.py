"""Which version of its model scores a pipeline: what a flag or the settings say, what it declares, or the newest.

A pipeline that declares name@version changes what it answers only by a change of the declaration, which is reviewed: a
version that is trained, copied or added beside it scores nothing until somebody says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from app.errors import Fatal, Refused
from app.inference.model import newest_version
from app.pipeline import Pipeline
from app.settings import Settings

REF = re.compile(r"(?P<name>[a-z0-9][a-z0-9_.-]{0,62})@(?P<version>[1-9][0-9]{0,8})")


def serving(pipeline: Pipeline, models: Path, versions: Mapping[str, int]) -> Path:
    """The folder of the version that scores `pipeline`; `versions` are the settings', by the models' names.

    Raises Fatal where that version is not there, Refused where `pipeline` has no model.
    """
    name = pipeline.model_name
    return newest_version(models, f"{name}@{versions[name]}" if name in versions else pipeline.model or name)


def pinned(settings: Settings, pipeline: Pipeline, ref: str | None) -> Settings:
    """The settings with what a flag `--model NAME@VERSION` says for `pipeline`; as they are without a flag.

    Raises Refused where it names no version, one of another model, or one that is not there.
    """
    if ref is None:
        return settings
    found = REF.fullmatch(ref)
    if found is None:
        raise Refused(f"{ref!r} names no version of a model: write it as NAME@VERSION, such as fraud@2.", exit_code=2)
    if found["name"] != pipeline.model_name:
        raise Refused(f"{ref} cannot score {pipeline.name}, which is scored by {pipeline.model_name}.", exit_code=2)
    versions = {**settings.versions, found["name"]: int(found["version"])}
    try:
        serving(pipeline, settings.models, versions)
    except Fatal as error:
        raise Refused(str(error), exit_code=2) from None
    return settings.model_copy(update={"versions": versions})
