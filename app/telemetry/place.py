"""Where the runs of this machine answer: each says so in a file beside its instance's lock, and others look there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from app.local.process import Known
from app.local.watchdog import birth
from app.stream.slot import slots

MOST_BYTES = 4096


class Run(msgspec.Struct, frozen=True):
    """One run that lives here. `url` is None where it observes nothing."""

    pipeline: str
    instance: str
    url: str | None
    pid: int
    birth: str


@contextmanager
def announced(kafka: str, pipeline: str, instance: str, url: str | None) -> Iterator[None]:
    """This process runs that instance, for as long as the block does."""
    path = slots(kafka) / f"{pipeline}.{instance}.run"
    run = Run(pipeline, instance, url, os.getpid(), birth(os.getpid()) or "")
    half = path.with_suffix(f".{run.pid}")
    half.write_bytes(msgspec.json.encode(run))
    half.replace(path)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def runs(kafka: str, pipeline: str | None = None) -> list[Run]:
    """The runs beside this Kafka that live on this machine, by pipeline and instance."""
    found = [run for path in sorted(slots(kafka).glob("*.run")) if (run := _read(path)) is not None]
    return [run for run in found if pipeline in (None, run.pipeline) and Known(run.pid, run.birth).alive]


def _read(path: Path) -> Run | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MOST_BYTES), type=Run)
    except (OSError, msgspec.MsgspecError):
        return None
