"""More workers than partitions: no error, for one that waits takes over at once, but worth a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from app.errors import Unavailable
from app.pipeline import Pipeline
from app.replay.group import Group
from app.replay.log import Log
from app.settings import Settings


def idle_sentence(settings: Settings, pipeline: Pipeline, mine: Collection[str], *, patience_s: float) -> str:
    """What is to be said before the workers `mine` join those that are there; nothing where all will have something.

    Nor where Kafka does not answer by now: whoever starts workers waits for it elsewhere.
    """
    topic = pipeline.source.name
    try:
        with (
            contextlib.closing(Log(settings, pipeline.name, patience_s=patience_s)) as log,
            contextlib.closing(Group(settings, pipeline.name, patience_s=patience_s)) as group,
        ):
            width = len(log.partitions(topic))
            others = len(set(group.members()) - set(mine))  # who was here before under these names is replaced
    except Unavailable:
        return ""
    idle = len(mine) + others - width
    if idle <= 0:
        return ""
    there = f" and {_counted(others, 'that is there', 'that are there')}" if others else ""
    return (
        f"{_counted(len(mine), 'worker', 'workers')}{there} share {_counted(width, 'partition', 'partitions')} of "
        f"{topic}: {idle} of them {'has' if idle == 1 else 'have'} nothing to do until another leaves."
    )


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
